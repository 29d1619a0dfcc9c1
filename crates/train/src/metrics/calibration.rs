//! Whether a classifier is right as often as it claims to be.

use gradus_tensor::{DType, Device, Result, Tensor};

use super::metric::same;
use super::scores::{labels, log_probabilities};
use super::{Metric, MetricValue};

/// The expected calibration error (Guo et al., "On calibration of modern neural networks", ICML
/// 2017): samples fall into bins of equal width by their confidence, the probability of the class
/// predicted, and `Σ n_b / n · |accuracy_b − confidence_b|` is summed over the bins.
///
/// Bin `b` of `m` holds the confidences in `(b / m, (b + 1) / m]`. Undefined, none, without samples.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::{CalibrationError, Metric};
///
/// let mut metric = CalibrationError::new(15, Device::Cpu);
/// // Half sure, and right half of the time.
/// let logits = Tensor::from_slice(&[0.0f32, 0.0, 0.0, 0.0], [2, 2]);
/// metric.update(&logits, &Tensor::from_slice(&[0i64, 1], [2]));
/// assert!(metric.value()?.number().unwrap() < 1e-15);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CalibrationError {
    bins: usize,
    /// Of each bin: samples (i64), how many of them were predicted rightly (i64), and the sum of
    /// their confidences (f64).
    samples: Tensor,
    correct: Tensor,
    confidence: Tensor,
}

impl CalibrationError {
    /// That of no samples yet; 15 bins are usual.
    ///
    /// # Panics
    /// If there are no bins.
    pub fn new(bins: usize, device: Device) -> CalibrationError {
        assert!(bins > 0, "CalibrationError: give 1 bin or more");
        let counts = || Tensor::zeros([bins], DType::I64).to(device);
        let confidence = Tensor::zeros([bins], DType::F64).to(device);
        CalibrationError { bins, samples: counts(), correct: counts(), confidence }
    }
}

impl Metric for CalibrationError {
    fn name(&self) -> String {
        match self.bins {
            15 => "calibration_error".to_owned(),
            bins => format!("calibration_error_{bins}"),
        }
    }

    fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        let logs = log_probabilities(predictions);
        let (confidence, predicted) = logs.max(1, false);
        let confidence = confidence.exp();
        let correct = predicted.eq(labels(targets)).cast(DType::I64);
        let bin = (&confidence * self.bins as f64).ceil() - 1.0;
        let bin = bin.clamp(0.0, self.bins as f64 - 1.0).cast(DType::I64);
        self.samples = self.samples.scatter_add(0, &bin, &bin.ones_like());
        self.correct = self.correct.scatter_add(0, &bin, &correct);
        self.confidence = self.confidence.scatter_add(0, &bin, &confidence);
    }

    fn merge(&mut self, other: &dyn Metric) -> Result<()> {
        let other = same(self, other)?;
        self.samples = &self.samples + &other.samples;
        self.correct = &self.correct + &other.correct;
        self.confidence = &self.confidence + &other.confidence;
        Ok(())
    }

    fn value(&self) -> Result<MetricValue> {
        let (samples, correct) = (self.samples.to_vec::<i64>()?, self.correct.to_vec::<i64>()?);
        let confidence = self.confidence.to_vec::<f64>()?;
        let n: i64 = samples.iter().sum();
        let gaps = correct.iter().zip(&confidence).map(|(&c, sum)| (c as f64 - sum).abs());
        Ok(MetricValue::Number((n > 0).then(|| gaps.sum::<f64>() / n as f64)))
    }
}
