//! The kernels of a plan, prepared once and run by tasks.

mod argmax;
mod check;
mod cross_entropy;
mod gather;
mod join;
mod matmul;
mod scatter_add;

use gradus_ir::ops::Op;
use gradus_ir::schedule::{self, Plan};
use gradus_ir::{DType, Type};

use crate::loops;
use crate::memory::{Memory, Scratch};

/// A kernel with its sizes worked out: a number of tasks that may run in any order and side by side.
pub(crate) trait Kernel: Send + Sync {
    /// How many tasks there are. It follows from shapes alone.
    fn tasks(&self) -> usize;

    /// What all tasks together cost, in bytes moved or their equivalent.
    fn cost(&self) -> usize;

    /// Runs one task.
    ///
    /// # Safety
    /// The task must exist and run once per run of the plan. `memory` must be that of the plan: every value
    /// as large as its type says and aligned to it, written by no kernel of the wave but the one that writes
    /// it in the plan, and read by none unless the reader is that same loop; with the scratch memory and
    /// counters that the kernel reserved.
    unsafe fn run(&self, task: usize, memory: &Memory<'_>);
}

/// What a task should cost: much more than handing it out, and little enough to share out evenly and to stay
/// in the second-level cache.
pub(crate) const TASK: usize = 48 << 10;

/// Prepares a kernel of a plan.
pub(crate) fn prepare(
    kernel: &schedule::Kernel,
    plan: &Plan,
    scratch: &mut Scratch,
) -> Box<dyn Kernel> {
    use schedule::Kernel as K;
    let dtype = |view: &schedule::View| plan.values[view.value.index()].ty.dtype;
    let shape = |value: &schedule::ValueId| &plan.values[value.index()].ty.shape;
    match kernel {
        K::Loop(l) => loops::kernel(l, plan, scratch),
        K::MatMul { a, b, out, size } => {
            Box::new(matmul::MatMul::new(a, b, *out, *size, dtype(a), scratch))
        }
        K::Gather { x, index, axis, out } => {
            Box::new(gather::Gather::new(x, index, *axis, *out, dtype(x)))
        }
        K::ScatterAdd { x, index, source, axis, out } => {
            Box::new(scatter_add::ScatterAdd::new(x, index, source, *axis, *out, dtype(x)))
        }
        K::ArgMax { x, axis, out } => Box::new(argmax::ArgMax::new(x, *axis, *out, dtype(x))),
        K::Concat { parts, axis, out } => {
            Box::new(join::Join::concat(parts, *axis, *out, shape(out), dtype(&parts[0])))
        }
        K::Pad { x, pad, out } => Box::new(join::Join::pad(x, pad, *out, shape(out), dtype(x))),
        K::CrossEntropy { logits, labels, out } => {
            Box::new(cross_entropy::CrossEntropy::new(logits, labels, None, *out, dtype(logits)))
        }
        K::CrossEntropyGrad { logits, labels, dy, out } => Box::new(
            cross_entropy::CrossEntropy::new(logits, labels, Some(dy), *out, dtype(logits)),
        ),
        K::Check { x, check, ordinal } => {
            Box::new(check::Check::new(x, check.kind, *ordinal, dtype(x)))
        }
    }
}

/// Which ops run as one kernel; the others are lowered to their bodies, or to f32 where half precision would
/// accumulate.
pub fn has_kernel(op: &Op, types: &[&Type]) -> bool {
    let half = |t: &Type| matches!(t.dtype, DType::F16 | DType::BF16);
    match op {
        Op::OneHot(_) => false,
        Op::CrossEntropy(_) | Op::CrossEntropyGrad(_) | Op::MatMul(_) | Op::ScatterAdd(_) => {
            !half(types[0])
        }
        Op::Reduce(r) => r.kind != gradus_ir::ops::ReduceKind::Sum || !half(types[0]),
        _ => true,
    }
}
