//! What users add to the loop: one trait, called at fixed places.
//!
//! Callbacks are called in the order in which they were added. They see what happens and may ask
//! to stop or to save; they do not change the update, which the loop alone makes.

use std::time::Duration;

use gradus_tensor::{Parameter, Result, Tensor};
use serde_json::Value;

use super::{EpochSummary, Fit, Validation};

/// Takes part in a run. Every method does nothing by default.
///
/// ```
/// use gradus_tensor::Result;
/// use gradus_train::trainer::{Callback, Control, StepEnd};
///
/// /// Stops when the loss is low enough.
/// struct GoodEnough(f32);
///
/// impl Callback for GoodEnough {
///     fn on_step_end(&mut self, step: &StepEnd<'_>, control: &mut Control) -> Result<()> {
///         // Reading the loss is free: it was computed with the step.
///         if step.loss.item::<f32>()? < self.0 {
///             control.stop("the loss is low enough");
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// # Errors
/// An error of any method ends the run with that error.
pub trait Callback {
    /// The run begins, or goes on from a checkpoint. What was written about later steps is of a
    /// future that was lost, and will happen again: logs are to be cut back to here.
    fn on_fit_start(&mut self, _start: &FitStart<'_>) -> Result<()> {
        Ok(())
    }

    /// An epoch begins, or goes on from a checkpoint.
    fn on_epoch_start(&mut self, _epoch: &EpochStart) -> Result<()> {
        Ok(())
    }

    /// The gradients of a step are there, before clipping, after so many batches of the epoch.
    /// Nothing is computed yet: what is recorded here becomes part of the step.
    fn on_gradients(&mut self, _batch: usize, _parameters: &[Parameter]) -> Result<()> {
        Ok(())
    }

    /// The optimizer has made a step.
    fn on_step_end(&mut self, _step: &StepEnd<'_>, _control: &mut Control) -> Result<()> {
        Ok(())
    }

    /// The model was validated.
    fn on_validation_end(
        &mut self,
        _validation: &Validation,
        _step: u64,
        _control: &mut Control,
    ) -> Result<()> {
        Ok(())
    }

    /// An epoch has ended, validation included.
    fn on_epoch_end(&mut self, _epoch: &EpochSummary, _control: &mut Control) -> Result<()> {
        Ok(())
    }

    /// A checkpoint is about to be made: what was written about the steps before is to be in its
    /// files first, as a run that goes on from the checkpoint does not write it again. An error is a
    /// warning here: there is no checkpoint, and the run goes on.
    fn on_save(&mut self) -> Result<()> {
        Ok(())
    }

    /// A checkpoint of this name is safe on the disk.
    fn on_checkpoint(&mut self, _name: &str) -> Result<()> {
        Ok(())
    }

    /// Something went wrong that the run survives, such as a checkpoint that could not be written.
    fn on_warning(&mut self, _warning: &str) -> Result<()> {
        Ok(())
    }

    /// The run has ended.
    fn on_fit_end(&mut self, _fit: &Fit) -> Result<()> {
        Ok(())
    }

    /// What the callback must remember over an interruption, and the name that it is saved under.
    fn state(&self) -> Option<(&'static str, Value)> {
        None
    }

    /// Restores what [`state`](Callback::state) said when the checkpoint was made.
    fn restore(&mut self, _state: &Value) -> Result<()> {
        Ok(())
    }
}

/// How a run begins.
#[derive(Clone, Copy, Debug)]
pub struct FitStart<'a> {
    /// Steps of the optimizer done; 0 for a new run.
    pub step: u64,
    /// The checkpoint that the run goes on from.
    pub resumed: Option<&'a str>,
    /// The epochs that are done.
    pub epochs: &'a [EpochSummary],
    /// How many validations are done.
    pub validations: u64,
}

/// How an epoch begins.
#[derive(Clone, Copy, Debug)]
pub struct EpochStart {
    /// Counted from 1.
    pub epoch: u64,
    /// The batches of the epoch.
    pub batches: usize,
    /// How many of them are done already: not 0 if the run goes on in mid-epoch.
    pub done: usize,
}

/// A step of the optimizer.
#[derive(Clone, Copy, Debug)]
pub struct StepEnd<'a> {
    /// Steps done, this one included.
    pub step: u64,
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// Batches of the epoch done.
    pub batch: usize,
    /// The batches of the epoch.
    pub batches: usize,
    /// The mean loss of the step, before the update: of all its batches, where gradients are
    /// accumulated.
    pub loss: &'a Tensor,
    /// Samples of the step, in all its batches.
    pub samples: usize,
    /// How long the step has waited for its batches.
    pub waited: Duration,
    /// How long it took to compute.
    pub computed: Duration,
    /// How long it took in all.
    pub took: Duration,
    /// The learning rate of the step.
    pub lr: f64,
    /// The norm of all gradients before clipping, if it was asked for.
    pub grad_norm: Option<&'a Tensor>,
    /// Predictions and targets of the last batch of the step.
    pub predictions: Option<&'a (Tensor, Tensor)>,
}

/// What a callback may ask for.
#[derive(Clone, Debug, Default)]
pub struct Control {
    pub(super) stop: Option<String>,
    pub(super) save: bool,
}

impl Control {
    /// Ends the run after this step, for a reason. The first one counts.
    pub fn stop(&mut self, why: impl Into<String>) {
        self.stop.get_or_insert_with(|| why.into());
    }

    /// Saves a checkpoint after this step.
    pub fn save(&mut self) {
        self.save = true;
    }
}
