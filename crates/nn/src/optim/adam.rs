//! Adam (Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015) and AMSGrad
//! (Reddi, Kale and Kumar, "On the convergence of Adam and beyond", ICLR 2018).

use gradus_tensor::{Parameter, Tensor};

use super::options::{WeightDecay, builders, check_betas, check_not_negative};
use super::{State, Stepper, UpdateRule};

/// Adam, with L2 weight decay as in PyTorch's class of this name. At the t-th step of a parameter:
///
/// ```text
/// g ← ∇w + weight_decay · w
/// m ← β₁ · m + (1 − β₁) · g
/// v ← β₂ · v + (1 − β₂) · g²
/// w ← w − lr / (1 − β₁ᵗ) · m / (√(v / (1 − β₂ᵗ)) + eps)
/// ```
///
/// AMSGrad divides by the largest `v` so far instead.
///
/// ```
/// use gradus_nn::optim::{Adam, Optimizer};
/// use gradus_nn::{Layer, Linear, Module};
/// use gradus_tensor::{DType, Tensor};
/// let model = Linear::new(4, 1);
/// let mut optimizer = Adam::new(model.parameters(), 1e-3).betas(0.9, 0.99).weight_decay(1e-4);
/// model.forward(&Tensor::ones([2, 4], DType::F32)).mean().backward();
/// optimizer.step()?;
/// assert_eq!(optimizer.state_dict().names()[..3], ["0.step", "0.exp_avg", "0.exp_avg_sq"]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub type Adam = Stepper<AdamOptions>;

/// The options of [`Adam`]. They can be changed between steps through [`Stepper::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// The learning rate: 1e-3 by default.
    pub lr: f64,
    /// The decay of the averages of the gradient and of its square: 0.9 and 0.999 by default.
    pub betas: (f64, f64),
    /// Added to the denominator: 1e-8 by default.
    pub eps: f64,
    /// How much of the weight is added to its gradient: 0 by default.
    pub weight_decay: f64,
    /// Whether to divide by the largest average of squares so far: no by default.
    pub amsgrad: bool,
    /// Whether to ascend instead: no by default.
    pub maximize: bool,
    /// Whether weight decay shrinks the weight instead of entering the gradient: no by default.
    pub decoupled_weight_decay: bool,
}

builders! {
    Adam, AdamOptions:
    /// With other decays of the averages.
    betas(beta1: f64, beta2: f64) (beta1, beta2);
    /// With another number added to the denominator.
    eps(eps: f64) eps;
    /// With weight decay.
    weight_decay(weight_decay: f64) weight_decay;
    /// With AMSGrad, or without.
    amsgrad(amsgrad: bool) amsgrad;
    /// Ascending, or descending.
    maximize(maximize: bool) maximize;
    /// With weight decay apart from the gradient, as in [`AdamW`](super::AdamW), or within it.
    decoupled_weight_decay(decoupled_weight_decay: bool) decoupled_weight_decay;
}

impl Adam {
    /// Adam of one group of parameters with default options.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> Adam {
        Adam::with_options(parameters, AdamOptions::new(lr))
    }
}

impl AdamOptions {
    /// The defaults, with a learning rate.
    pub fn new(lr: f64) -> AdamOptions {
        AdamOptions {
            lr,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            amsgrad: false,
            maximize: false,
            decoupled_weight_decay: false,
        }
    }
}

impl Default for AdamOptions {
    fn default() -> AdamOptions {
        AdamOptions::new(1e-3)
    }
}

impl UpdateRule for AdamOptions {
    const NAME: &'static str = "Adam";

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
        let all = &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
        if self.amsgrad { all } else { &all[..2] }
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
        let mut square = v;
        if self.amsgrad {
            square = state.get("max_exp_avg_sq").maximum(square);
            state.set("max_exp_avg_sq", &square);
        }
        // The corrections for starting at zero are numbers, so that no step compiles another plan.
        let rate = self.lr / (1.0 - beta1.powf(t));
        let scale = 1.0 / (1.0 - beta2.powf(t)).sqrt();
        value - m / (square.sqrt() * scale + self.eps) * rate
    }
}
