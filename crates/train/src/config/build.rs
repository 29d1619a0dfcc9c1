//! From a configuration to what it describes: data, model, loss, optimizer, schedule.
//!
//! A model is made layer by layer, each for the shape that the one before puts out. That shape is
//! found by recording the forward pass of a small batch of zeros: nothing is computed, and a layer
//! that does not fit is a failed tensor that says why.

use std::num::NonZeroUsize;

use gradus_data::transforms::{MixedParts, Mixing, Pipeline};
use gradus_data::{DataLoader, Dataset, Split};
use gradus_nn::optim::Optimizer;
use gradus_nn::optim::lr_scheduler::Schedule;
use gradus_nn::{Layer, Module, Sequential};
use gradus_tensor::{DType, Error, ErrorKind, Result, Tensor, evaluate, no_grad};

use super::layers::batch_of;
use super::{
    AnyLoss, AnyMetric, AnyOptimizer, AnySchedule, BATCH_TRANSFORMS, Choice, Config, DATASETS,
    LAYERS, LOSSES, LayerInput, METRICS, MetricInput, OPTIMIZERS, RunLength, SCHEDULES, Scheduler,
    TRANSFORMS, Value,
};
use crate::data::{Data, DataSpec, Input, Samples, Task};

/// Samples in the batch that only shapes are wanted of; not 1, which fits everywhere.
const DUMMY_BATCH: usize = 2;

impl Config {
    /// One part of the data.
    ///
    /// # Errors
    /// If their files are missing or damaged, or there are no samples.
    pub fn open(&mut self, split: Split) -> Result<Data> {
        let data = self.as_read(split)?.read_at_once()?;
        self.seen(data, split)
    }

    /// As [`open`](Config::open), but samples are read when they are asked for, where the dataset can
    /// do so.
    ///
    /// # Errors
    /// As [`open`](Config::open).
    pub fn open_lazily(&mut self, split: Split) -> Result<Data> {
        let data = self.as_read(split)?;
        self.seen(data, split)
    }

    /// One part of the data as its files have it.
    fn as_read(&mut self, split: Split) -> Result<Data> {
        // What is read at once is read whole: samples that may be bad are read one by one.
        if self.skip_errors > 0 {
            let place = self.data.place().clone();
            if self.data.keys.value("in_memory") == Some(&Value::Bool(true)) {
                return Err(place.error(
                    "`in_memory` reads all samples before training, and one that cannot be read \
                     ends it; leave it out, or `skip_errors`",
                ));
            }
            // Only some datasets have this key.
            let _ = self.data.set(DATASETS, "in_memory", Value::Bool(false), &place);
        }
        self.data.build(DATASETS, split)
    }

    /// The samples to train on as training sees them and, if some are held out to validate with, the
    /// same samples as they are evaluated on: as those of the test part, without random transforms.
    ///
    /// # Errors
    /// As [`open`](Config::open).
    pub(crate) fn open_to_train(&mut self) -> Result<(Data, Option<Data>)> {
        let data = self.as_read(Split::Train)?.read_at_once()?;
        let evaluated = match self.training.validation.0 {
            0.0 => None,
            _ => Some(self.seen(data.clone(), Split::Test)?),
        };
        Ok((self.seen(data, Split::Train)?, evaluated))
    }

    /// The data after what is done to the images of one part.
    fn seen(&mut self, data: Data, split: Split) -> Result<Data> {
        let data = match self.pipeline(split)? {
            pipeline if pipeline.is_empty() => data,
            pipeline => {
                let place = self.data.place();
                let most = self.skip_errors;
                data.transformed(pipeline, most).map_err(|e| place.error(e.message()))?
            }
        };
        if data.samples().is_empty() {
            let message = format!("{}: there are no samples in it", data.samples().name());
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(data)
    }

    /// What is done to the images of one part. The random transforms follow from the seed.
    fn pipeline(&mut self, split: Split) -> Result<Pipeline> {
        let (choices, given) = match (split, &mut self.test_transforms) {
            (Split::Test, Some(choices)) => (choices, true),
            _ => (&mut self.transforms, false),
        };
        let pipeline =
            choices.iter_mut().try_fold(Pipeline::new(self.seed), |pipeline, choice| {
                Ok::<_, Error>(pipeline.add(choice.build(TRANSFORMS, ())?))
            })?;
        Ok(if split == Split::Test && !given { pipeline.deterministic() } else { pipeline })
    }

    /// A loader of what is trained on: shuffled, and with its batches mixed if they are to be. Batches
    /// follow from the seed.
    ///
    /// # Errors
    /// If such data cannot be mixed.
    pub(crate) fn loader(
        &mut self,
        data: &Data,
        workers: usize,
    ) -> Result<DataLoader<MixedParts<Samples>>> {
        let samples = MixedParts::new(data.samples().clone(), self.mixing(data.spec())?);
        Ok(DataLoader::new(samples)
            .batch_size(self.batch_size)
            .shuffle(self.seed)
            .drop_last(self.drop_last)
            .skip_errors(self.skip_errors)
            .workers(workers))
    }

    /// What is done to batches; nothing, usually.
    fn mixing(&mut self, spec: &DataSpec) -> Result<Option<Mixing>> {
        let Some(first) = self.batch_transforms.first() else { return Ok(None) };
        let (Task::Classification { classes }, Input::Image { .. }) = (&spec.task, &spec.input)
        else {
            let name = first.name();
            return Err(first.place().error(format_args!(
                "{name} is for images with a class, and these data are none; leave it out"
            )));
        };
        let none = Mixing::new(classes.len(), self.seed);
        let mut choices = self.batch_transforms.iter_mut();
        choices.try_fold(none, |mixing, choice| choice.build(BATCH_TRANSFORMS, mixing)).map(Some)
    }

    /// What a model must know of the data. They are read no further than that needs.
    ///
    /// # Errors
    /// As [`open`](Config::open).
    pub fn spec(&self) -> Result<DataSpec> {
        self.check()?;
        Ok(self.clone().open_lazily(Split::Train)?.spec().clone())
    }

    /// The model for such data, in evaluation mode. From now on, the layers' keys hold the sizes
    /// that were inferred.
    ///
    /// # Errors
    /// If a layer cannot follow the one before, or the last one's output does not suit the data.
    pub fn model(&mut self, spec: &DataSpec) -> Result<Sequential> {
        // What was recorded before is none of the model's business.
        evaluate()?;
        let mut model = Sequential::new();
        let mut x = spec.dummy(DUMMY_BATCH);
        let last = self.layers.len().saturating_sub(1);
        let mut before = "the data, which are".to_owned();
        for (at, choice) in self.layers.iter_mut().enumerate() {
            let shape = x.shape()[1..].into();
            let outputs = if at == last { spec.task.outputs() } else { None };
            let layer = choice.build(LAYERS, LayerInput { shape, outputs })?;
            layer.eval();
            let output = no_grad(|| layer.forward(&x));
            let name = format!("layer {at}, {},", choice.name());
            let input = batch_of(&x.shape()[1..]);
            let misfit = |why: &str| {
                let place = choice.place();
                place.error(format_args!(
                    "{name} cannot follow {before} {input}: {why}; change one of the two, or leave \
                     out keys that the layer before decides"
                ))
            };
            match output.try_shape() {
                Ok(shape) if is_huge(shape) => {
                    let why = format!("its output would be {shape}, which no memory holds");
                    return Err(misfit(&why));
                }
                Ok(shape) if shape.first() == Some(&DUMMY_BATCH) => {}
                Ok(shape) => {
                    let why = format!("it joins the samples of a batch: its output is {shape}");
                    return Err(misfit(&why));
                }
                Err(error) => {
                    // The error waits for an evaluation: it has been reported here.
                    let _ = evaluate();
                    return Err(misfit(error.message()));
                }
            }
            before = format!("layer {at}, {}, whose output is", choice.name());
            model = model.add(layer);
            x = output;
        }
        let (output, wanted) = (&x.shape()[1..], spec.output());
        if output != &wanted[..] {
            let message = format!(
                "the model's output is {}, but the data ask for {} ({}); change the last layers (a \
                 Linear at the end without `out_features` takes them from the data)",
                batch_of(output),
                batch_of(&wanted),
                spec.task
            );
            let place = self.layers.last().map_or(self.data.place(), Choice::place);
            return Err(place.error(message));
        }
        Ok(model)
    }

    /// The loss, which must suit what the data ask for.
    ///
    /// # Errors
    /// If it does not.
    pub fn criterion(&mut self, spec: &DataSpec) -> Result<AnyLoss> {
        let choice = match &mut self.loss {
            Some(choice) => choice,
            none => none.insert(Choice::plain(
                LOSSES,
                spec.task.default_loss(),
                "loss",
                self.data.place().clone(),
            )?),
        };
        let loss = choice.build(LOSSES, ())?;
        let predictions = spec.dummy_output(DUMMY_BATCH);
        let outcome = no_grad(|| loss(&predictions, &spec.dummy_target(DUMMY_BATCH)));
        if let Some(error) = outcome.error() {
            let _ = evaluate();
            let place = choice.place();
            let name = choice.name();
            let task = &spec.task;
            let why = error.message();
            return Err(place.error(format_args!(
                "{name} does not suit the data ({task}): {why}; leave [loss] out for {}",
                task.default_loss()
            )));
        }
        let (name, place) = (choice.name(), choice.place().clone());
        if self.mixing(spec)?.is_some() {
            let mixed = predictions.softmax(-1);
            if let Some(error) = no_grad(|| loss(&predictions, &mixed)).error() {
                let _ = evaluate();
                let why = error.message();
                return Err(place.error(format_args!(
                    "{name} does not take the probabilities that `batch_transforms` make of labels: \
                     {why}; choose CrossEntropyLoss, or leave `batch_transforms` out"
                )));
            }
        }
        Ok(loss)
    }

    /// The metrics of an evaluation, new.
    ///
    /// # Errors
    /// If one does not suit the data.
    pub fn metrics(&mut self, spec: &DataSpec) -> Result<Vec<AnyMetric>> {
        let input = MetricInput { task: spec.task.clone(), device: self.device };
        self.metrics.iter_mut().map(|choice| choice.build(METRICS, input.clone())).collect()
    }

    /// The optimizer of a model's parameters.
    ///
    /// # Errors
    /// If its keys make no sense.
    pub fn optimizer(&mut self, model: &dyn Module) -> Result<AnyOptimizer> {
        self.optimizer.build(OPTIMIZERS, model.parameters())
    }

    /// The learning-rate schedule for an optimizer, if there is one: it sets the rate of the first step.
    ///
    /// # Errors
    /// If its keys make no sense.
    pub fn schedule(
        &mut self,
        optimizer: &mut dyn Optimizer,
        steps_per_epoch: usize,
    ) -> Result<Option<Scheduler>> {
        let run = self.length(optimizer.lr(), steps_per_epoch);
        let Some(choice) = &mut self.schedule else { return Ok(None) };
        let schedule = choice.build(SCHEDULES, run)?;
        let wrong = |error: Error| choice.place().error(error.message());
        schedule.drive(optimizer).map(Some).map_err(wrong)
    }

    fn length(&self, lr: f64, steps_per_epoch: usize) -> RunLength {
        let max_steps = self.training.max_steps.map(NonZeroUsize::get);
        RunLength { lr, epochs: self.epochs, steps_per_epoch, max_steps }
    }

    /// Whether a run of another length, but otherwise as this one, has other learning rates as long as
    /// both go on. `lr` is the optimizer's own.
    ///
    /// # Errors
    /// If the schedule's keys make no sense.
    pub(crate) fn has_other_rates(
        &self,
        other: &Config,
        lr: f64,
        steps_per_epoch: usize,
    ) -> Result<bool> {
        let Some(choice) = &self.schedule else { return Ok(false) };
        let runs = [self, other].map(|config| config.length(lr, steps_per_epoch));
        if runs[0] == runs[1] {
            return Ok(false);
        }
        let [mine, others] = runs.map(|run| choice.clone().build(SCHEDULES, run));
        let (AnySchedule::Planned(mine, every), AnySchedule::Planned(others, _)) = (mine?, others?)
        else {
            return Ok(false);
        };
        let [steps, of_other] = runs.map(|run| run.count(every) as u64);
        let rate = |schedule: &dyn Schedule, step| schedule.lr(step, lr, 0).to_bits();
        Ok((0..steps.min(of_other)).any(|step| rate(&mine, step) != rate(&others, step)))
    }
}

/// Whether a batch of two samples would fill gigabytes.
fn is_huge(shape: &[usize]) -> bool {
    let size = shape.iter().try_fold(1usize, |size, &n| size.checked_mul(n));
    size.is_none_or(|size| size > 1 << 31)
}

impl DataSpec {
    /// Inputs of a batch that only shapes are wanted of.
    pub(crate) fn dummy(&self, batch: usize) -> Tensor {
        let shape: Vec<usize> = [batch].into_iter().chain(self.input.shape()).collect();
        Tensor::zeros(shape, self.input.dtype())
    }

    fn dummy_output(&self, batch: usize) -> Tensor {
        let shape: Vec<usize> = [batch].into_iter().chain(self.output()).collect();
        let output = Tensor::zeros(shape, DType::F32);
        self.task.align(output, self.dummy_target(batch)).0
    }

    fn dummy_target(&self, batch: usize) -> Tensor {
        match &self.task {
            Task::Classification { .. } => Tensor::zeros([batch], DType::I64),
            Task::Regression { .. } => Tensor::zeros([batch, 1], DType::F32),
            Task::Language { .. } => {
                Tensor::zeros([batch * self.input.shape().iter().product::<usize>()], DType::I64)
            }
        }
    }
}
