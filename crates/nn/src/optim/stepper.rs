//! The optimizer of all rules: parameters in groups, and a step that is one plan.

use std::collections::HashMap;

use gradus_tensor::{
    Error, ErrorKind, GradLoan, Parameter, Result, Tensor, Variable, as_one_plan, evaluate, no_grad,
};

use super::state::Restored;
use super::{Optimizer, State, UpdateRule};
use crate::StateDict;
use crate::module::assign;

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
    pub(super) fn with(mut self, change: impl Fn(&mut R)) -> Stepper<R> {
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
            for member in &group.members {
                group.options.check_parameter(&member.parameter).map_err(|why| wrong(&why))?;
            }
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
        let (mut updated, mut loans) = (Vec::new(), Vec::new());
        as_one_plan(|| {
            no_grad(|| {
                let mut grads = grads.into_iter();
                for Group { options, members } in &mut self.groups {
                    for (member, grad) in members.iter_mut().zip(grads.by_ref()) {
                        let Some(grad) = grad else { continue };
                        let value = member.parameter.variable().get();
                        member.state.begin();
                        let new = options.update(&value, grad, &mut member.state);
                        member.parameter.set(&new);
                        loans.push(member.parameter.lend_grad());
                        updated.push(member);
                    }
                }
            });
            evaluate()
        })?;
        loans.into_iter().for_each(GradLoan::use_up);
        updated.into_iter().for_each(|member| member.state.advance());
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

    fn momentums(&self) -> Option<Vec<f64>> {
        let of = |group: &Group<R>| group.options.clone().momentum_mut().copied();
        self.groups.iter().map(of).collect()
    }

    fn set_momentums(&mut self, momentums: &[f64]) {
        assert_eq!(momentums.len(), self.groups.len(), "one momentum for each group of parameters");
        for (group, momentum) in self.groups.iter_mut().zip(momentums) {
            match group.options.momentum_mut() {
                Some(slot) => *slot = *momentum,
                None => panic!("{} has no momentum", R::NAME),
            }
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
            let kept = (group.options.state(), group.options.numbers());
            group.members.iter().map(move |member| (&member.parameter, kept))
        });
        let restored: Vec<Restored> = members
            .enumerate()
            .map(|(i, (parameter, kept))| Restored::new(i, parameter, kept, &entries))
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
pub(super) fn called(parameter: &Parameter) -> String {
    match parameter.name() {
        name if name.is_empty() => format!("a parameter of shape {}", parameter.shape()),
        name => format!("`{name}`"),
    }
}
