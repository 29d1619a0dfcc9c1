//! What every metric can do, and what it may come to.

use std::any::Any;
use std::fmt;

use gradus_tensor::{Error, ErrorKind, Result, Tensor};
use serde::{Deserialize, Serialize};

/// A running total over batches.
///
/// Updating one only records: totals are tensors, and ride along in the plan of the step or of the
/// evaluation that they watch. [`value`](Metric::value) evaluates them.
///
/// A metric of your own is one implementation, and one row in
/// [`METRICS`](crate::config::METRICS) gives it a name in configurations.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::{Accuracy, Average, Metric, Recall};
///
/// let mut metrics: Vec<Box<dyn Metric>> = vec![
///     Box::new(Accuracy::new(Device::Cpu)),
///     Box::new(Recall::new(2, Device::Cpu).average(Average::Macro)),
/// ];
/// let logits = Tensor::from_slice(&[0.1f32, 0.9, 0.8, 0.2, 0.3, 0.7], [3, 2]);
/// for metric in &mut metrics {
///     metric.update(&logits, &Tensor::from_slice(&[1i64, 1, 0], [3]));
/// }
/// assert_eq!(metrics[0].name(), "accuracy");
/// assert_eq!(metrics[1].value()?.number(), Some(0.25));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub trait Metric: Any {
    /// What logs and tables call it: `f1_macro`.
    fn name(&self) -> String;

    /// Takes in a batch. Classifiers: logits `[n, classes]`, or `[n]` or `[n, 1]` as
    /// `BCEWithLogitsLoss` takes them, and labels `[n]`; models of numbers: two tensors of one
    /// shape, `[n]` or `[n, outputs]`. Mistakes in shapes are errors of the next evaluation.
    fn update(&mut self, predictions: &Tensor, targets: &Tensor);

    /// Takes in what another one has seen: the value is then that of one pass over all of it. To
    /// the bit for what is counted and for what is ranked; sums of floating-point numbers differ by
    /// their rounding, in f64.
    ///
    /// # Errors
    /// If the other is of another kind or has other options.
    fn merge(&mut self, other: &dyn Metric) -> Result<()>;

    /// The value over all that has been seen.
    ///
    /// # Errors
    /// If it cannot be evaluated.
    fn value(&self) -> Result<MetricValue>;
}

/// The value of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetricValue {
    /// One number; none where the metric is undefined, as a share of no samples is.
    Number(Option<f64>),
    /// A number for each class; none where it is undefined.
    Classes(Vec<Option<f64>>),
    /// Counts: for each label, how many of its samples were predicted to be each class.
    Matrix(Vec<Vec<u64>>),
}

impl MetricValue {
    /// The number, if it is one and defined.
    pub fn number(&self) -> Option<f64> {
        match self {
            MetricValue::Number(number) => *number,
            _ => None,
        }
    }
}

/// `0.9144`; a list for classes; an undefined number is a dash.
impl fmt::Display for MetricValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |x: &Option<f64>| x.map_or("–".to_owned(), |x| format!("{x:.4}"));
        match self {
            MetricValue::Number(x) => f.write_str(&number(x)),
            MetricValue::Classes(all) => {
                f.write_str(&all.iter().map(number).collect::<Vec<_>>().join(" "))
            }
            MetricValue::Matrix(rows) => write!(f, "{0} × {0} counts", rows.len()),
        }
    }
}

/// The other metric of a merge, which must be of the same kind and have the same name.
pub(super) fn same<'a, M: Metric>(this: &M, other: &'a dyn Metric) -> Result<&'a M> {
    let any: &dyn Any = other;
    match any.downcast_ref::<M>() {
        Some(same) if same.name() == this.name() => Ok(same),
        _ => {
            let message = format!(
                "{} cannot take in {}; merge metrics of one kind with the same options",
                this.name(),
                other.name()
            );
            Err(Error::new(ErrorKind::Usage, message))
        }
    }
}
