//! What can be known before training: whether data, model and loss go together, and what a run will take.
//!
//! A check looks at a [`Subject`]: some samples of the data, the model made for them, and one step of it on a
//! first batch, tried on a copy. It returns findings, each with what is wrong, where, and what to do. Errors
//! stop a run, warnings do not. A check of another kind is one more file and one more row in [`CHECKS`].
//!
//! Nothing that is looked at changes: the model and the random numbers of the run that follows are those of
//! a run without checks.

mod batches;
mod gradients;
mod initial_loss;
mod inputs;
mod labels;
mod loss;
mod memory;
mod outputs;
mod samples;
mod subject;

use std::fmt;

use gradus_data::Dataset;
use gradus_tensor::{Error, ErrorKind, Result};

use crate::metrics::thousands;
use crate::{Config, Data, Progress, Summary};

pub use self::memory::{GIVEN_BACK, MemoryUse};
pub use self::subject::{Sampled, Subject, Trial};

/// Something that a check has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Whether training makes no sense with it.
    pub severity: Severity,
    /// Where: a line of the configuration, a sample, a parameter.
    pub place: String,
    /// What.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// What kind of error it is, if it is one.
    pub kind: ErrorKind,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Training goes on; its result may disappoint.
    Warning,
    /// Training does not begin.
    Error,
}

/// A check: a name, what it looks for, and how.
pub struct Check {
    /// What it is called.
    pub name: &'static str,
    /// What it looks for, in a line.
    pub about: &'static str,
    run: fn(&Subject<'_>) -> Vec<Finding>,
}

/// Every check, in the order in which they look. Those after an error look too, as far as they can.
pub const CHECKS: &[Check] = &[
    Check { name: "samples", about: "samples that cannot be read", run: samples::check },
    Check {
        name: "inputs",
        about: "inputs that are not finite, or far from 1",
        run: inputs::check,
    },
    Check { name: "labels", about: "labels that are no classes", run: labels::check },
    Check { name: "batches", about: "an epoch without a batch", run: batches::check },
    Check { name: "loss", about: "a loss that does not suit the last layer", run: loss::check },
    Check { name: "outputs", about: "outputs that cannot reach the targets", run: outputs::check },
    Check { name: "gradients", about: "parameters without a gradient", run: gradients::check },
    Check { name: "initial loss", about: "a first loss far from chance", run: initial_loss::check },
    Check { name: "memory", about: "more memory than the machine has", run: memory::check },
];

/// What the checks have found about a configuration and its data.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// The model layer by layer; none if it cannot be made.
    pub summary: Option<Summary>,
    /// What training will take; none if no step could be tried.
    pub memory: Option<MemoryUse>,
    /// The loss of the first batch, and how large that batch was.
    pub loss: Option<(f64, usize)>,
    /// The loss of a model that knows nothing, if the task has one.
    pub chance: Option<f64>,
    /// How many samples were looked at, and how many there are, to train on and to test.
    pub samples: [(usize, usize); 2],
    /// What is odd, in the order of [`CHECKS`].
    pub findings: Vec<Finding>,
}

/// Looks at a configuration and its data before training: the job of `gradus check`, and the first thing that
/// `gradus train` does.
///
/// It reads a few hundred samples and tries one step on a copy of the model, well within a second for all but the
/// largest models. `workers` is how many threads will assemble batches, which takes memory. What it finds is in the
/// report; [`CheckReport::verdict`] makes an error of errors.
///
/// # Errors
/// If the random state or pending work of this thread cannot be settled first.
pub fn check(config: &Config, train: &Data, test: &Data, workers: usize) -> Result<CheckReport> {
    let (subject, mistake) = Subject::new(config, train, test, workers)?;
    let mut findings: Vec<Finding> =
        CHECKS.iter().flat_map(|check| (check.run)(&subject)).collect();
    // What made the model or its step fail, unless a check has found the reason.
    if let Some(error) = mistake
        && !findings.iter().any(|finding| finding.severity == Severity::Error)
    {
        findings.push(Finding::of_error(&error));
    }
    let trial = subject.trial.as_ref();
    Ok(CheckReport {
        memory: subject.memory,
        loss: trial.map(|trial| (trial.loss, trial.batch_size)),
        chance: subject.chance(),
        samples: [&subject.train, &subject.test].map(|part| (part.read, part.data.samples().len())),
        findings,
        summary: subject.summary,
    })
}

impl CheckReport {
    /// Nothing, unless there are errors among the findings.
    ///
    /// # Errors
    /// All of them, as one.
    pub fn verdict(&self) -> Result<()> {
        let Some(first) = self.of(Severity::Error).next() else { return Ok(()) };
        let errors: Vec<String> = self.of(Severity::Error).map(Finding::text).collect();
        Err(Error::new(first.kind, errors.join("\n")))
    }

    /// The warnings, line by line.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        self.of(Severity::Warning).map(|finding| format!("warning: {}", finding.text()))
    }

    /// Shows the warnings, and stops at errors.
    ///
    /// # Errors
    /// As [`verdict`](CheckReport::verdict).
    pub fn settle(&self, progress: &Progress) -> Result<()> {
        self.of(Severity::Warning).for_each(|finding| progress.warning(finding.text()));
        self.verdict()
    }

    fn of(&self, severity: Severity) -> impl Iterator<Item = &Finding> + '_ {
        self.findings.iter().filter(move |finding| finding.severity == severity)
    }
}

impl Finding {
    fn error(
        place: impl fmt::Display,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        let (place, what, remedy) = (place.to_string(), what.into(), remedy.into());
        Finding { severity: Severity::Error, place, what, remedy, kind: ErrorKind::Usage }
    }

    /// An error of the data, not of what was asked for.
    fn of_data(
        place: impl fmt::Display,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { kind: ErrorKind::Data, ..Finding::error(place, what, remedy) }
    }

    fn warning(
        place: impl fmt::Display,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(place, what, remedy) }
    }

    /// An error that names place and remedy itself.
    fn of_error(error: &Error) -> Finding {
        Finding { kind: error.kind(), ..Finding::error("", error.message(), "") }
    }

    /// Place, what, remedy, as one line.
    fn text(&self) -> String {
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        let remedy =
            if self.remedy.is_empty() { String::new() } else { format!("; {}", self.remedy) };
        format!("{place}{}{remedy}", self.what)
    }
}

/// `warning: my.toml, line 7: what is odd; what to do`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "error: ",
        })?;
        f.write_str(&self.text())
    }
}

/// The model layer by layer, what training takes, and the warnings. Errors are those of
/// [`CheckReport::verdict`].
impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(summary) = &self.summary {
            writeln!(f, "{summary}\n")?;
        }
        if let Some(memory) = &self.memory {
            writeln!(f, "{memory}")?;
        }
        if let Some((loss, batch)) = self.loss {
            write!(f, "loss of a first batch of {batch}: {loss:.3}")?;
            match self.chance {
                Some(chance) => writeln!(f, "; of chance: {chance:.3}")?,
                None => writeln!(f)?,
            }
        }
        let [train, test] = self.samples;
        let of = |(read, all): (usize, usize)| {
            format!("{} of {}", thousands(read as u64), thousands(all as u64))
        };
        writeln!(f, "samples looked at: {} to train on, {} to test", of(train), of(test))?;
        for warning in self.warnings() {
            writeln!(f, "{warning}")?;
        }
        match self.findings.len() {
            0 => f.write_str("nothing is odd"),
            1 => f.write_str("1 finding"),
            n => write!(f, "{n} findings"),
        }
    }
}
