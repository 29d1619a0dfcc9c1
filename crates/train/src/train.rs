//! The training loop, from data to a saved and evaluated model. It reads from top to bottom.

use std::path::Path;
use std::time::Instant;

use gradus_data::{DataLoader, Dataset, Split};
use gradus_nn::{Layer, Module};
use gradus_tensor::{Error, ErrorKind, Result, manual_seed};

use crate::metrics::{Mean, Score};
use crate::{Config, EpochMetrics, Evaluation, Progress, RunFolder, RunMetrics, check, evaluate};

/// Trains a network and evaluates it: the job of `gradus train`.
///
/// Everything about it is written to a new folder, `out` or, by default, `runs/<dataset>-<number>`.
/// `workers` threads assemble batches; the saved model does not depend on them.
///
/// # Errors
/// If the data cannot be read, the configuration does not fit them, the folder cannot be made or is
/// not empty, or the loss is no longer finite.
pub fn train(
    config: &Config,
    workers: usize,
    out: Option<&Path>,
    progress: &Progress,
) -> Result<(RunFolder, Evaluation)> {
    // Data and model come first: if they are not there or do not fit, no folder is made.
    let mut config = config.clone();
    config.check()?;
    config.make_absolute();
    let reading = progress.reading(config.data.name());
    let data = config.open(Split::Train)?;
    let test_data = config.open(Split::Test)?;
    drop(reading);
    check(&config, &data, &test_data)?.settle(progress)?;
    let (spec, device) = (data.spec().clone(), config.device);

    // All random numbers of this thread follow from the seed; here, those of the initial weights.
    manual_seed(config.seed);
    let model = config.model(&spec)?;
    model.to(device)?;
    let criterion = config.criterion(&spec)?;
    let mut optimizer = config.optimizer(&model)?;
    let samples = data.samples().len();
    let loader = DataLoader::new(data.samples().clone())
        .batch_size(config.batch_size)
        .shuffle(config.seed)
        .drop_last(config.drop_last)
        .workers(workers);
    let mut schedule = config.schedule(&mut *optimizer, loader.len())?;

    let folder = match out {
        Some(path) => RunFolder::create(path)?,
        None => RunFolder::create_numbered("runs".as_ref(), config.data.name())?,
    };
    folder.save_config(&config)?;
    folder.save_data(&spec)?;
    progress.started(&config, &data, &test_data, model.num_parameters());

    let mut metrics = RunMetrics::default();
    for epoch in 1..=config.epochs {
        let start = Instant::now();
        let mut average_loss = Mean::new(device);
        let mut score = Score::new(&spec.task, device);
        let progress = progress.epoch(epoch, config.epochs, loader.len());
        model.train(true);

        for (number, batch) in (&loader).into_iter().enumerate() {
            let (inputs, targets) = batch?;
            let (inputs, targets) = (inputs.to(device), targets.to(device));
            if let Some(schedule) = schedule.as_mut().filter(|_| (epoch, number) != (1, 0)) {
                schedule.before_step(&mut *optimizer, number == 0)?;
            }

            // From here to the step nothing is computed, only recorded. A loss that is not finite
            // fails the step as a whole: the parameters keep the values they had.
            let (predictions, targets) = spec.task.align(model.forward(&inputs), targets);
            let loss = criterion(&predictions, &targets).checked_finite("loss");
            optimizer.zero_grad();
            loss.backward();

            // The metrics are sums on the device and become part of the step.
            average_loss.update(&loss, targets.numel());
            score.update(&predictions, &targets);

            // Loss, gradients, update and metrics run here, as one plan.
            optimizer.step().map_err(|error| {
                let place = format!("epoch {epoch}, batch {} of {}", number + 1, loader.len());
                explain(error).context(place)
            })?;
            progress.step();
        }

        // The only values read are these, once an epoch: reading one each step would make it wait.
        let (loss, score) = (average_loss.value()?, score.value()?);
        if let Some(schedule) = &mut schedule {
            schedule.after_epoch(&mut *optimizer, loss)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let samples_per_second = samples as f64 / seconds;
        let epoch = EpochMetrics { epoch, loss, score, seconds, samples_per_second };
        progress.finish(&epoch);
        metrics.epochs.push(epoch);
        folder.save_metrics(&metrics)?;
    }

    // Saved before it is evaluated: whatever happens then, the work is not lost.
    folder.save_model(&model)?;
    let test = evaluate(&model, &*criterion, &test_data, workers, device)?;
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
