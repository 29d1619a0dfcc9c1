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

use std::ops::Range;

use gradus_ir::ops::Op;
use gradus_ir::schedule::{self, Plan};
use gradus_ir::{DType, Type};

use crate::loops;
use crate::memory::{Memory, Scratch};

/// A kernel with its sizes worked out: a number of tasks that may run in any order and side by side.
pub(crate) trait Kernel: Send + Sync {
    /// How many tasks there are. It follows from shapes alone.
    fn tasks(&self) -> usize;

    /// How many of them, the first, must be done before the others begin.
    fn before(&self) -> usize {
        0
    }

    /// What all tasks together cost, in bytes moved or their equivalent.
    fn cost(&self) -> usize;

    /// Runs one task.
    ///
    /// # Safety
    /// The task must exist and run once per run of the plan, after those of [`Kernel::before`] if it is none of
    /// them. `memory` must be that of the plan: every value
    /// as large as its type says and aligned to it, written by no kernel of the wave but the one that writes
    /// it in the plan, and read by none unless the reader is that same loop; with the scratch memory and
    /// counters that the kernel reserved.
    unsafe fn run(&self, task: usize, memory: &Memory<'_>);

    /// Runs one of `of` slices of the batch, in a region. Only kernels that [`runs_by_slice`] names are asked.
    ///
    /// # Safety
    /// As for [`Kernel::run`], with slices for tasks; what the kernels before it in the region write need only be
    /// there for the slice.
    unsafe fn run_slice(&self, slice: Slice, _memory: &Memory<'_>) {
        unreachable!("{slice:?} of a kernel that does not run by slice");
    }
}

/// A part of a batch: the `slice`-th of `of`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub slice: usize,
    pub of: usize,
}

impl Slice {
    /// The images of a batch that belong to it.
    pub fn images(self, batch: usize) -> Range<usize> {
        self.slice * batch / self.of..(self.slice + 1) * batch / self.of
    }

    /// The same of what each image has several of.
    pub fn planes(self, batch: usize, planes: usize) -> Range<usize> {
        let (images, each) = (self.images(batch), planes / batch.max(1));
        images.start * each..images.end * each
    }

    /// The most slices of a batch: enough for many threads, and few enough that a slice is worth its launch.
    pub fn count(batch: usize) -> usize {
        batch.clamp(1, 16)
    }
}

/// Which kernels can run slice by slice.
pub fn runs_by_slice(kernel: &schedule::Kernel, plan: &Plan) -> bool {
    use schedule::Kernel as K;
    match kernel {
        K::Loop(l) => l.reduces.is_empty(),
        K::Op { op, x, .. } => match op {
            Op::MaxPool(_) | Op::MaxPoolIndices(_) | Op::MaxPoolGrad(_) => true,
            op => conv::runs_by_slice(op, x, plan.values[x[0].value.index()].ty.dtype),
        },
        K::MatMul { .. } | K::Check { .. } => false,
    }
}

/// Which products can have a tail.
pub fn takes_tail(kernel: &schedule::Kernel, plan: &Plan) -> bool {
    let schedule::Kernel::MatMul { a, b, size, .. } = kernel else { return false };
    matmul::takes_tail(a, b, *size, plan.values[a.value.index()].ty.dtype)
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
        K::MatMul { a, b, out, size, tail } => {
            let tail = tail.as_deref().map(|l| loops::map(l, plan));
            Box::new(matmul::MatMul::new(a, b, *out, *size, dtype(a), tail, scratch))
        }
        K::Check { x, check, ordinal } => {
            Box::new(check::Check::new(x, check.kind, *ordinal, dtype(x)))
        }
        K::Op { op, x, outs } => prepare_op(op, x, outs, dtype(&x[0]), plan, scratch),
    }
}

fn prepare_op(
    op: &Op,
    x: &[schedule::View],
    outs: &[schedule::ValueId],
    dtype: DType,
    plan: &Plan,
    scratch: &mut Scratch,
) -> Box<dyn Kernel> {
    let out = outs[0];
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
        Op::ConvBias(op) => conv::biased_kernel(op, x, out),
        Op::ConvInputGradPooled(_) | Op::ConvWeightGradPooled(_) => {
            conv::pooled_kernel(op, x, out, scratch)
        }
        Op::MaxPool(p) => {
            let outs = [Some(out), outs.get(1).copied()];
            Box::new(max_pool::MaxPool::new(&p.0, &x[0], outs, shape, dtype))
        }
        Op::MaxPoolIndices(p) => {
            Box::new(max_pool::MaxPool::new(&p.0, &x[0], [None, Some(out)], shape, dtype))
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
        Op::ConvBias(op) => conv::biased_fits(op, types),
        Op::ConvInputGradPooled(_) | Op::ConvWeightGradPooled(_) => conv::pooled_fits(op, types),
        Op::Reduce(r) => r.kind != gradus_ir::ops::ReduceKind::Sum || !half(types[0]),
        _ => true,
    }
}
