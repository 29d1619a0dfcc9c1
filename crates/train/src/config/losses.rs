//! The losses that a configuration may choose.

use gradus_nn::{
    CrossEntropyLoss, HuberLoss, L1Loss, MSELoss, MultiMarginLoss, NLLLoss, SmoothL1Loss,
};
use gradus_tensor::Tensor;

use super::table::table;
use super::value::{Positive, Probability};

/// A loss: predictions and targets of a batch to one number, their mean over the samples.
pub type AnyLoss = Box<dyn Fn(&Tensor, &Tensor) -> Tensor>;

table! {
    /// Every loss known by name. A loss of another kind is one more row.
    pub const LOSSES: fn(_none: ()) -> AnyLoss;

    /// Cross-entropy of logits `[N, classes]` with labels `[N]`.
    "CrossEntropyLoss" { label_smoothing: Probability = Probability(0.0) } => {
        let loss = CrossEntropyLoss::default().label_smoothing(label_smoothing.0);
        Ok(Box::new(move |logits, labels| loss.forward(logits, labels)))
    };
    /// Minus the log-probability of the label; log-probabilities come from LogSoftmax.
    "NLLLoss" {} => {
        let loss = NLLLoss::default();
        Ok(Box::new(move |logs, labels| loss.forward(logs, labels)))
    };
    /// How far the right class is ahead of the others.
    "MultiMarginLoss" { margin: f64 = 1.0 } => {
        let loss = MultiMarginLoss::default().margin(margin);
        Ok(Box::new(move |logits, labels| loss.forward(logits, labels)))
    };
    /// The mean of squared differences.
    "MSELoss" {} => {
        let loss = MSELoss::default();
        Ok(Box::new(move |predictions, targets| loss.forward(predictions, targets)))
    };
    /// The mean of absolute differences.
    "L1Loss" {} => {
        let loss = L1Loss::default();
        Ok(Box::new(move |predictions, targets| loss.forward(predictions, targets)))
    };
    /// Squared differences near 0, absolute ones from `beta` on.
    "SmoothL1Loss" { beta: Positive = Positive(1.0) } => {
        let loss = SmoothL1Loss::default().beta(beta.0);
        Ok(Box::new(move |predictions, targets| loss.forward(predictions, targets)))
    };
    /// As SmoothL1Loss, times `delta`.
    "HuberLoss" { delta: Positive = Positive(1.0) } => {
        let loss = HuberLoss::default().delta(delta.0);
        Ok(Box::new(move |predictions, targets| loss.forward(predictions, targets)))
    };
}
