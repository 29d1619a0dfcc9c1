//! `log.jsonl`: every event as one line of JSON.
//!
//! Each line is an object whose `event` is `start`, `step`, `epoch`, `evaluation` or `end`, and
//! whose other keys are the fields of [`RunStart`](super::RunStart) and so on. Numbers are written
//! such that reading them gives the same bits. All but `seconds`, `samples_per_second` and the
//! environment follow from the configuration.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gradus_tensor::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::{EpochEnd, EvaluationEnd, Flow, Observer, RunEnd, RunStart, StepEnd};

/// The name of the file in the folder of a run.
pub(super) const FILE: &str = "log.jsonl";

/// What is written is seen by others no later than this.
const LATEST: Duration = Duration::from_secs(1);

/// A line that is written.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Start(&'a RunStart),
    Step(&'a StepEnd),
    Epoch(&'a EpochEnd),
    Evaluation(&'a EvaluationEnd),
    End(&'a RunEnd),
}

/// A line that is read.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum OwnedLine {
    Start(Box<RunStart>),
    Step(StepEnd),
    Epoch(EpochEnd),
    Evaluation(Box<EvaluationEnd>),
    End(RunEnd),
}

/// Writes `log.jsonl` into the folder of the run.
#[derive(Debug, Default)]
pub struct JsonLines {
    file: Option<Lines>,
}

impl JsonLines {
    /// The file is made when the run starts.
    pub fn new() -> JsonLines {
        JsonLines::default()
    }

    fn write(&mut self, line: &Line<'_>) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let text = serde_json::to_string(line).map_err(|error| file.cannot(&error))?;
        file.line(&text)
    }
}

impl Observer for JsonLines {
    fn run_start(&mut self, run: &RunStart) -> Result<()> {
        self.file = Some(Lines::create(&run.folder, FILE)?);
        self.write(&Line::Start(run))
    }

    fn step_end(&mut self, step: &StepEnd) -> Result<Flow> {
        self.write(&Line::Step(step)).map(|()| Flow::Continue)
    }

    fn epoch_end(&mut self, epoch: &EpochEnd) -> Result<()> {
        self.write(&Line::Epoch(epoch))
    }

    fn evaluation_end(&mut self, evaluation: &EvaluationEnd) -> Result<()> {
        self.write(&Line::Evaluation(evaluation))
    }

    fn run_end(&mut self, end: &RunEnd) -> Result<()> {
        self.write(&Line::End(end))?;
        self.file.as_mut().map_or(Ok(()), Lines::flush)
    }
}

/// A text file that grows line by line.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
    flushed: Instant,
}

impl Lines {
    pub(super) fn create(folder: &Path, name: &str) -> Result<Lines> {
        let path = folder.join(name);
        match File::create(&path) {
            Ok(file) => Ok(Lines { path, file: BufWriter::new(file), flushed: Instant::now() }),
            Err(error) => Err(cannot_write(&path, &error)),
        }
    }

    pub(super) fn line(&mut self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let mut written = self.file.write_all(bytes);
        if self.flushed.elapsed() > LATEST {
            self.flushed = Instant::now();
            written = written.and_then(|()| self.file.flush());
        }
        written.map_err(|error| self.cannot(&error))
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|error| self.cannot(&error))
    }

    fn cannot(&self, error: &dyn std::fmt::Display) -> Error {
        cannot_write(&self.path, error)
    }
}

fn cannot_write(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let message = format!("cannot write {}: {error}; is the disk full?", path.display());
    Error::new(ErrorKind::Io, message)
}
