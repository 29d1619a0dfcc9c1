//! Metrics of predicted numbers: each is a name, and what it makes of the [`Errors`].

use gradus_tensor::{Device, Result, Tensor};

use super::metric::same;
use super::{Errors, Metric, MetricValue};

macro_rules! error_scores {
    ($($(#[$doc:meta])+ $Score:ident, $name:literal, $value:expr;)*) => {$(
        $(#[$doc])+
        #[derive(Clone, Debug)]
        pub struct $Score(Errors);

        impl $Score {
            /// That of no samples yet.
            pub fn new(device: Device) -> $Score {
                $Score(Errors::new(device))
            }
        }

        impl Metric for $Score {
            fn name(&self) -> String {
                $name.to_owned()
            }

            fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
                self.0.update(predictions, targets);
            }

            fn merge(&mut self, other: &dyn Metric) -> Result<()> {
                let other = same(self, other)?;
                self.0.merge(&other.0);
                Ok(())
            }

            fn value(&self) -> Result<MetricValue> {
                let value: fn(&Errors) -> Result<Option<f64>> = $value;
                value(&self.0).map(MetricValue::Number)
            }
        }
    )*};
}

error_scores! {
    /// The mean of `|y − ŷ|`, over samples and outputs. Undefined, none, without samples.
    ///
    /// ```
    /// use gradus_tensor::{Device, Tensor};
    /// use gradus_train::metrics::{MeanAbsoluteError, Metric};
    ///
    /// let mut metric = MeanAbsoluteError::new(Device::Cpu);
    /// let numbers = |values: &[f32]| Tensor::from_slice(values, [values.len()]);
    /// metric.update(&numbers(&[1.0, 2.0, 5.0]), &numbers(&[1.0, 4.0, 5.0]));
    /// assert!((metric.value()?.number().unwrap() - 2.0 / 3.0).abs() < 1e-12);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    MeanAbsoluteError, "mae", |errors| Ok(any(errors, errors.mean_absolute_error()?));

    /// The mean of `(y − ŷ)²`, over samples and outputs. Undefined, none, without samples.
    ///
    /// ```
    /// use gradus_tensor::{Device, Tensor};
    /// use gradus_train::metrics::{MeanSquaredError, Metric};
    ///
    /// let mut metric = MeanSquaredError::new(Device::Cpu);
    /// let numbers = |values: &[f32]| Tensor::from_slice(values, [values.len()]);
    /// metric.update(&numbers(&[1.0, 2.0, 5.0]), &numbers(&[1.0, 4.0, 5.0]));
    /// assert!((metric.value()?.number().unwrap() - 4.0 / 3.0).abs() < 1e-12);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    MeanSquaredError, "mse", |errors| Ok(any(errors, errors.mean_squared_error()?));

    /// The square root of the mean of `(y − ŷ)²`, over samples and outputs, in the unit of the
    /// targets. Undefined, none, without samples.
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
    RootMeanSquaredError, "rmse", |errors| Ok(any(errors, errors.mean_squared_error()?.sqrt()));

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
    R2Score, "r2", Errors::r2;
}

/// A mean, unless it is one of no samples.
fn any(errors: &Errors, mean: f64) -> Option<f64> {
    (errors.samples() > 0).then_some(mean)
}
