//! The kernels of a plan, prepared once and run by tasks.

mod argmax;
mod argsort;
mod attention;
mod check;
mod conv;
mod cross_entropy;
mod cumsum;
mod gather;
mod join;
mod matmul;
mod max_pool;
mod normalize;
mod scatter_add;

use gradus_ir::ops::Op;
use gradus_ir::schedule::{self, Plan};
use gradus_ir::{DType, Type};

use self::max_pool::Keep;
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
    match kernel {
        K::Loop(l) => loops::kernel(l, plan, scratch),
        K::MatMul { a, b, out, size } => {
            Box::new(matmul::MatMul::new(a, b, *out, *size, dtype(a), scratch))
        }
        K::Check { x, check, ordinal } => {
            Box::new(check::Check::new(x, check.kind, *ordinal, dtype(x)))
        }
        K::Op { op, x, out } => prepare_op(op, x, *out, dtype(&x[0]), plan, scratch),
    }
}

fn prepare_op(
    op: &Op,
    x: &[schedule::View],
    out: schedule::ValueId,
    dtype: DType,
    plan: &Plan,
    scratch: &mut Scratch,
) -> Box<dyn Kernel> {
    let shape = &plan.values[out.index()].ty.shape;
    match op {
        Op::Gather(g) => Box::new(gather::Gather::new(&x[0], &x[1], g.axis, out, dtype)),
        Op::ScatterAdd(s) => {
            Box::new(scatter_add::ScatterAdd::new(&x[0], &x[1], &x[2], s.axis, out, dtype))
        }
        Op::ArgMax(a) => Box::new(argmax::ArgMax::new(&x[0], a.axis, out, dtype)),
        Op::ArgSort(a) => Box::new(argsort::ArgSort::new(a, &x[0], out, dtype)),
        Op::CumSum(c) => Box::new(cumsum::CumSum::new(c, &x[0], out, dtype)),
        Op::Concat(c) => Box::new(join::Join::concat(x, c.axis, out, shape, dtype)),
        Op::Pad(p) => Box::new(join::Join::pad(&x[0], p, out, shape, dtype)),
        Op::Conv(_) | Op::ConvInputGrad(_) | Op::ConvWeightGrad(_) => {
            conv::kernel(op, &x[0], &x[1], out, dtype, scratch)
        }
        Op::MaxPool(p) => {
            Box::new(max_pool::MaxPool::new(&p.0, &x[0], out, shape, dtype, Keep::Value))
        }
        Op::MaxPoolIndices(p) => {
            Box::new(max_pool::MaxPool::new(&p.0, &x[0], out, shape, dtype, Keep::Place))
        }
        Op::MaxPoolGrad(_) => {
            let dtype = plan.values[x[1].value.index()].ty.dtype;
            Box::new(max_pool::MaxPoolGrad::new(&x[0], &x[1], out, shape, dtype))
        }
        Op::Normalize(n) => Box::new(normalize::Normalize::new(&x[0], None, n.eps.to_f64(), out)),
        Op::NormalizeGrad(n) => {
            Box::new(normalize::Normalize::new(&x[0], Some(&x[1]), n.eps.to_f64(), out))
        }
        Op::Attention(a) => Box::new(attention::Attention::new(a, x, out)),
        Op::AttentionGrad(a) => Box::new(attention::AttentionGrad::new(&a.0, x, out)),
        Op::CrossEntropy(_) => {
            Box::new(cross_entropy::CrossEntropy::new(&x[0], &x[1], None, out, dtype))
        }
        Op::CrossEntropyGrad(_) => {
            Box::new(cross_entropy::CrossEntropy::new(&x[0], &x[1], Some(&x[2]), out, dtype))
        }
        op => unreachable!("{op} has no kernel and should have been lowered"),
    }
}

/// Which ops run as one kernel; the others are lowered to their bodies, or to f32 where half precision would
/// accumulate.
pub fn has_kernel(op: &Op, types: &[&Type]) -> bool {
    let half = |t: &Type| matches!(t.dtype, DType::F16 | DType::BF16);
    match op {
        Op::OneHot(_) => false,
        Op::Attention(_) | Op::AttentionGrad(_) | Op::Normalize(_) | Op::NormalizeGrad(_) => {
            types[0].dtype == DType::F32
        }
        Op::CrossEntropy(_)
        | Op::CrossEntropyGrad(_)
        | Op::MatMul(_)
        | Op::ScatterAdd(_)
        | Op::CumSum(_)
        | Op::Conv(_)
        | Op::ConvInputGrad(_)
        | Op::ConvWeightGrad(_) => !half(types[0]),
        Op::MaxPoolGrad(_) => !half(types[1]),
        Op::Reduce(r) => r.kind != gradus_ir::ops::ReduceKind::Sum || !half(types[0]),
        _ => true,
    }
}
