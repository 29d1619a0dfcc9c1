//! When checkpoints are due, and how the loop has them written.

use std::time::{Duration, Instant};

use gradus_nn::Module;
use gradus_tensor::{Error, ErrorKind, Result};

use super::callback::Control;
use super::state::{self, Run, Totals};
use super::{Checkpoints, Trainer};
use crate::checkpoint::{CheckpointFolder, CheckpointWriter, Signals, Written};

impl Trainer<'_> {
    /// Starts to write a checkpoint. While another is being written, it is put off to a later step, so that there
    /// is no more than one copy of the state; but not the best, which would be another one by then: it waits for
    /// its turn as a copy if that is small, and otherwise training waits.
    pub(super) fn save(
        &mut self,
        module: &dyn Module,
        run: &mut Run,
        totals: &Totals,
        saving: &mut Saving,
    ) -> Result<()> {
        let best = run.best.as_ref().filter(|_| saving.keep_best);
        let is_best = best.is_some_and(|(_, name)| *name == name_of(run));
        if !is_best && saving.writer.as_ref().is_some_and(CheckpointWriter::is_busy) {
            saving.put_off = true;
            return Ok(());
        }
        if module.num_parameters() > FEW_WEIGHTS {
            let began = Instant::now();
            self.wait(saving)?;
            saving.paused += began.elapsed();
        }
        self.save_now(module, run, totals, saving)
    }

    fn save_now(
        &mut self,
        module: &dyn Module,
        run: &mut Run,
        totals: &Totals,
        saving: &mut Saving,
    ) -> Result<()> {
        let Some(writer) = &mut saving.writer else { return Ok(()) };
        let name = name_of(run);
        saving.put_off = false;
        if saving.last_name.as_ref() == Some(&name) {
            return Ok(());
        }
        let best = run.best.as_ref().map(|(_, name)| name.clone());
        let began = Instant::now();
        // A checkpoint is worth nothing without what was written about the steps before it.
        if let Err(error) = self.each(|c| c.on_save()) {
            saving.last = Instant::now();
            return self.report(Some(Written { name, result: Err(error) }));
        }
        (run.seconds, run.epoch_seconds) = saving.clocks.now();
        let before = writer.make_room(best.as_ref() == Some(&name));
        let files = state::save(self, module, run, totals)?.to_files()?;
        let then = writer.save(name.clone(), files, best);
        saving.last_name = Some(name);
        saving.last = Instant::now();
        saving.paused += saving.last - began;
        self.report(before)?;
        self.report(then)
    }

    /// Writes the last checkpoint, and waits for it: after those before it, so that there is one copy at a time.
    pub(super) fn save_last(
        &mut self,
        module: &dyn Module,
        run: &mut Run,
        totals: &Totals,
        saving: &mut Saving,
    ) -> Result<()> {
        self.wait(saving)?;
        self.save_now(module, run, totals, saving)?;
        self.wait(saving)
    }

    /// Waits for all that is being written.
    fn wait(&mut self, saving: &mut Saving) -> Result<()> {
        while let Some(written) = saving.writer.as_mut().and_then(CheckpointWriter::wait) {
            self.report(Some(written))?;
        }
        Ok(())
    }

    /// Tells what has become of a checkpoint. One that could not be written does not end the run.
    fn report(&mut self, written: Option<Written>) -> Result<()> {
        match written {
            None => Ok(()),
            Some(Written { name, result: Ok(()) }) => self.each(|c| c.on_checkpoint(&name)),
            Some(Written { result: Err(error), .. }) => {
                let warning = format!(
                    "{}; training goes on, and the checkpoints of before are as they were",
                    error.message()
                );
                self.each(|c| c.on_warning(&warning))
            }
        }
    }
}

/// A second copy of the state of so small a model costs less than to wait for the disk.
const FEW_WEIGHTS: usize = 1 << 18;

/// What a checkpoint of a run as it is now is called.
fn name_of(run: &Run) -> String {
    CheckpointFolder::name(run.step, run.accumulated.batches())
}

/// When checkpoints are due, and who writes them.
pub(super) struct Saving {
    writer: Option<CheckpointWriter>,
    signals: Option<Signals>,
    pub keep_best: bool,
    last: Instant,
    last_name: Option<String>,
    /// Whether one was due while another was being written.
    put_off: bool,
    /// How long the loop has waited for checkpoints.
    pub paused: Duration,
    /// The signal that asks to stop.
    pub stop: Option<&'static str>,
    clocks: Clocks,
}

/// How long the run and its epoch have taken, interruptions left out.
struct Clocks {
    started: Instant,
    before: f64,
    epoch_started: Instant,
    epoch_before: f64,
}

impl Clocks {
    fn now(&self) -> (f64, f64) {
        let seconds = |since: Instant, before: f64| before + since.elapsed().as_secs_f64();
        (seconds(self.started, self.before), seconds(self.epoch_started, self.epoch_before))
    }
}

impl Saving {
    pub fn new(trainer: &Trainer<'_>, run: &Run, resumed: Option<String>) -> Result<Saving> {
        let now = Instant::now();
        let clocks = Clocks {
            started: now,
            before: run.seconds,
            epoch_started: now,
            epoch_before: run.epoch_seconds,
        };
        let checkpoints = trainer.checkpoints.as_ref().filter(|_| !trainer.options.fast_dev_run);
        let writer = |c: &Checkpoints| CheckpointWriter::new(c.folder.clone(), c.keep_last);
        let signals = match checkpoints {
            Some(c) if c.signals => Some(Signals::listen().map_err(|error| {
                let message = format!("cannot listen to signals: {error}");
                Error::new(ErrorKind::Io, message)
            })?),
            _ => None,
        };
        Ok(Saving {
            writer: checkpoints.map(writer),
            signals,
            keep_best: checkpoints.is_some_and(|c| c.keep_best),
            last: now,
            last_name: resumed,
            put_off: false,
            paused: Duration::ZERO,
            stop: None,
            clocks,
        })
    }

    /// Seconds that the run has taken.
    pub fn clock(&self) -> f64 {
        self.clocks.now().0
    }

    pub fn epoch_clock(&self) -> f64 {
        self.clocks.now().1
    }

    pub fn next_epoch(&mut self) {
        (self.clocks.epoch_started, self.clocks.epoch_before) = (Instant::now(), 0.0);
    }

    /// Whether a signal asks for a checkpoint; notes whether it asks to stop.
    pub fn signalled(&mut self, control: &mut Control) -> bool {
        let Some(signals) = &self.signals else { return false };
        self.stop = self.stop.or_else(|| signals.stop());
        if signals.take_save() {
            control.save = true;
        }
        control.save || self.stop.is_some()
    }

    /// Whether a checkpoint is due by the count of steps or epochs, by the clock, or since before.
    pub fn is_due(&self, trainer: &Trainer<'_>, run: &Run, epoch: bool) -> bool {
        let Some(c) = &trainer.checkpoints else { return false };
        let by_count = match epoch {
            true => c.every_epochs.is_some_and(|n| run.epoch.is_multiple_of(n)),
            false => c.every_steps.is_some_and(|n| run.step.is_multiple_of(n)),
        };
        self.put_off
            || by_count
            || c.every.is_some_and(|every: Duration| self.last.elapsed() >= every)
    }

    /// Tells what has become of the checkpoint that was being written.
    pub fn report(&mut self, trainer: &mut Trainer<'_>) -> Result<()> {
        let written = self.writer.as_mut().and_then(CheckpointWriter::poll);
        trainer.report(written)
    }
}
