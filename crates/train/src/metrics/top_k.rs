//! The share of samples whose class is among the highest logits.

use gradus_tensor::{DType, Device, Result, Tensor};

use super::metric::same;
use super::scores::{class_scores, labels, samples};
use super::{Metric, MetricValue};

/// Samples whose label is among the `k` highest logits, as a share of all.
///
/// Of equal logits the one of the first class is the higher, as in [`Accuracy`](super::Accuracy),
/// which is the case `k` = 1. A label whose logit is NaN is never among them. Undefined, none,
/// without samples.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::{Metric, TopKAccuracy};
///
/// let mut metric = TopKAccuracy::new(2, Device::Cpu);
/// let logits = Tensor::from_slice(&[0.1f32, 0.9, 0.5, 0.8, 0.2, 0.3], [2, 3]);
/// metric.update(&logits, &Tensor::from_slice(&[2i64, 1], [2]));
/// assert_eq!(metric.value()?.number(), Some(0.5));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TopKAccuracy {
    k: usize,
    correct: Tensor,
    samples: usize,
}

impl TopKAccuracy {
    /// That of no samples yet.
    pub fn new(k: usize, device: Device) -> TopKAccuracy {
        TopKAccuracy { k, correct: Tensor::from_slice(&[0i64], []).to(device), samples: 0 }
    }
}

impl Metric for TopKAccuracy {
    fn name(&self) -> String {
        format!("top_{}_accuracy", self.k)
    }

    fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        let (scores, labels) = (class_scores(predictions), labels(targets).unsqueeze(1));
        let classes = scores.try_shape().map_or(0, |shape| shape[1]);
        let own = scores.gather(1, &labels);
        let after = Tensor::arange(classes, DType::I64).to(scores.device()).gt(&labels);
        // Those that it beats are counted, not those that beat it: NaN beats nothing.
        let beaten = scores.lt(&own).logical_or(&scores.eq(&own).logical_and(&after));
        let beaten = beaten.cast(DType::I64).sum_axes(&[1], false);
        let enough = beaten.ge(classes as i64 - self.k as i64);
        self.correct = &self.correct + enough.cast(DType::I64).sum();
        self.samples += samples(&labels);
    }

    fn merge(&mut self, other: &dyn Metric) -> Result<()> {
        let other = same(self, other)?;
        self.correct = &self.correct + &other.correct;
        self.samples += other.samples;
        Ok(())
    }

    fn value(&self) -> Result<MetricValue> {
        let correct = self.correct.item::<i64>()? as u64;
        Ok(MetricValue::Number(super::average::ratio(correct, self.samples as u64)))
    }
}
