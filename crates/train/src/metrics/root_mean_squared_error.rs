//! The root of the mean squared error.

use gradus_tensor::{Device, Result, Tensor};

use super::metric::same;
use super::{Errors, Metric, MetricValue};

/// The square root of the mean of `(y − ŷ)²`, over samples and outputs, in the unit of the targets.
/// Undefined, none, without samples.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::{Metric, RootMeanSquaredError};
///
/// let mut metric = RootMeanSquaredError::new(Device::Cpu);
/// let numbers = |values: &[f32]| Tensor::from_slice(values, [values.len()]);
/// metric.update(&numbers(&[1.0, 2.0, 5.0]), &numbers(&[1.0, 4.0, 5.0]));
/// assert!((metric.value()?.number().unwrap() - (4.0f64 / 3.0).sqrt()).abs() < 1e-12);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RootMeanSquaredError {
    errors: Errors,
}

impl RootMeanSquaredError {
    /// That of no samples yet.
    pub fn new(device: Device) -> RootMeanSquaredError {
        RootMeanSquaredError { errors: Errors::new(device) }
    }
}

impl Metric for RootMeanSquaredError {
    fn name(&self) -> String {
        "rmse".to_owned()
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
        let any = self.errors.samples() > 0;
        let value = self.errors.mean_squared_error()?.sqrt();
        Ok(MetricValue::Number(any.then_some(value)))
    }
}
