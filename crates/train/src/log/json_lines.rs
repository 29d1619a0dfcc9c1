//! `log.jsonl`: every event as one line of JSON.
//!
//! Each line is an object whose `event` is `start`, `step`, `validation`, `epoch`, `evaluation` or `end`, and
//! whose other keys are the fields of [`RunStart`](super::RunStart) and so on. Numbers are written
//! such that reading them gives the same bits. All but `seconds`, `samples_per_second` and the
//! environment follow from the configuration.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gradus_tensor::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::{EpochEnd, EvaluationEnd, Flow, Observer, RunEnd, RunStart, StepEnd, ValidationEnd};

/// The name of the file in the folder of a run.
pub(super) const FILE: &str = "log.jsonl";

/// What is written is seen by others no later than this.
const LATEST: Duration = Duration::from_secs(1);

/// Bytes that are written at once.
const BLOCK: usize = 8 << 10;

/// Bytes that wait while the disk is full: some 100,000 steps.
const MOST: usize = 32 << 20;

/// A line that is written.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Start(&'a RunStart),
    Step(&'a StepEnd),
    Validation(&'a ValidationEnd),
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
    Validation(ValidationEnd),
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
        let start = serde_json::to_string(&Line::Start(run));
        let start = start.map_err(|error| cannot_write(&run.folder.join(FILE), &error))?;
        let (mut epochs, mut validations) = (0, 0);
        let keep = |line: &str| match serde_json::from_str(line) {
            Ok(OwnedLine::Step(step)) => step.step <= run.steps_done,
            Ok(OwnedLine::Validation(_)) => {
                validations += 1;
                validations <= run.validations_done
            }
            Ok(OwnedLine::Epoch(_)) => {
                epochs += 1;
                epochs <= run.epochs_done
            }
            _ => false,
        };
        self.file = Some(Lines::cut_back(&run.folder, FILE, Some(&start), keep)?);
        Ok(())
    }

    fn step_end(&mut self, step: &StepEnd) -> Result<Flow> {
        self.write(&Line::Step(step)).map(|()| Flow::Continue)
    }

    fn epoch_end(&mut self, epoch: &EpochEnd) -> Result<()> {
        self.write(&Line::Epoch(epoch))
    }

    fn validation_end(&mut self, validation: &ValidationEnd) -> Result<()> {
        self.write(&Line::Validation(validation))
    }

    fn evaluation_end(&mut self, evaluation: &EvaluationEnd) -> Result<()> {
        self.write(&Line::Evaluation(evaluation))
    }

    fn flush(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), Lines::flush)
    }

    fn run_end(&mut self, end: &RunEnd) -> Result<()> {
        self.write(&Line::End(end))?;
        self.flush()
    }
}

/// A file that grows line by line. While the disk is full, lines wait for room and the run goes on;
/// that they are missing is said where they are needed, by [`flush`](Lines::flush).
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
    tried: Instant,
    full: bool,
}

impl Lines {
    pub(super) fn create(folder: &Path, name: &str) -> Result<Lines> {
        let path = folder.join(name);
        match File::create(&path) {
            Ok(file) => {
                let (waiting, tried) = (Vec::new(), Instant::now());
                Ok(Lines { path, file, waiting, tried, full: false })
            }
            Err(error) => Err(cannot_write(&path, &error)),
        }
    }

    /// Goes on with a file, of whose lines only some are kept, after a first one. One that is not
    /// there is empty; a last line that is not whole is left out.
    pub(super) fn cut_back(
        folder: &Path,
        name: &str,
        first: Option<&str>,
        mut keep: impl FnMut(&str) -> bool,
    ) -> Result<Lines> {
        let path = folder.join(name);
        let before = match fs::read_to_string(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(cannot_write(&path, &error));
            }
            before => before.unwrap_or_default(),
        };
        // Renamed when it is whole: a run that is killed here has not lost its log.
        let unfinished = format!("{name}.unfinished");
        let mut lines = Lines::create(folder, &unfinished)?;
        first.map_or(Ok(()), |first| lines.line(first))?;
        for line in before.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            if keep(line.trim_end()) {
                lines.bytes(line.as_bytes())?;
            }
        }
        lines.flush()?;
        fs::rename(&lines.path, &path).map_err(|error| cannot_write(&path, &error))?;
        lines.path = path;
        Ok(lines)
    }

    pub(super) fn line(&mut self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.waiting.extend_from_slice(bytes);
        let block = self.waiting.len() >= BLOCK && !self.full;
        if !block && self.tried.elapsed() < LATEST {
            return Ok(());
        }
        self.flush().or_else(|error| if self.waiting.len() < MOST { Ok(()) } else { Err(error) })
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.tried = Instant::now();
        let mut written = 0;
        let result = loop {
            if written == self.waiting.len() {
                break Ok(());
            }
            match self.file.write(&self.waiting[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.waiting.drain(..written);
        self.full = result.is_err();
        result.map_err(|error| self.cannot(&error))
    }

    fn cannot(&self, error: &dyn std::fmt::Display) -> Error {
        cannot_write(&self.path, error)
    }
}

/// What can be written of what waits is.
impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

fn cannot_write(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let message = format!("cannot write {}: {error}; is the disk full?", path.display());
    Error::new(ErrorKind::Io, message)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_while_the_disk_is_full() {
        // Every write to it fails as if the disk were full.
        let mut lines = Lines::create(Path::new("/dev"), "full").unwrap();
        let mut expected = String::new();
        for number in 0..5000 {
            lines.line(&number.to_string()).unwrap();
            expected.push_str(&format!("{number}\n"));
        }
        assert!(expected.len() > BLOCK);
        let error = lines.flush().unwrap_err();
        assert!(error.message().contains("cannot write /dev/full"), "{error}");
        // Every byte that was to be written waits for room.
        let path = std::env::temp_dir().join(format!("gradus-lines-{}", std::process::id()));
        lines.file = File::create(&path).unwrap();
        lines.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        lines.line("last").unwrap();
        drop(lines);
        assert_eq!(fs::read_to_string(&path).unwrap(), expected + "last\n");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn memory_for_lines_that_wait_is_bounded() {
        let mut lines = Lines::create(Path::new("/dev"), "full").unwrap();
        lines.waiting = vec![b'x'; MOST];
        lines.tried -= LATEST;
        assert!(lines.line("one too many").unwrap_err().message().contains("is the disk full?"));
    }
}
