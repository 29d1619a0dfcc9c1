//! Validation, and what follows from it: the best checkpoint, early stopping, an epoch's line.

use gradus_data::{Collate, DataLoader, Dataset};
use gradus_nn::Module;
use gradus_tensor::{Result, Tensor, evaluate, no_grad, rng_state, set_rng_state};

use super::callback::Control;
use super::saving::Saving;
use super::state::{Run, Totals};
use super::{Best, EpochSummary, Objective, Trainer, Validation};
use crate::checkpoint::CheckpointFolder;

impl Trainer<'_> {
    /// The mean loss, and the score if there is one, over all samples of a loader, in evaluation
    /// mode. Random numbers of the training that goes on are not touched.
    ///
    /// # Errors
    /// If a batch cannot be had, or the model does not fit it.
    pub fn validate<O, D>(&self, objective: &O, loader: &DataLoader<D>) -> Result<Validation>
    where
        O: Objective,
        D: Dataset<Item: Collate<Batch = O::Batch>> + 'static,
    {
        let random = rng_state();
        let mut totals = self.totals();
        objective.module().eval();
        let batches = if self.options.fast_dev_run { 1 } else { loader.len() };
        no_grad(|| {
            for batch in loader.batches_from(0, 0).take(batches) {
                totals.update(&objective.cost(&batch?));
                // One plan per batch, compiled once; otherwise all batches would become one.
                evaluate()?;
            }
            set_rng_state(random);
            let (loss, score) = totals.value()?;
            Ok(Validation { loss, score, samples: totals.loss.samples() })
        })
    }

    /// As [`validate`](Trainer::validate), on samples that decided nothing about the training.
    ///
    /// # Errors
    /// As [`validate`](Trainer::validate).
    pub fn test<O, D>(&self, objective: &O, loader: &DataLoader<D>) -> Result<Validation>
    where
        O: Objective,
        D: Dataset<Item: Collate<Batch = O::Batch>> + 'static,
    {
        self.validate(objective, loader)
    }

    /// The predictions for all samples of a loader, in order, batch by batch.
    ///
    /// # Errors
    /// If a batch cannot be had, or the model does not fit it.
    pub fn predict<O, D>(&self, objective: &O, loader: &DataLoader<D>) -> Result<Vec<Tensor>>
    where
        O: Objective,
        D: Dataset<Item: Collate<Batch = O::Batch>> + 'static,
    {
        objective.module().eval();
        no_grad(|| {
            let mut all = Vec::with_capacity(loader.len());
            for batch in loader.batches_from(0, 0) {
                if let Some((predictions, _)) = objective.cost(&batch?).predictions {
                    predictions.eval()?;
                    all.push(predictions);
                }
            }
            Ok(all)
        })
    }

    pub(super) fn validates_after(&self, epoch: u64) -> bool {
        self.options.validate_steps.is_none() && epoch.is_multiple_of(self.options.validate_epochs)
    }

    /// Validates in mid-epoch, and says what follows from it.
    pub(super) fn look<O, D>(
        &mut self,
        objective: &O,
        validation: Option<&DataLoader<D>>,
        run: &mut Run,
        control: &mut Control,
        saving: &mut Saving,
    ) -> Result<()>
    where
        O: Objective,
        D: Dataset<Item: Collate<Batch = O::Batch>> + 'static,
    {
        let Some(loader) = validation else { return Ok(()) };
        let found = self.validate_averaged(objective, loader)?;
        self.tell(&found, run, control)?;
        self.judge(found.loss, objective.module(), run, control, saving)?;
        run.validation = Some(found);
        Ok(())
    }

    fn tell(&mut self, found: &Validation, run: &mut Run, control: &mut Control) -> Result<()> {
        run.validations += 1;
        let mut callbacks = self.callbacks.iter_mut();
        callbacks.try_for_each(|callback| callback.on_validation_end(found, run.step, control))
    }

    /// Whether a value is the best so far, and whether there has been none for too long.
    pub(super) fn judge(
        &mut self,
        value: f64,
        module: &dyn Module,
        run: &mut Run,
        control: &mut Control,
        saving: &Saving,
    ) -> Result<()> {
        let better = value.is_finite() && run.best.as_ref().is_none_or(|(best, _)| value < *best);
        if better {
            run.best = Some((value, CheckpointFolder::name(run.step, 0)));
            control.save |= saving.keep_best;
            if self.options.restore_best {
                let weights = self.averaged(|| Ok(module.state_dict()))?;
                self.best = Some(Best { step: run.step, weights });
            }
        }
        if let Some(stopping) = &mut self.early_stopping
            && stopping.look(value)
        {
            control.stop("early stopping: no improvement for too long");
        }
        Ok(())
    }

    /// Gives the model the best weights, if that was asked for; which step they are of.
    pub(super) fn take_best(&mut self, module: &dyn Module) -> Result<Option<u64>> {
        let Some(Best { step, weights }) = self.best.take() else { return Ok(None) };
        module.load_state_dict(&weights)?;
        Ok(Some(step))
    }

    /// The metrics of the epoch, validation included.
    pub(super) fn summary<O, D>(
        &mut self,
        objective: &O,
        validation: Option<&DataLoader<D>>,
        run: &mut Run,
        totals: &Totals,
        saving: &Saving,
    ) -> Result<EpochSummary>
    where
        O: Objective,
        D: Dataset<Item: Collate<Batch = O::Batch>> + 'static,
    {
        let (loss, score) = totals.value()?;
        let seconds = saving.epoch_clock();
        let mut found = run.validation.take();
        if let Some(loader) = validation.filter(|_| self.validates_after(run.epoch + 1)) {
            let validated = self.validate_averaged(objective, loader)?;
            self.tell(&validated, run, &mut Control::default())?;
            found = Some(validated);
        }
        let (epoch, samples) = (run.epoch + 1, run.epoch_samples);
        Ok(EpochSummary { epoch, step: run.step, loss, score, validation: found, samples, seconds })
    }

    /// Validates with the averaged weights, if there are any.
    fn validate_averaged<O, D>(&self, objective: &O, loader: &DataLoader<D>) -> Result<Validation>
    where
        O: Objective,
        D: Dataset<Item: Collate<Batch = O::Batch>> + 'static,
    {
        let found = self.averaged(|| self.validate(objective, loader));
        objective.module().train(true);
        found
    }

    /// Runs `f` while the model has the averaged weights, if there are any.
    fn averaged<R>(&self, f: impl FnOnce() -> Result<R>) -> Result<R> {
        let Some(ema) = &self.ema else { return f() };
        ema.swap()?;
        let result = f();
        ema.swap()?;
        result
    }
}
