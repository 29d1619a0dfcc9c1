//! The share of samples whose highest logit is that of their class.

use gradus_nn::StateDict;
use gradus_tensor::{DType, Device, Result, Tensor};

use super::average::ratio;
use super::metric::same;
use super::scores::{class_scores, labels, samples};
use super::{Metric, MetricValue, restore};

/// Correct samples among all so far. Of equal logits the first class is predicted.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::Accuracy;
///
/// let logits = Tensor::from_slice(&[0.1f32, 0.9, 0.8, 0.2], [2, 2]);
/// let mut accuracy = Accuracy::new(Device::Cpu);
/// accuracy.update(&logits, &Tensor::from_slice(&[1i64, 1], [2]));
/// assert_eq!(accuracy.value()?, 0.5);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Accuracy {
    correct: Tensor,
    samples: usize,
}

impl Accuracy {
    /// The accuracy over no samples yet.
    pub fn new(device: Device) -> Accuracy {
        Accuracy { correct: Tensor::from_slice(&[0i64], []).to(device), samples: 0 }
    }

    /// Takes in a batch: logits `[n, classes]`, or `[n]` for two classes, and labels `[n]`.
    pub fn update(&mut self, logits: &Tensor, targets: &Tensor) {
        let labels = labels(targets);
        let correct = class_scores(logits).argmax(1).eq(&labels);
        self.correct = &self.correct + correct.cast(DType::I64).sum();
        self.samples += samples(&labels);
    }

    /// How many samples there have been.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The count so far, to be saved with a run; [`samples`](Accuracy::samples) belongs to it.
    pub fn state_dict(&self) -> StateDict {
        vec![("correct".to_owned(), self.correct.clone())].into()
    }

    /// Restores a count among so many samples.
    ///
    /// # Errors
    /// If the state is of something else.
    pub fn load_state_dict(&mut self, state: &StateDict, samples: usize) -> Result<()> {
        restore(state, "correct", &mut self.correct)?;
        self.samples = samples;
        Ok(())
    }

    /// The accuracy, 0–1; NaN if there have been no samples.
    ///
    /// # Errors
    /// If the count cannot be evaluated.
    pub fn value(&self) -> Result<f64> {
        Ok(self.correct.item::<i64>()? as f64 / self.samples as f64)
    }
}

impl Metric for Accuracy {
    fn name(&self) -> String {
        "accuracy".to_owned()
    }

    fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        self.update(predictions, targets);
    }

    fn merge(&mut self, other: &dyn Metric) -> Result<()> {
        let other = same(self, other)?;
        self.correct = &self.correct + &other.correct;
        self.samples += other.samples;
        Ok(())
    }

    fn value(&self) -> Result<MetricValue> {
        let correct = self.correct.item::<i64>()? as u64;
        Ok(MetricValue::Number(ratio(correct, self.samples as u64)))
    }
}
