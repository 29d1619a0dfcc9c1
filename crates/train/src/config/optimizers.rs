//! The optimizers that a configuration may choose.

use gradus_nn::optim::{AdamOptions, Optimizer, SGDOptions, Stepper, UpdateRule};
use gradus_tensor::{Error, ErrorKind, Parameter, Result};

use super::table::table;
use super::value::Positive;

/// An optimizer of any type.
pub type AnyOptimizer = Box<dyn Optimizer>;

table! {
    /// Every optimizer known by name. An optimizer of another kind is one more row; each has an
    /// `lr`.
    pub const OPTIMIZERS: fn(parameters: Vec<Parameter>) -> AnyOptimizer;

    /// Stochastic gradient descent, with momentum.
    "SGD" {
        lr: Positive = Positive(1e-2),
        momentum: f64 = 0.0,
        dampening: f64 = 0.0,
        weight_decay: f64 = 0.0,
        nesterov: bool = false,
    } => {
        let options = SGDOptions::new(lr.0).momentum(momentum).dampening(dampening);
        optimizer(parameters, options.weight_decay(weight_decay).nesterov(nesterov))
    };
    /// Adam, with L2 weight decay.
    "Adam" {
        lr: Positive = Positive(1e-3),
        betas: (f64, f64) = (0.9, 0.999),
        eps: f64 = 1e-8,
        weight_decay: f64 = 0.0,
        amsgrad: bool = false,
    } => {
        let options = AdamOptions::new(lr.0).betas(betas.0, betas.1).eps(eps);
        optimizer(parameters, options.weight_decay(weight_decay).amsgrad(amsgrad))
    };
}

/// An optimizer of one group, if the options make sense.
fn optimizer<R: UpdateRule + 'static>(
    parameters: Vec<Parameter>,
    options: R,
) -> Result<AnyOptimizer> {
    options.check().map_err(|why| Error::new(ErrorKind::Usage, why))?;
    Ok(Box::new(Stepper::with_options(parameters, options)))
}
