//! F-scores of classes.

use gradus_tensor::{Device, Result, Tensor};

use super::average::{Average, Hits, average};
use super::metric::same;
use super::{ConfusionMatrix, Metric, MetricValue};

/// The weighted harmonic mean of precision and recall (van Rijsbergen, 1979), in which recall
/// counts `beta` times as much: `(1 + β²)·TP / ((1 + β²)·TP + β²·FN + FP)`, averaged over classes.
///
/// Undefined, none, for a class that occurs neither among the labels nor among the predictions;
/// [`Average`] says how averages count that.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::{Average, FBetaScore, Metric};
///
/// let mut f1 = FBetaScore::new(2, 1.0, Device::Cpu).average(Average::Binary);
/// let logits = Tensor::from_slice(&[0.1f32, 0.9, 0.8, 0.2, 0.3, 0.7, 0.0, 1.0], [4, 2]);
/// f1.update(&logits, &Tensor::from_slice(&[1i64, 1, 0, 1], [4]));
/// assert_eq!(f1.value()?.number(), Some(2.0 / 3.0));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FBetaScore {
    confusion: ConfusionMatrix,
    beta: f64,
    average: Average,
}

impl FBetaScore {
    /// That of no samples yet, [`Average::Macro`]. With `beta` 1 it is the F1 score.
    pub fn new(classes: usize, beta: f64, device: Device) -> FBetaScore {
        let confusion = ConfusionMatrix::new(classes, device);
        FBetaScore { confusion, beta, average: Average::default() }
    }

    /// With another average.
    #[must_use]
    pub fn average(mut self, average: Average) -> FBetaScore {
        self.average = average;
        self
    }
}

impl Metric for FBetaScore {
    fn name(&self) -> String {
        format!("f{}_{}", self.beta, self.average.name())
    }

    fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        self.confusion.update(predictions, targets);
    }

    fn merge(&mut self, other: &dyn Metric) -> Result<()> {
        let other = same(self, other)?;
        self.confusion.merge(&other.confusion)
    }

    fn value(&self) -> Result<MetricValue> {
        let hits = Hits::of(&self.confusion.counts()?);
        Ok(average(&hits, self.average, |hits| hits.f_beta(self.beta)))
    }
}
