//! How far predicted numbers are from the true ones.

use gradus_nn::StateDict;
use gradus_tensor::{DType, Device, Result, Tensor};

use super::report::Regression;
use super::restore;

/// What the sums are saved as.
const SUMS: [&str; 4] = ["absolute", "squared", "targets", "squared_targets"];

/// The errors of predicted numbers: their mean absolute value, and R², the share of the targets'
/// variance that the predictions explain, `1 − Σ(y − ŷ)² / Σ(y − ȳ)²`.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::Errors;
///
/// let targets = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3, 1]);
/// let predictions = Tensor::from_slice(&[1.0f32, 2.5, 2.5], [3, 1]);
/// let mut errors = Errors::new(Device::Cpu);
/// errors.update(&predictions, &targets);
/// assert!((errors.mean_absolute_error()? - 1.0 / 3.0).abs() < 1e-12);
/// assert_eq!(errors.r2()?, Some(0.75));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Debug)]
pub struct Errors {
    /// All in float64. Σ|y − ŷ|, Σ(y − ŷ)², Σy, Σy².
    absolute: Tensor,
    squared: Tensor,
    targets: Tensor,
    squared_targets: Tensor,
    samples: usize,
}

impl Errors {
    /// The errors of no predictions yet.
    pub fn new(device: Device) -> Errors {
        let zero = || Tensor::from_slice(&[0.0f64], []).to(device);
        let (absolute, squared, targets, squared_targets) = (zero(), zero(), zero(), zero());
        Errors { absolute, squared, targets, squared_targets, samples: 0 }
    }

    /// Takes in a batch: predictions and targets, both `[n, 1]`.
    pub fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        let targets = targets.cast(DType::F64);
        let error = predictions.detach().cast(DType::F64) - &targets;
        self.absolute = &self.absolute + error.abs().sum();
        self.squared = &self.squared + (&error * &error).sum();
        self.targets = &self.targets + targets.sum();
        self.squared_targets = &self.squared_targets + (&targets * &targets).sum();
        self.samples += targets.try_shape().map_or(0, |shape| shape.numel());
    }

    /// The mean absolute error; NaN if there have been no samples.
    ///
    /// # Errors
    /// If it cannot be evaluated.
    pub fn mean_absolute_error(&self) -> Result<f64> {
        Ok(self.absolute.item::<f64>()? / self.samples as f64)
    }

    /// R²: 1 for perfect predictions, 0 for those that always say the mean; none if the targets
    /// do not vary.
    ///
    /// # Errors
    /// If it cannot be evaluated.
    pub fn r2(&self) -> Result<Option<f64>> {
        let sum = self.targets.item::<f64>()?;
        let total = self.squared_targets.item::<f64>()? - sum * sum / self.samples as f64;
        let squared = self.squared.item::<f64>()?;
        Ok((total > 0.0).then(|| 1.0 - squared / total))
    }

    /// How many samples there have been.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The sums so far, to be saved with a run; [`samples`](Errors::samples) belongs to them.
    pub fn state_dict(&self) -> StateDict {
        let sums = [&self.absolute, &self.squared, &self.targets, &self.squared_targets];
        SUMS.into_iter().map(str::to_owned).zip(sums.map(Tensor::clone)).collect()
    }

    /// Restores sums over so many samples.
    ///
    /// # Errors
    /// If the state is of something else.
    pub fn load_state_dict(&mut self, state: &StateDict, samples: usize) -> Result<()> {
        let Errors { absolute, squared, targets, squared_targets, .. } = self;
        for (name, sum) in SUMS.into_iter().zip([absolute, squared, targets, squared_targets]) {
            restore(state, name, sum)?;
        }
        self.samples = samples;
        Ok(())
    }

    /// All of it, with the loss.
    pub(crate) fn report(&self, average_loss: f64) -> Result<Regression> {
        Ok(Regression {
            average_loss,
            mean_absolute_error: self.mean_absolute_error()?,
            r2: self.r2()?,
            samples: self.samples as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_add_up() {
        let column = |values: &[f32]| Tensor::from_slice(values, [values.len(), 1]);
        let mut errors = Errors::new(Device::Reference);
        for (predicted, target) in [(&[1.0f32, 4.0][..], &[2.0f32, 4.0][..]), (&[5.0], &[9.0])] {
            let to = |values: &[f32]| column(values).to(Device::Reference);
            errors.update(&to(predicted), &to(target));
        }
        assert_eq!(errors.mean_absolute_error().unwrap(), 5.0 / 3.0);
        // 1 + 16 of (2 − 5)² + (4 − 5)² + (9 − 5)².
        assert_eq!(errors.r2().unwrap(), Some(1.0 - 17.0 / 26.0));
    }

    #[test]
    fn targets_that_do_not_vary_have_no_r2() {
        let mut errors = Errors::new(Device::Cpu);
        let column = |x: f32| Tensor::from_slice(&[x; 3], [3, 1]);
        errors.update(&column(1.0), &column(2.0));
        assert_eq!(errors.r2().unwrap(), None);
    }
}
