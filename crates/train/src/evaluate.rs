//! The evaluation of a classifier on samples that it was not trained on.

use gradus_data::{DataLoader, LabelledImages};
use gradus_nn::{CrossEntropyLoss, Layer};
use gradus_tensor::{Device, Result, Tensor, no_grad};

use crate::Evaluation;
use crate::metrics::{ConfusionMatrix, Mean};

/// Samples per batch. It is no option, so that repeating an evaluation repeats its bits.
const BATCH_SIZE: usize = 256;

/// Evaluates a model that makes logits `[n, classes]` of images, in evaluation mode.
///
/// # Errors
/// If an image cannot be had, or the model does not fit the images.
pub fn evaluate(
    model: &dyn Layer,
    images: LabelledImages,
    workers: usize,
    device: Device,
) -> Result<Evaluation> {
    let classes = images.classes().to_vec();
    let loader = DataLoader::new(images).batch_size(BATCH_SIZE).workers(workers);
    let criterion = CrossEntropyLoss::default();
    let mut average_loss = Mean::new(device);
    let mut confusion = ConfusionMatrix::new(classes.len(), device);
    model.eval();
    no_grad(|| {
        for batch in &loader {
            let (images, labels) = batch?;
            let (images, labels) = (images.to(device), labels.to(device));
            let logits = model.forward(&images);
            average_loss.update(&criterion.forward(&logits, &labels), labels.numel());
            confusion.update(&logits, &labels);
            // One plan per batch, compiled once; otherwise all batches would become one.
            gradus_tensor::evaluate()?;
        }
        Ok(Evaluation::new(average_loss.value()?, &confusion.counts()?, &classes))
    })
}

/// The images of a dataset `[n, …]`, in order, and the model's logits for them `[n, classes]`.
///
/// # Errors
/// As [`evaluate`].
pub fn predict(
    model: &dyn Layer,
    images: LabelledImages,
    workers: usize,
    device: Device,
) -> Result<(Tensor, Tensor)> {
    let loader = DataLoader::new(images).batch_size(BATCH_SIZE).workers(workers);
    let (mut inputs, mut logits) = (Vec::new(), Vec::new());
    model.eval();
    no_grad(|| {
        for batch in &loader {
            let (images, _) = batch?;
            let images = images.to(device);
            let predicted = model.forward(&images);
            predicted.eval()?;
            inputs.push(images);
            logits.push(predicted);
        }
        let all = |parts: &[Tensor]| Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0);
        Ok((all(&inputs), all(&logits)))
    })
}
