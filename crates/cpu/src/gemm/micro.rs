//! The innermost product: a few rows times a few vectors of columns, summed in registers.
//!
//! Rows are read element by element from wherever they lie and columns in vectors, so that nothing need be packed
//! where matrices are small enough for the first-level cache.

use pulp::{Simd, WithSimd};

/// C = A·B, or C += A·B, of f32: A `[m, k]` of any strides, the rows of B `[k, n]` and C `[m, n]` contiguous.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: *const f32,
    /// From one row of A to the next.
    pub a_row: usize,
    /// From one column of A to the next.
    pub a_col: usize,
    pub b: *const f32,
    /// From one row of B to the next.
    pub b_row: usize,
    pub c: *mut f32,
    /// From one row of C to the next.
    pub c_row: usize,
    /// Whether to add to C rather than overwrite it.
    pub accumulate: bool,
}

/// Rows and vectors of a tile: as many sums as there are registers for, beside the vectors of B and one element of A.
const fn tile<S: Simd>() -> (usize, usize) {
    if S::REGISTER_COUNT >= 32 { (8, 3) } else { (6, 2) }
}

/// `a · b + c`, rounded once where there is an instruction for it.
#[inline(always)]
pub(crate) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if cfg!(target_arch = "aarch64") || S::F32_LANES > 4 {
        simd.mul_add_f32s(a, b, c)
    } else {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    }
}

impl Block {
    /// Computes it.
    ///
    /// # Safety
    /// A and B must be valid for reads, and C for reads and writes, as far as the sizes reach.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(&self, simd: S) {
        let width = const { tile::<S>().1 } * S::F32_LANES;
        for col in (0..self.n).step_by(width) {
            let left = (self.n - col).min(width);
            let ragged = !left.is_multiple_of(S::F32_LANES);
            // SAFETY: the columns are inside B and C.
            unsafe {
                match (left.div_ceil(S::F32_LANES), ragged) {
                    (1, false) => self.columns::<S, 1, false>(simd, col, left),
                    (1, true) => self.columns::<S, 1, true>(simd, col, left),
                    (2, false) => self.columns::<S, 2, false>(simd, col, left),
                    (2, true) => self.columns::<S, 2, true>(simd, col, left),
                    (_, false) if S::REGISTER_COUNT >= 32 => {
                        self.columns::<S, 3, false>(simd, col, left);
                    }
                    (_, true) if S::REGISTER_COUNT >= 32 => {
                        self.columns::<S, 3, true>(simd, col, left);
                    }
                    _ => unreachable!("a tile has as many vectors as it has"),
                }
            }
        }
    }

    /// All rows of the `left` columns from `col` on, which are `V` vectors.
    ///
    /// # Safety
    /// As for [`Block::run`].
    #[inline(always)]
    unsafe fn columns<S: Simd, const V: usize, const RAGGED: bool>(
        &self,
        simd: S,
        col: usize,
        left: usize,
    ) {
        let rows = const { tile::<S>().0 };
        for row in (0..self.m).step_by(rows) {
            // SAFETY: the rows are inside A and C.
            unsafe {
                match (self.m - row).min(rows) {
                    1 => self.tile::<S, 1, V, RAGGED>(simd, row, col, left),
                    2 => self.tile::<S, 2, V, RAGGED>(simd, row, col, left),
                    3 => self.tile::<S, 3, V, RAGGED>(simd, row, col, left),
                    4 => self.tile::<S, 4, V, RAGGED>(simd, row, col, left),
                    5 => self.tile::<S, 5, V, RAGGED>(simd, row, col, left),
                    6 => self.tile::<S, 6, V, RAGGED>(simd, row, col, left),
                    7 if rows == 8 => self.tile::<S, 7, V, RAGGED>(simd, row, col, left),
                    8 if rows == 8 => self.tile::<S, 8, V, RAGGED>(simd, row, col, left),
                    _ => unreachable!("a tile has as many rows as it has"),
                }
            }
        }
    }

    /// # Safety
    /// As for [`Block::run`].
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const V: usize, const RAGGED: bool>(
        &self,
        simd: S,
        row: usize,
        col: usize,
        left: usize,
    ) {
        // One copy of each tile in the program, wherever it is used.
        simd.vectorize(Tile::<R, V, RAGGED> { block: self, row, col, left });
    }
}

/// `R` rows by `V` vectors, of which the last is not whole if `RAGGED`.
struct Tile<'a, const R: usize, const V: usize, const RAGGED: bool> {
    block: &'a Block,
    row: usize,
    col: usize,
    left: usize,
}

impl<const R: usize, const V: usize, const RAGGED: bool> WithSimd for Tile<'_, R, V, RAGGED> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Tile { block, row, col, left } = self;
        let lanes = S::F32_LANES;
        let mask = simd.mask_between_m32s(0, (left - (V - 1) * lanes) as u32);
        // SAFETY: whoever runs the block answers for the matrices; rows and columns are inside them, and lanes
        // beyond the last column are neither read nor written.
        unsafe {
            let load = |at: *const f32, v: usize| -> S::f32s {
                let at = at.wrapping_add(v * lanes);
                if RAGGED && v == V - 1 {
                    simd.mask_load_ptr_f32s(mask, at)
                } else {
                    at.cast::<S::f32s>().read_unaligned()
                }
            };
            let a: [*const f32; R] =
                std::array::from_fn(|r| block.a.wrapping_add((row + r) * block.a_row));
            let mut b = block.b.wrapping_add(col);
            let mut sums = [[simd.splat_f32s(0.0); V]; R];
            for at in (0..block.k).map(|k| k * block.a_col) {
                let mut x = [simd.splat_f32s(0.0); V];
                for (v, x) in x.iter_mut().enumerate() {
                    *x = load(b, v);
                }
                for (sums, a) in sums.iter_mut().zip(a) {
                    let y = simd.splat_f32s(*a.add(at));
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum = multiply_add(simd, y, x, *sum);
                    }
                }
                b = b.wrapping_add(block.b_row);
            }
            for (r, sums) in sums.into_iter().enumerate() {
                let c = block.c.wrapping_add((row + r) * block.c_row + col);
                for (v, mut sum) in sums.into_iter().enumerate() {
                    if block.accumulate {
                        sum = simd.add_f32s(load(c, v), sum);
                    }
                    let c = c.wrapping_add(v * lanes);
                    if RAGGED && v == V - 1 {
                        simd.mask_store_ptr_f32s(mask, c, sum);
                    } else {
                        c.cast::<S::f32s>().write_unaligned(sum);
                    }
                }
            }
        }
    }
}
