//! What a run shows of itself: lines on the standard output, a bar on the standard error.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use gradus_data::Dataset;
use indicatif::{ProgressBar, ProgressStyle};

use crate::log::StepEnd;
use crate::metrics::thousands;
use crate::{Config, Data, EpochMetrics};

/// Shows how a run gets on. The bar appears only where the standard error is a terminal, and leaves
/// nothing behind.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    quiet: bool,
}

impl Progress {
    /// Shows everything, or nothing if `quiet`.
    pub fn new(quiet: bool) -> Progress {
        Progress { quiet }
    }

    /// Prints a line, unless quiet. A run does not fail because nobody reads what it prints.
    pub fn line(&self, line: impl fmt::Display) {
        if !self.quiet {
            let _ = writeln!(io::stdout(), "{line}");
        }
    }

    /// Says what is being read, as long as what it returns lives and if there is a terminal.
    pub fn reading(&self, what: &str) -> Reading {
        let spinner = match self.quiet {
            true => ProgressBar::hidden(),
            false => ProgressBar::new_spinner(),
        };
        spinner.set_message(format!("reading {what} …"));
        spinner.enable_steady_tick(Duration::from_millis(100));
        Reading { spinner }
    }

    /// Says what is about to be trained, on what.
    pub fn started(&self, config: &Config, train: &Data, test: &Data, parameters: usize) {
        let spec = train.spec();
        self.line(format_args!(
            "{}: {} to train on, {} to test, {}\n{} parameters, {} with {} threads, seed {}",
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

    /// Begins an epoch of so many batches.
    pub fn epoch(&self, epoch: usize, epochs: usize, batches: usize) -> EpochProgress<'_> {
        let name = format!("epoch {epoch:>width$}/{epochs}", width = epochs.to_string().len());
        let bar = match self.quiet {
            true => ProgressBar::hidden(),
            false => ProgressBar::new(batches as u64),
        };
        let style =
            ProgressStyle::with_template("{prefix}  {wide_bar}  {pos}/{len}  {msg}  {eta} left")
                .expect("the template is well-formed");
        let bar = bar.with_style(style).with_prefix(name.clone());
        EpochProgress { progress: self, bar, name, started: Instant::now(), samples: 0 }
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
    started: Instant,
    samples: usize,
}

impl EpochProgress<'_> {
    /// A step is done: its loss, the learning rate and the samples per second of the epoch so far
    /// stand beside the bar.
    pub fn step(&mut self, step: &StepEnd) {
        self.samples += step.samples;
        if !self.bar.is_hidden() {
            let rate = self.samples as f64 / self.started.elapsed().as_secs_f64();
            let rate = thousands(rate as u64);
            let StepEnd { loss, lr, .. } = step;
            self.bar.set_message(format!("loss {loss:.4}  lr {lr:.2e}  {rate} samples/s"));
        }
        self.bar.inc(1);
    }

    /// The epoch is done: its line takes the place of the bar.
    pub fn finish(self, metrics: &EpochMetrics) {
        self.bar.finish_and_clear();
        self.progress.line(format_args!("{}  {metrics}", self.name));
    }
}
