//! `steps.csv` and `epochs.csv`: the numbers of a run, for spreadsheets and plots.

use std::fmt::Write;

use gradus_tensor::Result;

use super::json_lines::Lines;
use super::{EpochEnd, Flow, Observer, RunEnd, RunStart, StepEnd};
use crate::metrics::ScoreValue;

/// Writes both files into the folder of the run. A value that was not measured is an empty field.
#[derive(Debug, Default)]
pub struct Csv {
    files: Option<Files>,
    line: String,
}

#[derive(Debug)]
struct Files {
    steps: Lines,
    epochs: Lines,
    /// What the score is called is known after the first epoch.
    named: bool,
}

impl Csv {
    /// The files are made when the run starts.
    pub fn new() -> Csv {
        Csv::default()
    }
}

impl Observer for Csv {
    fn run_start(&mut self, run: &RunStart) -> Result<()> {
        let number = |line: &str| line.split(',').next()?.parse::<u64>().ok();
        let done = |line: &str| number(line).is_some_and(|step| step <= run.steps_done);
        let header = Some("step,epoch,loss,lr,gradient_norm,samples,seconds");
        let steps = Lines::cut_back(&run.folder, "steps.csv", header, done)?;
        // The header too, once there is an epoch.
        let (named, last) = (run.epochs_done > 0, run.epochs_done as u64);
        let done = |line: &str| named && number(line).is_none_or(|epoch| epoch <= last);
        let epochs = Lines::cut_back(&run.folder, "epochs.csv", None, done)?;
        self.files = Some(Files { steps, epochs, named });
        Ok(())
    }

    fn step_end(&mut self, end: &StepEnd) -> Result<Flow> {
        let Some(Files { steps, .. }) = &mut self.files else { return Ok(Flow::Continue) };
        let StepEnd { step, epoch, loss, lr, samples, seconds, .. } = end;
        let norm = end.gradient_norm().map_or(String::new(), |norm| norm.to_string());
        self.line.clear();
        // Writing to a String does not fail.
        let _ =
            write!(self.line, "{step},{epoch},{loss},{lr},{norm},{samples},{:.6}", seconds.total());
        steps.line(&self.line).map(|()| Flow::Continue)
    }

    fn epoch_end(&mut self, end: &EpochEnd) -> Result<()> {
        let Some(Files { epochs, named, .. }) = &mut self.files else { return Ok(()) };
        let metrics = &end.metrics;
        let (name, score) = match metrics.score {
            ScoreValue::Accuracy(share) => ("accuracy", share),
            ScoreValue::MeanAbsoluteError(error) => ("mean_absolute_error", error),
        };
        if !*named {
            *named = true;
            epochs.line(&format!(
                "epoch,step,loss,{name},validation_loss,validation_{name},seconds,\
                 samples_per_second"
            ))?;
        }
        let validation = metrics.validation.as_ref();
        let loss = validation.map_or(String::new(), |validation| validation.loss.to_string());
        let validated = validation.and_then(|validation| validation.score.as_ref());
        let validated = validated.map_or(String::new(), |score| match score {
            ScoreValue::Accuracy(value) | ScoreValue::MeanAbsoluteError(value) => value.to_string(),
        });
        epochs.line(&format!(
            "{},{},{},{score},{loss},{validated},{:.6},{:.1}",
            metrics.epoch, end.step, metrics.loss, metrics.seconds, metrics.samples_per_second
        ))
    }

    fn flush(&mut self) -> Result<()> {
        let Some(Files { steps, epochs, .. }) = &mut self.files else { return Ok(()) };
        steps.flush()?;
        epochs.flush()
    }

    fn run_end(&mut self, _end: &RunEnd) -> Result<()> {
        self.flush()
    }
}
