//! The training loop, from data to a saved and evaluated model. It reads from top to bottom.

use std::path::Path;
use std::time::Instant;

use gradus_data::{DataLoader, Dataset, Split};
use gradus_nn::{Layer, Module};
use gradus_tensor::{Error, ErrorKind, Result, manual_seed};

use crate::log::{
    Csv, Environment, EpochEnd, Flow, JsonLines, Observer, RunEnd, RunStart, StepEnd, StepSeconds,
    gradient_norms,
};
use crate::metrics::{Mean, Score};
use crate::{Config, EpochMetrics, Evaluation, Progress, RunFolder, RunMetrics, examine, report};

/// Norms of gradients are measured at every so-manieth batch of an epoch, from its first on: they
/// read every gradient once more.
const NORMS_EVERY: usize = 10;

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
    train_observed(config, workers, out, progress, Vec::new())
}

/// As [`train()`], with observers of the caller's beside those that write the run's files.
///
/// # Errors
/// As [`train()`], and those of the observers.
pub fn train_observed(
    config: &Config,
    workers: usize,
    out: Option<&Path>,
    progress: &Progress,
    mut observers: Vec<Box<dyn Observer + '_>>,
) -> Result<(RunFolder, Evaluation)> {
    // Data and model come first: if they are not there or do not fit, no folder is made.
    let mut config = config.clone();
    config.check()?;
    config.make_absolute();
    let reading = progress.reading(config.data.name());
    let data = config.open(Split::Train)?;
    let test_data = config.open(Split::Test)?;
    drop(reading);
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
    let mut test_metrics = config.metrics(&spec)?;

    let folder = match out {
        Some(path) => RunFolder::create(path)?,
        None => RunFolder::create_numbered("runs".as_ref(), config.data.name())?,
    };
    folder.save_config(&config)?;
    folder.save_data(&spec)?;
    progress.started(&config, &data, &test_data, model.num_parameters());
    observers.insert(0, Box::new(JsonLines::new()));
    observers.insert(1, Box::new(Csv::new()));
    let (names, parameters): (Vec<_>, Vec<_>) = model.named_parameters().into_iter().unzip();
    observers.run_start(&RunStart {
        folder: folder.path().to_owned(),
        name: config.data.name().to_owned(),
        config: config.to_string(),
        data: spec.clone(),
        parameters: model.num_parameters(),
        train_samples: samples,
        test_samples: test_data.samples().len(),
        epochs: config.epochs,
        steps_per_epoch: loader.len(),
        parameter_names: names,
        environment: Environment::now(workers),
    })?;

    let run_start = Instant::now();
    let mut steps = 0;
    let mut metrics = RunMetrics::default();
    'run: for epoch in 1..=config.epochs {
        let start = Instant::now();
        let mut average_loss = Mean::new(device);
        let mut score = Score::new(&spec.task, device);
        let mut progress = progress.epoch(epoch, config.epochs, loader.len());
        let (mut flow, mut epoch_samples) = (Flow::Continue, 0);
        model.train(true);
        let mut waiting = Instant::now();

        for (number, batch) in (&loader).into_iter().enumerate() {
            let (inputs, targets) = batch?;
            let batch_samples = inputs.try_shape()?.first().copied().unwrap_or(0);
            epoch_samples += batch_samples;
            let recording = Instant::now();
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
            let norms = number.is_multiple_of(NORMS_EVERY).then(|| gradient_norms(&parameters));

            // The metrics are sums on the device and become part of the step.
            average_loss.update(&loss, targets.numel());
            score.update(&predictions, &targets);

            // Loss, gradients, update and metrics run here, as one plan.
            let (lr, computing) = (optimizer.lr(), Instant::now());
            optimizer.step().map_err(|error| {
                let place = format!("epoch {epoch}, batch {} of {}", number + 1, loader.len());
                explain(error).context(place)
            })?;

            // The loss was computed with the rest: reading it copies one number.
            let done = Instant::now();
            steps += 1;
            let step = StepEnd {
                step: steps,
                epoch,
                loss: loss.item::<f64>()?,
                lr,
                samples: batch_samples,
                gradient_norms: norms.map(|norms| norms.to_vec::<f64>()).transpose()?,
                seconds: StepSeconds {
                    data: (recording - waiting).as_secs_f64(),
                    record: (computing - recording).as_secs_f64(),
                    compute: (done - computing).as_secs_f64(),
                },
            };
            progress.step(&step);
            flow = observers.step_end(&step)?;
            if flow == Flow::Stop {
                break;
            }
            waiting = Instant::now();
        }

        let (loss, score) = (average_loss.value()?, score.value()?);
        if let Some(schedule) = &mut schedule {
            schedule.after_epoch(&mut *optimizer, loss)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let samples_per_second = epoch_samples as f64 / seconds;
        let epoch = EpochMetrics { epoch, loss, score, seconds, samples_per_second };
        progress.finish(&epoch);
        metrics.epochs.push(epoch.clone());
        folder.save_metrics(&metrics)?;
        observers.epoch_end(&EpochEnd { step: steps, metrics: epoch })?;
        if flow == Flow::Stop {
            break 'run;
        }
    }

    // Saved before it is evaluated: whatever happens then, the work is not lost.
    folder.save_model(&model)?;
    let test = examine(&model, &*criterion, &test_data, workers, device, &mut test_metrics, steps)?;
    metrics.test = Some(test.evaluation.clone());
    folder.save_metrics(&metrics)?;
    observers.evaluation_end(&test)?;
    observers.run_end(&RunEnd {
        step: steps,
        seconds: run_start.elapsed().as_secs_f64(),
        model_sha256: folder.model_sha256()?,
        data_sha256: None,
    })?;
    // The dashboard, if there is one, gives the terminal back.
    drop(observers);
    report::write(&folder, Some(&test_data))?;
    Ok((folder, test.evaluation))
}

/// The error of a step, with what may help where the loss is no longer finite.
fn explain(error: Error) -> Error {
    if error.kind() == ErrorKind::Value && error.message().starts_with("loss ") {
        let message = format!("{}; training diverged, try a lower learning rate", error.message());
        return Error::new(ErrorKind::Value, message);
    }
    error
}
