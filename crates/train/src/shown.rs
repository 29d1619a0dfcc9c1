//! How a run gets on, shown while it does.

use std::time::Instant;

use gradus_tensor::Result;

use crate::pace::Pace;
use crate::progress::EpochProgress;
use crate::trainer::{Callback, Control, EpochStart, EpochSummary, FitStart, StepEnd};
use crate::{Config, EpochMetrics, Progress, RunFolder, RunMetrics};

/// Shows how the run gets on, and writes its metrics.
pub(crate) struct Shown<'a> {
    progress: &'a Progress,
    folder: Option<&'a RunFolder>,
    config: &'a Config,
    epoch: Option<EpochProgress<'a>>,
    metrics: RunMetrics,
    /// Of every so many epochs, a line is shown.
    every: usize,
    started: Instant,
    pace: Option<Pace>,
    /// Batches of the epoch done.
    batch: usize,
}

impl<'a> Shown<'a> {
    /// Of a run that begins now, perhaps without a folder.
    pub(crate) fn new(
        progress: &'a Progress,
        folder: Option<&'a RunFolder>,
        config: &'a Config,
    ) -> Shown<'a> {
        Shown {
            progress,
            folder,
            config,
            epoch: None,
            metrics: RunMetrics::default(),
            every: 1,
            started: Instant::now(),
            pace: None,
            batch: 0,
        }
    }

    /// With a line for the first epoch and each of so many.
    pub(crate) fn every(self, every: usize) -> Shown<'a> {
        Shown { every, ..self }
    }

    /// Seconds that are left when so many batches of all epochs are.
    fn left(&self, pace: &Pace, batches: usize) -> Option<f64> {
        let (config, keys) = (self.config, &self.config.training);
        let now = self.started.elapsed().as_secs_f64();
        let steps = keys.max_steps.map(|steps| steps.get() * keys.accumulate.get());
        let all = steps.unwrap_or(usize::MAX).min(config.epochs * batches);
        let left = pace.left(now, all as u64)?;
        let limit = keys.max_minutes.map_or(f64::INFINITY, |minutes| 60.0 * minutes.0 - now);
        Some(left.min(limit).max(0.0))
    }
}

impl Callback for Shown<'_> {
    fn on_fit_start(&mut self, start: &FitStart<'_>) -> Result<()> {
        if let Some(name) = start.resumed {
            self.progress.line(format_args!("going on from {name}"));
        }
        self.metrics.epochs = start.epochs.iter().filter_map(EpochMetrics::of).collect();
        Ok(())
    }

    fn on_epoch_start(&mut self, epoch: &EpochStart) -> Result<()> {
        let EpochStart { epoch, batches, done } = *epoch;
        let bar = self.progress.epoch(epoch as usize, self.config.epochs, batches, done);
        self.epoch = Some(bar);
        self.batch = done;
        if self.pace.is_none() {
            let before = (epoch as usize - 1) * batches + done;
            self.pace = Some(Pace::new(self.started.elapsed().as_secs_f64(), before as u64));
        }
        Ok(())
    }

    fn on_step_end(&mut self, step: &StepEnd<'_>, _control: &mut Control) -> Result<()> {
        let Some(pace) = &mut self.pace else { return Ok(()) };
        self.batch = step.batch;
        let done = (step.epoch as usize - 1) * step.batches + step.batch;
        pace.mark(self.started.elapsed().as_secs_f64(), done as u64, step.samples as u64);
        if let (Some(mut epoch), Some(pace)) = (self.epoch.take(), &self.pace) {
            let left = self.left(pace, step.batches);
            epoch.steps(step.batch, || step.loss.item::<f64>(), step.lr, pace, left)?;
            self.epoch = Some(epoch);
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: &EpochSummary, _control: &mut Control) -> Result<()> {
        let Some(metrics) = EpochMetrics::of(epoch) else { return Ok(()) };
        let shown = metrics.epoch.is_multiple_of(self.every) || metrics.epoch == 1;
        if let Some(bar) = self.epoch.take().filter(|_| shown) {
            bar.finish(&metrics);
        }
        self.metrics.epochs.push(metrics);
        // They are written again after the next epoch and at the end: a disk that is full does not
        // end the run here.
        if let Some(Err(error)) = self.folder.map(|folder| folder.save_metrics(&self.metrics)) {
            self.progress.warning(format_args!("{}; training goes on", error.message()));
        }
        Ok(())
    }

    fn on_warning(&mut self, warning: &str) -> Result<()> {
        self.progress.warning(warning);
        Ok(())
    }
}
