//! Metrics: running totals while batches go by, and the reports made of them.
//!
//! The totals are tensors on the device of what they count, and updating one only records. So they
//! ride along in the plan of each training step, and reading them once, at the end of an epoch, is
//! the only time that anything waits for them. They are detached: no gradient history grows with
//! them.

mod accuracy;
mod confusion;
mod errors;
mod mean;
mod report;
mod score;

pub use accuracy::Accuracy;
pub use confusion::ConfusionMatrix;
pub use errors::Errors;
use gradus_nn::StateDict;
use gradus_tensor::{Error, ErrorKind, Result, Tensor};
pub use mean::Mean;
pub(crate) use report::thousands;
pub use report::{
    ClassReport, Classification, EpochMetrics, Evaluation, Language, Regression, RunMetrics,
};
pub(crate) use score::Score;
pub use score::ScoreValue;

/// Puts a saved total in the place of one of the same dtype, on its device.
fn restore(state: &StateDict, name: &str, total: &mut Tensor) -> Result<()> {
    let saved = state.get(name).filter(|saved| saved.dtype() == total.dtype());
    let Some(saved) = saved.filter(|saved| saved.shape() == total.shape()) else {
        let message = format!("no total `{name}` was saved that fits the metric");
        return Err(Error::new(ErrorKind::Format, message));
    };
    let moved = saved.to(total.device());
    moved.eval()?;
    *total = moved;
    Ok(())
}
