//! The losses that a configuration may choose.

use gradus_nn::CrossEntropyLoss;
use gradus_tensor::Tensor;

use super::table::table;

/// A loss: predictions and targets of a batch to one number, their mean over the samples.
pub type AnyLoss = Box<dyn Fn(&Tensor, &Tensor) -> Tensor>;

table! {
    /// Every loss known by name. A loss of another kind is one more row.
    pub const LOSSES: fn(_none: ()) -> AnyLoss;

    /// Cross-entropy of logits `[N, classes]` with labels `[N]`.
    "CrossEntropyLoss" {} => {
        let loss = CrossEntropyLoss::default();
        Ok(Box::new(move |logits, labels| loss.forward(logits, labels)))
    };
    /// The mean of squared differences.
    "MSELoss" {} => Ok(Box::new(|predictions, targets| {
        let difference = predictions - targets;
        (&difference * &difference).mean()
    }));
}
