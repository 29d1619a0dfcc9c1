//! Attention of one head: blocks of queries against all keys that they may see.

use bytemuck::cast_slice_mut;
use pulp::Simd;

use super::softmax::exponentials;
use crate::gemm::micro::{Block, multiply_add};
use crate::gemm::{Matrix, transpose};

/// Queries whose scores are held at once: a multiple of the rows of every tile.
pub(super) const QUERIES: usize = 24;
/// What rows of scores are padded to: the widest vector.
const LANES: usize = 16;

/// One head: sizes and where its matrices lie.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// Queries, keys, features of both, and of values.
    pub sizes: [usize; 4],
    pub causal: bool,
    pub scale: f32,
    pub q: Matrix<f32>,
    pub k: Matrix<f32>,
    pub v: Matrix<f32>,
    pub mask: Option<Matrix<f32>>,
}

impl Head {
    /// How many elements of scratch memory [`forward`](Head::forward) and [`backward`](Head::backward) take.
    pub fn scratch([_, s, e, f]: [usize; 4]) -> [usize; 2] {
        let s = s.next_multiple_of(LANES);
        let forward = (QUERIES + e + f) * s;
        [forward, forward + (QUERIES + e) * s + QUERIES * e.max(f)]
    }

    /// How many keys a query sees.
    fn seen(&self, query: usize) -> usize {
        let keys = self.sizes[1];
        if self.causal { keys.min(query + 1) } else { keys }
    }

    /// The results of queries `first..end`, `[end − first, f]`.
    ///
    /// # Safety
    /// The matrices must be valid for their sizes, `out` for the results, `scratch` for what
    /// [`scratch`](Head::scratch) says, aligned to a cache line.
    #[inline(always)]
    pub unsafe fn forward<S: Simd>(
        &self,
        simd: S,
        [first, end]: [usize; 2],
        out: *mut f32,
        scratch: *mut f32,
    ) {
        let [_, s, e, f] = self.sizes;
        let width = s.next_multiple_of(LANES);
        let reach = self.seen(end - 1);
        // SAFETY: the parts of the scratch memory do not overlap, and everything is inside its matrix.
        unsafe {
            let scores = scratch;
            let keys = scratch.add(QUERIES * width);
            columns(self.k, reach, e, keys, width);
            let (v, v_row) = rows(self.v, reach, f, keys.add(e * width));
            for start in (first..end).step_by(QUERIES) {
                let n = QUERIES.min(end - start);
                let scale = self.exponentials(simd, start, n, keys, scores, width);
                let seen = self.seen(start + n - 1);
                let to = out.add((start - first) * f);
                product([n, f, seen], (scores, width, 1), (v, v_row), (to, f), false).run(simd);
                for (i, &scale) in scale[..n].iter().enumerate() {
                    times(std::slice::from_raw_parts_mut(to.add(i * f), f), scale);
                }
            }
        }
    }

    /// The gradients with respect to q `[l, e]`, k `[s, e]` and v `[s, f]`, one after the other.
    ///
    /// # Safety
    /// As for [`forward`](Head::forward).
    #[inline(always)]
    pub unsafe fn backward<S: Simd>(
        &self,
        simd: S,
        dy: Matrix<f32>,
        out: *mut f32,
        scratch: *mut f32,
    ) {
        let [l, s, e, f] = self.sizes;
        let width = s.next_multiple_of(LANES);
        // SAFETY: as above.
        unsafe {
            let (dq, dk) = (out, out.add(l * e));
            let dv = dk.add(s * e);
            std::slice::from_raw_parts_mut(dk, s * (e + f)).fill(0.0);
            if l == 0 {
                return;
            }
            let reach = self.seen(l - 1);
            let (weights, slopes) = (scratch, scratch.add(QUERIES * width));
            let keys = slopes.add(QUERIES * width);
            let values = keys.add(e * width);
            columns(self.k, reach, e, keys, width);
            columns(self.v, reach, f, values, width);
            let (k, k_row) = rows(self.k, reach, e, values.add(f * width));
            let copies = values.add((f + e) * width);
            for start in (0..l).step_by(QUERIES) {
                let n = QUERIES.min(l - start);
                let inverse = self.exponentials(simd, start, n, keys, weights, width);
                let seen = self.seen(start + n - 1);
                let padded = seen.next_multiple_of(LANES);
                let (dy, dy_row) = rows(dy.from(start), n, f, copies);
                product([n, padded, f], (dy, dy_row, 1), (values, width), (slopes, width), false)
                    .run(simd);
                for (i, &inverse) in inverse[..n].iter().enumerate() {
                    let weights = std::slice::from_raw_parts_mut(weights.add(i * width), padded);
                    let slopes = std::slice::from_raw_parts_mut(slopes.add(i * width), padded);
                    differentiate(simd, weights, slopes, inverse, self.scale);
                }
                let dv_ = product([seen, f, n], (weights, 1, width), (dy, dy_row), (dv, f), true);
                dv_.run(simd);
                let to = (dq.add(start * e), e);
                product([n, e, seen], (slopes, width, 1), (k, k_row), to, false).run(simd);
                let (q, q_row) = rows(self.q.from(start), n, e, copies);
                product([seen, e, n], (slopes, 1, width), (q, q_row), (dk, e), true).run(simd);
            }
        }
    }

    /// The exponentials of `n` queries' scores, and by what to multiply each row to make its sum 1.
    ///
    /// # Safety
    /// As for [`forward`](Head::forward); `keys` are those of [`columns`].
    #[inline(always)]
    unsafe fn exponentials<S: Simd>(
        &self,
        simd: S,
        start: usize,
        n: usize,
        keys: *const f32,
        scores: *mut f32,
        width: usize,
    ) -> [f32; QUERIES] {
        let padded = self.seen(start + n - 1).next_multiple_of(LANES);
        let mut inverse = [0.0; QUERIES];
        // SAFETY: passed on to the caller.
        unsafe {
            let q = self.q.from(start);
            let a = (q.at, q.row, q.col);
            product([n, padded, self.sizes[2]], a, (keys, width), (scores, width), false).run(simd);
            for (i, inverse) in inverse[..n].iter_mut().enumerate() {
                let (row, seen) = (scores.add(i * width), self.seen(start + i));
                times(std::slice::from_raw_parts_mut(row, seen), self.scale);
                if let Some(mask) = self.mask {
                    let mask = mask.from(start + i);
                    for j in 0..seen {
                        *row.add(j) += *mask.at.add(j * mask.col);
                    }
                }
                *inverse = exponentials(simd, row, seen, padded);
            }
        }
        inverse
    }
}

/// C = A·B, or C += A·B, of `[m, n, k]`.
#[inline(always)]
fn product(
    [m, n, k]: [usize; 3],
    (a, a_row, a_col): (*const f32, usize, usize),
    (b, b_row): (*const f32, usize),
    (c, c_row): (*mut f32, usize),
    accumulate: bool,
) -> Block {
    Block { m, n, k, a, a_row, a_col, b, b_row, c, c_row, accumulate }
}

#[inline(always)]
fn times(row: &mut [f32], factor: f32) {
    row.iter_mut().for_each(|x| *x *= factor);
}

/// From exponentials and the gradients of the weights: the weights, and the gradients of the unscaled scores.
#[inline(always)]
fn differentiate<S: Simd>(
    simd: S,
    weights: &mut [f32],
    slopes: &mut [f32],
    inverse: f32,
    scale: f32,
) {
    let inverse = simd.splat_f32s(inverse);
    let weights: &mut [S::f32s] = cast_slice_mut(weights);
    let slopes: &mut [S::f32s] = cast_slice_mut(slopes);
    let mut sum = simd.splat_f32s(0.0);
    for (w, d) in weights.iter_mut().zip(&*slopes) {
        *w = simd.mul_f32s(*w, inverse);
        sum = multiply_add(simd, *w, *d, sum);
    }
    let mean = simd.splat_f32s(simd.reduce_sum_f32s(sum));
    let scale = simd.splat_f32s(scale);
    for (d, w) in slopes.iter_mut().zip(&*weights) {
        *d = simd.mul_f32s(simd.mul_f32s(*w, scale), simd.sub_f32s(*d, mean));
    }
}

/// The first `n` rows of a matrix as columns, `[features, width]`; the columns up to the next multiple of a vector are
/// 0.
///
/// # Safety
/// The matrix must have the rows and features, `to` room for the columns.
#[inline(always)]
unsafe fn columns(x: Matrix<f32>, n: usize, features: usize, to: *mut f32, width: usize) {
    // SAFETY: passed on to the caller.
    unsafe {
        if x.col == 1 {
            transpose(x.at, x.row, to, width, features, n);
        } else {
            for i in 0..features {
                for j in 0..n {
                    *to.add(i * width + j) = *x.at.add(j * x.row + i * x.col);
                }
            }
        }
        for i in 0..features {
            for j in n..n.next_multiple_of(LANES) {
                *to.add(i * width + j) = 0.0;
            }
        }
    }
}

/// `n` rows of a matrix with their features one after the other: where they lie, or copied to `to`. Returns the first,
/// and the distance from row to row.
///
/// # Safety
/// As for [`columns`].
#[inline(always)]
unsafe fn rows(x: Matrix<f32>, n: usize, features: usize, to: *mut f32) -> (*const f32, usize) {
    if x.col == 1 {
        return (x.at, x.row);
    }
    for i in 0..n {
        for j in 0..features {
            // SAFETY: passed on to the caller.
            unsafe { *to.add(i * features + j) = *x.at.add(i * x.row + j * x.col) };
        }
    }
    (to, features)
}
