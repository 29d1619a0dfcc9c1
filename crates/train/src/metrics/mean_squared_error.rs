//! The mean squared error.

use gradus_tensor::{Device, Result, Tensor};

use super::metric::same;
use super::{Errors, Metric, MetricValue};

/// The mean of `(y − ŷ)²`, over samples and outputs. Undefined, none, without samples.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::{Metric, MeanSquaredError};
///
/// let mut metric = MeanSquaredError::new(Device::Cpu);
/// let numbers = |values: &[f32]| Tensor::from_slice(values, [values.len()]);
/// metric.update(&numbers(&[1.0, 2.0, 5.0]), &numbers(&[1.0, 4.0, 5.0]));
/// assert!((metric.value()?.number().unwrap() - 4.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MeanSquaredError {
    errors: Errors,
}

impl MeanSquaredError {
    /// That of no samples yet.
    pub fn new(device: Device) -> MeanSquaredError {
        MeanSquaredError { errors: Errors::new(device) }
    }
}

impl Metric for MeanSquaredError {
    fn name(&self) -> String {
        "mse".to_owned()
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
        let value = self.errors.mean_squared_error()?;
        Ok(MetricValue::Number(any.then_some(value)))
    }
}
