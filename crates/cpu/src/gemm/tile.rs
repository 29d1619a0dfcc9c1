//! One tile of C on one thread.

use std::cell::RefCell;

use bytemuck::Pod;
use gemm::Parallelism;

use super::dots::dots;
use super::split::Layout;
use super::transpose::transpose;
use crate::buffer::Arena;

/// The depth that is summed in registers before C is touched: what the kernel's packed panels are made for,
/// and the reason why it never splits the depth by itself, which would depend on the machine's caches.
pub(super) const DEPTH: usize = 512;
/// The width of a packed panel, a multiple of what every kernel takes at once.
const PANEL: usize = 64;
/// The most rows per call for which the kernel reads the vectors where they lie. With more it copies them
/// first, which pays from twice as many on.
const ROWS: usize = 48;

/// One tile: C = A·B, with C row-major.
pub(super) struct Tile<T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Its stride leads to the next row.
    pub a: Side<T>,
    /// Its stride leads to the next column.
    pub b: Side<T>,
    pub c: *mut T,
    /// From one row of C to the next.
    pub row: usize,
    pub layout: Layout,
}

/// A matrix as a product sees it.
#[derive(Clone, Copy)]
pub(super) struct Side<T> {
    pub at: *const T,
    /// From one row (of A) or column (of B) to the next.
    pub stride: usize,
    /// From one `k` to the next.
    pub depth: usize,
}

impl<T> Side<T> {
    /// The same side from another row or column and depth on.
    ///
    /// # Safety
    /// They must be inside the matrix, or at its end.
    #[inline(always)]
    pub unsafe fn from(self, index: usize, depth: usize) -> Side<T> {
        // SAFETY: passed on to the caller.
        Side { at: unsafe { self.at.add(index * self.stride + depth * self.depth) }, ..self }
    }
}

/// An element type of matrices.
pub(super) trait Number: Pod {
    /// Addition, wrapping for integers.
    fn plus(self, other: Self) -> Self;

    /// Computes a tile.
    ///
    /// # Safety
    /// A and B must be valid for reads, and C for writes, wherever the tile reaches.
    unsafe fn multiply(tile: &Tile<Self>);
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl Number for $t {
            fn plus(self, other: $t) -> $t {
                self.wrapping_add(other)
            }

            unsafe fn multiply(tile: &Tile<$t>) {
                for i in 0..tile.m {
                    for j in 0..tile.n {
                        let mut sum: $t = 0;
                        for p in 0..tile.k {
                            // SAFETY: row, column and depth are inside the tile.
                            let (a, b) = unsafe { (*tile.a.from(i, p).at, *tile.b.from(j, p).at) };
                            sum = sum.wrapping_add(a.wrapping_mul(b));
                        }
                        // SAFETY: row and column are inside the tile.
                        unsafe { *tile.c.add(i * tile.row + j) = sum };
                    }
                }
            }
        }
    )*};
}
integer!(u8, i32, i64);

impl Number for f32 {
    fn plus(self, other: f32) -> f32 {
        self + other
    }

    unsafe fn multiply(tile: &Tile<f32>) {
        // SAFETY: passed on to the caller.
        unsafe { if tile.layout.dots { dots(tile) } else { multiply_floats(tile, 1.0) } }
    }
}

impl Number for f64 {
    fn plus(self, other: f64) -> f64 {
        self + other
    }

    unsafe fn multiply(tile: &Tile<f64>) {
        // SAFETY: passed on to the caller.
        unsafe { multiply_floats(tile, 1.0) }
    }
}

thread_local! {
    /// Packed panels, and transposed tiles of C.
    static SCRATCH: RefCell<[Arena; 2]> = const { RefCell::new([Arena::new(), Arena::new()]) };
}

/// # Safety
/// As for [`Number::multiply`].
unsafe fn multiply_floats<T: Pod>(tile: &Tile<T>, one: T) {
    let &Tile { m, n, k, a, b, c, row, layout } = tile;
    if m == 0 || n == 0 {
        return;
    }
    SCRATCH.with_borrow_mut(|[panels, swapped]| {
        let panel = panels.ensure(if layout.packed { PANEL * DEPTH * size_of::<T>() } else { 0 });
        // SAFETY: the sides are valid for the tile, as is C; `swapped` is long enough for all of C's tile.
        unsafe {
            if layout.transposed {
                let swapped = swapped.ensure(m * n * size_of::<T>()).cast::<T>();
                let product = Product {
                    vectors: m,
                    others: n,
                    k,
                    v: a,
                    o: b,
                    c: swapped,
                    row: m,
                    accumulate: false,
                };
                product.run(layout.packed.then_some(panel.cast()), one);
                transpose(swapped, m, c, row, m, n);
            } else {
                let (v, o) = (b, a);
                let product = Product { vectors: n, others: m, k, v, o, c, row, accumulate: false };
                product.run(layout.packed.then_some(panel.cast()), one);
            }
        }
    });
}

/// A float type of matrices.
pub(crate) trait Real: Pod + std::ops::AddAssign {
    /// 1.
    const ONE: Self;
}
impl Real for f32 {
    const ONE: f32 = 1.0;
}
impl Real for f64 {
    const ONE: f64 = 1.0;
}

/// A matrix in memory: its first element, and the distances between rows and between columns.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<T> {
    pub at: *const T,
    pub row: usize,
    pub col: usize,
}

impl<T> Matrix<T> {
    /// The rows from `row` on.
    ///
    /// # Safety
    /// The row must be inside the matrix, or at its end.
    #[inline(always)]
    pub unsafe fn from(self, row: usize) -> Matrix<T> {
        // SAFETY: passed on to the caller.
        Matrix { at: unsafe { self.at.add(row * self.row) }, ..self }
    }
}

/// C = A·B, or C += A·B, on the calling thread, with A `[m, k]`, B `[k, n]` and C `[m, n]` with `row` elements from
/// one row to the next. B is best contiguous along its columns; along `k` it is packed first.
///
/// # Safety
/// A and B must be valid for reads, and C for reads and writes, as far as the sizes reach.
pub(crate) unsafe fn multiply<T: Real>(
    [m, n, k]: [usize; 3],
    a: Matrix<T>,
    b: Matrix<T>,
    c: *mut T,
    row: usize,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    let v = Side { at: b.at, stride: b.col, depth: b.row };
    let o = Side { at: a.at, stride: a.row, depth: a.col };
    let product = Product { vectors: n, others: m, k, v, o, c, row, accumulate };
    SCRATCH.with_borrow_mut(|[panels, _]| {
        let packed = (b.col != 1).then(|| panels.ensure(PANEL * DEPTH * size_of::<T>()).cast());
        // SAFETY: passed on to the caller; the panel is long enough.
        unsafe { product.run(packed, T::ONE) };
    });
}

/// C\[other\]\[vector\] = Σₖ v\[k\]\[vector\] · o\[k\]\[other\].
#[derive(Clone, Copy)]
struct Product<T> {
    vectors: usize,
    others: usize,
    k: usize,
    v: Side<T>,
    o: Side<T>,
    c: *mut T,
    row: usize,
    /// Whether to add to C rather than overwrite it.
    accumulate: bool,
}

impl<T: Pod> Product<T> {
    /// # Safety
    /// The sides and C must be valid for the product, and the panel, if there is one, for [`PANEL`] ×
    /// [`DEPTH`] elements.
    unsafe fn run(&self, panel: Option<*mut T>, one: T) {
        let width = if panel.is_some() { PANEL } else { self.vectors };
        let height = if panel.is_some() || self.others <= 2 * ROWS { ROWS } else { self.others };
        // At least once, so that a depth of 0 clears C.
        for depth in (0..self.k.max(1)).step_by(DEPTH) {
            let k = DEPTH.min(self.k - depth);
            for vector in (0..self.vectors).step_by(width) {
                let vectors = width.min(self.vectors - vector);
                // SAFETY: depth and vector are inside the sides and C.
                let (mut v, c) = unsafe { (self.v.from(vector, depth), self.c.add(vector)) };
                if let Some(panel) = panel {
                    // SAFETY: at most PANEL × DEPTH elements, each of them inside the side.
                    unsafe { transpose(v.at, v.stride, panel, PANEL, k, vectors) };
                    v = Side { at: panel, stride: 1, depth: PANEL };
                }
                let mut other = 0;
                while other < self.others {
                    // Never a single row at the end: for that the kernel has another way to sum, and where a
                    // product is cut must not decide its bits.
                    let left = self.others - other;
                    let others = if left == height + 1 { height - 1 } else { left.min(height) };
                    // SAFETY: other is inside the side and C.
                    let (o, c) = unsafe { (self.o.from(other, depth), c.add(other * self.row)) };
                    let accumulate = self.accumulate || depth > 0;
                    let part = Product { vectors, others, k, v, o, c, row: self.row, accumulate };
                    // SAFETY: a part of this product.
                    unsafe { part.call(one) };
                    other += others;
                }
            }
        }
    }

    /// # Safety
    /// The sides and C must be valid for the product.
    unsafe fn call(&self, one: T) {
        let step = |stride: usize| stride as isize;
        // SAFETY: passed on to the caller. In the kernel's terms C is column-major, `vectors` rows high.
        unsafe {
            gemm::gemm(
                self.vectors,
                self.others,
                self.k,
                self.c,
                step(self.row),
                1,
                self.accumulate,
                self.v.at,
                step(self.v.depth),
                step(self.v.stride),
                self.o.at,
                step(self.o.stride),
                step(self.o.depth),
                one,
                one,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }
}
