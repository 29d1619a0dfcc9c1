//! Losses of distributions.

use std::f64::consts::TAU;

use gradus_tensor::Tensor;

use super::{Reduction, no_parts, refuse, same_shape, with_reduction};

/// The terms of the Kullback–Leibler divergence from *log*-probabilities to a target distribution:
/// `target · (log target − input)`, 0 where the target is 0.
///
/// The divergence itself is their sum over a distribution, so that of a batch is the mean over
/// samples: [`batchmean`](KLDivLoss::batchmean). The default is PyTorch's, the mean over all
/// elements.
///
/// # Errors
/// If the shapes differ.
///
/// ```
/// use gradus_nn::KLDivLoss;
/// use gradus_tensor::Tensor;
/// let p = Tensor::from_slice(&[0.25f64, 0.75], [1, 2]);
/// let q = Tensor::from_slice(&[0.5f64, 0.5], [1, 2]);
/// let divergence = KLDivLoss::default().batchmean(true).forward(&q.log(), &p);
/// let expected = 0.25 * 0.5f64.ln() + 0.75 * 1.5f64.ln();
/// assert!((divergence.item::<f64>()? - expected).abs() < 1e-15);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct KLDivLoss {
    reduction: Reduction,
    batchmean: bool,
    log_target: bool,
}

/// The negative log-likelihood of counts under a Poisson distribution whose rate the model gives:
/// `exp(x) − t·x` for log-rates, `x − t·log(x + eps)` for rates; up to `log t!`.
///
/// # Errors
/// If the shapes differ.
#[derive(Clone, Copy, Debug)]
pub struct PoissonNLLLoss {
    reduction: Reduction,
    log_input: bool,
    full: bool,
    eps: f64,
}

with_reduction!(KLDivLoss, PoissonNLLLoss);
no_parts!(KLDivLoss, PoissonNLLLoss);

impl Default for PoissonNLLLoss {
    fn default() -> PoissonNLLLoss {
        PoissonNLLLoss { reduction: Reduction::Mean, log_input: true, full: false, eps: 1e-8 }
    }
}

impl KLDivLoss {
    /// The sum divided by the size of the first axis, in place of the other reductions.
    #[must_use]
    pub fn batchmean(mut self, batchmean: bool) -> KLDivLoss {
        self.batchmean = batchmean;
        self
    }

    /// The target holds log-probabilities too.
    #[must_use]
    pub fn log_target(mut self, log_target: bool) -> KLDivLoss {
        self.log_target = log_target;
        self
    }

    /// The loss of log-probabilities and a target of their shape.
    #[track_caller]
    pub fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        if !self.batchmean {
            return kl_div(input, target, self.reduction, self.log_target).within(input, self);
        }
        let sum = kl_div(input, target, Reduction::Sum, self.log_target);
        match input.try_shape().ok().and_then(|shape| shape.first().copied()) {
            Some(batch) => sum / batch as f64,
            None if sum.error().is_some() => sum,
            None => refuse("kl_div: the mean over a batch needs a first axis".into()),
        }
        .within(input, self)
    }
}

impl PoissonNLLLoss {
    /// Whether inputs are logarithms of rates, as they are unless said otherwise.
    #[must_use]
    pub fn log_input(mut self, log_input: bool) -> PoissonNLLLoss {
        self.log_input = log_input;
        self
    }

    /// Adds Stirling's approximation of `log t!`, which changes no gradient.
    #[must_use]
    pub fn full(mut self, full: bool) -> PoissonNLLLoss {
        self.full = full;
        self
    }

    /// What is added to rates before the logarithm; 1e-8 unless given.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> PoissonNLLLoss {
        self.eps = eps;
        self
    }

    /// The loss of rates and a target of their shape.
    #[track_caller]
    pub fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let PoissonNLLLoss { reduction, log_input, full, eps } = *self;
        poisson_nll_loss(input, target, log_input, full, eps, reduction).within(input, self)
    }
}

/// [`KLDivLoss`] as a function, without its mean over the batch.
#[track_caller]
pub fn kl_div(input: &Tensor, target: &Tensor, reduction: Reduction, log_target: bool) -> Tensor {
    if let Err(failed) = same_shape("kl_div", input, "target", target) {
        return failed;
    }
    let terms = if log_target {
        target.exp() * (target - input)
    } else {
        let zero = target.eq(0.0);
        let log = Tensor::where_(&zero, 1.0, target).log();
        target * log - target * input
    };
    reduction.apply(terms)
}

/// [`PoissonNLLLoss`] as a function.
#[track_caller]
pub fn poisson_nll_loss(
    input: &Tensor,
    target: &Tensor,
    log_input: bool,
    full: bool,
    eps: f64,
    reduction: Reduction,
) -> Tensor {
    if let Err(failed) = same_shape("poisson_nll_loss", input, "target", target) {
        return failed;
    }
    let losses =
        if log_input { input.exp() - target * input } else { input - target * (input + eps).log() };
    if !full {
        return reduction.apply(losses);
    }
    let small = target.le(1.0);
    let t = Tensor::where_(&small, 1.0, target);
    let log_factorial = &t * t.log() - &t + (&t * TAU).log() * 0.5;
    reduction.apply(losses + Tensor::where_(&small, 0.0, log_factorial))
}
