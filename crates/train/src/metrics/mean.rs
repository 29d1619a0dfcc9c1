//! The mean over samples of what is known as means over batches, such as the loss.

use gradus_nn::StateDict;
use gradus_tensor::{DType, Device, Result, Tensor};

use super::restore;

/// A mean over all samples so far.
///
/// Batches count by their number of samples: the mean of the batches' means would give the samples
/// of a smaller last batch more weight.
///
/// ```
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::metrics::Mean;
///
/// let mut loss = Mean::new(Device::Cpu);
/// loss.update(&Tensor::scalar(1.0), 30);
/// loss.update(&Tensor::scalar(2.0), 10);
/// assert_eq!(loss.value()?, 1.25);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Debug)]
pub struct Mean {
    /// float64: one batch among a hundred thousand must still move it.
    sum: Tensor,
    samples: usize,
}

impl Mean {
    /// The mean of no samples yet.
    pub fn new(device: Device) -> Mean {
        Mean { sum: Tensor::from_slice(&[0.0f64], []).to(device), samples: 0 }
    }

    /// Takes in a batch of `samples` samples with the mean `mean`, a scalar.
    pub fn update(&mut self, mean: &Tensor, samples: usize) {
        self.sum = &self.sum + mean.detach().cast(DType::F64) * samples as f64;
        self.samples += samples;
    }

    /// How many samples there have been.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The sum so far, to be saved with a run; [`samples`](Mean::samples) belongs to it.
    pub fn state_dict(&self) -> StateDict {
        vec![("sum".to_owned(), self.sum.clone())].into()
    }

    /// Restores a sum over so many samples.
    ///
    /// # Errors
    /// If the state is of something else.
    pub fn load_state_dict(&mut self, state: &StateDict, samples: usize) -> Result<()> {
        restore(state, "sum", &mut self.sum)?;
        self.samples = samples;
        Ok(())
    }

    /// The mean; NaN if there have been no samples.
    ///
    /// # Errors
    /// If the sum cannot be evaluated.
    pub fn value(&self) -> Result<f64> {
        Ok(self.sum.item::<f64>()? / self.samples as f64)
    }
}
