//! The evaluation of a model on samples that it was not trained on.

use gradus_data::DataLoader;
use gradus_nn::Layer;
use gradus_tensor::{Device, Result, Tensor, no_grad};

use crate::Evaluation;
use crate::config::AnyMetric;
use crate::data::{Data, Task};
use crate::log::{EvaluationEnd, NamedValue};
use crate::metrics::{Accuracy, Classification, ConfusionMatrix, Errors, Language, Mean};
use crate::mistakes::Mistakes;

/// Samples per batch. It is no option, so that repeating an evaluation repeats its bits.
pub(crate) const BATCH_SIZE: usize = 256;

/// Evaluates a model, in evaluation mode, by a loss and by what suits the task.
///
/// # Errors
/// If a sample cannot be had, or the model does not fit the data.
pub fn evaluate(
    model: &dyn Layer,
    criterion: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    data: &Data,
    workers: usize,
    device: Device,
) -> Result<Evaluation> {
    let task = &data.spec().task;
    let mut average_loss = Mean::new(device);
    let mut counts = Counts::new(task, device);
    each_batch(model, data, workers, device, |predictions, targets| {
        average_loss.update(&criterion(predictions, targets), targets.numel());
        counts.update(predictions, targets);
        // One plan per batch, compiled once; otherwise all batches would become one.
        gradus_tensor::evaluate()
    })?;
    counts.report(average_loss.value()?, task)
}

/// As [`evaluate`], with other metrics besides, the confusion matrix of a classifier, and the worst
/// mistakes: what a report shows. `step` is how many steps the model has been trained for.
///
/// # Errors
/// As [`evaluate`], and where a metric cannot be evaluated.
pub fn examine(
    model: &dyn Layer,
    criterion: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    data: &Data,
    workers: usize,
    device: Device,
    metrics: &mut [AnyMetric],
    step: u64,
) -> Result<EvaluationEnd> {
    let task = &data.spec().task;
    let mut average_loss = Mean::new(device);
    let mut counts = Counts::new(task, device);
    let mut mistakes = Mistakes::new(task);
    each_batch(model, data, workers, device, |predictions, targets| {
        average_loss.update(&criterion(predictions, targets), targets.numel());
        counts.update(predictions, targets);
        metrics.iter_mut().for_each(|metric| metric.update(predictions, targets));
        mistakes.update(predictions, targets)
    })?;
    let value = |metric: &AnyMetric| Ok(NamedValue { name: metric.name(), value: metric.value()? });
    let confusion = match &counts {
        Counts::Classes(confusion) => Some(confusion.counts()?),
        _ => None,
    };
    Ok(EvaluationEnd {
        step,
        evaluation: counts.report(average_loss.value()?, task)?,
        metrics: metrics.iter().map(value).collect::<Result<_>>()?,
        confusion,
        mistakes: mistakes.worst_first(),
    })
}

/// Shows `see` the predictions and targets of each batch, in order and in evaluation mode. It ends
/// by evaluating what it has recorded.
fn each_batch(
    model: &dyn Layer,
    data: &Data,
    workers: usize,
    device: Device,
    mut see: impl FnMut(&Tensor, &Tensor) -> Result<()>,
) -> Result<()> {
    let loader = DataLoader::new(data.samples().clone()).batch_size(BATCH_SIZE).workers(workers);
    model.eval();
    no_grad(|| {
        for batch in &loader {
            let (inputs, targets) = batch?;
            let (inputs, targets) = (inputs.to(device), targets.to(device));
            let (predictions, targets) = data.spec().task.align(model.forward(&inputs), targets);
            see(&predictions, &targets)?;
        }
        Ok(())
    })
}

/// The inputs of the data `[n, …]`, in order, and the model's outputs for them.
///
/// # Errors
/// As [`evaluate`].
pub fn predict(
    model: &dyn Layer,
    data: &Data,
    workers: usize,
    device: Device,
) -> Result<(Tensor, Tensor)> {
    let loader = DataLoader::new(data.samples().clone()).batch_size(BATCH_SIZE).workers(workers);
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    model.eval();
    no_grad(|| {
        for batch in &loader {
            let input = batch?.0.to(device);
            let predicted = model.forward(&input);
            predicted.eval()?;
            inputs.push(input);
            outputs.push(predicted);
        }
        let all = |parts: &[Tensor]| Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0);
        Ok((all(&inputs), all(&outputs)))
    })
}

/// What is counted for a task.
enum Counts {
    Classes(ConfusionMatrix),
    Numbers(Errors),
    Characters(Accuracy),
}

impl Counts {
    fn new(task: &Task, device: Device) -> Counts {
        match task {
            Task::Classification { classes } => {
                Counts::Classes(ConfusionMatrix::new(classes.len(), device))
            }
            Task::Regression { .. } => Counts::Numbers(Errors::new(device)),
            Task::Language { .. } => Counts::Characters(Accuracy::new(device)),
        }
    }

    fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        match self {
            Counts::Classes(confusion) => confusion.update(predictions, targets),
            Counts::Numbers(errors) => errors.update(predictions, targets),
            Counts::Characters(accuracy) => accuracy.update(predictions, targets),
        }
    }

    fn report(&self, average_loss: f64, task: &Task) -> Result<Evaluation> {
        Ok(match (self, task) {
            (Counts::Classes(confusion), Task::Classification { classes }) => {
                let counts = confusion.counts()?;
                Evaluation::Classification(Classification::new(average_loss, &counts, classes))
            }
            (Counts::Numbers(errors), _) => Evaluation::Regression(errors.report(average_loss)?),
            (Counts::Characters(accuracy), _) => {
                let samples = accuracy.samples() as u64;
                Evaluation::Language(Language::new(average_loss, accuracy.value()?, samples))
            }
            (Counts::Classes(_), _) => unreachable!("counted for another task"),
        })
    }
}
