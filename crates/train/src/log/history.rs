//! A run read back from its `log.jsonl`.

use std::fmt;
use std::fs;
use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};

use super::json_lines::{FILE, OwnedLine};
use super::{EpochEnd, EvaluationEnd, RunEnd, RunStart, StepEnd, ValidationEnd};

/// Everything that a run has said so far.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// What it was to be.
    pub start: RunStart,
    /// Every step.
    pub steps: Vec<StepEnd>,
    /// Every validation.
    pub validations: Vec<ValidationEnd>,
    /// Every epoch.
    pub epochs: Vec<EpochEnd>,
    /// Every evaluation.
    pub evaluations: Vec<EvaluationEnd>,
    /// Its end; none if it has not ended, or ended in an error.
    pub end: Option<RunEnd>,
}

impl History {
    /// Reads the log in the folder of a run, which may still be running: a last line that is not
    /// whole is left out.
    ///
    /// # Errors
    /// If there is none, or a line is not what it should be.
    pub fn read(folder: &Path) -> Result<History> {
        let path = folder.join(FILE);
        let bytes = fs::read(&path).map_err(|error| {
            let message = format!(
                "cannot read {}: {error}; give the folder of a run that `gradus train` has made",
                path.display()
            );
            Error::new(ErrorKind::Io, message)
        })?;
        let mut history: Option<History> = None;
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if !line.ends_with(b"\n") {
                break;
            }
            let broken = |why: &dyn fmt::Display| {
                let place = format!("{}, line {}", path.display(), number + 1);
                let message = format!("{place}: {why}; the log should be as it was written");
                Error::new(ErrorKind::Format, message)
            };
            let event = serde_json::from_slice(line).map_err(|error| broken(&error))?;
            if let OwnedLine::Start(start) = event {
                if history.is_some() {
                    return Err(broken(&"a run starts only once"));
                }
                history = Some(History::new(*start, folder));
                continue;
            }
            let missing = || broken(&"the start of the run is missing");
            let history = history.as_mut().ok_or_else(missing)?;
            match event {
                OwnedLine::Start(_) => {}
                OwnedLine::Step(step) => history.steps.push(step),
                OwnedLine::Validation(found) => history.validations.push(found),
                OwnedLine::Epoch(epoch) => history.epochs.push(epoch),
                OwnedLine::Evaluation(end) => history.evaluations.push(*end),
                OwnedLine::End(end) => history.end = Some(end),
            }
        }
        history.ok_or_else(|| {
            let message = format!("{}: the log is empty; the run has not started", path.display());
            Error::new(ErrorKind::Format, message)
        })
    }
    fn new(start: RunStart, folder: &Path) -> History {
        let start = RunStart { folder: folder.to_owned(), ..start };
        let (steps, validations, epochs) = (Vec::new(), Vec::new(), Vec::new());
        History { start, steps, validations, epochs, evaluations: Vec::new(), end: None }
    }
}
