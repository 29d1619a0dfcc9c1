//! The training loop, from data to a saved and evaluated model. It reads from top to bottom.

use std::path::Path;
use std::time::Instant;

use gradus_data::{DataLoader, Dataset, Split};
use gradus_nn::optim::{Adam, Optimizer};
use gradus_nn::{CrossEntropyLoss, Layer, Module};
use gradus_tensor::{Error, ErrorKind, Result, manual_seed};

use crate::config::network;
use crate::metrics::{Accuracy, Mean};
use crate::{Config, EpochMetrics, Evaluation, Progress, RunFolder, RunMetrics, evaluate};

/// Trains a network on images and evaluates it: the job of `gradus train`.
///
/// Everything about it is written to a new folder, `out` or, by default, `runs/<dataset>-<number>`.
/// `workers` threads assemble batches; the saved model does not depend on them.
///
/// # Errors
/// If the data cannot be read, the folder cannot be made or is not empty, or the loss is no longer
/// finite.
pub fn train(
    config: &Config,
    workers: usize,
    out: Option<&Path>,
    progress: &Progress,
) -> Result<(RunFolder, Evaluation)> {
    // The data comes first: if it is not there, no folder is made.
    let images = config.open(Split::Train)?;
    let test_images = config.open(Split::Test)?;
    let folder = match out {
        Some(path) => RunFolder::create(path)?,
        None => RunFolder::create_numbered("runs".as_ref(), &config.dataset)?,
    };
    folder.save_config(config)?;

    // All random numbers of this thread follow from the seed; here, those of the initial weights.
    manual_seed(config.seed);
    let model = network(&config.widths(&images));
    model.to(config.device)?;
    progress.started(config, &images, &test_images, model.num_parameters());
    let criterion = CrossEntropyLoss::default();
    let mut optimizer = Adam::new(model.parameters(), config.lr);

    let samples = images.len();
    let loader =
        DataLoader::new(images).batch_size(config.batch_size).shuffle(config.seed).workers(workers);
    let mut metrics = RunMetrics::default();
    for epoch in 1..=config.epochs {
        let start = Instant::now();
        let mut average_loss = Mean::new(config.device);
        let mut accuracy = Accuracy::new(config.device);
        let progress = progress.epoch(epoch, config.epochs, loader.len());
        model.train(true);

        for (number, batch) in (&loader).into_iter().enumerate() {
            let (images, labels) = batch?;
            let (images, labels) = (images.to(config.device), labels.to(config.device));

            // From here to the step nothing is computed, only recorded. A loss that is not finite
            // fails the step as a whole: the parameters keep the values they had.
            let logits = model.forward(&images);
            let loss = criterion.forward(&logits, &labels).checked_finite("loss");
            optimizer.zero_grad();
            loss.backward();

            // The metrics are sums on the device and become part of the step.
            average_loss.update(&loss, labels.numel());
            accuracy.update(&logits, &labels);

            // Loss, gradients, update and metrics run here, as one plan.
            optimizer.step().map_err(|error| {
                let place = format!("epoch {epoch}, batch {} of {}", number + 1, loader.len());
                explain(error).context(place)
            })?;
            progress.step();
        }

        // The only values read are these, once an epoch: reading one each step would make it wait.
        let (loss, accuracy) = (average_loss.value()?, accuracy.value()?);
        let seconds = start.elapsed().as_secs_f64();
        let samples_per_second = samples as f64 / seconds;
        let epoch = EpochMetrics { epoch, loss, accuracy, seconds, samples_per_second };
        progress.finish(&epoch);
        metrics.epochs.push(epoch);
        folder.save_metrics(&metrics)?;
    }

    // Saved before it is evaluated: whatever happens then, the work is not lost.
    folder.save_model(&model)?;
    let test = evaluate(&model, test_images, workers, config.device)?;
    metrics.test = Some(test.clone());
    folder.save_metrics(&metrics)?;
    Ok((folder, test))
}

/// The error of a step, with what may help where the loss is no longer finite.
fn explain(error: Error) -> Error {
    if error.kind() == ErrorKind::Value && error.message().starts_with("loss ") {
        let message = format!("{}; training diverged, try a lower learning rate", error.message());
        return Error::new(ErrorKind::Value, message);
    }
    error
}
