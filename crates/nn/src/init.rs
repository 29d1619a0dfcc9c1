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

mod gain;
mod orthogonal;
mod truncated;

use gradus_tensor::{DType, Error, ErrorKind, Shape, Tensor};

pub use gain::{FanMode, Nonlinearity, calculate_gain, kaiming_normal_with, kaiming_uniform_with};
pub use orthogonal::orthogonal;
pub use truncated::trunc_normal;

/// Uniform in [−bound, bound).
#[track_caller]
pub fn uniform(shape: impl Into<Shape>, bound: f64) -> Tensor {
    Tensor::rand(shape, DType::F32) * (2.0 * bound) - bound
}

/// Uniform in [low, high).
#[track_caller]
pub fn uniform_between(shape: impl Into<Shape>, low: f64, high: f64) -> Tensor {
    Tensor::rand(shape, DType::F32) * (high - low) + low
}

/// One number everywhere.
#[track_caller]
pub fn constant(shape: impl Into<Shape>, value: f64) -> Tensor {
    Tensor::full(shape, value, DType::F32)
}

/// Zeros.
#[track_caller]
pub fn zeros(shape: impl Into<Shape>) -> Tensor {
    Tensor::zeros(shape, DType::F32)
}

/// Ones.
#[track_caller]
pub fn ones(shape: impl Into<Shape>) -> Tensor {
    Tensor::ones(shape, DType::F32)
}

/// Ones on the diagonal of a matrix, zeros elsewhere: a linear layer that passes on what it can.
#[track_caller]
pub fn eye(rows: usize, columns: usize) -> Tensor {
    let at = |n| Tensor::arange(n, DType::I64);
    at(rows).unsqueeze(1).eq(at(columns)).cast(DType::F32)
}

/// A convolution's weight `[out, in / groups, …]` that passes on as many channels of each group as it
/// can.
///
/// # Errors
/// If the shape has not three to five axes or the groups do not divide the channels.
///
/// ```
/// use gradus_nn::init;
/// let w = init::dirac([2, 2, 3], 1);
/// assert_eq!(w.to_vec::<f32>()?, [0., 1., 0., 0., 0., 0., 0., 0., 0., 0., 1., 0.]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[track_caller]
pub fn dirac(shape: impl Into<Shape>, groups: usize) -> Tensor {
    let shape = shape.into();
    if !(3..=5).contains(&shape.rank()) || groups == 0 || !shape[0].is_multiple_of(groups) {
        return refuse(format!(
            "dirac: a weight is [out, in / groups, …] with one to three sizes of the window, and \
             {groups} groups divide `out`; this shape is {shape}"
        ));
    }
    let mut data = vec![0f32; shape.numel()];
    let window: usize = shape[2..].iter().product();
    // The position of the middle of the window.
    let middle = shape[2..].iter().fold(0, |at, &size| at * size + size / 2);
    let out = shape[0] / groups;
    if window > 0 {
        for group in 0..groups {
            for channel in 0..out.min(shape[1]) {
                let row = (group * out + channel) * shape[1] + channel;
                data[row * window + middle] = 1.0;
            }
        }
    }
    Tensor::from_vec(data, shape)
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

#[track_caller]
fn refuse(message: String) -> Tensor {
    Tensor::from_error(Error::here(ErrorKind::Usage, message))
}
