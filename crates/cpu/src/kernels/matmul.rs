//! Matrix products, through [`gemm`](crate::gemm).

use gradus_ir::DType;
use gradus_ir::ops::MatMulSize;
use gradus_ir::schedule::{ValueId, View};

use super::Kernel;
use crate::gemm::{Gemm, GemmPlan, Offsets, Operands, Strides, Target};
use crate::layout::Layout;
use crate::loops::Map;
use crate::memory::{Memory, Scratch};

/// A product of matrices, or of a batch of them, and what is done with each piece of it at once.
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
    tail: Option<Map>,
}

impl MatMul {
    pub fn new(
        a: &View,
        b: &View,
        out: ValueId,
        MatMulSize { batch, m, n, k }: MatMulSize,
        dtype: DType,
        tail: Option<Map>,
        scratch: &mut Scratch,
    ) -> MatMul {
        let plan = GemmPlan::new(gemm(a, b, MatMulSize { batch, m, n, k }, dtype, tail.is_some()));
        MatMul {
            a: a.clone(),
            b: b.clone(),
            out,
            size: dtype.size(),
            // A core multiplies about four times as many numbers as it moves bytes.
            cost: (batch * m * n * k / 4).max(batch * m * n * dtype.size())
                + tail.as_ref().map_or(0, Map::cost),
            workspace: scratch.reserve(plan.workspace()),
            counter: scratch.counters(usize::from(plan.phases()[1] > 0)),
            plan,
            tail,
        }
    }
}

/// Whether a product comes in pieces that suit a tail.
pub(super) fn takes_tail(a: &View, b: &View, size: MatMulSize, dtype: DType) -> bool {
    // A single element would be the same for all of the loop, and be loaded before there are pieces.
    let several = size.batch * size.m * size.n > 1;
    several && dtype.is_float() && GemmPlan::new(gemm(a, b, size, dtype, true)).suits_a_tail()
}

fn gemm(
    a: &View,
    b: &View,
    MatMulSize { batch, m, n, k }: MatMulSize,
    dtype: DType,
    long_rows: bool,
) -> Gemm {
    let pairs = starts(a, batch).into_iter().zip(starts(b, batch));
    let batch = pairs.map(|(a, b)| Offsets { a, b }).collect();
    Gemm { dtype, m, n, k, a: strides(a), b: strides(b), batch, long_rows }
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
        let run = |phase, task| match &self.tail {
            // SAFETY: passed on to the caller: the operands are values of the plan, and the workspace reserved.
            None => unsafe { self.plan.run_task(phase, task, &operands) },
            Some(tail) => {
                // SAFETY: as above; no other task computes the piece's elements.
                let done = |piece| unsafe { tail.run_piece(self.out, piece, memory) };
                // SAFETY: as above.
                unsafe { self.plan.run_task_to(phase, task, &operands, Target::Pieces(&done)) };
            }
        };
        let [tiles, sums] = self.plan.phases();
        run(0, task);
        if sums > 0 && memory.is_last(self.counter, tiles) {
            // All tasks of the first phase are done.
            (0..sums).for_each(|sum| run(1, sum));
        }
    }
}
