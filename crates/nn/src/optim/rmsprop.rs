//! RMSprop (Hinton, "Neural networks for machine learning", lecture 6a, 2012), centred as in
//! Graves, "Generating sequences with recurrent neural networks", 2013, arXiv:1308.0850.

use gradus_tensor::{Parameter, Tensor};

use super::options::{WeightDecay, builders, check_not_negative};
use super::{State, Stepper, UpdateRule};

/// The gradient over its root mean square, as in PyTorch:
///
/// ```text
/// g ← ∇w + weight_decay · w
/// v ← alpha · v + (1 − alpha) · g²
/// a ← alpha · a + (1 − alpha) · g                if centered
/// u = g / (√(v − a² if centered, else v) + eps)
/// b ← momentum · b + u                           if there is momentum, else b = u
/// w ← w − lr · b
/// ```
///
/// ```
/// use gradus_nn::optim::RMSprop;
/// use gradus_nn::{Linear, Module};
/// let optimizer = RMSprop::new(Linear::new(4, 1).parameters(), 1e-2).momentum(0.9).centered(true);
/// assert_eq!(optimizer.options(0).alpha, 0.99);
/// ```
pub type RMSprop = Stepper<RMSpropOptions>;

/// The options of [`RMSprop`]. They can be changed between steps through [`Stepper::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RMSpropOptions {
    /// The learning rate: 1e-2 by default.
    pub lr: f64,
    /// The decay of the average of squares: 0.99 by default.
    pub alpha: f64,
    /// Added to the root: 1e-8 by default.
    pub eps: f64,
    /// How much of the weight is added to its gradient: 0 by default.
    pub weight_decay: f64,
    /// How much of the last step's direction is kept: 0, none, by default.
    pub momentum: f64,
    /// Whether to divide by the standard deviation, not the root mean square: no by default.
    pub centered: bool,
    /// Whether to ascend instead: no by default.
    pub maximize: bool,
}

builders! {
    RMSprop, RMSpropOptions:
    /// With another decay of the average of squares.
    alpha(alpha: f64) alpha;
    /// With another number added to the root.
    eps(eps: f64) eps;
    /// With weight decay.
    weight_decay(weight_decay: f64) weight_decay;
    /// With momentum.
    momentum(momentum: f64) momentum;
    /// Dividing by the standard deviation, or by the root mean square.
    centered(centered: bool) centered;
    /// Ascending, or descending.
    maximize(maximize: bool) maximize;
}

impl RMSprop {
    /// RMSprop of one group of parameters with default options.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> RMSprop {
        RMSprop::with_options(parameters, RMSpropOptions::new(lr))
    }
}

impl RMSpropOptions {
    /// The defaults, with a learning rate.
    pub fn new(lr: f64) -> RMSpropOptions {
        RMSpropOptions {
            lr,
            alpha: 0.99,
            eps: 1e-8,
            weight_decay: 0.0,
            momentum: 0.0,
            centered: false,
            maximize: false,
        }
    }
}

impl Default for RMSpropOptions {
    fn default() -> RMSpropOptions {
        RMSpropOptions::new(1e-2)
    }
}

impl UpdateRule for RMSpropOptions {
    const NAME: &'static str = "RMSprop";

    fn lr_mut(&mut self) -> &mut f64 {
        &mut self.lr
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.momentum)
    }

    fn check(&self) -> Result<(), String> {
        // PyTorch accepts alpha above 1, under which the average of squares turns negative.
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(format!("alpha is {}; it must lie between 0 and 1", self.alpha));
        }
        check_not_negative(&[
            ("eps", self.eps),
            ("weight_decay", self.weight_decay),
            ("momentum", self.momentum),
        ])
    }

    fn state(&self) -> &'static [&'static str] {
        match (self.momentum > 0.0, self.centered) {
            (false, false) => &["square_avg"],
            (false, true) => &["square_avg", "grad_avg"],
            (true, false) => &["square_avg", "momentum_buffer"],
            (true, true) => &["square_avg", "grad_avg", "momentum_buffer"],
        }
    }

    fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor {
        let (value, g) = WeightDecay::L2(self.weight_decay).apply(value, grad, self.maximize);
        let mut variance = state.get("square_avg") * self.alpha + &g * &g * (1.0 - self.alpha);
        state.set("square_avg", &variance);
        if self.centered {
            let mean = state.get("grad_avg") * self.alpha + &g * (1.0 - self.alpha);
            state.set("grad_avg", &mean);
            variance = variance - &mean * &mean;
        }
        let mut direction = g / (variance.sqrt() + self.eps);
        if self.momentum > 0.0 {
            direction = state.get("momentum_buffer") * self.momentum + direction;
            state.set("momentum_buffer", &direction);
        }
        value - direction * self.lr
    }
}
