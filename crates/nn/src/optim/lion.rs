//! Lion (Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023,
//! arXiv:2302.06675).

use gradus_tensor::{Parameter, Tensor};

use super::options::{WeightDecay, builders, check_betas, check_not_negative};
use super::{State, Stepper, UpdateRule};

/// The sign of momentum, as in its paper's algorithm 2:
///
/// ```text
/// c = β₁ · m + (1 − β₁) · ∇w
/// w ← w − lr · (sign(c) + weight_decay · w)
/// m ← β₂ · m + (1 − β₂) · ∇w
/// ```
///
/// Every weight moves by `lr`; the paper recommends a learning rate 3 to 10 times smaller than
/// AdamW's, and a weight decay as many times larger. Defaults are the paper's too.
///
/// ```
/// use gradus_nn::optim::Lion;
/// use gradus_nn::{Linear, Module};
/// let optimizer = Lion::new(Linear::new(4, 1).parameters(), 1e-4).weight_decay(0.1);
/// assert_eq!(optimizer.options(0).betas, (0.9, 0.99));
/// ```
pub type Lion = Stepper<LionOptions>;

/// The options of [`Lion`]. They can be changed between steps through [`Stepper::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LionOptions {
    /// The learning rate: 1e-4 by default.
    pub lr: f64,
    /// How much of the momentum the step follows, and how much is kept: 0.9 and 0.99 by default.
    pub betas: (f64, f64),
    /// The part of the weight that goes, times the learning rate: 0 by default.
    pub weight_decay: f64,
    /// Whether to ascend instead: no by default.
    pub maximize: bool,
}

builders! {
    Lion, LionOptions:
    /// With other decays of momentum.
    betas(beta1: f64, beta2: f64) (beta1, beta2);
    /// With weight decay.
    weight_decay(weight_decay: f64) weight_decay;
    /// Ascending, or descending.
    maximize(maximize: bool) maximize;
}

impl Lion {
    /// Lion of one group of parameters with default options.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> Lion {
        Lion::with_options(parameters, LionOptions::new(lr))
    }
}

impl LionOptions {
    /// The defaults, with a learning rate.
    pub fn new(lr: f64) -> LionOptions {
        LionOptions { lr, betas: (0.9, 0.99), weight_decay: 0.0, maximize: false }
    }
}

impl Default for LionOptions {
    fn default() -> LionOptions {
        LionOptions::new(1e-4)
    }
}

impl UpdateRule for LionOptions {
    const NAME: &'static str = "Lion";

    fn lr_mut(&mut self) -> &mut f64 {
        &mut self.lr
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.betas.0)
    }

    fn check(&self) -> Result<(), String> {
        check_betas(self.betas)?;
        check_not_negative(&[("weight_decay", self.weight_decay)])
    }

    fn state(&self) -> &'static [&'static str] {
        &["exp_avg"]
    }

    fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor {
        let (beta1, beta2) = self.betas;
        let decay = WeightDecay::new(self.weight_decay, true, self.lr);
        let (value, g) = decay.apply(value, grad, self.maximize);
        let m = state.get("exp_avg");
        let direction = (&m * beta1 + &g * (1.0 - beta1)).sign();
        state.set("exp_avg", &(m * beta2 + g * (1.0 - beta2)));
        value - direction * self.lr
    }
}
