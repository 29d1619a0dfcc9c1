//! Losses that are ops of their own.

use gradus_ir::ops::CrossEntropy;
use smallvec::smallvec;

use crate::record::record;
use crate::tensor::Tensor;

impl Tensor {
    /// The cross-entropy of each row of logits `[n, classes]` with its label (int64 `[n]`): `[n]`, in nats. Softmax
    /// is part of it.
    ///
    /// # Errors
    /// A label out of range fails the evaluation and is named with its position and the number of classes.
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Tensor) -> Tensor {
        let labels = match self.try_shape() {
            Ok(shape) if shape.rank() == 2 => labels.checked_below(shape[1], "label"),
            _ => labels.clone(),
        };
        record(CrossEntropy, smallvec![self.operand(), labels.operand()])
    }
}
