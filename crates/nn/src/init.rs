//! Initial values for parameters, drawn from the thread's generator ([`manual_seed`]).
//!
//! For a weight `[out, in, …]`, `fan_in` is the number of inputs of one output, `in` times the
//! sizes that follow, and `fan_out` that of outputs of one input. All are float32; PyTorch's
//! functions of the same names with an underscore write in place instead.
//!
//! ```
//! use gradus_nn::{Linear, Parameter, init};
//! let layer = Linear { weight: Parameter::new(init::xavier_uniform([8, 4], 1.0)), bias: None };
//! ```
//!
//! [`manual_seed`]: gradus_tensor::manual_seed

use gradus_tensor::{DType, Shape, Tensor};

/// Uniform in [−bound, bound).
#[track_caller]
pub fn uniform(shape: impl Into<Shape>, bound: f64) -> Tensor {
    Tensor::rand(shape, DType::F32) * (2.0 * bound) - bound
}

/// Normal with a mean and a standard deviation.
#[track_caller]
pub fn normal(shape: impl Into<Shape>, mean: f64, std: f64) -> Tensor {
    Tensor::randn(shape, DType::F32) * std + mean
}

/// Uniform in ±√(6 / ((1 + a²) · fan_in)): keeps the variance of activations through layers
/// followed by a leaky ReLU of slope `a` (He et al., "Delving deep into rectifiers", ICCV 2015).
/// With `a = √5`, the default of [`Linear`](crate::Linear), the bound is 1/√fan_in.
#[track_caller]
pub fn kaiming_uniform(shape: impl Into<Shape>, a: f64) -> Tensor {
    let shape = shape.into();
    let (fan_in, _) = fans(&shape);
    uniform(shape, bound(6.0 / (1.0 + a * a), fan_in))
}

/// Normal with standard deviation √(2 / ((1 + a²) · fan_in)); see [`kaiming_uniform`].
#[track_caller]
pub fn kaiming_normal(shape: impl Into<Shape>, a: f64) -> Tensor {
    let shape = shape.into();
    let (fan_in, _) = fans(&shape);
    normal(shape, 0.0, bound(2.0 / (1.0 + a * a), fan_in))
}

/// Uniform in ±gain · √(6 / (fan_in + fan_out)) (Glorot and Bengio, "Understanding the difficulty
/// of training deep feedforward neural networks", AISTATS 2010).
#[track_caller]
pub fn xavier_uniform(shape: impl Into<Shape>, gain: f64) -> Tensor {
    let shape = shape.into();
    let (fan_in, fan_out) = fans(&shape);
    uniform(shape, gain * bound(6.0, fan_in + fan_out))
}

/// Normal with standard deviation gain · √(2 / (fan_in + fan_out)); see [`xavier_uniform`].
#[track_caller]
pub fn xavier_normal(shape: impl Into<Shape>, gain: f64) -> Tensor {
    let shape = shape.into();
    let (fan_in, fan_out) = fans(&shape);
    normal(shape, 0.0, gain * bound(2.0, fan_in + fan_out))
}

/// `√(numerator / fan)`; a layer without inputs has nothing to draw and gets 0.
pub(crate) fn bound(numerator: f64, fan: usize) -> f64 {
    if fan == 0 { 0.0 } else { (numerator / fan as f64).sqrt() }
}

/// `(fan_in, fan_out)`; a vector counts as one output's inputs.
fn fans(shape: &Shape) -> (usize, usize) {
    match shape[..] {
        [] => (1, 1),
        [n] => (n, 1),
        [out, inputs, ref window @ ..] => {
            let window: usize = window.iter().product();
            (inputs * window, out * window)
        }
    }
}
