//! What a classifier puts out, in the form that metrics take it.

use gradus_tensor::{DType, Tensor};

/// Scores `[n, classes]`, in which the highest is the class predicted. One logit per sample, `[n]`
/// or `[n, 1]`, speaks for class 1 against class 0, whose logit is then 0.
pub(super) fn class_scores(predictions: &Tensor) -> Tensor {
    let predictions = predictions.detach();
    let Ok(shape) = predictions.try_shape() else { return predictions };
    match shape.dims() {
        [_] | [_, 1] => {
            let logit = predictions.reshape([-1, 1]);
            Tensor::cat(&[&logit.zeros_like(), &logit], 1)
        }
        _ => predictions,
    }
}

/// Logarithms of probabilities `[n, classes]` in f64: the log-softmax of the scores. What a
/// `LogSoftmax` has made already stays as it is.
pub(super) fn log_probabilities(predictions: &Tensor) -> Tensor {
    class_scores(predictions).cast(DType::F64).log_softmax(1)
}

/// Labels `[n]` in i64, also from `[n, 1]` or from the 0.0 and 1.0 that binary losses take.
pub(super) fn labels(targets: &Tensor) -> Tensor {
    let targets = targets.detach();
    match targets.try_shape() {
        Ok(shape) if shape.rank() != 1 => targets.reshape([-1]).cast(DType::I64),
        Ok(_) if targets.dtype() != DType::I64 => targets.cast(DType::I64),
        _ => targets,
    }
}

/// How many samples there are in a batch; 0 in one that failed.
pub(super) fn samples(targets: &Tensor) -> usize {
    targets.try_shape().map_or(0, |shape| shape.numel())
}
