//! What a run shows of itself: lines on the standard output, a bar on the standard error.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gradus_data::Dataset;
use gradus_tensor::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::metrics::thousands;
use crate::numbers::{duration, short};
use crate::pace::Pace;
use crate::{Config, Data, EpochMetrics};

/// How often the bar is drawn at most.
const EVERY: Duration = Duration::from_millis(100);

/// Shows how a run gets on. The bar appears only where the standard error is a terminal, and leaves
/// nothing behind.
#[derive(Clone, Debug)]
pub struct Progress {
    quiet: bool,
    backlog: Option<Backlog>,
}

impl Progress {
    /// Shows everything, or nothing if `quiet`.
    pub fn new(quiet: bool) -> Progress {
        Progress { quiet, backlog: None }
    }

    /// Without bars, and with lines that wait as long as the backlog says: something else, such as a
    /// dashboard, shows the run.
    pub fn behind(self, backlog: &Backlog) -> Progress {
        Progress { backlog: Some(backlog.clone()), ..self }
    }

    /// Prints a line, unless quiet. A run does not fail because nobody reads what it prints.
    pub fn line(&self, line: impl fmt::Display) {
        if !self.quiet {
            self.print(Line::Output(line.to_string()));
        }
    }

    /// Prints a warning to the standard error, also if quiet: something is not as it should be.
    pub fn warning(&self, warning: impl fmt::Display) {
        self.print(Line::Warning(warning.to_string()));
    }

    fn print(&self, line: Line) {
        match &self.backlog {
            Some(backlog) => backlog.print(line),
            None => line.print(),
        }
    }

    /// Says what is being read, as long as what it returns lives and if there is a terminal.
    pub fn reading(&self, what: &str) -> Reading {
        let spinner = match self.quiet {
            true => ProgressBar::hidden(),
            false => ProgressBar::new_spinner(),
        };
        spinner.set_message(format!("reading {what} …"));
        spinner.enable_steady_tick(EVERY);
        Reading { spinner }
    }

    /// Says what is about to be trained, on what, and how many samples are held out to validate with.
    pub fn started(
        &self,
        config: &Config,
        train: &Data,
        held_out: usize,
        test: &Data,
        parameters: usize,
    ) {
        let spec = train.spec();
        let held_out = match held_out {
            0 => String::new(),
            n => format!("{} to validate, ", thousands(n as u64)),
        };
        self.line(format_args!(
            "{}: {} to train on, {held_out}{} to test, {}\n{} parameters, {} with {} threads, seed {}",
            config.data.name(),
            spec.input.count(train.samples().len()),
            thousands(test.samples().len() as u64),
            spec.task,
            thousands(parameters as u64),
            config.device,
            gradus_tensor::num_threads(),
            config.seed
        ));
    }

    /// Begins an epoch of so many batches, of which some may be done already.
    pub fn epoch(
        &self,
        epoch: usize,
        epochs: usize,
        batches: usize,
        done: usize,
    ) -> EpochProgress<'_> {
        let name = format!("epoch {epoch:>width$}/{epochs}", width = epochs.to_string().len());
        let bar = match self.quiet || self.backlog.is_some() {
            true => ProgressBar::hidden(),
            false => ProgressBar::new(batches as u64).with_position(done as u64),
        };
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3}%  {msg}")
            .expect("the template is well-formed")
            .progress_chars("━╸─");
        let bar = bar.with_style(style).with_prefix(name.clone());
        EpochProgress { progress: self, bar, name, drawn: None }
    }
}

/// Lines that wait while something else has the terminal.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    holding: bool,
    lines: Vec<Line>,
}

#[derive(Debug)]
enum Line {
    Output(String),
    Warning(String),
}

impl Line {
    fn print(&self) {
        let _ = match self {
            Line::Output(line) => writeln!(io::stdout(), "{line}"),
            Line::Warning(warning) => writeln!(io::stderr(), "warning: {warning}"),
        };
    }
}

impl Backlog {
    /// From now on, lines wait.
    pub fn hold(&self) {
        self.waiting().holding = true;
    }

    /// Prints what has waited. From now on, lines are printed at once.
    pub fn release(&self) {
        let mut waiting = self.waiting();
        waiting.holding = false;
        waiting.lines.drain(..).for_each(|line| line.print());
    }

    fn print(&self, line: Line) {
        let mut waiting = self.waiting();
        match waiting.holding {
            true => waiting.lines.push(line),
            false => line.print(),
        }
    }

    /// A panic elsewhere leaves the lines as they are.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows that data are being read. It goes when it is dropped.
pub struct Reading {
    spinner: ProgressBar,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
    }
}

/// Shows how an epoch gets on. Its bar goes when it is dropped.
pub struct EpochProgress<'a> {
    progress: &'a Progress,
    bar: ProgressBar,
    name: String,
    drawn: Option<Instant>,
}

impl EpochProgress<'_> {
    /// So many batches are done, the last with a loss and a learning rate; `left` is how many
    /// seconds the run will go on. The loss is asked for only if it is shown.
    ///
    /// # Errors
    /// Those of asking for the loss.
    pub fn steps(
        &mut self,
        done: usize,
        loss: impl FnOnce() -> Result<f64>,
        lr: f64,
        pace: &Pace,
        left: Option<f64>,
    ) -> Result<()> {
        let soon = self.drawn.is_some_and(|drawn| drawn.elapsed() < EVERY);
        if self.bar.is_hidden() || soon {
            return Ok(());
        }
        self.drawn = Some(Instant::now());
        let mut message = format!("loss {:.4}  lr {}", loss()?, short(lr));
        if let Some(speed) = pace.samples_per_second() {
            message.push_str(&format!("  {} samples/s", thousands(speed as u64)));
        }
        if let Some(left) = left {
            message.push_str(&format!("  {} left", duration(left.ceil())));
        }
        self.bar.set_message(message);
        self.bar.set_position(done as u64);
        Ok(())
    }

    /// The epoch is done: its line takes the place of the bar.
    pub fn finish(self, metrics: &EpochMetrics) {
        self.bar.finish_and_clear();
        self.progress.line(format_args!("{}  {metrics}", self.name));
    }
}
