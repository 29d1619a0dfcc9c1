//! `steps.csv`, `epochs.csv` and `validations.csv`: the numbers of a run, for spreadsheets and plots.

use std::fmt::Write;
use std::path::PathBuf;

use gradus_tensor::Result;

use super::json_lines::Lines;
use super::{EpochEnd, Flow, Observer, RunEnd, RunStart, StepEnd, ValidationEnd};
use crate::trainer::Validation;

const VALIDATIONS: &str = "validations.csv";

/// Writes the files into the folder of the run; that of validations when there is one. A value that was not measured is an empty field.
#[derive(Debug, Default)]
pub struct Csv {
    files: Option<Files>,
    line: String,
}

#[derive(Debug)]
struct Files {
    steps: Lines,
    epochs: Lines,
    validations: Option<Lines>,
    folder: PathBuf,
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
        let mut left = run.validations_done;
        let done = |line: &str| match number(line) {
            Some(_) => left.checked_sub(1).map(|rest| left = rest).is_some(),
            None => run.validations_done > 0,
        };
        let there = run.folder.join(VALIDATIONS).exists() && run.validations_done > 0;
        let validations = match there {
            true => Some(Lines::cut_back(&run.folder, VALIDATIONS, None, done)?),
            false => None,
        };
        let folder = run.folder.clone();
        self.files = Some(Files { steps, epochs, validations, folder, named });
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
        let (name, score) = metrics.score.named();
        if !*named {
            *named = true;
            epochs.line(&format!(
                "epoch,step,loss,{name},validation_loss,validation_{name},seconds,\
                 samples_per_second"
            ))?;
        }
        let validation = metrics.validation.as_ref();
        let loss = validation.map_or(String::new(), |validation| validation.loss.to_string());
        let validated = validation.and_then(|validation| validation.score);
        let validated = validated.map_or(String::new(), |score| score.named().1.to_string());
        epochs.line(&format!(
            "{},{},{},{score},{loss},{validated},{:.6},{:.1}",
            metrics.epoch, end.step, metrics.loss, metrics.seconds, metrics.samples_per_second
        ))
    }

    fn validation_end(&mut self, end: &ValidationEnd) -> Result<()> {
        let Some(Files { validations, folder, .. }) = &mut self.files else { return Ok(()) };
        let (name, score) = match end.validation.score.map(|score| score.named()) {
            Some((name, score)) => (name, score.to_string()),
            None => ("score", String::new()),
        };
        let lines = match validations {
            Some(lines) => lines,
            None => {
                let lines = validations.insert(Lines::create(folder, VALIDATIONS)?);
                lines.line(&format!("step,epoch,loss,{name},samples"))?;
                lines
            }
        };
        let Validation { loss, samples, .. } = end.validation;
        lines.line(&format!("{},{},{loss},{score},{samples}", end.step, end.epoch))
    }

    fn flush(&mut self) -> Result<()> {
        let Some(files) = &mut self.files else { return Ok(()) };
        files.steps.flush()?;
        files.validations.as_mut().map_or(Ok(()), Lines::flush)?;
        files.epochs.flush()
    }

    fn run_end(&mut self, _end: &RunEnd) -> Result<()> {
        self.flush()
    }
}
