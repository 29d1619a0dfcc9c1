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
        let mut steps = Lines::create(&run.folder, "steps.csv")?;
        steps.line("step,epoch,loss,lr,gradient_norm,samples,seconds")?;
        let epochs = Lines::create(&run.folder, "epochs.csv")?;
        self.files = Some(Files { steps, epochs, named: false });
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
            epochs.line(&format!("epoch,step,loss,{name},seconds,samples_per_second"))?;
        }
        epochs.line(&format!(
            "{},{},{},{score},{:.6},{:.1}",
            metrics.epoch, end.step, metrics.loss, metrics.seconds, metrics.samples_per_second
        ))
    }

    fn run_end(&mut self, _end: &RunEnd) -> Result<()> {
        let Some(Files { steps, epochs, .. }) = &mut self.files else { return Ok(()) };
        steps.flush()?;
        epochs.flush()
    }
}
