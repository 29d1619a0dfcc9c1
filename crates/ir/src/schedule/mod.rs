//! From a graph to what a backend executes: kernels over buffers, in waves.
//!
//! ```text
//! graph ──group──▶ units ──lower──▶ kernels over values ──order──▶ waves ──memory──▶ places in an arena
//! ```
//!
//! * `group` fuses element-wise ops of one shape, and the reductions of their results, into loops. What is
//!   fused follows from the graph alone, never from which values somebody asked for.
//! * `lower` turns movement ops into strides and everything else into kernels.
//! * `split` cuts loops in two where one of the halves then has a better place, and `tails` makes what follows a
//!   product element by element part of it.
//! * `regions` finds kernels that go through the batch image by image, to be run slice by slice.
//! * `order` sorts kernels into waves; the kernels of a wave are independent and run as one launch. Parameters
//!   are overwritten in place after everything that reads their old value and after every check.
//! * `memory` gives temporaries places in one arena, from their lifetimes.

mod group;
mod lower;
mod memory;
mod order;
mod print;
mod regions;
mod split;
mod tails;
mod view;

use smallvec::{SmallVec, smallvec};

use crate::graph::{Graph, NodeId};
use crate::ops::{Check, Distribution, MatMulSize, Op, ReduceKind};
use crate::scalar::ScalarOp;
use crate::{Axes, DType, Scalar, Shape, Type, passes};

pub use regions::{Region, RunsBySlice};
pub use view::View;

/// A buffer of a plan, by position in [`Plan::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

impl ValueId {
    /// The position as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A buffer: contiguous elements of one dtype.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Shape and dtype.
    pub ty: Type,
    /// Where it lives.
    pub place: Place,
}

/// Where a buffer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this byte offset of the arena.
    Arena(usize),
    /// In the n-th input, only read.
    Input(u32),
    /// In the n-th input, which is overwritten and becomes an output.
    Donated(u32),
    /// In a buffer of its own, which becomes an output.
    Output,
    /// Nowhere: the kernel that computes it hands it on to its tail.
    Nowhere,
}

/// A compiled computation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Every buffer.
    pub values: Vec<Value>,
    /// Every kernel.
    pub kernels: Vec<Kernel>,
    /// Kernels by launch: those of one wave are independent, but for regions; those of the next may use their
    /// results.
    pub waves: Vec<Vec<usize>>,
    /// Kernels of a wave that do depend on each other, but image by image.
    pub regions: Vec<Region>,
    /// How many waves run before the first parameter is overwritten. All checks lie there.
    pub gate: usize,
    /// The buffers that hold the outputs; some may be inputs or occur twice.
    pub outputs: Vec<ValueId>,
    /// The size of the arena in bytes.
    pub arena: usize,
    /// Whether a check may fail though all hold that were asked for: where it does, [`compile_exact`] has the
    /// plan that knows.
    pub presumes: bool,
}

/// What a backend runs in one go.
#[derive(Clone, Debug, PartialEq)]
pub enum Kernel {
    /// Fused element-wise ops and reductions.
    Loop(Loop),
    /// `out = a · b`.
    MatMul {
        /// Left, `[…, m, k]`.
        a: View,
        /// Right, `[…, k, n]`.
        b: View,
        /// The result, contiguous.
        out: ValueId,
        /// The sizes.
        size: MatMulSize,
        /// What is done with each element of the result while it is at hand: a loop without reductions that loads
        /// `out` whole. The result itself then has no memory.
        tail: Option<Box<Loop>>,
    },
    /// Any other op that is not element-wise, with the meaning that the op has.
    Op {
        /// Which.
        op: Op,
        /// Its operands, contiguous where the op takes them so.
        x: Vec<View>,
        /// The result, contiguous. [`Op::MaxPool`] may have a second: the places, as [`Op::MaxPoolIndices`]
        /// gives them.
        outs: SmallVec<[ValueId; 2]>,
    },
    /// Fails the plan unless a condition holds for every element.
    Check {
        /// Of what.
        x: View,
        /// The condition.
        check: Check,
        /// Its rank among the graph's checks.
        ordinal: usize,
    },
}

/// Fused element-wise ops over one iteration space, and reductions of their results.
///
/// For every index of `shape`, the steps run in order, step `i` filling register `i`; then registers are
/// stored and accumulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// The iteration space.
    pub shape: Shape,
    /// What is computed at each index.
    pub steps: Vec<Step>,
    /// Registers kept, element by element.
    pub stores: Vec<Store>,
    /// The axes reduced over, ascending; empty without reductions.
    pub axes: Axes,
    /// Registers combined over `axes`.
    pub reduces: Vec<ReduceStore>,
}

/// One register of a loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How it is filled.
    pub kind: StepKind,
    /// From which registers, for [`StepKind::Op`] and [`StepKind::Cast`].
    pub args: SmallVec<[u16; 3]>,
    /// The register's dtype.
    pub dtype: DType,
}

/// How a register is filled.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// From a buffer; the view has the loop's shape.
    Load(View),
    /// With a scalar given when the plan runs.
    Slot(u32),
    /// With a scalar of the plan.
    Const(Scalar),
    /// With `offset + Σ indexᵢ · strideᵢ`: counting.
    Index {
        /// The value at index 0.
        offset: isize,
        /// The increase along each axis.
        strides: SmallVec<[isize; 6]>,
    },
    /// With random numbers; the element's number is its row-major position in the loop's shape, counted from that
    /// of the first.
    Random {
        /// Which.
        distribution: Distribution,
        /// The slot of the seed.
        seed: u32,
        /// The slot of the stream.
        stream: u32,
        /// The slot of the number of the first element; none if that is 0.
        first: Option<u32>,
    },
    /// By an element-wise op.
    Op(ScalarOp),
    /// By conversion.
    Cast,
}

/// A register kept: element by element into a contiguous buffer of the loop's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Which register.
    pub register: u16,
    /// Where to.
    pub out: ValueId,
}

/// A register combined over the loop's axes, into a contiguous buffer of what remains of the shape.
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceStore {
    /// Which register.
    pub register: u16,
    /// How.
    pub kind: ReduceKind,
    /// Where to.
    pub out: ValueId,
}

/// A graph input whose buffer may be overwritten with a graph output of the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Donation {
    /// The input, by number.
    pub input: u32,
    /// The output, by position.
    pub output: u32,
}

/// Which fused ops a backend has kernels for; the rest run as their bodies.
pub type HasKernel = fn(&Op, &[&Type]) -> bool;

/// Which products a backend can hand on to a tail piece by piece; asked only where that makes sense.
pub type TakesTail = fn(&Kernel, &Plan) -> bool;

/// What [`compile`] must know of a backend.
#[derive(Clone, Copy)]
pub struct Backend {
    /// Which fused ops it has kernels for.
    pub has_kernel: HasKernel,
    /// Which kernels may join a [`Region`].
    pub runs_by_slice: RunsBySlice,
    /// Which products may have a tail.
    pub takes_tail: TakesTail,
}

/// Compiles a graph: optimises, lowers, fuses, orders, and plans memory. Donations that would change a result
/// or could not be undone by a failing check are declined: their outputs get buffers of their own.
///
/// Some checks may be replaced by others that are cheaper and stricter: then the plan [presumes](Plan::presumes).
pub fn compile(graph: &Graph, donations: &[Donation], backend: &Backend) -> Plan {
    let graph = joined(graph);
    match passes::check_factors(&graph) {
        Some(graph) => Plan { presumes: true, ..scheduled(&graph, donations, backend) },
        None => scheduled(&graph, donations, backend),
    }
}

/// As [`compile`], with every check as it is. The results are the same to the bit.
pub fn compile_exact(graph: &Graph, donations: &[Donation], backend: &Backend) -> Plan {
    scheduled(&joined(graph), donations, backend)
}

fn joined(graph: &Graph) -> Graph {
    passes::optimize(&passes::join(&passes::optimize(graph)))
}

fn scheduled(graph: &Graph, donations: &[Donation], backend: &Backend) -> Plan {
    let graph = passes::optimize(&passes::lower(graph, backend.has_kernel));
    let units = group::group(&graph);
    let mut plan = lower::lower(&graph, units);
    tails::attach(&mut plan, donations, backend.takes_tail);
    order::order(&mut plan, donations, backend.runs_by_slice);
    memory::place(&mut plan);
    plan
}

impl Loop {
    /// The views that it loads.
    pub fn loads(&self) -> impl Iterator<Item = &View> {
        self.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Load(view) => Some(view),
            _ => None,
        })
    }
}

impl Kernel {
    /// What it does element by element.
    pub fn body(&self) -> Option<&Loop> {
        match self {
            Kernel::Loop(body) => Some(body),
            Kernel::MatMul { tail, .. } => tail.as_deref(),
            Kernel::Op { .. } | Kernel::Check { .. } => None,
        }
    }

    /// Calls `f` with every buffer that the kernel reads and how.
    pub fn for_each_read<'a>(&'a self, mut f: impl FnMut(&'a View)) {
        match self {
            Kernel::Loop(l) => l.loads().for_each(f),
            Kernel::MatMul { a, b, out, tail, .. } => {
                [a, b].into_iter().for_each(&mut f);
                let others = tail.iter().flat_map(|l| l.loads());
                others.filter(|view| view.value != *out).for_each(f);
            }
            Kernel::Op { x, .. } => x.iter().for_each(f),
            Kernel::Check { x, .. } => f(x),
        }
    }

    /// The buffers that the kernel writes.
    pub fn writes(&self) -> SmallVec<[ValueId; 4]> {
        match self {
            Kernel::Loop(l) => {
                let stores = l.stores.iter().map(|s| s.out);
                stores.chain(l.reduces.iter().map(|r| r.out)).collect()
            }
            Kernel::MatMul { tail: Some(l), .. } => l.stores.iter().map(|s| s.out).collect(),
            Kernel::MatMul { out, .. } => smallvec![*out],
            Kernel::Op { outs, .. } => outs.iter().copied().collect(),
            Kernel::Check { .. } => smallvec![],
        }
    }
}

/// The outermost non-movement node that a node is a view of.
fn base_of(graph: &Graph) -> Vec<NodeId> {
    let mut base: Vec<NodeId> = Vec::with_capacity(graph.len());
    for id in graph.ids() {
        let node = graph.node(id);
        base.push(if view::is_movement(&node.op) { base[node.inputs[0].index()] } else { id });
    }
    base
}
