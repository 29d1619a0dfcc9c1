//! Adadelta (Zeiler, "ADADELTA: an adaptive learning rate method", 2012, arXiv:1212.5701).

use gradus_tensor::{Parameter, Tensor};

use super::options::{WeightDecay, builders, check_not_negative};
use super::{State, Stepper, UpdateRule};

/// The gradient times the root mean square of past updates over that of past gradients, as in
/// PyTorch:
///
/// ```text
/// g ← ∇w + weight_decay · w
/// v ← rho · v + (1 − rho) · g²
/// Δ = √(u + eps) / √(v + eps) · g
/// u ← rho · u + (1 − rho) · Δ²
/// w ← w − lr · Δ
/// ```
///
/// ```
/// use gradus_nn::optim::Adadelta;
/// use gradus_nn::{Linear, Module};
/// let optimizer = Adadelta::new(Linear::new(4, 1).parameters(), 1.0).rho(0.95);
/// assert_eq!(optimizer.options(0).eps, 1e-6);
/// ```
pub type Adadelta = Stepper<AdadeltaOptions>;

/// The options of [`Adadelta`]. They can be changed between steps through [`Stepper::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdadeltaOptions {
    /// What multiplies the update: 1 by default.
    pub lr: f64,
    /// The decay of the averages of squares: 0.9 by default.
    pub rho: f64,
    /// Added to both averages: 1e-6 by default.
    pub eps: f64,
    /// How much of the weight is added to its gradient: 0 by default.
    pub weight_decay: f64,
    /// Whether to ascend instead: no by default.
    pub maximize: bool,
}

builders! {
    Adadelta, AdadeltaOptions:
    /// With another decay of the averages.
    rho(rho: f64) rho;
    /// With another number added to the averages.
    eps(eps: f64) eps;
    /// With weight decay.
    weight_decay(weight_decay: f64) weight_decay;
    /// Ascending, or descending.
    maximize(maximize: bool) maximize;
}

impl Adadelta {
    /// Adadelta of one group of parameters with default options.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> Adadelta {
        Adadelta::with_options(parameters, AdadeltaOptions::new(lr))
    }
}

impl AdadeltaOptions {
    /// The defaults, with a learning rate.
    pub fn new(lr: f64) -> AdadeltaOptions {
        AdadeltaOptions { lr, rho: 0.9, eps: 1e-6, weight_decay: 0.0, maximize: false }
    }
}

impl Default for AdadeltaOptions {
    fn default() -> AdadeltaOptions {
        AdadeltaOptions::new(1.0)
    }
}

impl UpdateRule for AdadeltaOptions {
    const NAME: &'static str = "Adadelta";

    fn lr_mut(&mut self) -> &mut f64 {
        &mut self.lr
    }

    fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.rho) {
            return Err(format!("rho is {}; it must lie between 0 and 1", self.rho));
        }
        check_not_negative(&[("eps", self.eps), ("weight_decay", self.weight_decay)])
    }

    fn state(&self) -> &'static [&'static str] {
        &["square_avg", "acc_delta"]
    }

    fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor {
        let (value, g) = WeightDecay::L2(self.weight_decay).apply(value, grad, self.maximize);
        let square_avg = state.get("square_avg") * self.rho + &g * &g * (1.0 - self.rho);
        let acc_delta = state.get("acc_delta");
        let delta = (&acc_delta + self.eps).sqrt() / (&square_avg + self.eps).sqrt() * g;
        let acc_delta = acc_delta * self.rho + &delta * &delta * (1.0 - self.rho);
        state.set("square_avg", &square_avg);
        state.set("acc_delta", &acc_delta);
        value - delta * self.lr
    }
}
