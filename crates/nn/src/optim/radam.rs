//! RAdam (Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020).

use gradus_tensor::{Parameter, Tensor};

use super::options::{WeightDecay, builders, check_betas, check_not_negative};
use super::{State, Stepper, UpdateRule};

/// Adam that warms itself up: it divides by the root mean square of the gradient only once enough
/// gradients have been seen, and scales by how far that can be trusted. As in PyTorch, at the t-th
/// step of a parameter:
///
/// ```text
/// g ← ∇w + weight_decay · w
/// m ← β₁ · m + (1 − β₁) · g
/// v ← β₂ · v + (1 − β₂) · g²
/// ρ∞ = 2 / (1 − β₂) − 1
/// ρ  = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)
/// r  = √((ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ))
/// w ← w − lr · m / (1 − β₁ᵗ) · (r · √(1 − β₂ᵗ) / (√v + eps)  if ρ > 5, else 1)
/// ```
///
/// ```
/// use gradus_nn::optim::RAdam;
/// use gradus_nn::{Linear, Module};
/// let optimizer = RAdam::new(Linear::new(4, 1).parameters(), 1e-3).betas(0.9, 0.99);
/// assert_eq!(optimizer.options(0).eps, 1e-8);
/// ```
pub type RAdam = Stepper<RAdamOptions>;

/// The options of [`RAdam`]. They can be changed between steps through [`Stepper::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RAdamOptions {
    /// The learning rate: 1e-3 by default.
    pub lr: f64,
    /// The decay of the averages of the gradient and of its square: 0.9 and 0.999 by default.
    pub betas: (f64, f64),
    /// Added to the denominator: 1e-8 by default.
    pub eps: f64,
    /// How much of the weight is added to its gradient: 0 by default.
    pub weight_decay: f64,
    /// Whether weight decay shrinks the weight instead of entering the gradient: no by default.
    pub decoupled_weight_decay: bool,
    /// Whether to ascend instead: no by default.
    pub maximize: bool,
}

builders! {
    RAdam, RAdamOptions:
    /// With other decays of the averages.
    betas(beta1: f64, beta2: f64) (beta1, beta2);
    /// With another number added to the denominator.
    eps(eps: f64) eps;
    /// With weight decay.
    weight_decay(weight_decay: f64) weight_decay;
    /// With weight decay apart from the gradient, or within it.
    decoupled_weight_decay(decoupled_weight_decay: bool) decoupled_weight_decay;
    /// Ascending, or descending.
    maximize(maximize: bool) maximize;
}

impl RAdam {
    /// RAdam of one group of parameters with default options.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> RAdam {
        RAdam::with_options(parameters, RAdamOptions::new(lr))
    }
}

impl RAdamOptions {
    /// The defaults, with a learning rate.
    pub fn new(lr: f64) -> RAdamOptions {
        RAdamOptions {
            lr,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled_weight_decay: false,
            maximize: false,
        }
    }

    /// How far the average of squares can be trusted at step t; none if not at all.
    fn rectification(&self, t: f64) -> Option<f64> {
        let beta2 = self.betas.1;
        let limit = 2.0 / (1.0 - beta2) - 1.0;
        let rho = limit - 2.0 * t * beta2.powf(t) / (1.0 - beta2.powf(t));
        let of = |rho: f64| (rho - 4.0) * (rho - 2.0) / rho;
        (rho > 5.0).then(|| (of(rho) / of(limit)).sqrt())
    }
}

impl Default for RAdamOptions {
    fn default() -> RAdamOptions {
        RAdamOptions::new(1e-3)
    }
}

impl UpdateRule for RAdamOptions {
    const NAME: &'static str = "RAdam";

    fn lr_mut(&mut self) -> &mut f64 {
        &mut self.lr
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.betas.0)
    }

    fn check(&self) -> Result<(), String> {
        check_betas(self.betas)?;
        check_not_negative(&[("eps", self.eps), ("weight_decay", self.weight_decay)])
    }

    fn state(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor {
        let (beta1, beta2) = self.betas;
        let t = state.step() as f64;
        let decay = WeightDecay::new(self.weight_decay, self.decoupled_weight_decay, self.lr);
        let (value, g) = decay.apply(value, grad, self.maximize);
        let m = state.get("exp_avg") * beta1 + &g * (1.0 - beta1);
        let v = state.get("exp_avg_sq") * beta2 + &g * &g * (1.0 - beta2);
        state.set("exp_avg", &m);
        state.set("exp_avg_sq", &v);
        let rate = self.lr / (1.0 - beta1.powf(t));
        // The steps before rectification divide by √v · 0 + 1: another number, the same plan.
        let (rate, of_root, eps) = match self.rectification(t) {
            Some(r) => (rate * r * (1.0 - beta2.powf(t)).sqrt(), 1.0, self.eps),
            None => (rate, 0.0, 1.0),
        };
        value - m / (v.sqrt() * of_root + eps) * rate
    }
}
