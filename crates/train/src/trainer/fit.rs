//! The training loop. It reads from top to bottom: [`Trainer::fit`] is all of it, and what it calls
//! does one thing each.

use std::cell::Cell;
use std::iter;
use std::time::{Duration, Instant};

use gradus_data::{Collate, DataLoader, Dataset};
use gradus_nn::optim::{clip_grad_norm_, clip_grad_value_};
use gradus_nn::{Module, StateDict};
use gradus_tensor::{Error, ErrorKind, Result, evaluate, rng_state};

use super::callback::{Callback, Control, EpochStart, FitStart, StepEnd};
use super::guard::Attempt;
use super::saving::Saving;
use super::state::{self, Run, Totals};
use super::{Ema, Ended, Fit, Objective, Trainer, guard};
use crate::checkpoint::Checkpoint;

impl Trainer<'_> {
    /// Trains until the epochs, the steps or the time are over, a callback or early stopping says
    /// stop, or a signal does; with [`checkpoints`](Trainer::checkpoints), from where the last one
    /// was made.
    ///
    /// # Errors
    /// If a batch cannot be had, the loss or a gradient is not finite, or a callback says so. The
    /// parameters are then those of the last step.
    pub fn fit<O, D>(
        &mut self,
        objective: &O,
        loader: &DataLoader<D>,
        validation: Option<&DataLoader<D>>,
    ) -> Result<Fit>
    where
        O: Objective,
        D: Dataset<Item: Collate<Batch = O::Batch>> + 'static,
    {
        let module = objective.module();
        let parameters = self.optimizer.parameters();
        let batches = self.batches(loader.len());
        if batches == 0 {
            let message = "Trainer: an epoch has no batches; give more samples, or smaller batches";
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let (mut run, mut totals, mut saving) = self.begin(module)?;
        let mut control = Control { stop: run.stopped.clone(), save: false };
        module.train(true);

        while control.stop.is_none() && self.wants_more(&run, saving.clock()) {
            let (epoch, done) = (run.epoch + 1, run.batch);
            self.each(|c| c.on_epoch_start(&EpochStart { epoch, batches, done }))?;
            let data_epoch = if self.options.overfit_one_batch { 0 } else { run.epoch };
            let rest = batches.saturating_sub(run.batch);

            let mut rest_of_epoch = loader.batches_from(data_epoch, run.batch).take(rest);
            // A step begins when its first batch is waited for: what comes after a step (validation, a
            // checkpoint) is no part of the next one.
            let (began, waited) = (Cell::new(None), Cell::new(Duration::ZERO));
            let mut computed = Duration::ZERO;
            let next = || {
                let since = Instant::now();
                began.set(began.get().or(Some(since)));
                let batch = rest_of_epoch.next();
                waited.set(waited.get() + since.elapsed());
                batch
            };

            for batch in iter::from_fn(next) {
                let batch = batch?;
                let (samples, number) = (objective.samples(&batch), run.batch);
                let first_of_step = run.accumulated.batches() == 0;

                // The rate of the step, before its first batch.
                let changes = first_of_step && run.step > 0;
                if let Some(schedule) = self.schedule.as_mut().filter(|_| changes) {
                    schedule.before_step(&mut *self.optimizer, run.batch == 0)?;
                }

                // Forward and backward. From here to the step nothing is computed, only recorded.
                let accumulates = self.options.accumulate > 1;
                let attempt = Attempt {
                    objective,
                    batch: &batch,
                    random: if first_of_step { rng_state() } else { run.accumulated.random() },
                    first_sample: accumulates.then(|| run.accumulated.samples()),
                    accumulated: run.accumulated.clone(),
                    gradients: match self.dumps {
                        Some(_) if !first_of_step => state::gradients(&parameters),
                        _ => StateDict::default(),
                    },
                    steps_before: run.step,
                    place: (epoch, number + 1, batches),
                    samples: &|| loader.samples_of(data_epoch, number),
                    name: &|sample| loader.dataset().describe(sample),
                };
                let mut cost = match self.options.accumulate {
                    1 => objective.cost(&batch),
                    _ => run.accumulated.record(samples, || objective.cost(&batch)),
                };
                if self.options.guard {
                    cost.loss = guard::checked_loss(&cost.loss);
                }
                match self.options.accumulate {
                    1 => cost.loss.backward(),
                    _ => run.accumulated.backward(&cost.loss, cost.weight),
                }
                totals.update(&cost);
                run.batch += 1;
                run.epoch_samples += samples;

                // Gradients of the next batch are added to these; a last, smaller step ends the epoch.
                if run.accumulated.batches() > 0
                    && run.accumulated.batches() < self.options.accumulate
                    && run.batch < batches
                {
                    if self.options.guard {
                        guard::check_gradients(&parameters, None);
                    }
                    let since = Instant::now();
                    evaluate().map_err(|error| attempt.explain(error, self))?;
                    computed += since.elapsed();
                    run.accumulated.note(&cost)?;
                    if saving.signalled(&mut control) {
                        control.save = false;
                        self.save(module, &mut run, &totals, &mut saving)?;
                    }
                    match saving.stop {
                        Some(_) => break,
                        None => continue,
                    }
                }
                let (mut loss, mut samples) = (cost.loss.clone(), samples);
                if run.accumulated.batches() > 0 {
                    loss = run.accumulated.mean_loss(&cost);
                    samples = run.accumulated.samples();
                    run.accumulated.finish(&parameters);
                }

                // Clipping, and the last look before the update. Clipped by value, what is infinite would
                // be a number.
                self.each(|c| c.on_gradients(run.batch, &parameters))?;
                if let Some(bound) = self.options.clip_value {
                    if self.options.guard {
                        guard::check_gradients(&parameters, None);
                    }
                    clip_grad_value_(&parameters, bound);
                }
                let norm = self.options.clip_norm.map(|max| clip_grad_norm_(&parameters, max));
                if self.options.guard {
                    guard::check_gradients(&parameters, norm.as_ref());
                }

                // Loss, gradients, update and metrics run here, as one plan. If a check fails,
                // nothing has changed.
                let (lr, since) = (self.optimizer.lr(), Instant::now());
                let stepped = self.optimizer.step();
                stepped.map_err(|error| attempt.explain(error, self))?;
                self.optimizer.zero_grad();
                run.step += 1;
                if let Some(ema) = &mut self.ema {
                    ema.update()?;
                }
                computed += since.elapsed();

                let end = StepEnd {
                    step: run.step,
                    epoch,
                    batch: run.batch,
                    batches,
                    loss: &loss,
                    samples,
                    waited: waited.take(),
                    computed: std::mem::take(&mut computed),
                    took: began.take().map_or(Duration::ZERO, |began| began.elapsed()),
                    lr,
                    grad_norm: norm.as_ref(),
                    predictions: cost.predictions.as_ref(),
                };
                for callback in &mut self.callbacks {
                    callback.on_step_end(&end, &mut control)?;
                }
                drop((cost, loss, norm));

                // Validation, checkpoint, end: in mid-epoch, where they are due. At the end of the
                // epoch they come below.
                let ends_epoch = run.batch == batches;
                if self.options.validate_steps.is_some_and(|n| run.step.is_multiple_of(n)) {
                    self.look(objective, validation, &mut run, &mut control, &mut saving)?;
                }
                saving.signalled(&mut control);
                saving.report(self)?;
                if saving.is_due(self, &run, false) {
                    control.save = true;
                }
                if !ends_epoch && control.save {
                    control.save = false;
                    run.stopped.clone_from(&control.stop);
                    self.save(module, &mut run, &totals, &mut saving)?;
                }
                if control.stop.is_some()
                    || saving.stop.is_some()
                    || !self.wants_more(&run, saving.clock())
                {
                    break;
                }
            }

            // The run ends in mid-epoch.
            if run.batch < batches {
                run.stopped.clone_from(&control.stop);
                break;
            }

            // The only values read are these, once an epoch: reading one each step would make it wait.
            let summary = self.summary(objective, validation, &mut run, &totals, &saving)?;
            let loss = summary.validation.as_ref().map_or(summary.loss, |v| v.loss);
            if let Some(schedule) = &mut self.schedule {
                schedule.after_epoch(&mut *self.optimizer, loss)?;
            }
            if self.validates_after(run.epoch + 1) || validation.is_none() {
                self.judge(loss, module, &mut run, &mut control, &saving)?;
            }
            for callback in &mut self.callbacks {
                callback.on_epoch_end(&summary, &mut control)?;
            }
            run.epochs.push(summary);
            run.epoch += 1;
            (run.batch, run.epoch_samples) = (0, 0);
            saving.next_epoch();
            totals = self.totals();

            saving.signalled(&mut control);
            run.stopped.clone_from(&control.stop);
            if control.save || saving.is_due(self, &run, true) {
                control.save = false;
                self.save(module, &mut run, &totals, &mut saving)?;
            }
            if saving.stop.is_some() {
                break;
            }
        }

        // Saved as it is, so that it can go on from here; then the epoch that is not over is summed up.
        self.save_last(module, &mut run, &totals, &mut saving)?;
        if run.batch > 0 && saving.stop.is_none() {
            let summary = self.summary(objective, validation, &mut run, &totals, &saving)?;
            if let Some(found) = summary.validation.filter(|_| self.validates_after(run.epoch + 1))
            {
                self.judge(found.loss, module, &mut run, &mut Control::default(), &saving)?;
            }
            self.each(|c| c.on_epoch_end(&summary, &mut Control::default()))?;
            run.epochs.push(summary);
        }
        let restored = match saving.stop {
            None => self.take_best(module)?,
            Some(_) => None,
        };
        let fit = Fit {
            step: run.step,
            seconds: saving.clock(),
            paused: saving.paused.as_secs_f64(),
            restored,
            ended: match (saving.stop, control.stop) {
                (Some(signal), _) => Ended::Interrupted(signal),
                (None, Some(why)) => Ended::Stopped(why),
                (None, None) => Ended::Finished,
            },
            epochs: run.epochs,
        };
        self.each(|c| c.on_fit_end(&fit))?;
        Ok(fit)
    }

    /// The state at the beginning, or that of the last checkpoint.
    fn begin(&mut self, module: &dyn Module) -> Result<(Run, Totals, Saving)> {
        self.check()?;
        // What was recorded before is none of the run's business.
        evaluate()?;
        if let Some(decay) = self.options.ema {
            self.ema = Some(Ema::new(self.optimizer.parameters(), decay));
        }
        let mut totals = self.totals();
        let mut run = Run { identity: self.identity.clone(), ..Run::default() };
        let mut resumed = None;
        let mut warnings = Vec::new();
        if let Some(folder) = self.checkpoints.as_ref().map(|c| c.folder.clone())
            && !self.options.fast_dev_run
        {
            let warn = |warning: &str| warnings.push(warning.to_owned());
            if let Some((name, checkpoint)) = folder.load_newest(Checkpoint::from_files, warn)? {
                run = state::restore(self, module, &checkpoint, &mut totals)
                    .map_err(|error| error.context(folder.path().join(&name).display()))?;
                resumed = Some(name);
            }
        }
        for warning in &warnings {
            self.each(|c| c.on_warning(warning))?;
        }
        let start = FitStart {
            step: run.step,
            resumed: resumed.as_deref(),
            epochs: &run.epochs,
            validations: run.validations,
        };
        self.each(|c| c.on_fit_start(&start))?;
        let saving = Saving::new(self, &run, resumed)?;
        Ok((run, totals, saving))
    }

    /// Whether epochs, steps and time are left.
    fn wants_more(&self, run: &Run, seconds: f64) -> bool {
        let options = &self.options;
        if options.fast_dev_run {
            return run.epoch < 1;
        }
        options.epochs.is_none_or(|n| run.epoch < n)
            && options.steps.is_none_or(|n| run.step < n)
            && options.time.is_none_or(|time| seconds < time.as_secs_f64())
    }

    /// The batches of an epoch.
    fn batches(&self, all: usize) -> usize {
        if self.options.fast_dev_run || self.options.overfit_one_batch { all.min(1) } else { all }
    }

    /// Calls every callback, in order.
    pub(super) fn each(
        &mut self,
        mut call: impl FnMut(&mut (dyn Callback + '_)) -> Result<()>,
    ) -> Result<()> {
        self.callbacks.iter_mut().try_for_each(|callback| call(&mut **callback))
    }
}
