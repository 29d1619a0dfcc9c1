//! How a run shows itself while it runs: a line per epoch, a bar, warnings, `metrics.json`.

use gradus_tensor::Result;

use crate::progress::EpochProgress;
use crate::trainer::{Callback, Control, EpochStart, EpochSummary, FitStart, StepEnd};
use crate::{EpochMetrics, Progress, RunFolder, RunMetrics};

/// Shows how the run gets on, and writes its metrics.
pub(crate) struct Shown<'a> {
    progress: &'a Progress,
    folder: Option<&'a RunFolder>,
    epochs: usize,
    epoch: Option<EpochProgress<'a>>,
    metrics: RunMetrics,
}

impl<'a> Shown<'a> {
    /// For a run of so many epochs, in a folder if it has one.
    pub fn new(progress: &'a Progress, folder: Option<&'a RunFolder>, epochs: usize) -> Shown<'a> {
        Shown { progress, folder, epochs, epoch: None, metrics: RunMetrics::default() }
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
        let bar = self.progress.epoch(epoch.epoch as usize, self.epochs, epoch.batches);
        bar.steps(epoch.done);
        self.epoch = Some(bar);
        Ok(())
    }

    fn on_step_end(&mut self, step: &StepEnd<'_>, _control: &mut Control) -> Result<()> {
        if let Some(epoch) = &self.epoch {
            epoch.steps(step.batch);
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: &EpochSummary, _control: &mut Control) -> Result<()> {
        let Some(metrics) = EpochMetrics::of(epoch) else { return Ok(()) };
        if let Some(bar) = self.epoch.take() {
            bar.finish(&metrics);
        }
        self.metrics.epochs.push(metrics);
        match self.folder {
            Some(folder) => folder.save_metrics(&self.metrics),
            None => Ok(()),
        }
    }

    fn on_warning(&mut self, warning: &str) -> Result<()> {
        self.progress.warning(warning);
        Ok(())
    }
}
