//! Losses.
//!
//! Each is a type with options and, in [`functional`](crate::functional), a function. Shapes must be
//! equal: a target `[64]` for an output `[64, 1]` would broadcast to `[64, 64]` and train on
//! nonsense, so that it is an error which says how to reshape. Values that no target can have, such
//! as a label out of range or a probability above 1, fail the evaluation.

mod binary;
mod cross_entropy;
mod distance;
mod divergence;
mod margin;

use gradus_tensor::{DType, Error, ErrorKind, Tensor};

pub use binary::{
    BCELoss, BCEWithLogitsLoss, binary_cross_entropy, binary_cross_entropy_with_logits,
};
pub use cross_entropy::{CrossEntropyLoss, NLLLoss, cross_entropy, nll_loss};
pub use distance::{
    HuberLoss, L1Loss, MSELoss, SmoothL1Loss, huber_loss, l1_loss, mse_loss, smooth_l1_loss,
};
pub use divergence::{KLDivLoss, PoissonNLLLoss, kl_div, poisson_nll_loss};
pub use margin::{
    CosineEmbeddingLoss, HingeEmbeddingLoss, MultiMarginLoss, TripletMarginLoss,
    cosine_embedding_loss, hinge_embedding_loss, multi_margin_loss, triplet_margin_loss,
};

/// What becomes of the losses of a batch's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Their mean: no axes.
    #[default]
    Mean,
    /// Their sum: no axes.
    Sum,
    /// They stay: `[batch]`.
    None,
}

impl Reduction {
    #[track_caller]
    fn apply(self, losses: Tensor) -> Tensor {
        match self {
            Reduction::Mean => losses.mean(),
            Reduction::Sum => losses.sum(),
            Reduction::None => losses,
        }
    }
}

/// The tensor that a loss returns for arguments that it refuses.
#[track_caller]
fn refuse(message: String) -> Tensor {
    Tensor::from_error(Error::here(ErrorKind::Shape, message))
}

/// Whether operands have one shape; if not, what the loss returns.
#[track_caller]
fn same_shape(loss: &str, input: &Tensor, what: &str, target: &Tensor) -> Result<(), Tensor> {
    let (Ok(a), Ok(b)) = (input.try_shape(), target.try_shape()) else {
        return Err(if input.try_shape().is_err() { input.clone() } else { target.clone() });
    };
    if a == b {
        return Ok(());
    }
    let broadcast = match a.broadcast(b) {
        Some(shape) => format!(", which would broadcast to {shape}"),
        None => String::new(),
    };
    let remedy = if a.numel() == b.numel() {
        format!("reshape the {what}, `.reshape({a})`, or the input")
    } else {
        format!("the {what} needs one value for each of the input")
    };
    Err(refuse(format!(
        "{loss}: input {a} and {what} {b}{broadcast}: they must be equal; {remedy}"
    )))
}

/// The first failed tensor, or a refusal of a weight that does not broadcast to the losses.
#[track_caller]
fn weighted(loss: &str, losses: Tensor, weight: Option<&Tensor>) -> Tensor {
    let Some(weight) = weight else { return losses };
    let (Ok(a), Ok(b)) = (losses.try_shape(), weight.try_shape()) else {
        return if losses.try_shape().is_err() { losses } else { weight.clone() };
    };
    if a.broadcast(b).as_ref() != Some(a) {
        return refuse(format!(
            "{loss}: a weight of shape {b} does not broadcast to the losses, {a}"
        ));
    }
    losses * weight
}

/// The tensor itself; its evaluation fails if an element lies outside 0..=1. NaN passes, and makes
/// the loss NaN.
#[track_caller]
fn checked_unit(x: &Tensor, what: &'static str) -> Tensor {
    if !x.dtype().is_float() {
        return x.clone();
    }
    let (low, high) = (x.lt(0.0), x.gt(1.0));
    // The check is one of integers: what lies outside is rounded away from the interval.
    let outside = Tensor::where_(&low, x.floor(), Tensor::where_(&high, x.ceil(), 0.0));
    // An effect, which runs although nobody uses what it passes on.
    let _ = outside.detach().cast(DType::I64).checked_below(2, what);
    x.clone()
}

/// `max(x, 0)`, whose gradient at 0 is 0, as that of PyTorch's `clamp_min`; NaN stays NaN.
#[track_caller]
fn hinge(x: &Tensor) -> Tensor {
    Tensor::where_(&x.le(0.0), 0.0, x)
}

/// The builder method and the field that every loss has.
macro_rules! with_reduction {
    ($($loss:ident),*) => {$(
        impl $loss {
            /// With another reduction than the mean.
            #[must_use]
            pub fn reduction(mut self, reduction: Reduction) -> $loss {
                self.reduction = reduction;
                self
            }
        }

        /// As PyTorch prints it.
        impl std::fmt::Display for $loss {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($loss), "()"))
            }
        }
    )*};
}
use with_reduction;

/// Losses have parameters of no kind and hold no weights: nothing to visit.
macro_rules! no_parts {
    ($($t:ty),*) => {$(
        impl crate::Module for $t {
            fn visit(&self, _: &mut crate::Visitor<'_>) {}
        }
    )*};
}
use no_parts;

no_parts!(Reduction);
