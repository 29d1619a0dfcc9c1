//! Matrix products, through [`gemm`](crate::gemm).

use gradus_ir::DType;
use gradus_ir::ops::MatMulSize;
use gradus_ir::schedule::{ValueId, View};

use super::Kernel;
use crate::gemm::{Gemm, GemmPlan, Offsets, Operands, Strides};
use crate::layout::Layout;
use crate::memory::{Memory, Scratch};

/// A product of matrices, or of a batch of them.
pub(super) struct MatMul {
    a: View,
    b: View,
    out: ValueId,
    plan: GemmPlan,
    /// Bytes per element.
    size: usize,
    cost: usize,
    /// Where partial results go, and the counter of tiles that are done, if there are any.
    workspace: usize,
    counter: usize,
}

impl MatMul {
    pub fn new(
        a: &View,
        b: &View,
        out: ValueId,
        MatMulSize { batch, m, n, k }: MatMulSize,
        dtype: DType,
        scratch: &mut Scratch,
    ) -> MatMul {
        let pairs = starts(a, batch).into_iter().zip(starts(b, batch));
        let plan = GemmPlan::new(Gemm {
            dtype,
            m,
            n,
            k,
            a: strides(a),
            b: strides(b),
            batch: pairs.map(|(a, b)| Offsets { a, b }).collect(),
        });
        MatMul {
            a: a.clone(),
            b: b.clone(),
            out,
            size: dtype.size(),
            // A core multiplies about four times as many numbers as it moves bytes.
            cost: (batch * m * n * k / 4).max(batch * m * n * dtype.size()),
            workspace: scratch.reserve(plan.workspace()),
            counter: scratch.counters(usize::from(plan.phases()[1] > 0)),
            plan,
        }
    }
}

/// Where each matrix of a batch starts, from the first one on.
pub(super) fn starts(view: &View, batch: usize) -> Vec<usize> {
    let axes = view.shape.rank() - 2;
    let layout = Layout::new(&view.shape[..axes], &view.strides[..axes], 0);
    let mut starts = Vec::with_capacity(batch);
    if batch > 0 {
        layout.runs(0, batch, |run| {
            starts.extend((0..run.len).map(|i| (run.at + i as isize * run.stride) as usize));
        });
    }
    starts
}

fn strides(view: &View) -> Strides {
    let rank = view.shape.rank();
    Strides { row: view.strides[rank - 2] as usize, col: view.strides[rank - 1] as usize }
}

impl Kernel for MatMul {
    fn tasks(&self) -> usize {
        self.plan.phases()[0]
    }

    fn cost(&self) -> usize {
        self.cost
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let first = |view: &View| {
            memory.at::<u8>(view.value).wrapping_add(view.offset * self.size).cast_const()
        };
        let operands = Operands {
            a: first(&self.a),
            b: first(&self.b),
            c: memory.at(self.out),
            workspace: memory.scratch(self.workspace),
        };
        let [tiles, sums] = self.plan.phases();
        // SAFETY: passed on to the caller: the operands are values of the plan, and the workspace reserved.
        unsafe { self.plan.run_task(0, task, &operands) };
        if sums > 0 && memory.is_last(self.counter, tiles) {
            for sum in 0..sums {
                // SAFETY: as above; all tasks of the first phase are done.
                unsafe { self.plan.run_task(1, sum, &operands) };
            }
        }
    }
}
