//! The recorded graph: nodes that are pending, ready or failed, and the edges between them.
//!
//! A [`Tensor`](crate::Tensor) is a handle to a node. Handles are counted apart from edges: a node with a handle is
//! one that somebody may look at, so it is evaluated and kept; a node with edges alone is a step on the way.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gradus_ir::ops::Op;
use gradus_ir::{Scalar, Type};
use smallvec::SmallVec;

use crate::autograd::GradCell;
use crate::device::{Device, Storage};
use crate::error::Error;

/// A recorded value.
pub(crate) struct Node {
    /// The order of recording, over all threads: operands come before their users.
    pub seq: u64,
    pub ty: Type,
    pub device: Device,
    pub requires_grad: bool,
    /// The line that recorded it.
    pub location: &'static Location<'static>,
    /// Where a leaf that requires grad collects its gradient.
    pub grad: Option<Arc<GradCell>>,
    /// What went wrong while recording; such a node has no type and never becomes anything else.
    pub failed: Option<Error>,
    state: Mutex<State>,
    handles: AtomicUsize,
    /// Whether the state is `Ready`, for a look without the lock.
    ready: AtomicBool,
    /// Backward has passed: the history is spent.
    spent: AtomicBool,
    /// How many hold it as the gradient that a step is using: they do not look at it.
    loans: AtomicUsize,
    /// The position in the traversal with number `visit`; see [`Node::mark`].
    visit: AtomicU64,
    index: AtomicU32,
    /// The last flush interval in which a pending node used this leaf.
    pinned: AtomicU64,
}

/// How far a node has come.
pub(crate) enum State {
    /// Recorded, not computed.
    Pending(History),
    /// Computed. A node that requires grad keeps its history until backward has passed.
    Ready { storage: Storage, history: Option<History> },
    /// Its computation failed.
    Failed(Error),
    /// Its buffer was given to an update.
    Donated,
}

/// How a node is computed.
pub(crate) struct History {
    pub op: Op,
    pub operands: Operands,
}

/// What a node is computed from.
pub(crate) type Operands = SmallVec<[Operand; 3]>;

/// One operand.
#[derive(Clone)]
pub(crate) enum Operand {
    Node(Arc<Node>),
    /// A number in the code: an input of the plan, never part of its key.
    Slot(Scalar, gradus_ir::DType),
    /// A number that is part of the computation, such as the 1/n of a mean.
    Const(Scalar, gradus_ir::DType),
}

/// No flush interval: the leaf belongs to a variable.
const OWNED: u64 = u64::MAX;

static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// What a new node is made of.
pub(crate) struct NewNode {
    pub ty: Type,
    pub device: Device,
    pub requires_grad: bool,
    pub location: &'static Location<'static>,
    pub grad: Option<Arc<GradCell>>,
    pub state: State,
}

impl Node {
    pub(crate) fn new(new: NewNode) -> Arc<Node> {
        Node::build(new, None)
    }

    /// A node that stands for a mistake.
    pub(crate) fn failed(error: Error, location: &'static Location<'static>) -> Arc<Node> {
        let new = NewNode {
            ty: Type::new([], gradus_ir::DType::F32),
            device: Device::Cpu,
            requires_grad: false,
            location,
            grad: None,
            state: State::Failed(error.clone()),
        };
        Node::build(new, Some(error))
    }

    fn build(new: NewNode, failed: Option<Error>) -> Arc<Node> {
        let NewNode { ty, device, requires_grad, location, grad, state } = new;
        Arc::new(Node {
            seq: SEQUENCE.fetch_add(1, Ordering::Relaxed),
            ty,
            device,
            requires_grad,
            location,
            grad,
            failed,
            ready: AtomicBool::new(matches!(state, State::Ready { .. })),
            state: Mutex::new(state),
            handles: AtomicUsize::new(0),
            spent: AtomicBool::new(false),
            loans: AtomicUsize::new(0),
            visit: AtomicU64::new(0),
            index: AtomicU32::new(0),
            pinned: AtomicU64::new(0),
        })
    }

    /// The state. Nothing panics while it is held, so a poisoned lock is still sound.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_pending(&self) -> bool {
        matches!(*self.state(), State::Pending(_))
    }

    /// Notes that the state has become `Ready`.
    pub(crate) fn note_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Says that a variable holds it: it stays alive anyway, and is never pinned by what is pending.
    pub(crate) fn own(&self) {
        self.pinned.store(OWNED, Ordering::Relaxed);
    }

    /// Whether this is the first use of the leaf in a flush interval, so that it is what pins it.
    pub(crate) fn pin(&self, interval: u64) -> bool {
        let last = self.pinned.load(Ordering::Relaxed);
        if last == interval || last == OWNED {
            return false;
        }
        self.pinned.store(interval, Ordering::Relaxed);
        true
    }

    /// Whether it holds a buffer.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(crate) fn storage(&self) -> Option<Storage> {
        match &*self.state() {
            State::Ready { storage, .. } => Some(storage.clone()),
            _ => None,
        }
    }

    pub(crate) fn error(&self) -> Option<Error> {
        match &*self.state() {
            State::Failed(e) => Some(e.clone()),
            _ => None,
        }
    }

    /// Replaces the state; edges that go are dropped after the lock is released.
    pub(crate) fn set_state(&self, state: State) {
        self.ready.store(matches!(state, State::Ready { .. }), Ordering::Relaxed);
        let old = std::mem::replace(&mut *self.state(), state);
        drop(old);
    }

    /// Lets go of how an evaluated node was computed.
    pub(crate) fn forget_history(&self) {
        let old = match &mut *self.state() {
            State::Ready { history, .. } => history.take(),
            _ => None,
        };
        drop(old);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    pub(crate) fn spend(&self) {
        self.spent.store(true, Ordering::Relaxed);
    }

    pub(crate) fn add_loan(&self) {
        self.loans.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn drop_loan(&self) {
        self.loans.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn loans(&self) -> usize {
        self.loans.load(Ordering::Relaxed)
    }

    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn drop_handle(&self) {
        self.handles.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn handles(&self) -> usize {
        self.handles.load(Ordering::Relaxed)
    }

    /// Notes the node's position in a traversal. Traversals hold the engine's lock, so that there is one at a
    /// time.
    pub(crate) fn mark(&self, visit: u64, index: usize) {
        self.visit.store(visit, Ordering::Relaxed);
        self.index.store(index as u32, Ordering::Relaxed);
    }

    /// The node's position in this traversal, if it was met.
    pub(crate) fn marked(&self, visit: u64) -> Option<usize> {
        let met = self.visit.load(Ordering::Relaxed) == visit;
        met.then(|| self.index.load(Ordering::Relaxed) as usize)
    }
}

impl State {
    fn take_operands(&mut self) -> Operands {
        match self {
            State::Pending(h) | State::Ready { history: Some(h), .. } => {
                std::mem::take(&mut h.operands)
            }
            _ => Operands::new(),
        }
    }
}

/// Dropping a chain of a million nodes must not recurse a million times: nodes that nobody else holds are
/// taken apart in a loop.
impl Drop for Node {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut stack = state.take_operands();
        while let Some(operand) = stack.pop() {
            if let Operand::Node(node) = operand
                && let Some(mut node) = Arc::into_inner(node)
            {
                let state = node.state.get_mut().unwrap_or_else(PoisonError::into_inner);
                stack.extend(state.take_operands());
            }
        }
    }
}
