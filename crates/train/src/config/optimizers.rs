//! The optimizers that a configuration may choose.

use gradus_nn::optim::{
    AdadeltaOptions, AdagradOptions, AdamOptions, AdamWOptions, LionOptions, NAdamOptions,
    Optimizer, RAdamOptions, RMSpropOptions, SGDOptions, Stepper, UpdateRule,
};
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
    /// Adam, with weight decay of its own.
    "AdamW" {
        lr: Positive = Positive(1e-3),
        betas: (f64, f64) = (0.9, 0.999),
        eps: f64 = 1e-8,
        weight_decay: f64 = 0.01,
        amsgrad: bool = false,
    } => {
        let options = AdamWOptions::new(lr.0).betas(betas.0, betas.1).eps(eps);
        optimizer(parameters, options.weight_decay(weight_decay).amsgrad(amsgrad))
    };
    /// Adam, with Nesterov's momentum.
    "NAdam" {
        lr: Positive = Positive(2e-3),
        betas: (f64, f64) = (0.9, 0.999),
        eps: f64 = 1e-8,
        weight_decay: f64 = 0.0,
        momentum_decay: f64 = 4e-3,
    } => {
        let options = NAdamOptions::new(lr.0).betas(betas.0, betas.1).eps(eps);
        optimizer(parameters, options.weight_decay(weight_decay).momentum_decay(momentum_decay))
    };
    /// Adam, with a warm-up that follows from its variance.
    "RAdam" {
        lr: Positive = Positive(1e-3),
        betas: (f64, f64) = (0.9, 0.999),
        eps: f64 = 1e-8,
        weight_decay: f64 = 0.0,
    } => {
        let options = RAdamOptions::new(lr.0).betas(betas.0, betas.1).eps(eps);
        optimizer(parameters, options.weight_decay(weight_decay))
    };
    /// Gradients over the root of their mean square.
    "RMSprop" {
        lr: Positive = Positive(1e-2),
        alpha: f64 = 0.99,
        eps: f64 = 1e-8,
        weight_decay: f64 = 0.0,
        momentum: f64 = 0.0,
        centered: bool = false,
    } => {
        let options = RMSpropOptions::new(lr.0).alpha(alpha).eps(eps).weight_decay(weight_decay);
        optimizer(parameters, options.momentum(momentum).centered(centered))
    };
    /// Gradients over the root of the sum of all their squares.
    "Adagrad" {
        lr: Positive = Positive(1e-2),
        lr_decay: f64 = 0.0,
        weight_decay: f64 = 0.0,
        initial_accumulator_value: f64 = 0.0,
        eps: f64 = 1e-10,
    } => {
        let options = AdagradOptions::new(lr.0).lr_decay(lr_decay).weight_decay(weight_decay);
        let options = options.initial_accumulator_value(initial_accumulator_value);
        optimizer(parameters, options.eps(eps))
    };
    /// Steps in the units of the parameters, without a rate to tune.
    "Adadelta" {
        lr: Positive = Positive(1.0),
        rho: f64 = 0.9,
        eps: f64 = 1e-6,
        weight_decay: f64 = 0.0,
    } => {
        let options = AdadeltaOptions::new(lr.0).rho(rho).eps(eps);
        optimizer(parameters, options.weight_decay(weight_decay))
    };
    /// The sign of an average of gradients.
    "Lion" {
        lr: Positive = Positive(1e-4),
        betas: (f64, f64) = (0.9, 0.99),
        weight_decay: f64 = 0.0,
    } => {
        let options = LionOptions::new(lr.0).betas(betas.0, betas.1);
        optimizer(parameters, options.weight_decay(weight_decay))
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
