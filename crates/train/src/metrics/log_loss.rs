//! The log-loss: how surprised a classifier is by the labels.

use gradus_tensor::{Device, Result, Tensor};

use super::metric::same;
use super::scores::{labels, log_probabilities, samples};
use super::{Metric, MetricValue};

/// The mean of `−ln p(label)`, in nats, where `p` is the softmax of the logits.
///
/// In f64 and without clipping, unlike scikit-learn's `log_loss`, so that confident mistakes count
/// in full. Undefined, none, without samples.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::{LogLoss, Metric};
///
/// let mut metric = LogLoss::new(Device::Cpu);
/// metric.update(&Tensor::from_slice(&[0.0f32, 0.0], [1, 2]), &Tensor::from_slice(&[1i64], [1]));
/// assert!((metric.value()?.number().unwrap() - 2f64.ln()).abs() < 1e-15);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LogLoss {
    sum: Tensor,
    samples: usize,
}

impl LogLoss {
    /// That of no samples yet.
    pub fn new(device: Device) -> LogLoss {
        LogLoss { sum: Tensor::from_slice(&[0.0f64], []).to(device), samples: 0 }
    }
}

impl Metric for LogLoss {
    fn name(&self) -> String {
        "log_loss".to_owned()
    }

    fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        let labels = labels(targets).unsqueeze(1);
        self.sum = &self.sum - log_probabilities(predictions).gather(1, &labels).sum();
        self.samples += samples(&labels);
    }

    fn merge(&mut self, other: &dyn Metric) -> Result<()> {
        let other = same(self, other)?;
        self.sum = &self.sum + &other.sum;
        self.samples += other.samples;
        Ok(())
    }

    fn value(&self) -> Result<MetricValue> {
        let sum = self.sum.item::<f64>()?;
        Ok(MetricValue::Number((self.samples > 0).then(|| sum / self.samples as f64)))
    }
}
