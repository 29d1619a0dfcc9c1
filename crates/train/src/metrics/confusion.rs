//! The confusion matrix: which class was taken for which, how often.

use gradus_tensor::{Device, Result, Tensor};

use super::metric::same;
use super::scores::{class_scores, labels};
use super::{Metric, MetricValue};

/// Counts samples by their label (row) and the class predicted for them (column).
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::ConfusionMatrix;
///
/// let mut confusion = ConfusionMatrix::new(2, Device::Cpu);
/// let logits = Tensor::from_slice(&[0.1f32, 0.9, 0.8, 0.2, 0.3, 0.7], [3, 2]);
/// confusion.update(&logits, &Tensor::from_slice(&[1i64, 1, 1], [3]));
/// assert_eq!(confusion.counts()?, [[0, 0], [1, 2]]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConfusionMatrix {
    classes: usize,
    /// `[classes · classes]`, row-major.
    counts: Tensor,
}

impl ConfusionMatrix {
    /// The matrix of no samples yet.
    pub fn new(classes: usize, device: Device) -> ConfusionMatrix {
        let zeros = vec![0i64; classes * classes];
        ConfusionMatrix { classes, counts: Tensor::from_vec(zeros, [classes * classes]).to(device) }
    }

    /// Takes in a batch: logits `[n, classes]`, or `[n]` for two classes, and labels `[n]`.
    pub fn update(&mut self, logits: &Tensor, targets: &Tensor) {
        let labels = labels(targets).checked_below(self.classes, "label");
        let predicted = class_scores(logits).argmax(1).checked_below(self.classes, "prediction");
        let place = labels * self.classes as i64 + predicted;
        self.counts = self.counts.scatter_add(0, &place, &place.ones_like());
    }

    /// The counts: for each label, how many of its samples were predicted to be each class.
    ///
    /// # Errors
    /// If they cannot be evaluated.
    pub fn counts(&self) -> Result<Vec<Vec<u64>>> {
        let counts = self.counts.to_vec::<i64>()?;
        let rows = counts.chunks(self.classes.max(1));
        Ok(rows.map(|row| row.iter().map(|&n| n as u64).collect()).collect())
    }
}

impl Metric for ConfusionMatrix {
    fn name(&self) -> String {
        "confusion_matrix".to_owned()
    }

    fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        self.update(predictions, targets);
    }

    fn merge(&mut self, other: &dyn Metric) -> Result<()> {
        let other = same(self, other)?;
        self.counts = &self.counts + &other.counts;
        Ok(())
    }

    fn value(&self) -> Result<MetricValue> {
        Ok(MetricValue::Matrix(self.counts()?))
    }
}
