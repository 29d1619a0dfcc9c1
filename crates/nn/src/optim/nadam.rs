//! NAdam (Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016).

use gradus_tensor::{Parameter, Tensor};

use super::options::{WeightDecay, builders, check_betas, check_not_negative};
use super::{State, Stepper, UpdateRule};

/// Adam with Nesterov's momentum, which warms up, as in PyTorch. At the t-th step of a parameter:
///
/// ```text
/// g  ← ∇w + weight_decay · w
/// μₜ = β₁ · (1 − 0.5 · 0.96^(t · momentum_decay))
/// m  ← β₁ · m + (1 − β₁) · g
/// v  ← β₂ · v + (1 − β₂) · g²
/// m̂  = μₜ₊₁ / (1 − μ₁ ⋯ μₜ₊₁) · m + (1 − μₜ) / (1 − μ₁ ⋯ μₜ) · g
/// w  ← w − lr · m̂ / (√(v / (1 − β₂ᵗ)) + eps)
/// ```
///
/// ```
/// use gradus_nn::optim::{NAdam, Optimizer};
/// use gradus_nn::{Linear, Module};
/// let optimizer = NAdam::new(Linear::new(4, 1).parameters(), 2e-3)
///     .weight_decay(1e-2)
///     .decoupled_weight_decay(true);
/// assert_eq!(optimizer.options(0).momentum_decay, 4e-3);
/// ```
pub type NAdam = Stepper<NAdamOptions>;

/// The options of [`NAdam`]. They can be changed between steps through [`Stepper::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NAdamOptions {
    /// The learning rate: 2e-3 by default.
    pub lr: f64,
    /// The decay of the averages of the gradient and of its square: 0.9 and 0.999 by default.
    pub betas: (f64, f64),
    /// Added to the denominator: 1e-8 by default.
    pub eps: f64,
    /// How much of the weight is added to its gradient: 0 by default.
    pub weight_decay: f64,
    /// How fast momentum warms up: 4e-3 by default.
    pub momentum_decay: f64,
    /// Whether weight decay shrinks the weight instead of entering the gradient: no by default.
    pub decoupled_weight_decay: bool,
    /// Whether to ascend instead: no by default.
    pub maximize: bool,
}

builders! {
    NAdam, NAdamOptions:
    /// With other decays of the averages.
    betas(beta1: f64, beta2: f64) (beta1, beta2);
    /// With another number added to the denominator.
    eps(eps: f64) eps;
    /// With weight decay.
    weight_decay(weight_decay: f64) weight_decay;
    /// With momentum that warms up at another pace.
    momentum_decay(momentum_decay: f64) momentum_decay;
    /// With weight decay apart from the gradient, or within it.
    decoupled_weight_decay(decoupled_weight_decay: bool) decoupled_weight_decay;
    /// Ascending, or descending.
    maximize(maximize: bool) maximize;
}

impl NAdam {
    /// NAdam of one group of parameters with default options.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> NAdam {
        NAdam::with_options(parameters, NAdamOptions::new(lr))
    }
}

impl NAdamOptions {
    /// The defaults, with a learning rate.
    pub fn new(lr: f64) -> NAdamOptions {
        NAdamOptions {
            lr,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            momentum_decay: 4e-3,
            decoupled_weight_decay: false,
            maximize: false,
        }
    }

    /// μ at step t.
    fn mu(&self, t: f64) -> f64 {
        self.betas.0 * (1.0 - 0.5 * 0.96_f64.powf(t * self.momentum_decay))
    }
}

impl Default for NAdamOptions {
    fn default() -> NAdamOptions {
        NAdamOptions::new(2e-3)
    }
}

impl UpdateRule for NAdamOptions {
    const NAME: &'static str = "NAdam";

    fn lr_mut(&mut self) -> &mut f64 {
        &mut self.lr
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.betas.0)
    }

    fn check(&self) -> Result<(), String> {
        check_betas(self.betas)?;
        check_not_negative(&[
            ("eps", self.eps),
            ("weight_decay", self.weight_decay),
            ("momentum_decay", self.momentum_decay),
        ])
    }

    fn state(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn numbers(&self) -> &'static [&'static str] {
        &["mu_product"]
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
        // The product is kept and not computed from t, as its factors may change with the options.
        let (mu, mu_next) = (self.mu(t), self.mu(t + 1.0));
        let mu_product = state.number("mu_product", 1.0) * mu;
        state.set_number("mu_product", mu_product);
        let of_g = self.lr * (1.0 - mu) / (1.0 - mu_product);
        let of_m = self.lr * mu_next / (1.0 - mu_product * mu_next);
        let scale = 1.0 / (1.0 - beta2.powf(t)).sqrt();
        value - (g * of_g + m * of_m) / (v.sqrt() * scale + self.eps)
    }
}
