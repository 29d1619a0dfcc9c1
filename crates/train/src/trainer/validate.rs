//! Validation, and what follows from it: the best checkpoint, early stopping, an epoch's line.

use gradus_data::{Collate, DataLoader, Dataset};
use gradus_tensor::{Result, Tensor, evaluate, no_grad, rng_state, set_rng_state};

use super::callback::Control;
use super::saving::Saving;
use super::state::{Run, Totals};
use super::{EpochSummary, Objective, Trainer, Validation};
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
        for callback in &mut self.callbacks {
            callback.on_validation_end(&found, run.step, control)?;
        }
        self.judge(found.loss, run, control, saving);
        run.validation = Some(found);
        Ok(())
    }

    /// Whether a value is the best so far, and whether there has been none for too long.
    pub(super) fn judge(
        &mut self,
        value: f64,
        run: &mut Run,
        control: &mut Control,
        saving: &mut Saving,
    ) {
        let better = run.best.as_ref().is_none_or(|(best, _)| value < *best);
        if better && saving.keep_best {
            run.best = Some((value, CheckpointFolder::name(run.step, 0)));
            control.save = true;
        }
        if let Some(stopping) = &mut self.early_stopping
            && stopping.look(value)
        {
            control.stop("early stopping: no improvement for too long");
        }
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
            for callback in &mut self.callbacks {
                callback.on_validation_end(&validated, run.step, &mut Control::default())?;
            }
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
        if let Some(ema) = &self.ema {
            ema.swap()?;
        }
        let found = self.validate(objective, loader);
        if let Some(ema) = &self.ema {
            ema.swap()?;
        }
        objective.module().train(true);
        found
    }
}
