//! Recording: what a thread has asked for and not yet computed.
//!
//! Each thread knows its pending nodes weakly. The ones that still have a handle when an evaluation starts are
//! its roots. Checks are known strongly: they must run even if nobody uses what they pass through.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::LocalKey;

use gradus_ir::ops::Op;
use gradus_ir::{Scalar, Type};
use smallvec::SmallVec;

use crate::device::Device;
use crate::engine;
use crate::error::{self, Error, ErrorKind};
use crate::node::{History, NewNode, Node, Operand, Operands, State};
use crate::tensor::Tensor;
use crate::variable::VariableCell;

/// As many pending nodes as this are evaluated even if nobody asked…
const MAX_PENDING: usize = 4096;
/// …and so are pending nodes that hold on to this many bytes of leaves.
const MAX_PINNED: usize = 256 << 20;
/// At the end of a batch, fewer nodes than this may wait for the next batch's.
const WORTH_A_PLAN: usize = 64;

/// A thread's pending work.
#[derive(Default)]
pub(crate) struct Recorder {
    pub nodes: Vec<Weak<Node>>,
    pub checks: Vec<Arc<Node>>,
    /// Variables with a pending write.
    pub variables: Vec<Weak<VariableCell>>,
    pending: usize,
    pinned: usize,
    /// The line of the first op since the last evaluation. A full recorder is evaluated when a loop comes round
    /// to this line, so that every round gives the same plan.
    first: Option<&'static Location<'static>>,
    /// Names the interval between two flushes.
    interval: u64,
}

static INTERVAL: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static RECORDER: RefCell<Recorder> = RefCell::new(Recorder {
        interval: INTERVAL.fetch_add(1, Ordering::Relaxed),
        ..Recorder::default()
    });
    static GRAD_ENABLED: Cell<bool> = const { Cell::new(true) };
    static MAY_FLUSH: Cell<bool> = const { Cell::new(true) };
}

/// The thread's pending work, taken for evaluation.
pub(crate) fn take() -> Recorder {
    RECORDER.with_borrow_mut(|r| {
        let fresh =
            Recorder { interval: INTERVAL.fetch_add(1, Ordering::Relaxed), ..Recorder::default() };
        std::mem::replace(r, fresh)
    })
}

/// What the thread's pending work is, without taking it.
pub(crate) fn snapshot() -> Recorder {
    RECORDER.with_borrow(|r| Recorder {
        nodes: r.nodes.clone(),
        checks: r.checks.clone(),
        variables: r.variables.clone(),
        ..Recorder::default()
    })
}

/// Puts a pending node with a handle under the thread's care.
pub(crate) fn watch(node: &Arc<Node>) {
    RECORDER.with_borrow_mut(|r| r.nodes.push(Arc::downgrade(node)));
}

/// Puts a node that an evaluation left pending back under the thread's care, if it still matters.
pub(crate) fn watch_again(node: &Arc<Node>) {
    let is_check = match &*node.state() {
        State::Pending(history) => history.op.is_effect(),
        _ => return,
    };
    if is_check {
        RECORDER.with_borrow_mut(|r| r.checks.push(node.clone()));
    }
    if node.handles() > 0 {
        watch(node);
    }
}

/// Puts a pending write under the thread's care.
pub(crate) fn watch_variable(variable: &Arc<VariableCell>) {
    RECORDER.with_borrow_mut(|r| r.variables.push(Arc::downgrade(variable)));
}

/// Drops every pending write of this thread: what an evaluation that fails does.
pub(crate) fn discard_writes() {
    for variable in RECORDER.with_borrow_mut(|r| std::mem::take(&mut r.variables)) {
        if let Some(variable) = variable.upgrade() {
            variable.discard();
        }
    }
}

/// Whether operations now record gradients.
pub fn is_grad_enabled() -> bool {
    GRAD_ENABLED.get()
}

/// Runs `f` without recording gradients: what it computes needs no history, so memory is freed at once. Use it
/// for evaluation and for updates by hand.
///
/// ```
/// use gradus_tensor::{DType, Tensor, no_grad};
/// let w = Tensor::ones([2], DType::F32).requires_grad_();
/// let y = no_grad(|| &w * 3.0);
/// assert!(!y.requires_grad());
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    with_grad(false, f)
}

pub(crate) fn with_grad<R>(enabled: bool, f: impl FnOnce() -> R) -> R {
    with_flag(&GRAD_ENABLED, enabled, f)
}

/// Runs `f` without evaluating what it records before it asks for a value, however much that is. An optimizer's step
/// records its updates so: either all of them are in one plan, or none is made.
pub fn as_one_plan<R>(f: impl FnOnce() -> R) -> R {
    with_flag(&MAY_FLUSH, false, f)
}

/// Runs `f` with a flag of the thread set, and restores it also when `f` panics.
fn with_flag<R>(flag: &'static LocalKey<Cell<bool>>, value: bool, f: impl FnOnce() -> R) -> R {
    struct Restore(&'static LocalKey<Cell<bool>>, bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(flag, flag.replace(value));
    f()
}

/// Records an op on operands whose types fit it, or a failed tensor that says why they do not.
#[track_caller]
pub(crate) fn record(op: impl Into<Op>, operands: Operands) -> Tensor {
    let location = Location::caller();
    let op = op.into();
    if let Some(error) = first_failure(&operands) {
        return Tensor::failed(error, location);
    }
    let ty = match op.infer(&types(&operands)) {
        Ok(ty) => ty,
        Err(message) => return fail(ErrorKind::Shape, message, location),
    };
    let mut device = None;
    for operand in &operands {
        if let Operand::Node(n) = operand {
            if device.is_some_and(|d| d != n.device) {
                let message = format!(
                    "{}: tensors on different devices, {} and {}; move one with `.to(device)`",
                    op.name(),
                    device.unwrap_or_default(),
                    n.device
                );
                return fail(ErrorKind::Device, message, location);
            }
            device = Some(n.device);
        }
    }
    flush_if_full(location);
    record_as(op, operands, ty, device.unwrap_or_default(), location)
}

/// Records an op without operands on a device, such as random numbers.
#[track_caller]
pub(crate) fn record_source(op: impl Into<Op>, operands: Operands, device: Device) -> Tensor {
    let location = Location::caller();
    let op = op.into();
    let inferred = op.infer(&types(&operands));
    match inferred {
        Ok(ty) => record_as(op, operands, ty, device, location),
        Err(message) => fail(ErrorKind::Shape, message, location),
    }
}

fn record_as(
    op: Op,
    operands: Operands,
    ty: Type,
    device: Device,
    location: &'static Location<'static>,
) -> Tensor {
    let node = RECORDER.with_borrow_mut(|r| {
        let is_check = op.is_effect();
        let node = r.pending_node(op, operands, ty, device, location);
        if is_check {
            r.checks.push(node.clone());
        }
        r.nodes.push(Arc::downgrade(&node));
        node
    });
    Tensor::handle(node)
}

/// A pending node that nobody watches yet.
pub(crate) fn pending_node(
    op: Op,
    operands: Operands,
    ty: Type,
    device: Device,
    location: &'static Location<'static>,
) -> Arc<Node> {
    RECORDER.with_borrow_mut(|r| r.pending_node(op, operands, ty, device, location))
}

impl Recorder {
    /// Counts a pending node and the leaves it pins, and makes it.
    fn pending_node(
        &mut self,
        op: Op,
        operands: Operands,
        ty: Type,
        device: Device,
        location: &'static Location<'static>,
    ) -> Arc<Node> {
        let mut requires_grad = false;
        self.pending += 1;
        for operand in &operands {
            if let Operand::Node(n) = operand {
                requires_grad |= n.requires_grad;
                if n.is_ready() && n.pin(self.interval) {
                    self.pinned += n.ty.bytes();
                }
            }
        }
        requires_grad &= ty.dtype.is_float() && is_grad_enabled();
        let state = State::Pending(History { op, operands });
        Node::new(NewNode { ty, device, requires_grad, location, grad: None, state })
    }
}

/// A failed tensor whose error also waits for the thread's next evaluation.
pub(crate) fn fail(
    kind: ErrorKind,
    message: impl Into<String>,
    location: &'static Location<'static>,
) -> Tensor {
    let error = Error::located(kind, message, location);
    error::leave(&error);
    Tensor::failed(error, location)
}

/// A number as an operand of a tensor of dtype `dtype`.
pub(crate) fn slot(value: impl Into<Scalar>, dtype: gradus_ir::DType) -> Operand {
    Operand::Slot(value.into(), dtype)
}

fn flush_if_full(location: &'static Location<'static>) {
    if !MAY_FLUSH.get() {
        return;
    }
    let full = RECORDER.with_borrow_mut(|r| {
        let first = *r.first.get_or_insert(location);
        let filled = (r.pending / MAX_PENDING).max(r.pinned / MAX_PINNED);
        // Without a loop that comes round, twice the limit is the end.
        filled >= 2 || (filled == 1 && std::ptr::eq(first, location))
    });
    if full {
        flush(location);
        RECORDER.with_borrow_mut(|r| r.first = Some(location));
    }
}

/// Says that a unit of work, such as a batch, is complete. What is pending is evaluated if it is worth a plan, so
/// that a loop which never asks for a value (counting correct predictions, say) runs batch by batch rather than
/// all at once at its end. The data loader calls this for every batch; loops without it may call it
/// themselves. An error waits for the next evaluation.
#[track_caller]
pub fn mark_step() {
    if RECORDER.with_borrow(|r| r.pending >= WORTH_A_PLAN) {
        flush(Location::caller());
    }
}

fn flush(location: &'static Location<'static>) {
    if let Err(error) = engine::evaluate_pending(&[], location) {
        error::leave(&error);
    }
}

fn first_failure(operands: &Operands) -> Option<Error> {
    operands.iter().find_map(|o| match o {
        Operand::Node(n) => n.failed.clone(),
        _ => None,
    })
}

fn types(operands: &Operands) -> SmallVec<[&Type; 3]> {
    fn type_of(operand: &Operand) -> &Type {
        match operand {
            Operand::Node(n) => &n.ty,
            Operand::Slot(_, dtype) | Operand::Const(_, dtype) => Type::scalar(*dtype),
        }
    }
    operands.iter().map(type_of).collect()
}
