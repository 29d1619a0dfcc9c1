//! Stochastic gradient descent with momentum (Sutskever et al., "On the importance of
//! initialization and momentum in deep learning", ICML 2013), as in PyTorch: the rate multiplies
//! the momentum, not the gradient.

use gradus_tensor::{Parameter, Tensor};

use super::options::{WeightDecay, builders, check_not_negative};
use super::{State, Stepper, UpdateRule};

/// Stochastic gradient descent, with momentum, dampening, Nesterov's momentum and weight decay:
///
/// ```text
/// g ← ∇w + weight_decay · w
/// m ← momentum · m + (1 − dampening) · g        the first step: m = g
/// w ← w − lr · (g + momentum · m  if nesterov, else m)
/// ```
///
/// Groups of parameters may have options of their own:
///
/// ```
/// use gradus_nn::optim::{Optimizer, SGD, SGDOptions};
/// use gradus_nn::{Linear, Module};
/// let (body, head) = (Linear::new(8, 8), Linear::new(8, 2));
/// let optimizer = SGD::new(body.parameters(), 0.01)
///     .momentum(0.9)
///     .group(head.parameters(), SGDOptions::new(0.1).momentum(0.9));
/// assert_eq!(optimizer.lrs(), [0.01, 0.1]);
/// ```
pub type SGD = Stepper<SGDOptions>;

/// The options of [`SGD`]. They can be changed between steps through [`Stepper::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SGDOptions {
    /// The learning rate.
    pub lr: f64,
    /// How much of the last step's direction is kept: 0, none, by default.
    pub momentum: f64,
    /// How much of the gradient does not enter the momentum: 0 by default.
    pub dampening: f64,
    /// How much of the weight is added to its gradient: 0 by default.
    pub weight_decay: f64,
    /// Whether to look ahead by the momentum: no by default. Needs momentum, and no dampening.
    pub nesterov: bool,
    /// Whether to ascend instead: no by default.
    pub maximize: bool,
}

builders! {
    SGD, SGDOptions:
    /// With momentum.
    momentum(momentum: f64) momentum;
    /// With dampening.
    dampening(dampening: f64) dampening;
    /// With weight decay.
    weight_decay(weight_decay: f64) weight_decay;
    /// With Nesterov's momentum, or without.
    nesterov(nesterov: bool) nesterov;
    /// Ascending, or descending.
    maximize(maximize: bool) maximize;
}

impl SGD {
    /// Plain gradient descent of one group of parameters.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> SGD {
        SGD::with_options(parameters, SGDOptions::new(lr))
    }
}

impl SGDOptions {
    /// Plain gradient descent.
    pub fn new(lr: f64) -> SGDOptions {
        SGDOptions {
            lr,
            momentum: 0.0,
            dampening: 0.0,
            weight_decay: 0.0,
            nesterov: false,
            maximize: false,
        }
    }
}

impl UpdateRule for SGDOptions {
    const NAME: &'static str = "SGD";

    fn lr_mut(&mut self) -> &mut f64 {
        &mut self.lr
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.momentum)
    }

    fn check(&self) -> Result<(), String> {
        check_not_negative(&[("momentum", self.momentum), ("weight_decay", self.weight_decay)])?;
        if !self.dampening.is_finite() {
            return Err(format!("dampening is {}; it must be finite", self.dampening));
        }
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Err(format!(
                "nesterov needs momentum and no dampening; they are {} and {}",
                self.momentum, self.dampening
            ));
        }
        Ok(())
    }

    fn state(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 { &[] } else { &["momentum_buffer"] }
    }

    fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor {
        let decay = WeightDecay::L2(self.weight_decay);
        let (value, mut direction) = decay.apply(value, grad, self.maximize);
        if self.momentum != 0.0 {
            let mut fresh = direction.clone();
            if self.dampening != 0.0 {
                // A number in the code, so that the first step has the plan of all others.
                fresh = fresh * if state.step() == 1 { 1.0 } else { 1.0 - self.dampening };
            }
            let momentum = state.get("momentum_buffer") * self.momentum + fresh;
            state.set("momentum_buffer", &momentum);
            direction = if self.nesterov { direction + momentum * self.momentum } else { momentum };
        }
        value - direction * self.lr
    }
}
