//! The observers of a run as one [`Callback`] of the [`Trainer`](crate::trainer::Trainer).
//!
//! The loss of a step was computed with it, so that reading it copies one number and waits for
//! nothing; norms of gradients become part of the step.

use std::cell::RefCell;
use std::time::Duration;

use gradus_tensor::{Parameter, Result, Tensor};

use super::{
    EpochEnd, Flow, Observer, RunStart, StepEnd, StepSeconds, Stopwatch, ValidationEnd,
    gradient_norms,
};
use crate::EpochMetrics;
use crate::trainer::{self, Callback, Control, EpochStart, EpochSummary, FitStart, Validation};

/// Norms of gradients are measured at every so-manieth step of an epoch, from its first on: they
/// read every gradient once more.
const NORMS_EVERY: usize = 10;

/// Tells observers of a training what happens in it.
pub(crate) struct Observed<'a, 'o> {
    observers: &'a mut Vec<Box<dyn Observer + 'o>>,
    start: RunStart,
    /// Batches per step.
    accumulate: usize,
    norms: Option<Tensor>,
    epoch: u64,
    stopwatch: &'a RefCell<Stopwatch>,
}

impl<'a, 'o> Observed<'a, 'o> {
    /// Observers of a run that begins like this, with so many batches per step.
    pub(crate) fn new(
        observers: &'a mut Vec<Box<dyn Observer + 'o>>,
        start: RunStart,
        accumulate: usize,
        stopwatch: &'a RefCell<Stopwatch>,
    ) -> Observed<'a, 'o> {
        Observed { observers, start, accumulate, norms: None, epoch: 0, stopwatch }
    }
}

impl Observed<'_, '_> {
    /// So many batches are left of the epoch.
    fn follow(&self, batches: usize) {
        self.stopwatch.borrow_mut().follow(batches / self.accumulate);
    }
}

impl Callback for Observed<'_, '_> {
    fn on_fit_start(&mut self, start: &FitStart<'_>) -> Result<()> {
        self.start.steps_done = start.step;
        self.start.epochs_done = start.epochs.len();
        self.start.validations_done = start.validations;
        self.observers.run_start(&self.start)
    }

    fn on_epoch_start(&mut self, epoch: &EpochStart) -> Result<()> {
        self.epoch = epoch.epoch;
        self.follow(epoch.batches - epoch.done);
        Ok(())
    }

    fn on_gradients(&mut self, batch: usize, parameters: &[Parameter]) -> Result<()> {
        let step = (batch - 1) / self.accumulate;
        self.norms = step.is_multiple_of(NORMS_EVERY).then(|| gradient_norms(parameters));
        Ok(())
    }

    fn on_step_end(&mut self, end: &trainer::StepEnd<'_>, control: &mut Control) -> Result<()> {
        let seconds = |time: Duration| time.as_secs_f64();
        let step = StepEnd {
            step: end.step,
            epoch: end.epoch as usize,
            loss: end.loss.item::<f64>()?,
            lr: end.lr,
            samples: end.samples,
            gradient_norms: self.norms.take().map(|norms| norms.to_vec::<f64>()).transpose()?,
            seconds: StepSeconds {
                data: seconds(end.waited),
                record: seconds(end.took.saturating_sub(end.waited + end.computed)),
                compute: seconds(end.computed),
            },
        };
        if self.observers.step_end(&step)? == Flow::Stop {
            control.stop("an observer has ended the run");
        }
        self.stopwatch.borrow_mut().step(&step.seconds);
        self.follow(end.batches - end.batch);
        Ok(())
    }

    fn on_validation_end(
        &mut self,
        found: &Validation,
        step: u64,
        _control: &mut Control,
    ) -> Result<()> {
        self.stopwatch.borrow_mut().pause();
        let (epoch, validation) = (self.epoch as usize, *found);
        self.observers.validation_end(&ValidationEnd { step, epoch, validation })?;
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: &EpochSummary, _control: &mut Control) -> Result<()> {
        self.stopwatch.borrow_mut().pause();
        match EpochMetrics::of(epoch) {
            Some(metrics) => self.observers.epoch_end(&EpochEnd { step: epoch.step, metrics }),
            None => Ok(()),
        }
    }

    fn on_save(&mut self) -> Result<()> {
        self.stopwatch.borrow_mut().pause();
        self.observers.flush()
    }

    fn on_checkpoint(&mut self, name: &str) -> Result<()> {
        self.observers.checkpoint(name)
    }

    fn on_warning(&mut self, warning: &str) -> Result<()> {
        self.observers.warning(warning)
    }
}
