//! stub
#![allow(missing_docs)]
macro_rules! s { ($($f:ident $l:ident),*) => {$(#[inline(always)] pub fn $f(x: f32) -> f32 { libm::$l(x as f64) as f32 })*} }
s!(exp exp, expm1 expm1, ln log, log1p log1p, sin sin, cos cos, tanh tanh, erf erf);
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}
#[inline(always)]
pub fn pow(x: f32, y: f32) -> f32 {
    libm::pow(x as f64, y as f64) as f32
}
