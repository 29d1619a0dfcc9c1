//! stub
#![allow(missing_docs)]
pub fn uniform_f64(seed: u64, stream: u64, i: u64) -> f64 {
    let mut x = seed ^ (stream << 20) ^ i.wrapping_mul(0x9e3779b97f4a7c15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    (x >> 11) as f64 / (1u64 << 53) as f64
}
pub fn uniform_f32(seed: u64, stream: u64, i: u64) -> f32 {
    uniform_f64(seed, stream, i) as f32 * 0.99999
}
pub fn normal_f64(seed: u64, stream: u64, i: u64) -> f64 {
    uniform_f64(seed, stream, i)
}
pub fn normal_f32(seed: u64, stream: u64, i: u64) -> f32 {
    normal_f64(seed, stream, i) as f32
}
