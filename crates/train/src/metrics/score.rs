//! What is watched during training besides the loss: accuracy, or the mean absolute error.

use std::fmt;

use gradus_nn::StateDict;
use gradus_tensor::{Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Accuracy, Errors};
use crate::data::Task;

/// A running metric that suits a task.
#[derive(Debug)]
pub(crate) enum Score {
    Accuracy(Accuracy),
    Errors(Errors),
}

/// The value of the metric that suits the task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreValue {
    /// The share of correct predictions, 0–1.
    Accuracy(#[serde(with = "crate::json_number")] f64),
    /// The mean distance of predicted numbers from the true ones.
    MeanAbsoluteError(#[serde(with = "crate::json_number")] f64),
}

impl Score {
    pub(crate) fn new(task: &Task, device: Device) -> Score {
        match task {
            Task::Classification { .. } | Task::Language { .. } => {
                Score::Accuracy(Accuracy::new(device))
            }
            Task::Regression { .. } => Score::Errors(Errors::new(device)),
        }
    }

    pub(crate) fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        match self {
            // Of labels that were mixed, the one that weighs most counts.
            Score::Accuracy(accuracy) if targets.dtype().is_float() => {
                accuracy.update(predictions, &targets.argmax(-1));
            }
            Score::Accuracy(accuracy) => accuracy.update(predictions, targets),
            Score::Errors(errors) => errors.update(predictions, targets),
        }
    }

    /// How many predictions there have been.
    pub(crate) fn terms(&self) -> usize {
        match self {
            Score::Accuracy(accuracy) => accuracy.samples(),
            Score::Errors(errors) => errors.samples(),
        }
    }

    pub(crate) fn state_dict(&self) -> StateDict {
        match self {
            Score::Accuracy(accuracy) => accuracy.state_dict(),
            Score::Errors(errors) => errors.state_dict(),
        }
    }

    pub(crate) fn load_state_dict(&mut self, state: &StateDict, terms: usize) -> Result<()> {
        match self {
            Score::Accuracy(accuracy) => accuracy.load_state_dict(state, terms),
            Score::Errors(errors) => errors.load_state_dict(state, terms),
        }
    }

    pub(crate) fn value(&self) -> Result<ScoreValue> {
        Ok(match self {
            Score::Accuracy(accuracy) => ScoreValue::Accuracy(accuracy.value()?),
            Score::Errors(errors) => ScoreValue::MeanAbsoluteError(errors.mean_absolute_error()?),
        })
    }
}

impl ScoreValue {
    /// What logs call it, and its value.
    pub fn named(self) -> (&'static str, f64) {
        match self {
            ScoreValue::Accuracy(share) => ("accuracy", share),
            ScoreValue::MeanAbsoluteError(error) => ("mean_absolute_error", error),
        }
    }
}

/// `accuracy  91.44%`.
impl fmt::Display for ScoreValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScoreValue::Accuracy(share) => write!(f, "accuracy {:>6.2}%", 100.0 * share),
            ScoreValue::MeanAbsoluteError(error) => write!(f, "MAE {error:.4}"),
        }
    }
}
