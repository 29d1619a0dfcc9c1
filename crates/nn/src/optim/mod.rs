//! Optimizers: from gradients to updates.
//!
//! An optimizer is [`Stepper`]: parameters in groups, and an [`UpdateRule`] that says how one
//! parameter changes. [`SGD`] and [`Adam`] are rules, one file each. A step records the updates of
//! all parameters and then evaluates everything that is pending, so that forward, backward and
//! updates run as one plan.
//!
//! Two invariants. A step that fails changes nothing: parameters and state are [`Variable`]s, whose
//! writes commit together, and step counts advance only afterwards. And steps differ in numbers,
//! never in structure: rates and bias corrections are scalars in the code, and state exists, as
//! zeros, before the first step uses it; so a run compiles one plan.

mod adam;
mod sgd;
mod state;

use std::collections::HashMap;

use gradus_tensor::{
    Error, ErrorKind, Parameter, Result, Tensor, Variable, as_one_plan, evaluate, no_grad,
};

pub use adam::{Adam, AdamOptions};
pub use sgd::{SGD, SGDOptions};
pub use state::State;

use self::state::Restored;
use crate::StateDict;
use crate::module::assign;

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

    /// Whether the options make sense; if not, why.
    fn check(&self) -> Result<(), String>;

    /// The names of the tensors that are kept for each parameter under these options.
    fn state(&self) -> &'static [&'static str];

    /// The parameter's new value. Gradients are not recorded.
    fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor;
}

/// An optimizer: parameters in groups, each with options of its own, and a rule that updates them.
pub struct Stepper<R: UpdateRule> {
    groups: Vec<Group<R>>,
    /// What was wrong with the parameters; the next step returns it.
    misuse: Option<Error>,
}

struct Group<R> {
    options: R,
    members: Vec<Member>,
}

struct Member {
    parameter: Parameter,
    state: State,
}

impl<R: UpdateRule> Stepper<R> {
    /// An optimizer of one group.
    pub fn with_options(parameters: Vec<Parameter>, options: R) -> Stepper<R> {
        Stepper { groups: Vec::new(), misuse: None }.group(parameters, options)
    }

    /// With another group of parameters, which has its own options.
    ///
    /// A parameter that is in a group already is an error that the next step returns.
    #[must_use]
    pub fn group(mut self, parameters: Vec<Parameter>, options: R) -> Stepper<R> {
        self.groups.push(Group { options, members: Vec::with_capacity(parameters.len()) });
        let last = self.groups.len() - 1;
        for parameter in parameters {
            let known = |m: &&Member| m.parameter.variable().is_same(parameter.variable());
            if self.members().any(|m| known(&m)) {
                let message = format!(
                    "{}: {} is given twice; a parameter belongs to one group, and once",
                    R::NAME,
                    called(&parameter)
                );
                self.misuse.get_or_insert_with(|| Error::new(ErrorKind::Usage, message));
            }
            let state = State::new(parameter.variable().clone());
            self.groups[last].members.push(Member { parameter, state });
        }
        self
    }

    /// The options of a group.
    ///
    /// # Panics
    /// If there are not so many groups.
    pub fn options(&self, group: usize) -> &R {
        &self.groups[group].options
    }

    /// The options of a group, to change them. Numbers may change at every step; switching a
    /// feature on or off compiles another plan.
    ///
    /// # Panics
    /// If there are not so many groups.
    pub fn options_mut(&mut self, group: usize) -> &mut R {
        &mut self.groups[group].options
    }

    /// With an option changed in all groups so far.
    fn with(mut self, change: impl Fn(&mut R)) -> Stepper<R> {
        self.groups.iter_mut().for_each(|group| change(&mut group.options));
        self
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.groups.iter().flat_map(|group| &group.members)
    }

    fn check(&mut self) -> Result<()> {
        if let Some(error) = &self.misuse {
            return Err(error.clone());
        }
        let wrong = |why: &str| Error::new(ErrorKind::Usage, format!("{}: {why}", R::NAME));
        if self.members().next().is_none() {
            return Err(wrong("there are no parameters; pass `model.parameters()`"));
        }
        for group in &mut self.groups {
            let lr = *group.options.lr_mut();
            if !(lr.is_finite() && lr >= 0.0) {
                return Err(wrong(&format!("lr is {lr}; it must be finite and not negative")));
            }
            group.options.check().map_err(|why| wrong(&why))?;
        }
        Ok(())
    }

    /// The gradients of all parameters, in order. Nothing is written until all are known to be
    /// usable.
    fn gradients(&self) -> Result<Vec<Option<Tensor>>> {
        self.members()
            .map(|member| {
                let grad = member.parameter.grad_for_step()?;
                match grad.as_ref().and_then(Tensor::error) {
                    Some(error) => Err(error),
                    None => Ok(grad),
                }
            })
            .collect()
    }
}

impl<R: UpdateRule> Optimizer for Stepper<R> {
    #[track_caller]
    fn step(&mut self) -> Result<()> {
        self.check()?;
        let grads = self.gradients()?;
        if grads.iter().all(Option::is_none) {
            // What went wrong before backward explains it better.
            evaluate()?;
            let message = format!(
                "{}: no parameter has a gradient; call `backward()` on the loss before `step()`",
                R::NAME
            );
            return Err(Error::new(ErrorKind::Autograd, message));
        }
        let mut updated = Vec::new();
        as_one_plan(|| {
            no_grad(|| {
                let mut grads = grads.into_iter();
                for Group { options, members } in &mut self.groups {
                    for (member, grad) in members.iter_mut().zip(grads.by_ref()) {
                        let Some(grad) = grad else { continue };
                        let value = member.parameter.variable().get();
                        let new = options.update(&value, grad, &mut member.state);
                        member.parameter.set(&new);
                        updated.push(member);
                    }
                }
            });
            evaluate()
        })?;
        for member in updated {
            member.parameter.mark_grad_used();
            member.state.advance();
        }
        Ok(())
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.members().map(|member| member.parameter.clone()).collect()
    }

    fn lrs(&self) -> Vec<f64> {
        self.groups.iter().map(|group| *group.options.clone().lr_mut()).collect()
    }

    fn set_lrs(&mut self, lrs: &[f64]) {
        assert_eq!(lrs.len(), self.groups.len(), "one learning rate for each group of parameters");
        for (group, lr) in self.groups.iter_mut().zip(lrs) {
            *group.options.lr_mut() = *lr;
        }
    }

    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::default();
        for (i, member) in self.members().enumerate() {
            member.state.save(i, &mut state);
        }
        state
    }

    fn load_state_dict(&mut self, saved: &StateDict) -> Result<()> {
        let entries: HashMap<&str, &Tensor> = saved.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let members = self.groups.iter().flat_map(|group| {
            group.members.iter().map(|member| (&member.parameter, group.options.state()))
        });
        let restored: Vec<Restored> = members
            .enumerate()
            .map(|(i, (parameter, names))| Restored::new(i, parameter, names, &entries))
            .collect();
        let cells: Vec<(String, Variable)> = restored.iter().flat_map(Restored::cells).collect();
        assign("the optimizer", &cells, &entries)?;
        let states = restored.into_iter().map(Restored::finish).collect::<Result<Vec<State>>>()?;
        let members = self.groups.iter_mut().flat_map(|group| &mut group.members);
        members.zip(states).for_each(|(member, state)| member.state = state);
        Ok(())
    }
}

/// What errors call a parameter.
fn called(parameter: &Parameter) -> String {
    match parameter.name() {
        name if name.is_empty() => format!("a parameter of shape {}", parameter.shape()),
        name => format!("`{name}`"),
    }
}
