//! AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019).

use gradus_tensor::{Parameter, Tensor};

use super::options::builders;
use super::{AdamOptions, State, Stepper, UpdateRule};

/// Adam with weight decay that shrinks the weight itself and stays out of the averages, as in
/// PyTorch. At the t-th step of a parameter:
///
/// ```text
/// m ← β₁ · m + (1 − β₁) · ∇w
/// v ← β₂ · v + (1 − β₂) · ∇w²
/// w ← (1 − lr · weight_decay) · w − lr / (1 − β₁ᵗ) · m / (√(v / (1 − β₂ᵗ)) + eps)
/// ```
///
/// AMSGrad divides by the largest `v` so far instead.
///
/// Biases and gains are usually left out of weight decay, which takes two groups:
///
/// ```
/// use gradus_nn::optim::{AdamW, AdamWOptions, Optimizer};
/// use gradus_nn::{Linear, Module};
/// let model = Linear::new(4, 1);
/// let (matrices, rest): (Vec<_>, Vec<_>) =
///     model.parameters().into_iter().partition(|p| p.shape().rank() > 1);
/// let optimizer = AdamW::new(matrices, 3e-4)
///     .betas(0.9, 0.95)
///     .weight_decay(0.1)
///     .group(rest, AdamWOptions::new(3e-4).betas(0.9, 0.95).weight_decay(0.0));
/// assert_eq!(optimizer.lrs(), [3e-4, 3e-4]);
/// ```
pub type AdamW = Stepper<AdamWOptions>;

/// The options of [`AdamW`]. They can be changed between steps through [`Stepper::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWOptions {
    /// The learning rate: 1e-3 by default.
    pub lr: f64,
    /// The decay of the averages of the gradient and of its square: 0.9 and 0.999 by default.
    pub betas: (f64, f64),
    /// Added to the denominator: 1e-8 by default.
    pub eps: f64,
    /// The part of the weight that goes, times the learning rate: 1e-2 by default.
    pub weight_decay: f64,
    /// Whether to divide by the largest average of squares so far: no by default.
    pub amsgrad: bool,
    /// Whether to ascend instead: no by default.
    pub maximize: bool,
}

builders! {
    AdamW, AdamWOptions:
    /// With other decays of the averages.
    betas(beta1: f64, beta2: f64) (beta1, beta2);
    /// With another number added to the denominator.
    eps(eps: f64) eps;
    /// With another weight decay.
    weight_decay(weight_decay: f64) weight_decay;
    /// With AMSGrad, or without.
    amsgrad(amsgrad: bool) amsgrad;
    /// Ascending, or descending.
    maximize(maximize: bool) maximize;
}

impl AdamW {
    /// AdamW of one group of parameters with default options.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> AdamW {
        AdamW::with_options(parameters, AdamWOptions::new(lr))
    }
}

impl AdamWOptions {
    /// The defaults, with a learning rate.
    pub fn new(lr: f64) -> AdamWOptions {
        AdamWOptions {
            lr,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 1e-2,
            amsgrad: false,
            maximize: false,
        }
    }

    /// AdamW is Adam with another weight decay.
    fn adam(&self) -> AdamOptions {
        let AdamWOptions { lr, betas, eps, weight_decay, amsgrad, maximize } = *self;
        let decoupled_weight_decay = true;
        AdamOptions { lr, betas, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay }
    }
}

impl Default for AdamWOptions {
    fn default() -> AdamWOptions {
        AdamWOptions::new(1e-3)
    }
}

impl UpdateRule for AdamWOptions {
    const NAME: &'static str = "AdamW";

    fn lr_mut(&mut self) -> &mut f64 {
        &mut self.lr
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.betas.0)
    }

    fn check(&self) -> Result<(), String> {
        self.adam().check()
    }

    fn state(&self) -> &'static [&'static str] {
        self.adam().state()
    }

    fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor {
        self.adam().update(value, grad, state)
    }
}
