//! R², the coefficient of determination.

use gradus_tensor::{Device, Result, Tensor};

use super::metric::same;
use super::{Errors, Metric, MetricValue};

/// `R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)²`, the share of the variance that the predictions explain; over
/// several outputs, the mean of theirs. Undefined, none, if the targets of an output do not vary
/// (scikit-learn says 1 or 0) or there are fewer than two samples.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::{Metric, R2Score};
///
/// let mut metric = R2Score::new(Device::Cpu);
/// let numbers = |values: &[f32]| Tensor::from_slice(values, [values.len()]);
/// metric.update(&numbers(&[1.0, 2.0, 5.0]), &numbers(&[1.0, 4.0, 5.0]));
/// assert!((metric.value()?.number().unwrap() - (1.0 - 4.0 / (26.0 / 3.0))).abs() < 1e-12);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct R2Score {
    errors: Errors,
}

impl R2Score {
    /// That of no samples yet.
    pub fn new(device: Device) -> R2Score {
        R2Score { errors: Errors::new(device) }
    }
}

impl Metric for R2Score {
    fn name(&self) -> String {
        "r2".to_owned()
    }

    fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        self.errors.update(predictions, targets);
    }

    fn merge(&mut self, other: &dyn Metric) -> Result<()> {
        let other = same(self, other)?;
        self.errors.merge(&other.errors);
        Ok(())
    }

    fn value(&self) -> Result<MetricValue> {
        Ok(MetricValue::Number(self.errors.r2()?))
    }
}
