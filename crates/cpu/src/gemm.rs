//! Matrix multiplication, on the kernels of the `gemm` crate.
//!
//! That crate's inner kernels run at the processor's limit; how it splits work and what it packs do not suit
//! the shapes of a training step (64 rows of a batch against a weight matrix stored transposed). So a
//! [`GemmPlan`] decides that, once per shape, and calls the crate on one thread for each tile:
//!
//! * Vectors run along the columns of C, from the rows of B; where B is stored transposed (`x·Wᵀ`) and A is
//!   the smaller, along the rows of C instead: A's tile is transposed on the way in and C's on the way out,
//!   and W is read where it lies.
//! * A result of few columns with both operands contiguous along `k` is a set of dot products (in f32 with
//!   kernels of our own, `dots`).
//! * A result too small to share out is split along `k`, and the partial results are added in order.
//!
//! Invariant: the split depends on shapes, strides and dtype, never on the number of threads, and every
//! element of C is summed in an order that follows from the split along `k`. Any number of threads gives the same
//! bits, and so does any cut into tiles: what follows a product may ask for another.

mod dots;
pub(crate) mod micro;
mod split;
mod tile;
mod transpose;

use std::cell::RefCell;

use gradus_ir::DType;

use self::split::{Layout, Split};
pub(crate) use self::tile::{Matrix, Real, multiply};
use self::tile::{Number, Side, Tile};
pub(crate) use self::transpose::transpose;
use crate::buffer::Arena;
use crate::fold::add_parts;
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
    /// Whether to cut C into pieces of long rows rather than of high columns, for the sake of what comes right
    /// behind the product.
    pub long_rows: bool,
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

/// A finished piece of C, for what comes right behind the product: [`GemmPlan::run_task`] keeps it apart from C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Its first element; its rows follow each other without gaps.
    pub at: *mut u8,
    /// The number of that element among those of all C.
    pub first: usize,
    pub rows: usize,
    pub cols: usize,
    /// From a row to the next, in numbers of elements of C.
    pub pitch: usize,
}

/// Where a product goes.
pub(crate) enum Target<'a> {
    /// To C.
    Whole,
    /// Piece by piece to who calls; then C is not touched.
    Pieces(&'a dyn Fn(Piece)),
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

/// What a loop over a row of a piece should have to do, in elements.
const LONG: usize = 256;
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

    /// Whether it can hand on its pieces for little: in rows that are worth a loop each; without packing B once more
    /// for every piece that shares it; and not all from one thread, which adds up what a split along `k` leaves.
    pub(crate) fn suits_a_tail(&self) -> bool {
        let (cols, contiguous) = (self.vectors, self.gemm.b.col == 1 || self.gemm.n == 1);
        (self.layout.dots || !self.layout.transposed && !self.layout.packed && contiguous)
            && (cols.pieces == 1 || cols.len / cols.pieces >= LONG)
            && (self.depth.pieces == 1 || self.outputs() <= SUM)
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
        unsafe { self.run_task_to(phase, task, operands, Target::Whole) }
    }

    /// The same with another target.
    ///
    /// # Safety
    /// As for [`GemmPlan::run_task`], but for C where that is not the target.
    pub(crate) unsafe fn run_task_to(
        &self,
        phase: usize,
        task: usize,
        operands: &Operands,
        to: Target<'_>,
    ) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.gemm.dtype {
                DType::F32 => self.run_typed::<f32>(phase, task, operands, to),
                DType::F64 => self.run_typed::<f64>(phase, task, operands, to),
                DType::I64 => self.run_typed::<i64>(phase, task, operands, to),
                DType::I32 => self.run_typed::<i32>(phase, task, operands, to),
                DType::U8 => self.run_typed::<u8>(phase, task, operands, to),
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

    unsafe fn run_typed<T: Number>(
        &self,
        phase: usize,
        task: usize,
        operands: &Operands,
        to: Target<'_>,
    ) {
        // SAFETY: passed on to the caller.
        unsafe {
            if phase == 0 {
                self.multiply::<T>(task, operands, to)
            } else {
                self.sum::<T>(task, operands, to)
            }
        }
    }

    /// One tile of C, or of a partial C, of each matrix in a piece of the batch.
    unsafe fn multiply<T: Number>(&self, task: usize, operands: &Operands, to: Target<'_>) {
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
            let first = (index * m + rows.start) * n + cols.start;
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
                    c: c.add(first),
                    row: n,
                    layout: self.layout,
                }
            };
            match to {
                Target::Pieces(done) if self.depth.pieces == 1 => {
                    with_piece(tile.m * tile.n, |at| {
                        let tile = Tile { c: at, row: tile.n, ..tile };
                        // SAFETY: as above, and the piece has room for the tile.
                        unsafe { T::multiply(&tile) };
                        let (rows, cols) = (tile.m, tile.n);
                        done(Piece { at: at.cast(), first, rows, cols, pitch: n });
                    });
                }
                // SAFETY: as above; tiles of different tasks do not overlap.
                _ => unsafe { T::multiply(&tile) },
            }
        }
    }

    /// Adds the partial results of a piece of C, in order.
    unsafe fn sum<T: Number>(&self, task: usize, operands: &Operands, to: Target<'_>) {
        let start = task * SUM;
        let len = SUM.min(self.outputs() - start);
        let add = |c: &mut [T]| {
            let first = operands.workspace.cast::<T>().wrapping_add(start);
            // SAFETY: the first phase has written `depth.pieces` results to the workspace, and is over.
            unsafe { add_parts(c, first, self.outputs(), self.depth.pieces, T::plus) };
        };
        match to {
            Target::Pieces(done) => with_piece(len, |at| {
                // SAFETY: the piece has room for `len` elements, and is this thread's alone.
                add(unsafe { std::slice::from_raw_parts_mut(at, len) });
                done(Piece { at: at.cast(), first: start, rows: 1, cols: len, pitch: len });
            }),
            // SAFETY: C has `outputs` elements and nobody else touches this piece of them.
            Target::Whole => add(unsafe {
                std::slice::from_raw_parts_mut(operands.c.cast::<T>().add(start), len)
            }),
        }
    }
}

thread_local! {
    static PIECE: RefCell<Arena> = const { RefCell::new(Arena::new()) };
}

/// Calls `f` with room for `len` elements of this thread's own. Not to be nested.
fn with_piece<T>(len: usize, f: impl FnOnce(*mut T)) {
    PIECE.with_borrow_mut(|arena| f(arena.ensure(len * size_of::<T>()).cast()));
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
