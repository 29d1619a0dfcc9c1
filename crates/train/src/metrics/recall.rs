//! Recall of classes.

use gradus_tensor::{Device, Result, Tensor};

use super::average::{Average, Hits, average};
use super::metric::same;
use super::{ConfusionMatrix, Metric, MetricValue};

/// Recall: the share of the samples of a class predicted to be, `TP / (TP + FN)`, averaged over classes.
///
/// Undefined, none, where there are no such samples; [`Average`] says how averages count that.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::{Average, Metric, Recall};
///
/// let mut metric = Recall::new(2, Device::Cpu).average(Average::Binary);
/// let logits = Tensor::from_slice(&[0.1f32, 0.9, 0.8, 0.2, 0.3, 0.7, 0.0, 1.0], [4, 2]);
/// metric.update(&logits, &Tensor::from_slice(&[1i64, 1, 0, 1], [4]));
/// assert_eq!(metric.value()?.number(), Some(2.0 / 3.0));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recall {
    confusion: ConfusionMatrix,
    average: Average,
}

impl Recall {
    /// That of no samples yet, [`Average::Macro`].
    pub fn new(classes: usize, device: Device) -> Recall {
        Recall { confusion: ConfusionMatrix::new(classes, device), average: Average::default() }
    }

    /// With another average.
    #[must_use]
    pub fn average(mut self, average: Average) -> Recall {
        self.average = average;
        self
    }
}

impl Metric for Recall {
    fn name(&self) -> String {
        format!("recall_{}", self.average.name())
    }

    fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        self.confusion.update(predictions, targets);
    }

    fn merge(&mut self, other: &dyn Metric) -> Result<()> {
        let other = same(self, other)?;
        self.confusion.merge(&other.confusion)
    }

    fn value(&self) -> Result<MetricValue> {
        Ok(average(&Hits::of(&self.confusion.counts()?), self.average, Hits::recall))
    }
}
