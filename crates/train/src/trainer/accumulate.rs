//! Gradient accumulation: one step of the optimizer for several batches.

use gradus_tensor::{
    Parameter, Result, RngState, Tensor, as_one_plan, no_grad, rng_state, set_rng_state,
    with_samples,
};
use serde::{Deserialize, Serialize};

use super::Cost;

/// Adds up the gradients of several batches as if they were one.
///
/// Each batch counts by the number of terms that its loss is the mean of, not as one of so many
/// batches: `∇L = Σ nᵢ · ∇Lᵢ / Σ nᵢ`. A last, smaller batch therefore weighs what it should, and the
/// result is the gradient of the whole, up to rounding, for models whose samples do not see each
/// other (batch normalisation sees the small batches). The masks of dropout agree too: they are
/// keyed by the sample's position in the whole.
///
/// ```
/// use gradus_nn::optim::{Optimizer, SGD};
/// use gradus_nn::{Layer, Linear, MSELoss, Module};
/// use gradus_tensor::{DType, Tensor};
/// use gradus_train::trainer::Accumulator;
///
/// let (model, criterion) = (Linear::new(2, 1), MSELoss::default());
/// let mut optimizer = SGD::new(model.parameters(), 0.1);
/// let mut accumulator = Accumulator::default();
/// for size in [3, 1] {
///     let (x, y) = (Tensor::ones([size, 2], DType::F32), Tensor::zeros([size, 1], DType::F32));
///     let loss = accumulator.record(size, || criterion.forward(&model.forward(&x), &y));
///     accumulator.backward(&loss, size);
/// }
/// accumulator.finish(&optimizer.parameters());
/// optimizer.step()?;
/// optimizer.zero_grad();
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accumulator {
    /// Batches since the last step.
    batches: u64,
    /// Their samples.
    samples: usize,
    /// The terms of their losses.
    weight: usize,
    /// The sum of these terms, but for those of the last batch while it is being recorded.
    #[serde(default, with = "crate::json_number")]
    losses: f64,
    /// The random generator before the first of them: seed and stream.
    random: (u64, u64),
}

impl Accumulator {
    /// How many batches there have been since the last step.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Runs the forward pass of the next batch, of so many samples: each gets the random numbers
    /// that it would get if all batches were one.
    pub fn record<R>(&mut self, samples: usize, forward: impl FnOnce() -> R) -> R {
        if self.batches == 0 {
            let RngState { seed, stream } = rng_state();
            self.random = (seed, stream);
        }
        let (seed, stream) = self.random;
        set_rng_state(RngState { seed, stream });
        let recorded = with_samples(self.samples, samples, forward);
        self.batches += 1;
        self.samples += samples;
        recorded
    }

    /// Adds the gradients of a loss that is the mean of `weight` terms. Records only.
    #[track_caller]
    pub fn backward(&mut self, loss: &Tensor, weight: usize) {
        self.weight += weight;
        (loss * weight as f64).backward();
    }

    /// Makes the gradients those of the mean over all batches, and starts anew. Records only: what
    /// follows (clipping, the step) becomes one plan with it.
    pub fn finish(&mut self, parameters: &[Parameter]) {
        let scale = 1.0 / self.weight.max(1) as f64;
        as_one_plan(|| {
            no_grad(|| {
                for parameter in parameters {
                    if let Some(grad) = parameter.grad() {
                        parameter.set_grad(grad * scale);
                    }
                }
            });
        });
        self.clear();
    }

    /// Takes note of the loss of the last batch, which is computed by now, for
    /// [`mean_loss`](Accumulator::mean_loss).
    pub(super) fn note(&mut self, cost: &Cost) -> Result<()> {
        self.losses += cost.loss.item::<f64>()? * cost.weight as f64;
        Ok(())
    }

    /// The mean loss of all batches, of which the last is being recorded. Records only.
    pub(super) fn mean_loss(&self, last: &Cost) -> Tensor {
        let scale = 1.0 / self.weight.max(1) as f64;
        no_grad(|| (&last.loss * last.weight as f64 + self.losses) * scale)
    }

    /// Starts anew, after a step that used the gradients as they were.
    pub(super) fn clear(&mut self) {
        *self = Accumulator::default();
    }

    /// The samples since the last step.
    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// The random generator before the first batch.
    pub(super) fn random(&self) -> RngState {
        let (seed, stream) = self.random;
        RngState { seed, stream }
    }
}
