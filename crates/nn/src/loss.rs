//! Losses.

use gradus_tensor::Tensor;

use crate::Module;

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

/// The cross-entropy of logits with class labels, `−log softmax(logits)[label]`, in nats.
///
/// Logits are `[batch, classes]`, not probabilities: the softmax is part of the loss. Labels are
/// integers `[batch]` from 0 to `classes − 1`. By default the mean over the batch; with a random
/// guess it starts near `ln(classes)`.
///
/// # Errors
/// A label out of range fails the evaluation; the error names its position and the number of
/// classes.
///
/// ```
/// use gradus_nn::{CrossEntropyLoss, Reduction};
/// use gradus_tensor::Tensor;
/// let logits = Tensor::from_slice(&[0.0f64, 0.0, 2.0, 1.0], [2, 2]);
/// let labels = Tensor::from_slice(&[1i64, 0], [2]);
/// let losses = CrossEntropyLoss::default().reduction(Reduction::None).forward(&logits, &labels);
/// assert!((losses.to_vec::<f64>()?[0] - 2f64.ln()).abs() < 1e-12);
///
/// let wrong = CrossEntropyLoss::default().forward(&logits, &Tensor::from_slice(&[1i64, 2], [2]));
/// let message = wrong.item::<f64>().unwrap_err().to_string();
/// assert!(message.contains("label 2 at position 1 is out of range: there are 2 classes"));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Module)]
#[module(crate = crate)]
pub struct CrossEntropyLoss {
    #[module(skip)]
    reduction: Reduction,
}

impl CrossEntropyLoss {
    /// With another reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: Reduction) -> CrossEntropyLoss {
        self.reduction = reduction;
        self
    }

    /// The loss: `[batch, classes], [batch] → []`, or `[batch]` without reduction.
    #[track_caller]
    pub fn forward(&self, logits: &Tensor, labels: &Tensor) -> Tensor {
        self.reduction.apply(logits.cross_entropy(labels)).within(logits, &"CrossEntropyLoss()")
    }
}
