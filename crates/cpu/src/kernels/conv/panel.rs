//! The product that convolutions of many channels consist of: some rows times a panel of [`PANEL`] columns.
//!
//! Everything is laid out so that the panel's columns are neighbours in memory and the vectors run along them; the
//! other operand is read one number at a time. Where its rows and its depth lie is free, and so is where the rows
//! of the result do: that makes the same few lines a convolution, its transpose and its weight gradient.
//!
//! A block of 3 rows × 32 columns takes the 16 registers of AVX2 (12 sums, 3 numbers, 1 vector of the panel), one of
//! 12 × 32 those of AVX-512, and per depth either reads half as many vectors as it multiplies. With the 32 short ones
//! of NEON a block has 3 rows as well.

use std::ops::Range;

use pulp::Simd;

/// Columns of a panel.
pub(super) const PANEL: usize = 32;

/// The depth that is summed before the result is touched: a panel of it stays in the first-level cache.
const DEPTH: usize = 128;

/// Where the rows of an operand lie, from the first on.
pub(super) trait Rows: Copy {
    fn at(self, row: usize) -> usize;
}

/// Equally far apart.
#[derive(Clone, Copy)]
pub(super) struct Apart(pub usize);

/// Wherever the list says.
#[derive(Clone, Copy)]
pub(super) struct Listed<'a>(pub &'a [u32]);

impl Rows for Apart {
    #[inline(always)]
    fn at(self, row: usize) -> usize {
        row * self.0
    }
}

impl Rows for Listed<'_> {
    #[inline(always)]
    fn at(self, row: usize) -> usize {
        self.0[row] as usize
    }
}

/// C\[row\]\[column\] = Σ A\[row\]\[d\] · B\[d\]\[column\] over the depth, or C += it.
#[derive(Clone, Copy)]
pub(super) struct Product<A, D, C> {
    pub rows: usize,
    pub depth: usize,
    /// A, and where its rows and its elements along the depth are.
    pub a: *const f32,
    pub a_rows: A,
    pub a_depth: D,
    /// B, and how far apart its rows are.
    pub b: *const f32,
    pub b_depth: usize,
    /// C, and where its rows are.
    pub c: *mut f32,
    pub c_rows: C,
    /// Whether to add to C rather than overwrite it.
    pub accumulate: bool,
}

impl<A: Rows, D: Rows, C: Rows> Product<A, D, C> {
    /// Computes it.
    ///
    /// # Safety
    /// A and B must be valid for reads, and C for reads and writes, as far as rows, depth and [`PANEL`] reach; C must
    /// overlap neither.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(self, simd: S) {
        // At least once, so that a depth of 0 clears C.
        for start in (0..self.depth.max(1)).step_by(DEPTH) {
            let part = start..self.depth.min(start + DEPTH);
            // SAFETY: passed on to the caller: the part is inside the depth, `row` inside the rows.
            unsafe {
                let mut row = 0;
                match S::F32_LANES {
                    16 => {
                        self.blocks::<S, 12, 2>(simd, &mut row, &part);
                        self.blocks::<S, 6, 2>(simd, &mut row, &part);
                        self.blocks::<S, 3, 2>(simd, &mut row, &part);
                        self.blocks::<S, 1, 2>(simd, &mut row, &part);
                    }
                    8 => {
                        self.blocks::<S, 3, 4>(simd, &mut row, &part);
                        self.blocks::<S, 2, 4>(simd, &mut row, &part);
                        self.blocks::<S, 1, 4>(simd, &mut row, &part);
                    }
                    _ => {
                        self.blocks::<S, 3, 8>(simd, &mut row, &part);
                        self.blocks::<S, 2, 8>(simd, &mut row, &part);
                        self.blocks::<S, 1, 8>(simd, &mut row, &part);
                    }
                }
            }
        }
    }

    /// Blocks of `R` rows from `row` on, as many as there are, over a part of the depth.
    ///
    /// # Safety
    /// As for [`Product::run`].
    #[inline(always)]
    unsafe fn blocks<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        row: &mut usize,
        depth: &Range<usize>,
    ) {
        while *row + R <= self.rows {
            // SAFETY: passed on to the caller.
            unsafe { self.block::<S, R, V>(simd, *row, depth) };
            *row += R;
        }
    }

    /// # Safety
    /// As for [`Product::run`].
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn block<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        row: usize,
        depth: &Range<usize>,
    ) {
        debug_assert_eq!(V * S::F32_LANES, PANEL);
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        // Not `array::from_fn`, which keeps the baseline's instructions.
        let mut rows = [self.a; R];
        for r in 0..R {
            rows[r] = self.a.wrapping_add(self.a_rows.at(row + r));
        }
        for d in depth.clone() {
            // SAFETY: passed on to the caller.
            unsafe {
                let mut x = [simd.splat_f32s(0.0); R];
                for r in 0..R {
                    x[r] = simd.splat_f32s(*rows[r].add(self.a_depth.at(d)));
                }
                let b = self.b.add(d * self.b_depth).cast::<S::f32s>();
                for v in 0..V {
                    let y = b.add(v).read_unaligned();
                    for r in 0..R {
                        sums[r][v] = simd.mul_add_e_f32s(x[r], y, sums[r][v]);
                    }
                }
            }
        }
        let accumulate = self.accumulate || depth.start > 0;
        for r in 0..R {
            let c = self.c.wrapping_add(self.c_rows.at(row + r)).cast::<S::f32s>();
            for v in 0..V {
                // SAFETY: passed on to the caller.
                unsafe {
                    let sum = match accumulate {
                        true => simd.add_f32s(c.add(v).read_unaligned(), sums[r][v]),
                        false => sums[r][v],
                    };
                    c.add(v).write_unaligned(sum);
                }
            }
        }
    }
}
