//! How a product is split into tiles: from its shape, strides and dtype alone.
//!
//! The sizes below were measured on the layers of small networks (batches of 64 through 512 × 784 weights)
//! and on square matrices; `benches/gemm.rs` repeats the measurement.

use std::ops::Range;

use gradus_ir::DType;

use super::tile::DEPTH;
use super::{Gemm, GemmPlan, LONG, Strides};

/// How a tile is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Vectors run along the rows of C: C is computed transposed.
    pub transposed: bool,
    /// The side that is read in vectors is transposed into panels first.
    pub packed: bool,
    /// Vectors run along the depth instead.
    pub dots: bool,
}

/// `len` cut into `pieces` that are nearly equal, and multiples of `unit` but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub len: usize,
    pub unit: usize,
    pub pieces: usize,
}

impl Split {
    /// In pieces no longer than `most`, a multiple of `unit`.
    fn at_most(len: usize, unit: usize, most: usize) -> Split {
        Split { len, unit, pieces: len.div_ceil(most) }
    }

    /// Where a piece lies.
    pub fn range(&self, piece: usize) -> Range<usize> {
        let units = self.len.div_ceil(self.unit);
        let bound = |p: usize| (units * p / self.pieces * self.unit).min(self.len);
        bound(piece)..bound(piece + 1)
    }

    /// Adds a piece if none then falls below `floor`.
    fn refine(&mut self, floor: usize) -> bool {
        let finer = self.len >= (self.pieces + 1) * floor;
        self.pieces += usize::from(finer);
        finer
    }
}

/// Multiplications below which a second task costs more than it saves.
const SMALL: usize = 1 << 17;
/// Multiplications from which more tasks than [`FEW`] are worth their smaller tiles.
const LARGE: usize = 1 << 23;
/// Enough tasks for a handful of threads, with some to steal.
const FEW: usize = 8;
/// Tasks without which threads are idle.
const ENOUGH: usize = 2;
/// Enough tasks for any processor.
const MANY: usize = 64;
/// The longest side of a tile: what is packed of it stays in the second-level cache.
const TILE: usize = 512;
/// The most columns (or rows) that are computed as dot products, and from which depth on.
const DOT: (usize, usize) = (16, 64);
/// The most rows (or columns) of dot products in f32 whose sums share the second-level cache.
const LINES: usize = 96;
/// The most elements of C that the kernel computes as dot products in one call, in f64.
const DOTS: usize = 256;

pub(super) fn plan(gemm: Gemm) -> GemmPlan {
    let Gemm { m, n, k, a, b, ref batch, dtype, long_rows } = gemm;
    let work = m * n * k * batch.len();
    let tasks = (work / SMALL).clamp(1, FEW).max((work / LARGE).min(MANY));

    let short = m.min(n).max(1);
    let dots = a.col == 1 && b.row == 1 && short <= DOT.0 && k >= DOT.1;
    let layout = if dots || !dtype.is_float() {
        Layout { dots, ..Layout::default() }
    } else {
        layout(m, n, k, a, b)
    };
    let wanted = tasks.div_ceil(batch.len().max(1));
    let (v, o) = if layout.transposed { (m, n) } else { (n, m) };
    // Packing is repeated by all tiles that share vectors: keep those apart, and each long the other way.
    // A deep other side that is not contiguous along k must be packed, which the kernel does for more
    // than 128 vectors only.
    let strided = if layout.transposed { b.row } else { a.col } != 1 && k > 128;
    let (vector_floor, other_floor) =
        if layout.packed { (32, 192) } else { (if strided { 256 } else { 128 }, 64) };
    let cut = |long_rows: bool| {
        if dots {
            // The short side whole, and of the long one what fits a call.
            let long = if dtype == DType::F32 { LINES } else { DOTS / short / 4 * 4 };
            return (Split::at_most(v, 4, long), Split::at_most(o, 4, long));
        }
        let unit = if layout.packed { 16 } else { 64 };
        let most = if long_rows { 2 * TILE } else { TILE };
        let (mut vectors, mut others) =
            (Split::at_most(v, unit, most), Split::at_most(o, 16, TILE));
        while vectors.pieces * others.pieces < wanted {
            let finer = match long_rows {
                // Small pieces cost less than idle threads.
                true if vectors.pieces * others.pieces < ENOUGH && others.refine(32) => true,
                true => others.refine(48) || vectors.refine(LONG),
                false => vectors.refine(vector_floor) || others.refine(other_floor),
            };
            if !finer {
                break;
            }
        }
        (vectors, others)
    };
    // How the depth is split decides the order of summation: it must not depend on what follows the product.
    let (vectors, others) = cut(false);
    let tiles = vectors.pieces * others.pieces;
    let mut depth = Split { len: k, unit: DEPTH, pieces: 1 };
    while dtype.is_float()
        && (1..wanted).contains(&(tiles * depth.pieces))
        && depth.refine(2 * DEPTH)
    {}

    let (vectors, others) = if long_rows { cut(true) } else { (vectors, others) };
    let batch = Split { len: batch.len(), unit: 1, pieces: batch.len().min(tasks) };
    GemmPlan { gemm, layout, vectors, others, depth, batch }
}

/// Whichever moves fewer elements: along the columns, B is transposed unless its rows are contiguous; along
/// the rows, A unless its columns are, and C always.
fn layout(m: usize, n: usize, k: usize, a: Strides, b: Strides) -> Layout {
    let columns = b.col == 1 || n == 1;
    let rows = a.row == 1 || m == 1;
    let into_panels = if rows { 0 } else { m * k };
    let transposed = !columns && m * n + into_panels < k * n;
    let (contiguous, along_k) =
        if transposed { (rows, (a.col, b.row)) } else { (columns, (b.row, a.col)) };
    // Packing takes runs along k. Where the other side has none, the kernel packs both, and better.
    Layout { transposed, packed: !contiguous && along_k == (1, 1), dots: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_length_once() {
        for len in [0, 1, 15, 16, 17, 100, 784, 2048] {
            for (unit, most) in [(4, 24), (16, 512), (64, 128)] {
                let mut split = Split::at_most(len, unit, most);
                for _ in 0..3 {
                    let mut next = 0;
                    for range in (0..split.pieces).map(|p| split.range(p)) {
                        assert_eq!(range.start, next);
                        assert!(range.len() <= most && (range.end == len || range.end % unit == 0));
                        next = range.end;
                    }
                    assert_eq!(next, len);
                    split.refine(unit);
                }
            }
        }
    }
}
