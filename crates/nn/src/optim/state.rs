//! What an optimizer remembers of one parameter.

use std::collections::HashMap;

use gradus_tensor::{Parameter, Result, Tensor, Variable};

use crate::StateDict;

/// The state of one parameter: how many steps it has taken, tensors of its shape and dtype, and
/// numbers.
pub struct State {
    parameter: Variable,
    steps: u64,
    tensors: Vec<(&'static str, Variable)>,
    numbers: Vec<(&'static str, f64)>,
    /// The numbers after the step that is being recorded.
    next_numbers: Vec<(&'static str, f64)>,
}

impl State {
    pub(super) fn new(parameter: Variable) -> State {
        State {
            parameter,
            steps: 0,
            tensors: Vec::new(),
            numbers: Vec::new(),
            next_numbers: Vec::new(),
        }
    }

    /// The number of the step that is being recorded, from 1. It counts steps that succeeded and in
    /// which the parameter had a gradient.
    pub fn step(&self) -> u64 {
        self.steps + 1
    }

    /// A tensor of the state; zeros before it is first set.
    pub fn get(&mut self, name: &'static str) -> Tensor {
        self.variable(name).get()
    }

    /// Writes a tensor of the state. Takes effect if the step succeeds.
    pub fn set(&mut self, name: &'static str, value: &Tensor) {
        self.variable(name).set(value);
    }

    /// A number of the state; `initial` before it is first set.
    pub fn number(&self, name: &'static str, initial: f64) -> f64 {
        find(&self.numbers, name).unwrap_or(initial)
    }

    /// Writes a number of the state. Takes effect if the step succeeds.
    pub fn set_number(&mut self, name: &'static str, value: f64) {
        put(&mut self.next_numbers, name, value);
    }

    /// A step is being recorded; forgets what one that failed has left.
    pub(super) fn begin(&mut self) {
        self.next_numbers.clear();
    }

    /// The step that was recorded has succeeded.
    pub(super) fn advance(&mut self) {
        self.steps += 1;
        for (name, value) in std::mem::take(&mut self.next_numbers) {
            put(&mut self.numbers, name, value);
        }
    }

    fn variable(&mut self, name: &'static str) -> &Variable {
        let at = self.tensors.iter().position(|(known, _)| *known == name);
        let at = at.unwrap_or_else(|| {
            self.tensors.push((name, Variable::zeros_like(&self.parameter.get())));
            self.tensors.len() - 1
        });
        &self.tensors[at].1
    }

    /// Adds the state of parameter `i`, if it has taken a step.
    pub(super) fn save(&self, i: usize, into: &mut StateDict) {
        if self.steps > 0 {
            into.insert(key(i, STEP), Tensor::from_slice(&[self.steps as i64], []));
            for (name, variable) in &self.tensors {
                into.insert(key(i, name), variable.get().detach());
            }
            for (name, value) in &self.numbers {
                into.insert(key(i, name), Tensor::from_slice(&[*value], []));
            }
        }
    }
}

/// The state of a parameter while it is being loaded: cells for what was saved.
pub(super) struct Restored {
    i: usize,
    state: State,
    /// The cell for the number of steps; none if nothing was saved, as the parameter never had a
    /// gradient.
    steps: Option<Variable>,
    numbers: Vec<(&'static str, Variable)>,
}

impl Restored {
    /// For parameter `i`, of which tensors and numbers of these names are kept.
    pub(super) fn new(
        i: usize,
        parameter: &Parameter,
        (tensors, numbers): (&[&'static str], &[&'static str]),
        saved: &HashMap<&str, &Tensor>,
    ) -> Restored {
        let mut state = State::new(parameter.variable().clone());
        let prefix = key(i, "");
        if !saved.keys().any(|name| name.starts_with(&prefix)) {
            return Restored { i, state, steps: None, numbers: Vec::new() };
        }
        for name in tensors {
            state.variable(name);
        }
        let steps = Some(Variable::new(Tensor::from_slice(&[0i64], [])));
        let number = |name: &&'static str| (*name, Variable::new(Tensor::from_slice(&[0f64], [])));
        Restored { i, state, steps, numbers: numbers.iter().map(number).collect() }
    }

    /// The cells by the names they are saved under.
    pub(super) fn cells(&self) -> impl Iterator<Item = (String, Variable)> {
        let steps = self.steps.iter().map(|cell| (STEP, cell));
        let tensors = self.state.tensors.iter().map(|(name, cell)| (*name, cell));
        let numbers = self.numbers.iter().map(|(name, cell)| (*name, cell));
        steps.chain(tensors).chain(numbers).map(|(name, cell)| (key(self.i, name), cell.clone()))
    }

    /// The state, once the cells are filled.
    pub(super) fn finish(mut self) -> Result<State> {
        if let Some(steps) = &self.steps {
            self.state.steps = steps.get().item::<i64>()?.max(0) as u64;
        }
        for (name, cell) in &self.numbers {
            self.state.numbers.push((name, cell.get().item::<f64>()?));
        }
        Ok(self.state)
    }
}

fn find(numbers: &[(&'static str, f64)], name: &str) -> Option<f64> {
    numbers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn put(numbers: &mut Vec<(&'static str, f64)>, name: &'static str, value: f64) {
    match numbers.iter_mut().find(|(known, _)| *known == name) {
        Some((_, slot)) => *slot = value,
        None => numbers.push((name, value)),
    }
}

const STEP: &str = "step";

fn key(i: usize, name: &str) -> String {
    format!("{i}.{name}")
}
