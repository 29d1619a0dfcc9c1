//! The trainer: a loop that loses nothing and hides nothing.
//!
//! [`Trainer::fit`] is the loop; the file it stands in reads top to bottom. What it is made of serves
//! a loop of your own: [`Accumulator`], [`Ema`], [`EarlyStopping`], [`find_lr`], [`probe()`],
//! [`clip_grad_norm_`](gradus_nn::optim::clip_grad_norm_), the schedules of
//! [`lr_scheduler`](gradus_nn::optim::lr_scheduler), [`checkpoint`](crate::checkpoint). What users
//! add is a [`Callback`].
//!
//! Invariants: with the same seed, a run that was interrupted at any moment and resumed ends with
//! the bits of one that was not; whatever only looks (validation, checkpoints, callbacks) changes
//! no bit; a step that fails changes nothing.

mod accumulate;
mod callback;
mod dump;
mod early_stopping;
mod ema;
mod fit;
mod guard;
mod lr_finder;
mod objective;
mod precision;
mod probe;
mod saving;
mod state;
mod validate;

use std::time::Duration;

use gradus_nn::StateDict;
use gradus_nn::optim::Optimizer;
use gradus_tensor::{Device, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

pub use accumulate::Accumulator;
pub use callback::{Callback, Control, EpochStart, FitStart, StepEnd};
pub use dump::{Dump, DumpedStep, DumpedUpdate, Dumps};
pub use early_stopping::EarlyStopping;
pub use ema::Ema;
pub use lr_finder::{LrCurve, find_lr};
pub use objective::{Cost, Objective, Supervised};
pub use precision::Precision;
pub use probe::{Numbers, Pass, Probe, Probed, probe};

use crate::checkpoint::CheckpointFolder;
use crate::config::Scheduler;
use crate::metrics::{Mean, Score, ScoreValue};
use state::Totals;

/// Trains a model.
///
/// | option | default | |
/// |---|---|---|
/// | [`epochs`](Trainer::epochs), [`steps`](Trainer::steps), [`time`](Trainer::time) | one must be given | how long; the first that is over counts |
/// | [`accumulate`](Trainer::accumulate) | 1 | batches per step of the optimizer |
/// | [`clip_norm`](Trainer::clip_norm), [`clip_value`](Trainer::clip_value) | off | bounds of the gradients |
/// | [`schedule`](Trainer::schedule) | the rate stays | per step of the optimizer, or per epoch |
/// | [`ema`](Trainer::ema) | off | averages of the weights |
/// | [`validate_every`](Trainer::validate_every), [`validate_every_steps`](Trainer::validate_every_steps) | 1 epoch | when to validate |
/// | [`early_stopping`](Trainer::early_stopping) | off | on the validation loss, or else the training loss |
/// | [`restore_best`](Trainer::restore_best) | off | end with the best weights rather than the last |
/// | [`checkpoints`](Trainer::checkpoints) | off | save the run, and go on from where it was saved |
/// | [`precision`](Trainer::precision) | f32 | what forward and backward are computed in, where the device offers more |
/// | [`guard`](Trainer::guard) | on | stop before an update with a loss or gradient that is not finite |
/// | [`dumps`](Trainer::dumps) | off | keep such a step, to compute it again |
/// | [`fast_dev_run`](Trainer::fast_dev_run), [`overfit_one_batch`](Trainer::overfit_one_batch) | off | to find mistakes |
///
/// ```
/// use gradus_data::{DataLoader, Split, datasets};
/// use gradus_nn::optim::Adam;
/// use gradus_nn::{CrossEntropyLoss, Flatten, Linear, Module, Sequential};
/// use gradus_tensor::Tensor;
/// use gradus_train::trainer::{Supervised, Trainer};
///
/// gradus_tensor::manual_seed(0);
/// let loader = DataLoader::new(datasets::digits(Split::Train)).batch_size(64).shuffle(0);
/// let validation = DataLoader::new(datasets::digits(Split::Test)).batch_size(256);
/// let model = Sequential::new().add(Flatten::default()).add(Linear::new(64, 10));
/// let criterion = CrossEntropyLoss::default();
/// let loss = |logits: &Tensor, labels: &Tensor| criterion.forward(logits, labels);
///
/// let mut trainer = Trainer::new(Adam::new(model.parameters(), 3e-3)).epochs(2).clip_norm(1.0);
/// let fit = trainer.fit(&Supervised::new(&model, &loss), &loader, Some(&validation))?;
/// assert_eq!((fit.step, fit.epochs.len()), (46, 2));
/// assert!(fit.epochs[1].loss < fit.epochs[0].loss);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub struct Trainer<'a> {
    optimizer: Box<dyn Optimizer + 'a>,
    options: Options,
    schedule: Option<Scheduler>,
    ema: Option<Ema>,
    early_stopping: Option<EarlyStopping>,
    best: Option<Best>,
    checkpoints: Option<Checkpoints>,
    dumps: Option<Dumps>,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    /// Makes the metric that suits the task, empty.
    score: Option<Box<dyn Fn() -> Score + 'a>>,
    device: Device,
    identity: String,
}

/// The best weights so far.
struct Best {
    /// After how many steps.
    step: u64,
    /// Parameters, or their averages, and buffers.
    weights: StateDict,
}

struct Options {
    epochs: Option<u64>,
    steps: Option<u64>,
    time: Option<Duration>,
    accumulate: u64,
    clip_norm: Option<f64>,
    clip_value: Option<f64>,
    ema: Option<f64>,
    validate_epochs: u64,
    validate_steps: Option<u64>,
    restore_best: bool,
    precision: Precision,
    guard: bool,
    fast_dev_run: bool,
    overfit_one_batch: bool,
}

/// When to save a run, and which checkpoints to keep.
///
/// A run is always saved at its end, and when a callback asks for it.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// Where they are.
    pub folder: CheckpointFolder,
    /// After every so many steps of the optimizer. Off by default.
    pub every_steps: Option<u64>,
    /// After every so many epochs. Off by default.
    pub every_epochs: Option<u64>,
    /// Whenever so much time has passed since the last: 5 minutes by default.
    pub every: Option<Duration>,
    /// How many of the last to keep: 2 by default.
    pub keep_last: usize,
    /// Whether to save and keep the one with the lowest validation loss: no by default.
    pub keep_best: bool,
    /// Whether SIGINT and SIGTERM save and stop, and SIGUSR1 saves: no by default, as signals
    /// belong to the program.
    pub signals: bool,
}

impl Checkpoints {
    /// Checkpoints in a folder, every five minutes.
    pub fn new(folder: CheckpointFolder) -> Checkpoints {
        Checkpoints {
            folder,
            every_steps: None,
            every_epochs: None,
            every: Some(Duration::from_secs(300)),
            keep_last: 2,
            keep_best: false,
            signals: false,
        }
    }
}

/// What a look at samples that are not trained on has found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The mean loss.
    #[serde(with = "crate::json_number")]
    pub loss: f64,
    /// The metric that suits the task, where the trainer knows the task.
    pub score: Option<ScoreValue>,
    /// How many terms the loss is the mean of.
    pub samples: usize,
}

/// An epoch that is over. Loss and score are those of each batch before its own update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochSummary {
    /// Counted from 1.
    pub epoch: u64,
    /// Steps of the optimizer done.
    pub step: u64,
    /// The mean loss.
    #[serde(with = "crate::json_number")]
    pub loss: f64,
    /// The metric that suits the task, where the trainer knows the task.
    pub score: Option<ScoreValue>,
    /// The last validation in the epoch.
    pub validation: Option<Validation>,
    /// Samples trained on.
    pub samples: usize,
    /// How long it took, interruptions left out.
    pub seconds: f64,
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Steps of the optimizer done.
    pub step: u64,
    /// The epochs; the last may be a part of one.
    pub epochs: Vec<EpochSummary>,
    /// How long it took, interruptions left out.
    pub seconds: f64,
    /// Of it, since the run began or went on, how long the loop waited for its state to be copied
    /// into checkpoints. They are written meanwhile.
    pub paused: f64,
    /// The step whose weights the model has been given back, if they were asked for.
    pub restored: Option<u64>,
    /// Why it is over.
    pub ended: Ended,
}

/// Why a run is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The epochs, the steps or the time are over.
    Finished,
    /// A callback or early stopping said so: why.
    Stopped(String),
    /// A signal of this name asked for it. The run can go on.
    Interrupted(&'static str),
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident($argument:ident: $t:ty) $field:ident = $value:expr;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $argument: $t) -> Trainer<'a> {
            self.options.$field = $value;
            self
        }
    )*};
}

impl<'a> Trainer<'a> {
    /// A trainer with an optimizer.
    pub fn new(optimizer: impl Optimizer + 'a) -> Trainer<'a> {
        Trainer::with_optimizer(Box::new(optimizer))
    }

    /// A trainer with an optimizer chosen when the program runs.
    pub fn with_optimizer(optimizer: Box<dyn Optimizer + 'a>) -> Trainer<'a> {
        Trainer {
            optimizer,
            options: Options {
                epochs: None,
                steps: None,
                time: None,
                accumulate: 1,
                clip_norm: None,
                clip_value: None,
                ema: None,
                validate_epochs: 1,
                validate_steps: None,
                restore_best: false,
                precision: Precision::F32,
                guard: true,
                fast_dev_run: false,
                overfit_one_batch: false,
            },
            schedule: None,
            ema: None,
            early_stopping: None,
            best: None,
            checkpoints: None,
            dumps: None,
            callbacks: Vec::new(),
            score: None,
            device: Device::Cpu,
            identity: String::new(),
        }
    }

    options! {
        /// How often to visit each sample.
        epochs(epochs: u64) epochs = Some(epochs);
        /// How many steps of the optimizer to make.
        steps(steps: u64) steps = Some(steps);
        /// How long to train, at most. The step that is being made is finished.
        time(time: Duration) time = Some(time);
        /// Batches per step of the optimizer: see [`Accumulator`].
        accumulate(batches: u64) accumulate = batches;
        /// Scales the gradients so that their norm over all parameters is at most this.
        clip_norm(max_norm: f64) clip_norm = Some(max_norm);
        /// Bounds each element of the gradients to `-bound..=bound`.
        clip_value(bound: f64) clip_value = Some(bound);
        /// Averages the weights, see [`Ema`], and validates with the averages.
        ema(decay: f64) ema = Some(decay);
        /// Validates after every so many epochs.
        validate_every(epochs: u64) validate_epochs = epochs;
        /// Validates after every so many steps instead.
        validate_every_steps(steps: u64) validate_steps = Some(steps);
        /// Whether the model ends with the weights with the lowest validation loss, or without
        /// validation the lowest training loss of an epoch, rather than with the last: Keras's
        /// `restore_best_weights`. They are kept in memory, and in checkpoints.
        restore_best(restore: bool) restore_best = restore;
        /// In what to compute forward and backward, if the [`device`](Trainer::device) offers it;
        /// otherwise [`fit`](Trainer::fit) is an error.
        precision(precision: Precision) precision = precision;
        /// Whether to look if the loss and the gradients are finite before each update.
        guard(guard: bool) guard = guard;
        /// One batch of training and one of validation, to see whether everything fits. Nothing
        /// is saved.
        fast_dev_run(fast: bool) fast_dev_run = fast;
        /// Trains on the first batch again and again: a model that cannot learn it by heart has a
        /// mistake in it.
        overfit_one_batch(one: bool) overfit_one_batch = one;
    }

    /// Changes the learning rate as a schedule says.
    #[must_use]
    pub fn schedule(mut self, schedule: Scheduler) -> Trainer<'a> {
        self.schedule = Some(schedule);
        self
    }

    /// Stops when the validation loss, or without validation the training loss of the epoch, does
    /// not fall any more.
    #[must_use]
    pub fn early_stopping(mut self, stopping: EarlyStopping) -> Trainer<'a> {
        self.early_stopping = Some(stopping);
        self
    }

    /// Saves the run, and lets [`fit`](Trainer::fit) go on from the newest checkpoint there is.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Trainer<'a> {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// Keeps a step that the [`guard`](Trainer::guard) has stopped, with its batch and the values
    /// before it: see [`Dump`].
    #[must_use]
    pub fn dumps(mut self, dumps: Dumps) -> Trainer<'a> {
        self.dumps = Some(dumps);
        self
    }

    /// Adds a callback. They are called in the order in which they were added.
    #[must_use]
    pub fn callback(mut self, callback: impl Callback + 'a) -> Trainer<'a> {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// What the run is a run of, such as a hash of its configuration: a checkpoint of another run
    /// is then refused.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Trainer<'a> {
        self.identity = identity.into();
        self
    }

    /// The device of the metrics: that of the model.
    #[must_use]
    pub fn device(mut self, device: Device) -> Trainer<'a> {
        self.device = device;
        self
    }

    /// Makes the metric that suits the task.
    #[must_use]
    pub(crate) fn score(mut self, score: impl Fn() -> Score + 'a) -> Trainer<'a> {
        self.score = Some(Box::new(score));
        self
    }

    /// The optimizer.
    pub fn optimizer(&mut self) -> &mut (dyn Optimizer + 'a) {
        &mut *self.optimizer
    }

    /// The averages of the weights, once training has begun and if they were asked for.
    pub fn averages(&self) -> Option<&Ema> {
        self.ema.as_ref()
    }

    fn totals(&self) -> Totals {
        Totals { loss: Mean::new(self.device), score: self.score.as_ref().map(|score| score()) }
    }

    /// Whether the options make sense.
    fn check(&self) -> Result<()> {
        let options = &self.options;
        let wrong = |why: &str| Err(Error::new(ErrorKind::Usage, format!("Trainer: {why}")));
        let endless = options.epochs.is_none() && options.steps.is_none();
        if endless && options.time.is_none() && !options.fast_dev_run {
            return wrong("say how long to train: `epochs`, `steps` or `time`");
        }
        if options.accumulate == 0 {
            return wrong("`accumulate` is 0; a step takes at least one batch");
        }
        if options.validate_epochs == 0 || options.validate_steps == Some(0) {
            return wrong("validation every 0 epochs or steps; give 1 or more");
        }
        if options.ema.is_some_and(|decay| !(0.0..=1.0).contains(&decay)) {
            return wrong("the decay of `ema` lies between 0 and 1");
        }
        if let Some(c) = &self.checkpoints
            && (c.every_steps == Some(0) || c.every_epochs == Some(0))
        {
            return wrong("checkpoints every 0 steps or epochs; give 1 or more");
        }
        options.precision.check(self.device)
    }
}
