//! How far predicted numbers are from the true ones.

use gradus_nn::StateDict;
use gradus_tensor::{DType, Device, Error, ErrorKind, Result, Tensor};

use super::average::mean;
use super::report::Regression;
use super::restored;

/// What the sums are saved as.
const SUMS: [&str; 4] = ["absolute", "squared", "mean", "spread"];

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
#[derive(Clone, Debug)]
pub struct Errors {
    /// All in f64, for each output: Σ|y − ŷ|, Σ(y − ŷ)², the mean of y, and Σ(y − ȳ)².
    absolute: Tensor,
    squared: Tensor,
    mean: Tensor,
    spread: Tensor,
    samples: usize,
}

impl Errors {
    /// The errors of no predictions yet.
    pub fn new(device: Device) -> Errors {
        let zero = || Tensor::from_slice(&[0.0f64], []).to(device);
        let (absolute, squared, mean, spread) = (zero(), zero(), zero(), zero());
        Errors { absolute, squared, mean, spread, samples: 0 }
    }

    /// Takes in a batch: predictions and targets, both `[n]`, or both `[n, outputs]`.
    pub fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        let n = targets.try_shape().ok().and_then(|shape| shape.first().copied()).unwrap_or(0);
        let same = predictions.try_shape().ok() == targets.try_shape().ok();
        if n == 0 || !same {
            // Broadcasting `[n]` with `[n, 1]` would compare every pair: it fails instead.
            let refused = refused(predictions, targets);
            for sum in [&mut self.absolute, &mut self.squared, &mut self.spread] {
                *sum = &*sum + &refused;
            }
            return;
        }
        let columns = |x: &Tensor| x.detach().cast(DType::F64).reshape([n as isize, -1]);
        let (predictions, targets) = (columns(predictions), columns(targets));
        let error = predictions - &targets;
        self.absolute = &self.absolute + error.abs().sum_axes(&[0], false);
        self.squared = &self.squared + error.square().sum_axes(&[0], false);

        // Around the first target, so that targets that do not vary have no spread at all.
        let first = targets.narrow(0, 0, 1);
        let shifted = &targets - &first;
        let shift = shifted.mean_axes(&[0], true);
        let spread = (&shifted - &shift).square().sum_axes(&[0], false);
        self.join(&(first + shift).reshape([-1]), &spread, n);
    }

    /// Takes in what another one has seen.
    pub fn merge(&mut self, other: &Errors) {
        if other.samples > 0 {
            self.absolute = &self.absolute + &other.absolute;
            self.squared = &self.squared + &other.squared;
            self.join(&other.mean, &other.spread, other.samples);
        }
    }

    /// Mean and spread of two sets from those of each (Chan, Golub and LeVeque, 1979): nothing
    /// cancels, however far the targets are from 0.
    fn join(&mut self, mean: &Tensor, spread: &Tensor, n: usize) {
        let (before, all) = (self.samples as f64, (self.samples + n) as f64);
        let difference = mean - &self.mean;
        self.spread = &self.spread + spread + difference.square() * (before * n as f64 / all);
        self.mean = &self.mean + difference * (n as f64 / all);
        self.samples += n;
    }

    /// The mean absolute error, over all outputs; NaN if there have been no samples.
    ///
    /// # Errors
    /// If it cannot be evaluated.
    pub fn mean_absolute_error(&self) -> Result<f64> {
        self.per_sample(&self.absolute)
    }

    /// The mean squared error, over all outputs; NaN if there have been no samples.
    ///
    /// # Errors
    /// If it cannot be evaluated.
    pub fn mean_squared_error(&self) -> Result<f64> {
        self.per_sample(&self.squared)
    }

    /// R²: 1 for perfect predictions, 0 for those that always say the mean; the mean of the
    /// outputs' where there are several. None if the targets of an output do not vary.
    ///
    /// # Errors
    /// If it cannot be evaluated.
    pub fn r2(&self) -> Result<Option<f64>> {
        let (squared, spread) = (self.squared.to_vec::<f64>()?, self.spread.to_vec::<f64>()?);
        let outputs = squared.iter().zip(&spread);
        let each: Option<Vec<f64>> =
            outputs.map(|(error, spread)| (*spread != 0.0).then(|| 1.0 - error / spread)).collect();
        Ok(each.and_then(|each| mean(&each)))
    }

    /// How many samples there have been.
    pub fn samples(&self) -> usize {
        self.samples
    }

    fn per_sample(&self, sums: &Tensor) -> Result<f64> {
        let sums = sums.to_vec::<f64>()?;
        Ok(sums.iter().sum::<f64>() / (self.samples * sums.len()) as f64)
    }

    /// The sums so far, to be saved with a run; [`samples`](Errors::samples) belongs to them.
    pub fn state_dict(&self) -> StateDict {
        let sums = [&self.absolute, &self.squared, &self.mean, &self.spread];
        SUMS.into_iter().map(str::to_owned).zip(sums.map(Tensor::clone)).collect()
    }

    /// Restores sums over so many samples.
    ///
    /// # Errors
    /// If the state is of something else.
    pub fn load_state_dict(&mut self, state: &StateDict, samples: usize) -> Result<()> {
        let Errors { absolute, squared, mean, spread, .. } = self;
        for (name, sum) in SUMS.into_iter().zip([absolute, squared, mean, spread]) {
            // How many outputs there are is known after the first batch.
            *sum = restored(state, name, sum, |saved| saved.shape().dims().len() <= 1)?;
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

/// A failed tensor that says why a batch cannot be taken in; 0 for an empty one.
fn refused(predictions: &Tensor, targets: &Tensor) -> Tensor {
    match (predictions.try_shape(), targets.try_shape()) {
        (Ok(a), Ok(b)) if a == b => targets.detach().cast(DType::F64).sum(),
        (Ok(a), Ok(b)) => {
            let message = format!(
                "predictions {a} and targets {b} are of different shapes; reshape one to the other"
            );
            Tensor::from_error(Error::new(ErrorKind::Shape, message))
        }
        (Err(error), _) | (_, Err(error)) => Tensor::from_error(error),
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
