//! How much a nonlinearity shrinks what passes through it, and initial values that make up for it.

use gradus_tensor::{Shape, Tensor};

use super::{bound, fans, normal, uniform};

/// What follows a layer, for [`calculate_gain`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Nonlinearity {
    /// Nothing.
    #[default]
    Linear,
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`.
    ReLU,
    /// A leaky ReLU with this slope.
    LeakyReLU(f64),
    /// The self-normalising ELU.
    SELU,
}

/// Which variance [`kaiming_uniform_with`] and [`kaiming_normal_with`] keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FanMode {
    /// That of activations in the forward pass, which `fan_in` decides.
    #[default]
    FanIn,
    /// That of gradients in the backward pass, which `fan_out` decides.
    FanOut,
}

/// The factor of initial values that keeps the variance through a nonlinearity, as PyTorch has it:
/// 1, tanh 5/3, ReLU √2, leaky ReLU √(2/(1+a²)), SELU ¾.
///
/// ```
/// use gradus_nn::init::{Nonlinearity, calculate_gain};
/// assert_eq!(calculate_gain(Nonlinearity::ReLU), 2f64.sqrt());
/// assert_eq!(calculate_gain(Nonlinearity::LeakyReLU(0.0)), 2f64.sqrt());
/// ```
pub fn calculate_gain(nonlinearity: Nonlinearity) -> f64 {
    match nonlinearity {
        Nonlinearity::Linear | Nonlinearity::Sigmoid => 1.0,
        Nonlinearity::Tanh => 5.0 / 3.0,
        Nonlinearity::ReLU => 2f64.sqrt(),
        Nonlinearity::LeakyReLU(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
        Nonlinearity::SELU => 0.75,
    }
}

/// Uniform in ±gain · √(3 / fan), with the fan and the gain of what follows; see
/// [`kaiming_uniform`](super::kaiming_uniform).
#[track_caller]
pub fn kaiming_uniform_with(
    shape: impl Into<Shape>,
    mode: FanMode,
    nonlinearity: Nonlinearity,
) -> Tensor {
    let shape = shape.into();
    let std = kaiming_std(&shape, mode, nonlinearity);
    uniform(shape, 3f64.sqrt() * std)
}

/// Normal with standard deviation gain / √fan; see [`kaiming_uniform_with`].
#[track_caller]
pub fn kaiming_normal_with(
    shape: impl Into<Shape>,
    mode: FanMode,
    nonlinearity: Nonlinearity,
) -> Tensor {
    let shape = shape.into();
    let std = kaiming_std(&shape, mode, nonlinearity);
    normal(shape, 0.0, std)
}

fn kaiming_std(shape: &Shape, mode: FanMode, nonlinearity: Nonlinearity) -> f64 {
    let (fan_in, fan_out) = fans(shape);
    let fan = if mode == FanMode::FanIn { fan_in } else { fan_out };
    calculate_gain(nonlinearity) * bound(1.0, fan)
}
