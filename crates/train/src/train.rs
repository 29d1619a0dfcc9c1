//! The whole job of `gradus train`, from data to a saved and evaluated model. It reads from top to
//! bottom; the loop itself is [`Trainer::fit`].

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gradus_data::transforms::MixedParts;
use gradus_data::{DataLoader, Split};
use gradus_nn::Module;
use gradus_tensor::{Error, ErrorKind, Result, Tensor, manual_seed};

use crate::checkpoint::{Checkpoint, Files};
use crate::fingerprint::hash_data;
use crate::log::{
    Csv, Environment, JsonLines, Observed, Observer, RunEnd, RunStart, Stopwatch, TimeSplit,
};
use crate::metrics::{Score, ScoreValue};
use crate::numbers::thousands;
use crate::receipt::{config_hash, identity};
use crate::run_folder::{CONFIG, DATA};
use crate::shown::Shown;
use crate::trainer::{
    Checkpoints, Dumps, EarlyStopping, Ema, Ended, EpochSummary, LrCurve, Supervised, Trainer,
    find_lr,
};
use crate::{
    Build, Config, DataSpec, EpochMetrics, Evaluation, Progress, Receipt, RunFolder, RunMetrics,
    check, evaluate, examine, report, weight_hash,
};

/// How to run a configuration, apart from what decides its result.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Threads that assemble batches.
    pub workers: usize,
    /// The folder of the run; by default `runs/<dataset>-<number>`.
    pub out: Option<PathBuf>,
    /// Whether to go on with a run that was interrupted: no by default.
    pub resume: Resume,
    /// Whether a run may go on with other data than it began with: no by default, and then it is an
    /// error.
    pub changed_data: bool,
    /// Whether to save checkpoints, as the configuration says: yes by default.
    pub checkpoints: bool,
    /// Ends after so many steps; schedules do not know of it.
    pub stop_after: Option<u64>,
    /// One batch of training, one of validation and one of the test; no folder is made.
    pub fast_dev_run: bool,
    /// Trains on the first batch again and again, with a constant learning rate and without early
    /// stopping, and says whether it was learned by heart; no folder is made.
    pub overfit_one_batch: bool,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            workers: 0,
            out: None,
            resume: Resume::No,
            changed_data: false,
            checkpoints: true,
            stop_after: None,
            fast_dev_run: false,
            overfit_one_batch: false,
        }
    }
}

/// How often the one batch is visited at least: what a network does not know by heart by then it
/// will not.
const OVERFIT_STEPS: usize = 200;

/// Of those, a line is shown of every so many.
const OVERFIT_LINES: usize = 20;

/// Which run to go on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// None: a new one.
    #[default]
    No,
    /// The one in [`out`](RunOptions::out), or else the newest of this dataset, if there is one and
    /// it is not finished; otherwise a new one.
    Auto,
    /// The one in this folder; its configuration is [`RunFolder::config`].
    Folder(PathBuf),
}

/// What has come of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Its folder; none if the run was only tried out.
    pub folder: Option<RunFolder>,
    /// How well the trained model does; none if the run is not finished.
    pub test: Option<Evaluation>,
    /// Where the time of its steps went, and what would save the most of it.
    pub times: Option<(TimeSplit, String)>,
    /// Why training ended.
    pub ended: Ended,
}

/// Trains a network in a new folder and evaluates it: [`run`] with everything else by default.
///
/// # Errors
/// As [`run`].
pub fn train(
    config: &Config,
    workers: usize,
    out: Option<&Path>,
    progress: &Progress,
) -> Result<(RunFolder, Evaluation)> {
    let options = RunOptions { workers, out: out.map(Path::to_owned), ..RunOptions::default() };
    match run(config, &options, progress)? {
        Outcome { folder: Some(folder), test: Some(test), .. } => Ok((folder, test)),
        Outcome { ended, .. } => {
            let message = format!("the run has not come to its end: {ended:?}");
            Err(Error::new(ErrorKind::Usage, message))
        }
    }
}

/// Trains a network and evaluates it, or goes on with a run that was interrupted: the job of
/// `gradus train`.
///
/// Everything about it is written to its folder. The saved model depends neither on workers nor on
/// interruptions.
///
/// # Errors
/// If the data cannot be read, the configuration does not fit them or the run to go on with, the
/// folder cannot be made or is not empty, or the loss or a gradient is no longer finite.
pub fn run(config: &Config, options: &RunOptions, progress: &Progress) -> Result<Outcome> {
    run_observed(config, options, progress, Vec::new())
}

/// As [`run`], with observers of the caller's beside those that write the logs of the run. A run
/// that is only tried out is not observed.
///
/// # Errors
/// As [`run`], and those of the observers.
pub fn run_observed(
    config: &Config,
    options: &RunOptions,
    progress: &Progress,
    mut observers: Vec<Box<dyn Observer + '_>>,
) -> Result<Outcome> {
    // Data and model come first: if they are not there or do not fit, no folder is made.
    let mut config = config.clone();
    config.check()?;
    config.make_absolute();
    if options.overfit_one_batch {
        config.epochs = config.epochs.max(OVERFIT_STEPS);
        config.schedule = None;
        config.training.validation.0 = 0.0;
        config.training.early_stopping = None;
    }
    let reading = progress.reading(config.data.name());
    let (data, evaluated) = config.open_to_train()?;
    let mut test_data = config.open(Split::Test)?;
    drop(reading);
    check(&config, &data, &test_data, options.workers)?.settle(progress)?;
    let (spec, device) = (data.spec().clone(), config.device);
    let (train_data, validation_data) = match evaluated {
        None => (data.clone(), None),
        Some(evaluated) => {
            let part = config.training.validation.0;
            let (rest, held) = data.hold_out(&evaluated, part, config.seed);
            (rest, Some(held))
        }
    };

    // All random numbers of this thread follow from the seed; here, those of the initial weights.
    manual_seed(config.seed);
    let model = config.model(&spec)?;
    model.to(device)?;
    let criterion = config.criterion(&spec)?;
    let mut optimizer = config.optimizer(&model)?;
    let loader = config.loader(&train_data, options.workers)?;
    let held_out = validation_data.as_ref().map_or(0, |data| data.samples().len());
    let validation = validation_data.map(|data| {
        let samples = MixedParts::new(data.samples().clone(), None);
        let loader = DataLoader::new(samples).batch_size(256).workers(options.workers);
        loader.skip_errors(config.skip_errors)
    });
    let steps_per_epoch = loader.len().div_ceil(config.training.accumulate.get());
    let all = config.epochs.saturating_mul(steps_per_epoch) as u64;
    let lr = optimizer.lr();
    let schedule = config.schedule(&mut *optimizer, steps_per_epoch)?;
    let mut test_metrics = config.metrics(&spec)?;

    // The configuration is resolved by now: every default and inferred size is in it.
    let tried_out = options.fast_dev_run || options.overfit_one_batch;
    let folder = if tried_out { None } else { Some(open_folder(&config, options)?) };
    let _claim = folder.as_ref().map(RunFolder::claim).transpose()?;
    if let Some(folder) = &folder {
        // One that is to train for longer is not; nor is one that was only stopped, when it is named.
        let finished = || {
            let receipt = folder.receipt()?;
            let most = config.training.max_steps.map_or(all, |n| all.min(n.get() as u64));
            let ended = options.resume == Resume::Auto || receipt.steps >= most;
            Ok::<_, Error>(ended && receipt.config == config_hash(&config))
        };
        if options.resume != Resume::No && folder.is_finished() && finished()? {
            progress.line(format_args!("{} is finished already", folder.path().display()));
            let trained = folder.load_model(&mut config, &spec)?;
            trained.to(device)?;
            let test = evaluate(&trained, &*criterion, &test_data, options.workers, device)?;
            return Ok(Outcome {
                folder: Some(folder.clone()),
                test: Some(test),
                times: None,
                ended: Ended::Finished,
            });
        }
        if !folder.checkpoints().names()?.is_empty()
            && config.has_other_rates(&folder.config()?, lr, steps_per_epoch)?
        {
            progress.warning(
                "the learning rates follow from the length of the run, which began with another: from here on \
                 they are those of this one; gradus verify, which trains anew, will not confirm the run",
            );
        }
        refuse_less(folder, &config)?;
    }
    let hashes = match &folder {
        Some(folder) => {
            // What went in is hashed while training goes on.
            let hash = || {
                let parts = [&data, &test_data].map(|part| part.samples().clone());
                hash_data(folder, parts, options.changed_data, progress)
            };
            // A run that goes on is compared with its data before anything of it changes. A new folder is that
            // of a run once it has a configuration, which therefore comes first.
            let begun = folder.config().is_ok();
            let compared = begun.then(hash).transpose()?;
            folder.save_config(&config)?;
            folder.save_data(&spec)?;
            Some(compared.map_or_else(hash, Ok)?)
        }
        None => None,
    };
    progress.started(&config, &train_data, held_out, &test_data, model.num_parameters());

    observers.insert(0, Box::new(JsonLines::new()));
    observers.insert(1, Box::new(Csv::new()));
    let stopwatch = RefCell::new(Stopwatch::default());
    let every = if options.overfit_one_batch { OVERFIT_LINES } else { 1 };
    let mut trainer = trainer(&config, options, optimizer, folder.as_ref(), validation.is_some())
        .score(|| Score::new(&spec.task, device))
        .callback(Shown::new(progress, folder.as_ref(), &config).every(every));
    if let Some(folder) = &folder {
        trainer = trainer.dumps(Dumps { folder: folder.dumps(), files: origin(&config, &spec)? });
        let start = RunStart {
            folder: folder.path().to_owned(),
            name: config.data.name().to_owned(),
            config: config.to_string(),
            data: spec.clone(),
            parameters: model.num_parameters(),
            train_samples: train_data.samples().len(),
            test_samples: test_data.samples().len(),
            epochs: config.epochs,
            steps_per_epoch,
            parameter_names: model.named_parameters().into_iter().map(|(name, _)| name).collect(),
            environment: Environment::now(options.workers),
            steps_done: 0,
            epochs_done: 0,
            validations_done: 0,
        };
        let accumulate = config.training.accumulate.get();
        trainer = trainer.callback(Observed::new(&mut observers, start, accumulate, &stopwatch));
    }
    if let Some(schedule) = schedule {
        trainer = trainer.schedule(schedule);
    }
    let align = |predictions: Tensor, targets: Tensor| spec.task.align(predictions, targets);
    let objective = Supervised::new(&model, &*criterion).on(device).align(&align);
    let fit = trainer.fit(&objective, &loader, validation.as_ref())?;
    let interrupted = matches!(fit.ended, Ended::Interrupted(_));
    let left_out: BTreeSet<String> =
        iter::once(&loader).chain(&validation).flat_map(DataLoader::skipped).collect();
    for sample in left_out {
        progress.warning(format_args!("{sample}; it was left out (`skip_errors`)"));
    }
    match fit.restored {
        Some(step) => {
            progress.line(format_args!("the weights are those after step {step}, the best"))
        }
        None if interrupted => {}
        None => trainer.averages().map_or(Ok(()), Ema::swap)?,
    }
    drop(trainer);
    let early = matches!(fit.ended, Ended::Finished) && fit.step < all && !tried_out;
    if early && options.stop_after.is_none() {
        let by_steps = config.training.max_steps.is_some_and(|n| n.get() as u64 == fit.step);
        progress.line(format_args!(
            "ended after step {} of {}, as `{}` says",
            thousands(fit.step),
            thousands(all),
            if by_steps { "max_steps" } else { "max_minutes" }
        ));
    }
    let times = stopwatch.into_inner().verdict(|layer| config.layer_name(layer));
    if interrupted {
        return Ok(Outcome { folder, test: None, times, ended: fit.ended });
    }
    if options.overfit_one_batch {
        progress.line(by_heart(&fit.epochs));
        return Ok(Outcome { folder, test: None, times, ended: fit.ended });
    }
    if options.fast_dev_run {
        test_data = test_data.first(config.batch_size);
    }

    // Saved before it is evaluated: whatever happens then, the work is not lost.
    if let Some(folder) = &folder {
        folder.save_model(&model).map_err(|error| unfinished(error, folder))?;
    }
    let evaluating = Instant::now();
    let workers = options.workers;
    let end =
        examine(&model, &*criterion, &test_data, workers, device, &mut test_metrics, fit.step)?;
    let test = end.evaluation.clone();
    if let (Some(folder), Some(hashes)) = (&folder, hashes) {
        let unfinished = |error| unfinished(error, folder);
        observers.evaluation_end(&end)?;
        let epochs: Vec<EpochMetrics> = fit.epochs.iter().filter_map(EpochMetrics::of).collect();
        let metrics = RunMetrics { epochs, test: Some(test.clone()) };
        folder.save_metrics(&metrics).map_err(unfinished)?;
        let hashes = hashes.join().unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Data, "hashing the data panicked; check the dataset"))
        })?;
        let receipt = Receipt {
            build: Build::current(),
            seed: config.seed,
            config: config_hash(&config),
            train_data: hashes.train.all.unwrap_or_default(),
            test_data: hashes.test.all.unwrap_or_default(),
            steps: fit.step,
            restored: fit.restored,
            epochs: fit.epochs,
            weights: weight_hash(&model)?,
        };
        let end = RunEnd {
            step: receipt.steps,
            seconds: fit.seconds + evaluating.elapsed().as_secs_f64(),
            weights_sha256: receipt.weights.clone(),
            restored: receipt.restored,
            data_sha256: Some(receipt.train_data.clone()),
            time: times.as_ref().map(|(split, _)| *split),
            bottleneck: times.as_ref().map(|(_, verdict)| verdict.clone()),
        };
        observers.run_end(&end).map_err(unfinished)?;
        // Their files are whole before the report is made.
        drop(observers);
        report::write(folder, Some(&test_data)).map_err(unfinished)?;
        // With its receipt, the run is finished.
        folder.save_receipt(&receipt).map_err(unfinished)?;
    }
    if options.fast_dev_run {
        progress.line("everything fits: one batch was trained on, and one tested");
        return Ok(Outcome { folder, test: None, times, ended: fit.ended });
    }
    Ok(Outcome { folder, test: Some(test), times, ended: fit.ended })
}

/// The end of a run that could not be written, perhaps as the disk is full: its checkpoints are as
/// they were.
fn unfinished(error: Error, folder: &RunFolder) -> Error {
    let message = format!(
        "{}; when that is mended, gradus train --resume {} goes on from the last checkpoint",
        error.message(),
        folder.path().display()
    );
    Error::new(error.kind(), message)
}

/// Whether one batch was learned by heart: each sample is right, or hardly any of the loss is left.
fn by_heart(epochs: &[EpochSummary]) -> String {
    let (Some(first), Some(last)) = (epochs.first(), epochs.last()) else {
        return "nothing was trained".to_owned();
    };
    let (steps, samples) = (epochs.len(), thousands(last.samples as u64));
    let losses = format!("loss {:.4} → {:.4}", first.loss, last.loss);
    let right = matches!(last.score, Some(ScoreValue::Accuracy(share)) if share == 1.0);
    match right || last.loss.abs() < 0.01 * first.loss.abs() {
        true => format!(
            "learned by heart: {samples} samples in {steps} steps, {losses}; model, loss and \
             optimizer fit together"
        ),
        false => format!(
            "not learned by heart: {samples} samples in {steps} steps, {losses}; try another \
             learning rate (--lr, --find-lr), a larger model, or look for a mistake in labels and \
             loss (gradus check)"
        ),
    }
}

/// The loss of a configuration's model at rising learning rates.
///
/// # Errors
/// As [`run`], but for those of the folder.
pub fn find_learning_rate(
    config: &Config,
    workers: usize,
    range: std::ops::Range<f64>,
    steps: usize,
) -> Result<LrCurve> {
    let mut config = config.clone();
    config.check()?;
    let data = config.open(Split::Train)?;
    let (spec, device) = (data.spec().clone(), config.device);
    manual_seed(config.seed);
    let model = config.model(&spec)?;
    model.to(device)?;
    let criterion = config.criterion(&spec)?;
    let mut optimizer = config.optimizer(&model)?;
    let loader = config.loader(&data, workers)?;
    let align = |predictions: Tensor, targets: Tensor| spec.task.align(predictions, targets);
    let objective = Supervised::new(&model, &*criterion).on(device).align(&align);
    find_lr(&objective, &loader, &mut *optimizer, range, steps)
}

/// The folder of the run, new or that of the run to go on with.
fn open_folder(config: &Config, options: &RunOptions) -> Result<RunFolder> {
    let (runs, name) = (Path::new("runs"), config.data.name());
    match (&options.resume, &options.out) {
        (Resume::No, Some(path)) => RunFolder::create(path),
        (Resume::No, None) => RunFolder::create_numbered(runs, name),
        (Resume::Folder(path), _) => RunFolder::open(path),
        (Resume::Auto, Some(path)) => RunFolder::create_or_open(path),
        (Resume::Auto, None) => match RunFolder::unfinished(runs, name) {
            Some(folder) => Ok(folder),
            None => RunFolder::create_numbered(runs, name),
        },
    }
    .and_then(|folder| {
        // A folder that is new has no configuration yet.
        match folder.config() {
            Ok(before) if identity(&before) != identity(config) => {
                let message = format!(
                    "the run in {} has another configuration; give the same options, or another \
                     folder with --out",
                    folder.path().display()
                );
                Err(Error::new(ErrorKind::Usage, message))
            }
            _ => Ok(folder),
        }
    })
}

/// Refuses to go on with a run that has come further than it now should.
fn refuse_less(folder: &RunFolder, config: &Config) -> Result<()> {
    let shorter = folder.config().is_ok_and(|before| config.epochs < before.epochs);
    if !shorter {
        return Ok(());
    }
    let at = |files| Checkpoint::from_files(files).map(|checkpoint| checkpoint.state);
    let Some((_, state)) = folder.checkpoints().load_newest(at, |_| {})? else { return Ok(()) };
    let count = |key: &str| state[key].as_u64().unwrap_or(0);
    let begun = count("epoch") + u64::from(count("batch") > 0);
    if begun <= config.epochs as u64 {
        return Ok(());
    }
    let message = format!(
        "the run in {} is in epoch {begun} already, and should end after {}; give --epochs {begun} or more, \
         or begin a new run",
        folder.path().display(),
        config.epochs
    );
    Err(Error::new(ErrorKind::Usage, message))
}

/// What the model of a run can be built from.
fn origin(config: &Config, spec: &DataSpec) -> Result<Files> {
    let spec = serde_json::to_vec_pretty(spec)
        .map_err(|error| Error::new(ErrorKind::Format, format!("{DATA}: {error}")))?;
    Ok(vec![(CONFIG.to_owned(), config.to_string().into_bytes()), (DATA.to_owned(), spec)])
}

/// The trainer that a configuration describes.
fn trainer<'a>(
    config: &Config,
    options: &RunOptions,
    optimizer: crate::config::AnyOptimizer,
    folder: Option<&RunFolder>,
    validated: bool,
) -> Trainer<'a> {
    let keys = &config.training;
    let mut trainer = Trainer::with_optimizer(optimizer)
        .epochs(config.epochs as u64)
        .accumulate(keys.accumulate.get() as u64)
        .guard(keys.guard)
        .precision(keys.precision.unwrap_or_default())
        .restore_best(keys.restore_best)
        .device(config.device)
        .fast_dev_run(options.fast_dev_run)
        .overfit_one_batch(options.overfit_one_batch)
        .identity(identity(config));
    let max_steps = keys.max_steps.map(|n| n.get() as u64);
    if let Some(steps) = max_steps.into_iter().chain(options.stop_after).min() {
        trainer = trainer.steps(steps);
    }
    if let Some(minutes) = keys.max_minutes {
        trainer = trainer.time(Duration::from_secs_f64(60.0 * minutes.0));
    }
    if let Some(norm) = keys.clip_norm {
        trainer = trainer.clip_norm(norm.0);
    }
    if let Some(bound) = keys.clip_value {
        trainer = trainer.clip_value(bound.0);
    }
    if let Some(decay) = keys.ema {
        trainer = trainer.ema(decay.0);
    }
    if let Some(steps) = keys.validate_steps {
        trainer = trainer.validate_every_steps(steps.get() as u64);
    }
    if let Some(patience) = keys.early_stopping {
        trainer = trainer.early_stopping(EarlyStopping::new(patience.get()));
    }
    if let Some(folder) = folder.filter(|_| options.checkpoints) {
        let minutes = keys.checkpoint_minutes.0;
        trainer = trainer.checkpoints(Checkpoints {
            every_steps: keys.checkpoint_steps.map(|n| n.get() as u64),
            every_epochs: keys.checkpoint_epochs.map(|n| n.get() as u64),
            every: (minutes > 0.0).then(|| Duration::from_secs_f64(60.0 * minutes)),
            keep_last: keys.keep_checkpoints.get(),
            keep_best: validated,
            signals: true,
            ..Checkpoints::new(folder.checkpoints())
        });
    }
    trainer
}
