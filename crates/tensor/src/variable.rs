//! Variables: cells whose pending write commits with the plan that computes it.
//!
//! Parameters, optimizer state and module buffers live in variables. A write is recorded like any op and takes
//! effect when its evaluation succeeds, all writes of one evaluation together; if a check of that evaluation
//! fails, every variable keeps the value it had, to the bit. When nobody else holds the old value, its buffer is
//! overwritten in place.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gradus_ir::{DType, Shape};

use crate::autograd::{GradCell, GradLoan};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::node::{Node, State};
use crate::record;
use crate::tensor::Tensor;

/// A shared cell that holds a tensor.
#[derive(Clone)]
pub struct Variable(Arc<VariableCell>);

/// A variable that is trained: its value requires grad.
#[derive(Clone)]
pub struct Parameter {
    variable: Variable,
    grad: Arc<GradCell>,
}

pub(crate) struct VariableCell {
    contents: Mutex<Contents>,
    /// Where the value, as a leaf, collects its gradient.
    grad: Option<Arc<GradCell>>,
    name: Mutex<String>,
}

/// What a variable holds.
pub(crate) struct Contents {
    pub committed: Tensor,
    pub pending: Option<Tensor>,
}

impl Variable {
    /// A variable with an initial value, which is evaluated: a step's plan should not contain how its state came
    /// about.
    #[track_caller]
    pub fn new(value: Tensor) -> Variable {
        let value = value.detach();
        match value.eval() {
            Ok(()) => Variable::with_grad(value, None),
            Err(error) => Variable::with_grad(Tensor::from_error(error), None),
        }
    }

    /// A variable that starts with zeros like `value`: the state of an optimizer.
    #[track_caller]
    pub fn zeros_like(value: &Tensor) -> Variable {
        let node = value.node();
        match &node.failed {
            Some(error) => Variable::with_grad(Tensor::from_error(error.clone()), None),
            None => Variable::with_grad(Tensor::zeroed(&node.ty, node.device), None),
        }
    }

    fn with_grad(value: Tensor, grad: Option<Arc<GradCell>>) -> Variable {
        value.node().own();
        let contents = Mutex::new(Contents { committed: value, pending: None });
        Variable(Arc::new(VariableCell { contents, grad, name: Mutex::default() }))
    }

    /// The value: the pending one if there is a pending write.
    pub fn get(&self) -> Tensor {
        let mut contents = self.0.lock();
        contents.settle(self.0.grad.as_ref());
        contents.pending.as_ref().unwrap_or(&contents.committed).clone()
    }

    /// Writes a value of the same shape and dtype. The write takes effect with the evaluation that computes it.
    #[track_caller]
    pub fn set(&self, value: &Tensor) {
        let location = Location::caller();
        let new = value.detach();
        let mut contents = self.0.lock();
        contents.settle(self.0.grad.as_ref());
        if new.node().failed.is_some() {
            // The error waits in the thread's slot; the value stays.
            return;
        }
        let (was, is) = (contents.committed.node(), new.node());
        if was.ty != is.ty || was.device != is.device {
            let name = self.name();
            let what = if name.is_empty() { "a variable".to_owned() } else { format!("`{name}`") };
            let message = format!(
                "set: {what} holds {} on {}; a value of {} on {} cannot replace it",
                was.ty, was.device, is.ty, is.device
            );
            let _ = record::fail(ErrorKind::Shape, message, location);
            return;
        }
        contents.pending = Some(new);
        contents.settle(self.0.grad.as_ref());
        if contents.pending.is_some() {
            record::watch_variable(&self.0);
        }
    }

    /// The name it has in its module, such as `fc1.weight`; empty until the module has been asked for its
    /// parameters by name.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Gives it a name.
    pub fn set_name(&self, name: impl Into<String>) {
        *self.0.name.lock().unwrap_or_else(PoisonError::into_inner) = name.into();
    }

    /// Whether both are the same cell.
    pub fn is_same(&self, other: &Variable) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Moves the value to a device.
    pub fn to(&self, device: Device) -> Result<()> {
        let value = self.get();
        value.eval()?;
        let moved = value.detach().to(device);
        if let Some(error) = moved.error() {
            return Err(error);
        }
        self.replace(moved);
        Ok(())
    }

    /// Converts the value to another dtype of its class: floats to floats, integers to integers.
    ///
    /// # Errors
    /// If the value cannot be computed, or the dtype is of another class.
    pub fn cast(&self, dtype: DType) -> Result<()> {
        let value = self.get().detach();
        if value.dtype() == dtype {
            return value.eval();
        }
        if value.dtype().is_float() != dtype.is_float() {
            let message = format!("cast: {} holds {}, not {dtype}", self.name(), value.dtype());
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let cast = record::no_grad(|| value.cast(dtype));
        cast.eval()?;
        self.replace(cast);
        Ok(())
    }

    /// Puts an evaluated value of any type and device into the cell.
    fn replace(&self, moved: Tensor) {
        let mut contents = self.0.lock();
        contents.pending = None;
        contents.committed = as_leaf(&moved, self.0.grad.as_ref()).unwrap_or(moved);
    }
}

impl Parameter {
    /// A parameter with an initial value, which is evaluated.
    ///
    /// # Errors
    /// If the value has failed or holds no floats, the parameter's value is a failed tensor.
    #[track_caller]
    pub fn new(value: Tensor) -> Parameter {
        let leaf = value.detach().requires_grad_();
        let grad = leaf.node().grad.clone().unwrap_or_default();
        Parameter { variable: Variable::with_grad(leaf, Some(grad.clone())), grad }
    }

    /// The value, a leaf that requires grad. A pending write is evaluated first.
    #[track_caller]
    pub fn value(&self) -> Tensor {
        let value = self.variable.get();
        if value.is_evaluated() || value.node().failed.is_some() {
            return value;
        }
        if let Err(error) = value.eval() {
            return Tensor::from_error(error);
        }
        self.variable.get()
    }

    /// Writes a value, as [`Variable::set`].
    #[track_caller]
    pub fn set(&self, value: &Tensor) {
        self.variable.set(value);
    }

    /// The variable that holds the value.
    pub fn variable(&self) -> &Variable {
        &self.variable
    }

    /// The gradient collected so far; none before `backward`, and none after the step that has used it up.
    pub fn grad(&self) -> Option<Tensor> {
        self.grad.get()
    }

    /// Replaces the gradient, as clipping does.
    pub fn set_grad(&self, grad: Tensor) {
        self.grad.replace(grad);
    }

    /// Forgets the gradient.
    pub fn zero_grad(&self) {
        self.grad.clear();
    }

    /// The gradient for an optimizer's step, which then [lends](Parameter::lend_grad) it.
    ///
    /// # Errors
    /// If an earlier step has used it up, and nothing or more has come by `backward` since.
    pub fn grad_for_step(&self) -> Result<Option<Tensor>> {
        let grad = self.grad.get();
        let remedy = match self.grad.was_used() {
            (_, true) => {
                " and has received more since; call `zero_grad()` before each backward pass, or after each step"
            }
            (true, false) if grad.is_none() => "; call `backward()` before each step",
            _ => return Ok(grad),
        };
        let name = self.name();
        let whose = if name.is_empty() { "a parameter".to_owned() } else { format!("`{name}`") };
        Err(Error::new(
            ErrorKind::Autograd,
            format!("step: the gradient of {whose} was used by an earlier step{remedy}"),
        ))
    }

    /// Takes the gradient for a step. It is back when the loan is dropped; once the step has succeeded it is to be
    /// [used up](GradLoan::use_up), and receiving more without [`zero_grad`](Parameter::zero_grad) is then a mistake.
    ///
    /// A gradient that nobody holds needs no memory: the step computes each piece of it where it is used.
    pub fn lend_grad(&self) -> GradLoan {
        self.grad.lend()
    }

    /// The shape of the value.
    pub fn shape(&self) -> Shape {
        self.variable.0.lock().committed.shape().clone()
    }

    /// The dtype of the value.
    pub fn dtype(&self) -> DType {
        self.variable.0.lock().committed.dtype()
    }

    /// The name it has in its module; see [`Variable::name`].
    pub fn name(&self) -> String {
        self.variable.name()
    }
}

impl VariableCell {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> String {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn discard(&self) {
        self.lock().pending = None;
    }

    pub(crate) fn grad(&self) -> Option<&Arc<GradCell>> {
        self.grad.as_ref()
    }
}

impl Contents {
    /// The old value and the pending one, if there is a pending write.
    pub(crate) fn pair(&self) -> Option<(Arc<Node>, Arc<Node>)> {
        let pending = self.pending.as_ref()?;
        Some((self.committed.node().clone(), pending.node().clone()))
    }

    /// Commits a pending write that has been computed; drops one that failed.
    pub(crate) fn settle(&mut self, grad: Option<&Arc<GradCell>>) {
        let Some(pending) = &self.pending else { return };
        if let Some(leaf) = as_leaf(pending, grad) {
            self.committed = leaf;
            self.pending = None;
        } else if matches!(*pending.node().state(), State::Failed(_)) {
            self.pending = None;
        }
    }
}

/// An evaluated tensor as a leaf that collects into `grad`.
fn as_leaf(value: &Tensor, grad: Option<&Arc<GradCell>>) -> Option<Tensor> {
    let storage = value.node().storage()?;
    let node = value.node();
    let leaf = Tensor::leaf(storage, node.ty.clone(), node.device, grad.cloned(), node.location);
    leaf.node().own();
    Some(leaf)
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Variable({:?}, {:?})", self.name(), self.0.lock().committed)
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameter({:?}, {:?})", self.name(), self.variable.0.lock().committed)
    }
}
