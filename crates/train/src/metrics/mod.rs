//! Metrics: running totals while batches go by, and the reports made of them.
//!
//! The totals are tensors on the device of what they count, and updating one only records. So they
//! ride along in the plan of each training step, and reading them once, at the end of an epoch, is
//! the only time that anything waits for them. They are detached: no gradient history grows with
//! them.
//!
//! Each is a [`Metric`], usable alone in a loop of your own; those of
//! [`METRICS`](crate::config::METRICS) have a name in configurations. Formulas and averages are
//! scikit-learn's, against which all are tested; where a value is undefined it is none, never a
//! number that looks like one.

mod accuracy;
mod auroc;
mod average;
mod average_precision;
mod calibration;
mod confusion;
mod error_scores;
mod errors;
mod f_beta;
mod log_loss;
mod mean;
mod metric;
mod precision;
mod ranking;
mod recall;
mod report;
mod score;
mod scores;
mod top_k;

pub(crate) use crate::numbers::thousands;
pub use accuracy::Accuracy;
pub use auroc::AUROC;
pub use average::Average;
pub use average_precision::AveragePrecision;
pub use calibration::CalibrationError;
pub use confusion::ConfusionMatrix;
pub use error_scores::{MeanAbsoluteError, MeanSquaredError, R2Score, RootMeanSquaredError};
pub use errors::Errors;
pub use f_beta::FBetaScore;
use gradus_nn::StateDict;
use gradus_tensor::{Error, ErrorKind, Result, Tensor};
pub use log_loss::LogLoss;
pub use mean::Mean;
pub use metric::{Metric, MetricValue};
pub use precision::Precision;
pub(crate) use ranking::refuse_micro;
pub use recall::Recall;
pub use report::{
    ClassReport, Classification, EpochMetrics, Evaluation, Language, Regression, RunMetrics,
};
pub(crate) use score::Score;
pub use score::ScoreValue;
pub use top_k::TopKAccuracy;

/// Puts a saved total in the place of one of the same dtype and shape, on its device.
fn restore(state: &StateDict, name: &str, total: &mut Tensor) -> Result<()> {
    *total = restored(state, name, total, |saved| saved.shape() == total.shape())?;
    Ok(())
}

/// A saved total of the dtype of another, on its device, if it fits.
fn restored(
    state: &StateDict,
    name: &str,
    total: &Tensor,
    fits: impl Fn(&Tensor) -> bool,
) -> Result<Tensor> {
    let saved = state.get(name).filter(|saved| saved.dtype() == total.dtype() && fits(saved));
    let Some(saved) = saved else {
        let message = format!("no total `{name}` was saved that fits the metric");
        return Err(Error::new(ErrorKind::Format, message));
    };
    let moved = saved.to(total.device());
    moved.eval()?;
    Ok(moved)
}
