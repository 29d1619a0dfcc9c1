//! Matrix multiplication, on the kernels of the `gemm` crate.
//!
//! That crate's inner kernels run at the processor's limit; how it splits work and what it packs do not suit
//! the shapes of a training step (64 rows of a batch against a weight matrix stored transposed). So a
//! [`GemmPlan`] decides that, once per shape, and calls the crate on one thread for each tile:
//!
//! * Vectors run along the columns of C, from the rows of B; where B is stored transposed (`x·Wᵀ`) and A is
//!   the smaller, along the rows of C instead: A's tile is transposed on the way in and C's on the way out,
//!   and W is read where it lies.
//! * A result of few columns with both operands contiguous along `k` is a set of dot products.
//! * A result too small to share out is split along `k`, and the partial results are added in order.
//!
//! Invariant: the split depends on shapes, strides and dtype, never on the number of threads, and every
//! element of C is summed in an order that follows from the split. Any number of threads gives the same bits.

pub(crate) mod micro;
mod split;
mod tile;
mod transpose;

use gradus_ir::DType;

use self::split::{Layout, Split};
pub(crate) use self::tile::{Matrix, Real, multiply};
use self::tile::{Number, Side, Tile};
pub(crate) use self::transpose::transpose;
use crate::pool::Pool;

/// C\[i\] = A\[i\]·B\[i\] for a batch of matrices; C is row-major and contiguous, `[batch, m, n]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gemm {
    /// The element type of all three: f32, f64 or an integer (sums of integers wrap).
    pub dtype: DType,
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A and rows of B.
    pub k: usize,
    /// Where the elements of one A lie.
    pub a: Strides,
    /// Where the elements of one B lie.
    pub b: Strides,
    /// Where each pair starts. One entry for a plain product; equal offsets broadcast.
    pub batch: Vec<Offsets>,
}

/// How far apart, in elements, neighbours in a matrix lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Strides {
    /// From one row to the next.
    pub row: usize,
    /// From one column to the next.
    pub col: usize,
}

/// Where, in elements, one pair of matrices starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offsets {
    /// In the memory of A.
    pub a: usize,
    /// In the memory of B.
    pub b: usize,
}

/// The memory that a plan reads and writes: the first byte of each operand, aligned to its elements.
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    /// The matrices A.
    pub a: *const u8,
    /// The matrices B.
    pub b: *const u8,
    /// The matrices C: overwritten.
    pub c: *mut u8,
    /// [`GemmPlan::workspace`] bytes for partial results.
    pub workspace: *mut u8,
}

// SAFETY: only addresses; whoever follows them answers for that (`GemmPlan::run_task` is unsafe).
unsafe impl Send for Operands {}
// SAFETY: as above.
unsafe impl Sync for Operands {}

/// How one [`Gemm`] is computed: a list of tasks that may run in any order, then perhaps a second.
#[derive(Clone, Debug)]
pub struct GemmPlan {
    gemm: Gemm,
    layout: Layout,
    /// Along the vectors' axis of C, along the other one, and along `k`.
    vectors: Split,
    others: Split,
    depth: Split,
    /// Over the batch.
    batch: Split,
}

/// Elements of C that one task of the second phase adds up.
const SUM: usize = 1 << 14;

impl GemmPlan {
    /// Plans a product.
    ///
    /// # Panics
    /// If the dtype is bool or a half type, on which nothing multiplies: cast to f32 before and back after.
    pub fn new(gemm: Gemm) -> GemmPlan {
        assert!(
            !matches!(gemm.dtype, DType::Bool | DType::F16 | DType::BF16),
            "matrices of {} cannot be multiplied: cast them to float32",
            gemm.dtype
        );
        split::plan(fold_batch(gemm))
    }

    /// How many tasks there are in each of the two phases. All of the first must have finished before any of
    /// the second begins; the second is usually empty.
    pub fn phases(&self) -> [usize; 2] {
        let tiles = self.vectors.pieces * self.others.pieces * self.depth.pieces;
        let sums = if self.depth.pieces > 1 { self.outputs().div_ceil(SUM) } else { 0 };
        [tiles * self.batch.pieces, sums]
    }

    /// Bytes of workspace that the partial results need.
    pub fn workspace(&self) -> usize {
        let partials = if self.depth.pieces > 1 { self.depth.pieces } else { 0 };
        partials * self.outputs() * self.gemm.dtype.size()
    }

    /// Floating-point operations, counting a multiplication and an addition as two.
    pub fn flops(&self) -> u64 {
        2 * self.outputs() as u64 * self.gemm.k as u64
    }

    /// Runs one task of a phase on the calling thread.
    ///
    /// # Safety
    /// The operands must be valid and aligned for everything that the [`Gemm`] describes, C and the workspace
    /// for writes by this plan alone; the task numbers must be below [`GemmPlan::phases`]; no task may run
    /// twice at once, nor one of the second phase beside one of the first.
    pub unsafe fn run_task(&self, phase: usize, task: usize, operands: &Operands) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.gemm.dtype {
                DType::F32 => self.run_typed::<f32>(phase, task, operands),
                DType::F64 => self.run_typed::<f64>(phase, task, operands),
                DType::I64 => self.run_typed::<i64>(phase, task, operands),
                DType::I32 => self.run_typed::<i32>(phase, task, operands),
                DType::U8 => self.run_typed::<u8>(phase, task, operands),
                DType::Bool | DType::F16 | DType::BF16 => unreachable!("refused by GemmPlan::new"),
            }
        }
    }

    /// Runs the whole plan.
    ///
    /// # Safety
    /// The operands must be valid and aligned for everything that the [`Gemm`] describes, C and the workspace
    /// for writes by this plan alone.
    pub unsafe fn run(&self, pool: &Pool, operands: Operands) {
        for (phase, tasks) in self.phases().into_iter().enumerate() {
            // SAFETY: the pool runs each task below `tasks` once and returns when all are done, so the
            // phases follow each other; the rest is passed on to the caller.
            pool.run(tasks, &|task| unsafe { self.run_task(phase, task, &operands) });
        }
    }

    /// Elements of all C.
    fn outputs(&self) -> usize {
        self.gemm.batch.len() * self.gemm.m * self.gemm.n
    }

    unsafe fn run_typed<T: Number>(&self, phase: usize, task: usize, operands: &Operands) {
        // SAFETY: passed on to the caller.
        unsafe {
            if phase == 0 {
                self.multiply::<T>(task, operands)
            } else {
                self.sum::<T>(task, operands)
            }
        }
    }

    /// One tile of C, or of a partial C, of each matrix in a piece of the batch.
    unsafe fn multiply<T: Number>(&self, task: usize, operands: &Operands) {
        let Gemm { m, n, k, a, b, ref batch, .. } = self.gemm;
        // Neighbouring tasks share the operand that is read in vectors, the larger as a rule.
        let (rest, other) = (task / self.others.pieces, task % self.others.pieces);
        let (rest, vector) = (rest / self.vectors.pieces, rest % self.vectors.pieces);
        let (pack, part) = (rest / self.depth.pieces, rest % self.depth.pieces);
        let (others, vectors) = (self.others.range(other), self.vectors.range(vector));
        let depth = self.depth.range(part);
        let (rows, cols) =
            if self.layout.transposed { (vectors, others) } else { (others, vectors) };

        let c = if self.depth.pieces > 1 {
            // SAFETY: the workspace holds `depth.pieces` results one after another.
            unsafe { operands.workspace.cast::<T>().add(part * self.outputs()) }
        } else {
            operands.c.cast::<T>()
        };
        for index in self.batch.range(pack) {
            let offset = batch[index];
            debug_assert!(rows.end <= m && cols.end <= n && depth.end <= k);
            // SAFETY: row, column and depth are inside the matrices, and those inside the operands.
            let tile = unsafe {
                Tile {
                    m: rows.len(),
                    n: cols.len(),
                    k: depth.len(),
                    a: Side {
                        at: operands
                            .a
                            .cast::<T>()
                            .add(offset.a + rows.start * a.row + depth.start * a.col),
                        stride: a.row,
                        depth: a.col,
                    },
                    b: Side {
                        at: operands
                            .b
                            .cast::<T>()
                            .add(offset.b + cols.start * b.col + depth.start * b.row),
                        stride: b.col,
                        depth: b.row,
                    },
                    c: c.add((index * m + rows.start) * n + cols.start),
                    row: n,
                    layout: self.layout,
                }
            };
            // SAFETY: as above; tiles of different tasks do not overlap.
            unsafe { T::multiply(&tile) };
        }
    }

    /// Adds the partial results of a piece of C, in order.
    unsafe fn sum<T: Number>(&self, task: usize, operands: &Operands) {
        let start = task * SUM;
        let len = SUM.min(self.outputs() - start);
        // SAFETY: C has `outputs` elements and nobody else touches this piece of them.
        let c = unsafe { std::slice::from_raw_parts_mut(operands.c.cast::<T>().add(start), len) };
        for part in 0..self.depth.pieces {
            let at = part * self.outputs() + start;
            // SAFETY: the first phase has written `depth.pieces` results to the workspace, and is over.
            let partial =
                unsafe { std::slice::from_raw_parts(operands.workspace.cast::<T>().add(at), len) };
            if part == 0 {
                c.copy_from_slice(partial);
            } else {
                c.iter_mut().zip(partial).for_each(|(c, &p)| *c = c.plus(p));
            }
        }
    }
}

/// A batch of A against a single B is one tall A: `[batch, tokens, features]` through a linear layer.
fn fold_batch(mut gemm: Gemm) -> Gemm {
    let first = gemm.batch.first().copied().unwrap_or_default();
    let pitch = gemm.m * gemm.a.row;
    let tall = gemm
        .batch
        .iter()
        .enumerate()
        .all(|(i, offset)| offset.b == first.b && offset.a == first.a + i * pitch);
    if tall && gemm.batch.len() > 1 {
        gemm.m *= gemm.batch.len();
        gemm.batch.truncate(1);
    }
    gemm
}

#[cfg(test)]
mod tests;
