//! The metrics that a configuration may choose.

use std::num::NonZeroUsize;

use gradus_tensor::{Device, Error, ErrorKind, Result};

use super::table::table;
use super::value::{Positive, Setting, Value};
use crate::data::Task;
use crate::metrics::{
    AUROC, Accuracy, Average, AveragePrecision, CalibrationError, ConfusionMatrix, FBetaScore,
    LogLoss, MeanAbsoluteError, MeanSquaredError, Metric, Precision, R2Score, Recall,
    RootMeanSquaredError, TopKAccuracy, refuse_micro,
};

/// A metric, chosen by name.
pub type AnyMetric = Box<dyn Metric>;

/// What a metric must know.
#[derive(Clone, Debug)]
pub struct MetricInput {
    /// What is predicted.
    pub task: Task,
    /// Where the predictions are.
    pub device: Device,
}

impl MetricInput {
    /// How many classes there are; an error where numbers are predicted.
    fn classes(&self) -> Result<usize> {
        match self.task {
            Task::Regression { .. } => {
                let message = format!(
                    "it is for classes, and the data are {}; take MeanAbsoluteError, R2Score …",
                    self.task
                );
                Err(Error::new(ErrorKind::Usage, message))
            }
            _ => Ok(self.task.outputs().map_or(0, NonZeroUsize::get)),
        }
    }

    /// An error unless numbers are predicted.
    fn numbers(&self) -> Result<()> {
        if let Task::Regression { .. } = self.task {
            return Ok(());
        }
        let message =
            format!("it is for numbers, and the data have {}; take Accuracy, LogLoss …", self.task);
        Err(Error::new(ErrorKind::Usage, message))
    }
}

table! {
    /// Every metric known by name. A metric of another kind is one more row.
    pub const METRICS: fn(input: MetricInput) -> AnyMetric;

    /// The share of samples whose class has the highest logit.
    "Accuracy" {} => {
        input.classes()?;
        Ok(Box::new(Accuracy::new(input.device)))
    };
    /// The share of samples whose class is among the `k` highest logits.
    "TopKAccuracy" { k: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4) } => {
        let classes = input.classes()?;
        if k.get() > classes {
            let message = format!("`k` is {k}, but there are {classes} classes; give a smaller one");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(Box::new(TopKAccuracy::new(k.get(), input.device)))
    };
    /// Of the samples predicted to be of a class, the share that is.
    "Precision" { average: Average = Average::Macro } => {
        Ok(Box::new(Precision::new(input.classes()?, input.device).average(average)))
    };
    /// Of the samples of a class, the share predicted to be.
    "Recall" { average: Average = Average::Macro } => {
        Ok(Box::new(Recall::new(input.classes()?, input.device).average(average)))
    };
    /// The harmonic mean of precision and recall.
    "F1Score" { average: Average = Average::Macro } => {
        Ok(Box::new(FBetaScore::new(input.classes()?, 1.0, input.device).average(average)))
    };
    /// As F1Score, with recall counting `beta` times as much.
    "FBetaScore" { beta: Positive, average: Average = Average::Macro } => {
        Ok(Box::new(FBetaScore::new(input.classes()?, beta.0, input.device).average(average)))
    };
    /// How often each class was taken for each.
    "ConfusionMatrix" {} => Ok(Box::new(ConfusionMatrix::new(input.classes()?, input.device)));
    /// The area under the ROC curve of each class against the rest. Keeps all scores.
    "AUROC" { average: Average = Average::Macro } => {
        input.classes()?;
        refuse_micro("AUROC", average)?;
        Ok(Box::new(AUROC::new().average(average)))
    };
    /// The area under precision over recall of each class against the rest. Keeps all scores.
    "AveragePrecision" { average: Average = Average::Macro } => {
        input.classes()?;
        refuse_micro("AveragePrecision", average)?;
        Ok(Box::new(AveragePrecision::new().average(average)))
    };
    /// Minus the logarithm of the label's probability, in nats.
    "LogLoss" {} => {
        input.classes()?;
        Ok(Box::new(LogLoss::new(input.device)))
    };
    /// How far the confidence is from the accuracy, over `bins` of confidence.
    "CalibrationError" { bins: NonZeroUsize = NonZeroUsize::MIN.saturating_add(14) } => {
        input.classes()?;
        Ok(Box::new(CalibrationError::new(bins.get(), input.device)))
    };
    /// The mean of squared errors.
    "MeanSquaredError" {} => {
        input.numbers()?;
        Ok(Box::new(MeanSquaredError::new(input.device)))
    };
    /// Its square root, in the unit of the targets.
    "RootMeanSquaredError" {} => {
        input.numbers()?;
        Ok(Box::new(RootMeanSquaredError::new(input.device)))
    };
    /// The mean of absolute errors.
    "MeanAbsoluteError" {} => {
        input.numbers()?;
        Ok(Box::new(MeanAbsoluteError::new(input.device)))
    };
    /// The share of the variance that the predictions explain.
    "R2Score" {} => {
        input.numbers()?;
        Ok(Box::new(R2Score::new(input.device)))
    };
}

impl Setting for Average {
    const WANTED: &'static str = "\"macro\", \"micro\", \"weighted\", \"binary\" or \"per_class\"";
    fn read(value: &Value) -> Option<Average> {
        let name = String::read(value)?;
        Average::ALL.iter().find(|(_, known)| *known == name).map(|(average, _)| *average)
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Text(self.name().to_owned()))
    }
}
