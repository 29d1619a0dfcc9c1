//! Losses of regression: how far outputs are from targets.

use gradus_tensor::Tensor;

use super::{Reduction, no_parts, same_shape, with_reduction};

/// The squared error, `(input − target)²`, element by element.
///
/// # Errors
/// If the shapes differ.
///
/// ```
/// use gradus_nn::MSELoss;
/// use gradus_tensor::{DType, Tensor};
/// let output = Tensor::from_slice(&[1.0f32, 4.0], [2, 1]);
/// let target = Tensor::from_slice(&[1.0f32, 2.0], [2]);
/// let loss = MSELoss::default().forward(&output, &target.reshape([2, 1]));
/// assert_eq!(loss.item::<f32>()?, 2.0);
///
/// let error = MSELoss::default().forward(&output, &target).error().unwrap();
/// assert!(error.to_string().contains("[2, 1] and target [2], which would broadcast to [2, 2]"));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MSELoss {
    reduction: Reduction,
}

/// The absolute error, `|input − target|`, element by element.
///
/// # Errors
/// If the shapes differ.
#[derive(Clone, Copy, Debug, Default)]
pub struct L1Loss {
    reduction: Reduction,
}

/// Squared error for small differences and absolute error for large ones: `½d²/beta` where `|d| <
/// beta`, else `|d| − ½beta` (Girshick, "Fast R-CNN", ICCV 2015).
///
/// # Errors
/// If the shapes differ or `beta` is negative.
#[derive(Clone, Copy, Debug)]
pub struct SmoothL1Loss {
    reduction: Reduction,
    beta: f64,
}

/// `½d²` where `|d| < delta`, else `delta · (|d| − ½delta)` (Huber, "Robust estimation of a location
/// parameter", 1964).
///
/// # Errors
/// If the shapes differ or `delta` is not positive.
#[derive(Clone, Copy, Debug)]
pub struct HuberLoss {
    reduction: Reduction,
    delta: f64,
}

with_reduction!(MSELoss, L1Loss, SmoothL1Loss, HuberLoss);
no_parts!(MSELoss, L1Loss, SmoothL1Loss, HuberLoss);

impl Default for SmoothL1Loss {
    fn default() -> SmoothL1Loss {
        SmoothL1Loss { reduction: Reduction::Mean, beta: 1.0 }
    }
}

impl Default for HuberLoss {
    fn default() -> HuberLoss {
        HuberLoss { reduction: Reduction::Mean, delta: 1.0 }
    }
}

impl MSELoss {
    /// The loss of `input` and a `target` of its shape.
    #[track_caller]
    pub fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        mse_loss(input, target, self.reduction).within(input, self)
    }
}

impl L1Loss {
    /// The loss of `input` and a `target` of its shape.
    #[track_caller]
    pub fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        l1_loss(input, target, self.reduction).within(input, self)
    }
}

impl SmoothL1Loss {
    /// Where the square ends; 1 unless given. With 0 it is [`L1Loss`].
    #[must_use]
    pub fn beta(mut self, beta: f64) -> SmoothL1Loss {
        self.beta = beta;
        self
    }

    /// The loss of `input` and a `target` of its shape.
    #[track_caller]
    pub fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        smooth_l1_loss(input, target, self.reduction, self.beta).within(input, self)
    }
}

impl HuberLoss {
    /// Where the square ends; 1 unless given.
    #[must_use]
    pub fn delta(mut self, delta: f64) -> HuberLoss {
        self.delta = delta;
        self
    }

    /// The loss of `input` and a `target` of its shape.
    #[track_caller]
    pub fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        huber_loss(input, target, self.reduction, self.delta).within(input, self)
    }
}

/// [`MSELoss`] as a function.
#[track_caller]
pub fn mse_loss(input: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    match same_shape("mse_loss", input, "target", target) {
        Ok(()) => reduction.apply((input - target).square()),
        Err(failed) => failed,
    }
}

/// [`L1Loss`] as a function.
#[track_caller]
pub fn l1_loss(input: &Tensor, target: &Tensor, reduction: Reduction) -> Tensor {
    match same_shape("l1_loss", input, "target", target) {
        Ok(()) => reduction.apply((input - target).abs()),
        Err(failed) => failed,
    }
}

/// [`SmoothL1Loss`] as a function.
#[track_caller]
pub fn smooth_l1_loss(input: &Tensor, target: &Tensor, reduction: Reduction, beta: f64) -> Tensor {
    if let Err(failed) = same_shape("smooth_l1_loss", input, "target", target) {
        return failed;
    }
    if beta.is_nan() || beta < 0.0 {
        return super::refuse(format!("smooth_l1_loss: beta is {beta}; it must not be negative"));
    }
    if beta == 0.0 {
        return reduction.apply((input - target).abs());
    }
    let (square, line) = parts(&(input - target), beta);
    reduction.apply(square / beta + line)
}

/// [`HuberLoss`] as a function.
#[track_caller]
pub fn huber_loss(input: &Tensor, target: &Tensor, reduction: Reduction, delta: f64) -> Tensor {
    if let Err(failed) = same_shape("huber_loss", input, "target", target) {
        return failed;
    }
    if delta.is_nan() || delta <= 0.0 {
        return super::refuse(format!("huber_loss: delta is {delta}; it must be positive"));
    }
    let (square, line) = parts(&(input - target), delta);
    reduction.apply(square + line * delta)
}

/// `½d²` where `|d| < end`, and `|d| − ½end` elsewhere; each 0 where the other counts, so that no
/// square overflows. NaN counts as near, where its gradient is NaN too.
#[track_caller]
fn parts(difference: &Tensor, end: f64) -> (Tensor, Tensor) {
    let far = difference.abs().ge(end);
    let near = Tensor::where_(&far, 0.0, difference);
    let line = Tensor::where_(&far, difference.abs() - 0.5 * end, 0.0);
    (near.square() * 0.5, line)
}
