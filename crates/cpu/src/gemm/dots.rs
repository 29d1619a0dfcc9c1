//! Products of few columns (or rows) and great depth: dot products, with the vectors along the depth.
//!
//! A block of 4 × 3 sums reads 7 vectors for 12 multiplications. The sums of all blocks wait in memory while a part of
//! the depth that fits the first-level cache passes under them, so that the longer operand is read once. Each is
//! summed lane by lane, and the lanes at the end.

use std::cell::RefCell;

use pulp::{Simd, WithSimd};

use super::micro::multiply_add;
use super::tile::{Side, Tile};
use crate::buffer::Arena;
use crate::tier::with_simd;

/// The depth that passes under all blocks at once.
const DEPTH: usize = 512;
/// Rows and columns of a block.
const BLOCK: (usize, usize) = (4, 3);

thread_local! {
    static SUMS: RefCell<Arena> = const { RefCell::new(Arena::new()) };
}

/// Computes a tile whose sides are both contiguous along the depth.
///
/// # Safety
/// A and B must be valid for reads, and C for writes, wherever the tile reaches.
pub(super) unsafe fn dots(tile: &Tile<f32>) {
    SUMS.with_borrow_mut(|arena| {
        let sums = arena.ensure(tile.m * tile.n * LARGEST).cast();
        with_simd(Dots { tile, sums });
    });
}

/// Bytes of the largest vector.
const LARGEST: usize = 64;

struct Dots<'a> {
    tile: &'a Tile<f32>,
    /// Room for a vector for each element of C.
    sums: *mut f32,
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let &Tile { m, n, k, a, b, c, row, .. } = self.tile;
        let sums = self.sums.cast::<S::f32s>();
        // SAFETY: rows, columns and depth are inside the tile, for which whoever made it answers; there is a sum for
        // each row and column.
        unsafe {
            for i in 0..m * n {
                sums.add(i).write(simd.splat_f32s(0.0));
            }
            for depth in (0..k).step_by(DEPTH) {
                let len = DEPTH.min(k - depth);
                for i in (0..m).step_by(BLOCK.0) {
                    for j in (0..n).step_by(BLOCK.1) {
                        let (a, b) = (a.from(i, depth), b.from(j, depth));
                        let part = Part { a, b, len, sums: sums.add(i * n + j), row: n };
                        match ((m - i).min(BLOCK.0), (n - j).min(BLOCK.1)) {
                            (4, 3) => part.run::<S, 4, 3>(simd),
                            (4, 2) => part.run::<S, 4, 2>(simd),
                            (4, _) => part.run::<S, 4, 1>(simd),
                            (rows, 3) => part.rows::<S, 3>(simd, rows),
                            (rows, 2) => part.rows::<S, 2>(simd, rows),
                            (rows, _) => part.rows::<S, 1>(simd, rows),
                        }
                    }
                }
            }
            for i in 0..m {
                for j in 0..n {
                    *c.add(i * row + j) = simd.reduce_sum_f32s(*sums.add(i * n + j));
                }
            }
        }
    }
}

/// A block over a part of the depth.
#[derive(Clone, Copy)]
struct Part<V> {
    a: Side<f32>,
    b: Side<f32>,
    len: usize,
    sums: *mut V,
    /// From one row of sums to the next.
    row: usize,
}

impl<V: Copy> Part<V> {
    /// `rows` rows, one by one.
    ///
    /// # Safety
    /// As for [`Part::run`].
    #[inline(always)]
    unsafe fn rows<S: Simd<f32s = V>, const C: usize>(self, simd: S, rows: usize) {
        for i in 0..rows {
            // SAFETY: passed on to the caller.
            unsafe {
                let sums = self.sums.add(i * self.row);
                Part { a: self.a.from(i, 0), sums, ..self }.run::<S, 1, C>(simd);
            }
        }
    }

    /// # Safety
    /// `R` rows of A and `C` columns of B must be valid for `len` elements, and as many sums for reads and writes.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn run<S: Simd<f32s = V>, const R: usize, const C: usize>(self, simd: S) {
        let lanes = S::F32_LANES;
        let whole = self.len / lanes * lanes;
        let mask = simd.mask_between_m32s(0, (self.len - whole) as u32);
        let mut sums = [[simd.splat_f32s(0.0); C]; R];
        // SAFETY: passed on to the caller; lanes beyond the depth are not read.
        unsafe {
            for i in 0..R {
                for j in 0..C {
                    sums[i][j] = *self.sums.add(i * self.row + j);
                }
            }
            let (a, b) = (self.a, self.b);
            for d in (0..whole).step_by(lanes) {
                let mut y = [simd.splat_f32s(0.0); C];
                for j in 0..C {
                    y[j] = b.at.add(j * b.stride + d).cast::<V>().read_unaligned();
                }
                for i in 0..R {
                    let x = a.at.add(i * a.stride + d).cast::<V>().read_unaligned();
                    for j in 0..C {
                        sums[i][j] = multiply_add(simd, x, y[j], sums[i][j]);
                    }
                }
            }
            if whole < self.len {
                for i in 0..R {
                    let x = simd.mask_load_ptr_f32s(mask, a.at.add(i * a.stride + whole));
                    for j in 0..C {
                        let y = simd.mask_load_ptr_f32s(mask, b.at.add(j * b.stride + whole));
                        sums[i][j] = multiply_add(simd, x, y, sums[i][j]);
                    }
                }
            }
            for i in 0..R {
                for j in 0..C {
                    *self.sums.add(i * self.row + j) = sums[i][j];
                }
            }
        }
    }
}
