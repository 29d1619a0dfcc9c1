//! Adagrad (Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and
//! stochastic optimization", JMLR 2011).

use gradus_tensor::{Parameter, Tensor};

use super::options::{WeightDecay, builders, check_not_negative};
use super::{State, Stepper, UpdateRule};

/// The gradient over the root of the sum of all its squares, as in PyTorch. At the t-th step of a
/// parameter:
///
/// ```text
/// g ← ∇w + weight_decay · w
/// s ← s + g²                                     s = initial_accumulator_value at first
/// w ← w − lr / (1 + (t − 1) · lr_decay) · g / (√s + eps)
/// ```
///
/// ```
/// use gradus_nn::optim::Adagrad;
/// use gradus_nn::{Linear, Module};
/// let optimizer = Adagrad::new(Linear::new(4, 1).parameters(), 1e-2).lr_decay(1e-3);
/// assert_eq!(optimizer.options(0).eps, 1e-10);
/// ```
pub type Adagrad = Stepper<AdagradOptions>;

/// The options of [`Adagrad`]. They can be changed between steps through [`Stepper::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdagradOptions {
    /// The learning rate: 1e-2 by default.
    pub lr: f64,
    /// How fast the learning rate falls: 0, not at all, by default.
    pub lr_decay: f64,
    /// How much of the weight is added to its gradient: 0 by default.
    pub weight_decay: f64,
    /// What the sum of squares starts with: 0 by default.
    pub initial_accumulator_value: f64,
    /// Added to the root: 1e-10 by default.
    pub eps: f64,
    /// Whether to ascend instead: no by default.
    pub maximize: bool,
}

builders! {
    Adagrad, AdagradOptions:
    /// With a learning rate that falls.
    lr_decay(lr_decay: f64) lr_decay;
    /// With weight decay.
    weight_decay(weight_decay: f64) weight_decay;
    /// With a sum of squares that starts with another number.
    initial_accumulator_value(initial_accumulator_value: f64) initial_accumulator_value;
    /// With another number added to the root.
    eps(eps: f64) eps;
    /// Ascending, or descending.
    maximize(maximize: bool) maximize;
}

impl Adagrad {
    /// Adagrad of one group of parameters with default options.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> Adagrad {
        Adagrad::with_options(parameters, AdagradOptions::new(lr))
    }
}

impl AdagradOptions {
    /// The defaults, with a learning rate.
    pub fn new(lr: f64) -> AdagradOptions {
        AdagradOptions {
            lr,
            lr_decay: 0.0,
            weight_decay: 0.0,
            initial_accumulator_value: 0.0,
            eps: 1e-10,
            maximize: false,
        }
    }
}

impl Default for AdagradOptions {
    fn default() -> AdagradOptions {
        AdagradOptions::new(1e-2)
    }
}

impl UpdateRule for AdagradOptions {
    const NAME: &'static str = "Adagrad";

    fn lr_mut(&mut self) -> &mut f64 {
        &mut self.lr
    }

    fn check(&self) -> Result<(), String> {
        check_not_negative(&[
            ("lr_decay", self.lr_decay),
            ("weight_decay", self.weight_decay),
            ("initial_accumulator_value", self.initial_accumulator_value),
            ("eps", self.eps),
        ])
    }

    fn state(&self) -> &'static [&'static str] {
        &["sum"]
    }

    fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor {
        let (value, g) = WeightDecay::L2(self.weight_decay).apply(value, grad, self.maximize);
        let mut sum = state.get("sum");
        if self.initial_accumulator_value != 0.0 {
            // Added at the first step, so that it has the plan of all others.
            sum = sum + if state.step() == 1 { self.initial_accumulator_value } else { 0.0 };
        }
        let sum = sum + &g * &g;
        state.set("sum", &sum);
        let rate = self.lr / (1.0 + (state.step() - 1) as f64 * self.lr_decay);
        value - g / (sum.sqrt() + self.eps) * rate
    }
}
