//! Optimizers: from gradients to updates; and learning-rate schedules, which drive them.
//!
//! | | update, in a word | state per parameter | from |
//! |---|---|---|---|
//! | [`SGD`] | the gradient, with momentum or Nesterov's | `momentum_buffer` | Sutskever et al., 2013 |
//! | [`Adam`], AMSGrad | momentum over root mean square | `exp_avg`, `exp_avg_sq`, `max_exp_avg_sq` | Kingma and Ba, 2015; Reddi et al., 2018 |
//! | [`AdamW`] | Adam with weight decay apart from the gradient | as Adam | Loshchilov and Hutter, 2019 |
//! | [`NAdam`] | Adam with Nesterov's momentum | `exp_avg`, `exp_avg_sq`, `mu_product` | Dozat, 2016 |
//! | [`RAdam`] | Adam that warms itself up | `exp_avg`, `exp_avg_sq` | Liu et al., 2020 |
//! | [`RMSprop`] | the gradient over its root mean square | `square_avg`, `grad_avg`, `momentum_buffer` | Hinton, 2012; Graves, 2013 |
//! | [`Adagrad`] | the gradient over the root of all squares so far | `sum` | Duchi et al., 2011 |
//! | [`Adadelta`] | root mean square of updates over that of gradients | `square_avg`, `acc_delta` | Zeiler, 2012 |
//! | [`Lion`] | the sign of momentum | `exp_avg` | Chen et al., 2023 |
//! | [`Muon`] | momentum made orthogonal, for matrices | `momentum_buffer` | Jordan et al., 2024 |
//! | [`LBFGS`] | quasi-Newton with a line search; takes a closure | the last steps and changes of gradient | Liu and Nocedal, 1989 |
//!
//! Beside them: [`clip_grad_norm_`] and [`clip_grad_value_`], and the schedules of
//! [`lr_scheduler`]. Names, defaults and formulas are PyTorch's (Lion's are its paper's).
//!
//! An optimizer is [`Stepper`]: parameters in groups, and an [`UpdateRule`] that says how one
//! parameter changes. Each rule is one file. A step records the updates of all parameters and then
//! evaluates everything that is pending, so that forward, backward and updates run as one plan.
//! [`LBFGS`] is the exception: it asks for the loss several times in a step.
//!
//! Two invariants. A step that fails changes nothing: parameters and state are
//! [`Variable`](gradus_tensor::Variable)s, whose writes commit together, and step counts advance
//! only afterwards. And steps differ in numbers, never in structure: rates and bias corrections are
//! scalars in the code, and state exists, as zeros, before the first step uses it; so a run compiles
//! one plan.

mod adadelta;
mod adagrad;
mod adam;
mod adamw;
mod clip;
mod lbfgs;
mod lion;
pub mod lr_scheduler;
mod muon;
mod nadam;
mod options;
mod radam;
mod rmsprop;
mod sgd;
mod state;
mod stepper;

use gradus_tensor::{Parameter, Result, Tensor};

pub use adadelta::{Adadelta, AdadeltaOptions};
pub use adagrad::{Adagrad, AdagradOptions};
pub use adam::{Adam, AdamOptions};
pub use adamw::{AdamW, AdamWOptions};
pub use clip::{ClipNorm, clip_grad_norm_, clip_grad_value_};
pub use lbfgs::{LBFGS, LBFGSOptions, LineSearch};
pub use lion::{Lion, LionOptions};
pub use muon::{AdjustLr, Muon, MuonOptions};
pub use nadam::{NAdam, NAdamOptions};
pub use radam::{RAdam, RAdamOptions};
pub use rmsprop::{RMSprop, RMSpropOptions};
pub use sgd::{SGD, SGDOptions};
pub use state::State;
pub use stepper::Stepper;

use crate::StateDict;

/// What every optimizer can do.
///
/// ```
/// use gradus_nn::optim::{Adam, Optimizer, SGD};
/// use gradus_nn::{Linear, Module};
/// let model = Linear::new(4, 2);
/// let mut optimizer: Box<dyn Optimizer> = match "adam" {
///     "adam" => Box::new(Adam::new(model.parameters(), 1e-3)),
///     _ => Box::new(SGD::new(model.parameters(), 1e-3).momentum(0.9)),
/// };
/// optimizer.set_lr(0.5 * optimizer.lr());
/// assert_eq!(optimizer.lr(), 5e-4);
/// ```
pub trait Optimizer {
    /// Updates every parameter that has a gradient, and evaluates everything that is pending on
    /// this thread, such as the loss, along with it.
    ///
    /// # Errors
    /// The error of any operation or check since the last evaluation, options or parameters that
    /// make no sense, a gradient that an earlier step has used and that has received more since, or
    /// no gradient at all. Then nothing changes, to the bit, and training can go on with the next
    /// batch.
    #[track_caller]
    fn step(&mut self) -> Result<()>;

    /// The parameters of all groups, in order.
    fn parameters(&self) -> Vec<Parameter>;

    /// Forgets the gradients of all parameters; call it before each backward pass.
    fn zero_grad(&self) {
        for parameter in self.parameters() {
            parameter.zero_grad();
        }
    }

    /// The learning rate of each group.
    fn lrs(&self) -> Vec<f64>;

    /// Sets the learning rate of each group.
    ///
    /// # Panics
    /// If there is not one for each group.
    fn set_lrs(&mut self, lrs: &[f64]);

    /// The learning rate of the first group.
    fn lr(&self) -> f64 {
        self.lrs().first().copied().unwrap_or(0.0)
    }

    /// Sets the learning rate of all groups. Never recompiles.
    fn set_lr(&mut self, lr: f64) {
        self.set_lrs(&vec![lr; self.lrs().len()]);
    }

    /// The momentum of each group, or the decay of its average of gradients (β₁); none if the
    /// optimizer has neither.
    fn momentums(&self) -> Option<Vec<f64>> {
        None
    }

    /// Sets the momentum of each group, or its β₁: what a schedule does that cycles it.
    ///
    /// # Panics
    /// If there is not one for each group, or if the optimizer has neither.
    fn set_momentums(&mut self, momentums: &[f64]) {
        panic!("this optimizer has no momentum to set to {momentums:?}");
    }

    /// The state, by the parameter's position in the groups: `0.step`, `0.exp_avg` … Empty before
    /// the first step. Options are not part of it.
    fn state_dict(&self) -> StateDict;

    /// Restores a state, so that training goes on as if it had not been interrupted.
    ///
    /// # Errors
    /// If a name or a shape does not fit; the error lists all of them, and nothing changes.
    fn load_state_dict(&mut self, state: &StateDict) -> Result<()>;
}

/// How one parameter changes in a step, and with which options.
///
/// An optimizer of your own is one implementation:
///
/// ```
/// use gradus_nn::optim::{Optimizer, State, Stepper, UpdateRule};
/// use gradus_nn::{Linear, Module};
/// use gradus_tensor::Tensor;
///
/// /// w ← w − lr · sign(momentum)
/// #[derive(Clone)]
/// struct SignDescent {
///     lr: f64,
///     beta: f64,
/// }
///
/// impl UpdateRule for SignDescent {
///     const NAME: &'static str = "SignDescent";
///
///     fn lr_mut(&mut self) -> &mut f64 {
///         &mut self.lr
///     }
///     fn check(&self) -> Result<(), String> {
///         Ok(())
///     }
///     fn state(&self) -> &'static [&'static str] {
///         &["momentum"]
///     }
///     fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor {
///         let momentum = state.get("momentum") * self.beta + grad * (1.0 - self.beta);
///         state.set("momentum", &momentum);
///         value - momentum.sign() * self.lr
///     }
/// }
///
/// let model = Linear::new(3, 1);
/// let options = SignDescent { lr: 1e-4, beta: 0.9 };
/// let mut optimizer = Stepper::with_options(model.parameters(), options);
/// # let x = Tensor::ones([2, 3], gradus_tensor::DType::F32);
/// # use gradus_nn::Layer;
/// model.forward(&x).mean().backward();
/// optimizer.step()?;
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub trait UpdateRule: Clone {
    /// The optimizer's name in errors.
    const NAME: &'static str;

    /// The learning rate.
    fn lr_mut(&mut self) -> &mut f64;

    /// The momentum, or what takes its place; schedules such as
    /// [`OneCycleLR`](lr_scheduler::OneCycleLR) change it. None by default.
    fn momentum_mut(&mut self) -> Option<&mut f64> {
        None
    }

    /// Whether the options make sense; if not, why.
    fn check(&self) -> Result<(), String>;

    /// Whether the rule applies to a parameter; if not, why. It applies to all by default.
    fn check_parameter(&self, _parameter: &Parameter) -> Result<(), String> {
        Ok(())
    }

    /// The names of the tensors that are kept for each parameter under these options.
    fn state(&self) -> &'static [&'static str];

    /// The names of the numbers that are kept for each parameter. None by default.
    fn numbers(&self) -> &'static [&'static str] {
        &[]
    }

    /// The parameter's new value. Gradients are not recorded.
    fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor;
}
