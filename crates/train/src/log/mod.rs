//! What a run says of itself while it runs: events, and who listens to them.
//!
//! A loop tells an [`Observer`] when the run starts, when a step, a validation, an epoch or an evaluation ends,
//! and when the run does. The files of a run are observers ([`JsonLines`], [`Csv`],
//! [`TensorBoard`]); one of your own is a struct with the methods that it
//! cares for. Observers are called in the order in which they were given.
//!
//! Invariants: observing changes no bit of what is trained; all that a report or a comparison needs
//! is in the events, and [`History`] reads them back from `log.jsonl`.

mod csv;
mod environment;
mod history;
mod json_lines;
mod observed;
mod tensorboard;
mod time_split;

use std::path::PathBuf;

use gradus_tensor::{Parameter, Result, Tensor, no_grad};
use serde::{Deserialize, Serialize};

pub use csv::Csv;
pub use environment::{Environment, utc};
pub use history::History;
pub use json_lines::JsonLines;
pub(crate) use observed::Observed;
pub use tensorboard::TensorBoard;
pub(crate) use time_split::Stopwatch;
pub use time_split::TimeSplit;

use crate::metrics::MetricValue;
use crate::trainer::Validation;
use crate::{DataSpec, EpochMetrics, Evaluation};

/// Someone who follows a run. Every method does nothing by default.
///
/// ```
/// use gradus_tensor::Result;
/// use gradus_train::log::{Flow, Observer, StepEnd};
///
/// /// Ends training as soon as the loss is small.
/// struct Goal(f64);
///
/// impl Observer for Goal {
///     fn step_end(&mut self, step: &StepEnd) -> Result<Flow> {
///         Ok(if step.loss < self.0 { Flow::Stop } else { Flow::Continue })
///     }
/// }
/// ```
pub trait Observer {
    /// Data and model are there, and the folder of the run.
    ///
    /// # Errors
    /// Any: it ends the run. So do those of the other methods.
    fn run_start(&mut self, run: &RunStart) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// A step of the optimizer is done.
    ///
    /// # Errors
    /// Any.
    fn step_end(&mut self, step: &StepEnd) -> Result<Flow> {
        let _ = step;
        Ok(Flow::Continue)
    }

    /// An epoch is done.
    ///
    /// # Errors
    /// Any.
    fn epoch_end(&mut self, epoch: &EpochEnd) -> Result<()> {
        let _ = epoch;
        Ok(())
    }

    /// The model was validated, in mid-epoch or at the end of one.
    ///
    /// # Errors
    /// Any.
    fn validation_end(&mut self, validation: &ValidationEnd) -> Result<()> {
        let _ = validation;
        Ok(())
    }

    /// The model was evaluated.
    ///
    /// # Errors
    /// Any.
    fn evaluation_end(&mut self, evaluation: &EvaluationEnd) -> Result<()> {
        let _ = evaluation;
        Ok(())
    }

    /// A checkpoint is about to be made: what was said so far is to be where it is kept.
    ///
    /// # Errors
    /// Any.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// A checkpoint of this name is safe on the disk.
    ///
    /// # Errors
    /// Any.
    fn checkpoint(&mut self, name: &str) -> Result<()> {
        let _ = name;
        Ok(())
    }

    /// Something went wrong that the run survives, such as a checkpoint that could not be written.
    ///
    /// # Errors
    /// Any.
    fn warning(&mut self, warning: &str) -> Result<()> {
        let _ = warning;
        Ok(())
    }

    /// The model is saved, and nothing more will be done.
    ///
    /// # Errors
    /// Any.
    fn run_end(&mut self, end: &RunEnd) -> Result<()> {
        let _ = end;
        Ok(())
    }
}

/// Whether training goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    #[default]
    Continue,
    /// This step was the last. The model is saved and evaluated as always.
    Stop,
}

/// A run is about to begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStart {
    /// Its folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// What it is called: the dataset.
    pub name: String,
    /// The configuration, resolved, as a file holds it.
    pub config: String,
    /// What the data are.
    pub data: DataSpec,
    /// How many numbers the optimizer changes.
    pub parameters: usize,
    /// Samples to train on.
    pub train_samples: usize,
    /// Samples to test on.
    pub test_samples: usize,
    /// How often training visits each sample.
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// The parameters' names, in the order of [`StepEnd::gradient_norms`].
    pub parameter_names: Vec<String>,
    /// On what it runs.
    pub environment: Environment,
    /// Steps done before: not 0 if the run goes on from a checkpoint. What was written about later
    /// ones will happen again: logs are cut back to here.
    #[serde(skip)]
    pub steps_done: u64,
    /// Epochs done before.
    #[serde(skip)]
    pub epochs_done: usize,
    /// Validations done before.
    #[serde(skip)]
    pub validations_done: u64,
}

/// A step of the optimizer is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepEnd {
    /// Counted from 1, over the whole run.
    pub step: u64,
    /// Counted from 1.
    pub epoch: usize,
    /// The mean loss of the step, before the update: of all its batches, where gradients are
    /// accumulated.
    #[serde(with = "crate::json_number")]
    pub loss: f64,
    /// The learning rate of the update.
    pub lr: f64,
    /// Samples of the step, in all its batches.
    pub samples: usize,
    /// The 2-norm of each parameter's gradient, at the steps that measure it.
    #[serde(default, with = "crate::json_number::list", skip_serializing_if = "Option::is_none")]
    pub gradient_norms: Option<Vec<f64>>,
    /// Where the time went.
    pub seconds: StepSeconds,
}

impl StepEnd {
    /// The 2-norm of all gradients as if they were one vector, if it was measured.
    pub fn gradient_norm(&self) -> Option<f64> {
        let norms = self.gradient_norms.as_ref()?;
        Some(norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt())
    }
}

/// The time of a step, in seconds, as the loop sees it. Loss, gradients and update run as one plan,
/// so the loop cannot tell them apart; [`TimeSplit`] does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepSeconds {
    /// Waiting for the batch.
    pub data: f64,
    /// Recording the forward and the backward pass.
    pub record: f64,
    /// Running the plan.
    pub compute: f64,
}

impl StepSeconds {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.data + self.record + self.compute
    }
}

/// The model was validated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationEnd {
    /// Steps so far.
    pub step: u64,
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// What was found.
    #[serde(flatten)]
    pub validation: Validation,
}

/// An epoch is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochEnd {
    /// Steps so far.
    pub step: u64,
    /// What the epoch came to.
    #[serde(flatten)]
    pub metrics: EpochMetrics,
}

/// The model was evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationEnd {
    /// Steps so far.
    pub step: u64,
    /// Loss and what suits the task.
    pub evaluation: Evaluation,
    /// The metrics that the configuration asks for.
    pub metrics: Vec<NamedValue>,
    /// For each label, how many of its samples were predicted to be each class.
    pub confusion: Option<Vec<Vec<u64>>>,
    /// The worst predictions, the worst first.
    pub mistakes: Vec<Mistake>,
}

/// A metric and what it came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedValue {
    /// [`Metric::name`](crate::metrics::Metric::name).
    pub name: String,
    /// Its value.
    pub value: MetricValue,
}

/// A prediction far from the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// The number of the sample.
    pub sample: usize,
    /// The label, or the true number.
    #[serde(with = "crate::json_number")]
    pub target: f64,
    /// The class predicted, or the number.
    #[serde(with = "crate::json_number")]
    pub predicted: f64,
    /// For classes, the probability given to the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// For classes, the probability given to the class predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
}

/// Nothing more will be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Steps in all.
    pub step: u64,
    /// From the start of training to the end of the evaluation.
    pub seconds: f64,
    /// The SHA-256 of the weights, as the receipt has it.
    pub weights_sha256: String,
    /// The step after which they were, if those of the best validation were restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<u64>,
    /// The SHA-256 of the training data, if it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<String>,
    /// Where the time of its steps went, if there were enough to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeSplit>,
    /// What would save the most time: `62% waiting for data, photos: use 4 workers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bottleneck: Option<String>,
}

/// Several observers as one. Training stops when one of them says so.
impl Observer for Vec<Box<dyn Observer + '_>> {
    fn run_start(&mut self, run: &RunStart) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.run_start(run))
    }

    fn step_end(&mut self, step: &StepEnd) -> Result<Flow> {
        let mut flow = Flow::Continue;
        for observer in self {
            if observer.step_end(step)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        Ok(flow)
    }

    fn epoch_end(&mut self, epoch: &EpochEnd) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.epoch_end(epoch))
    }

    fn validation_end(&mut self, validation: &ValidationEnd) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.validation_end(validation))
    }

    fn evaluation_end(&mut self, evaluation: &EvaluationEnd) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.evaluation_end(evaluation))
    }

    fn flush(&mut self) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.flush())
    }

    fn checkpoint(&mut self, name: &str) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.checkpoint(name))
    }

    fn warning(&mut self, warning: &str) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.warning(warning))
    }

    fn run_end(&mut self, end: &RunEnd) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.run_end(end))
    }
}

/// The 2-norm of each parameter's gradient, `[parameters]` in f64: 0 where there is none. It stands
/// between `backward` and `step`, records only and becomes part of the step.
pub fn gradient_norms(parameters: &[Parameter]) -> Tensor {
    no_grad(|| {
        let norm = |parameter: &Parameter| match parameter.grad() {
            Some(grad) => grad.square().sum().cast(gradus_tensor::DType::F64).sqrt(),
            None => Tensor::from_slice(&[0.0f64], []),
        };
        let norms: Vec<Tensor> = parameters.iter().map(norm).collect();
        match norms.is_empty() {
            true => Tensor::from_slice::<f64>(&[], [0]),
            false => Tensor::stack(&norms.iter().collect::<Vec<_>>(), 0),
        }
    })
}
