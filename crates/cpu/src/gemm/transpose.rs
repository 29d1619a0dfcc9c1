//! Transposition of tiles between memory and cache.

use bytemuck::Pod;

use crate::tier::{Tier, tier};

/// Rows and columns of a block that vectors transpose.
const SIDE: usize = if cfg!(target_arch = "aarch64") { 4 } else { 8 };

/// `to[i][j] = from[j][i]` for `rows` × `cols` elements of `to`; the strides lead from row to row of each.
///
/// # Safety
/// Both must be valid for what they hold, and not overlap.
pub(crate) unsafe fn transpose<T: Pod>(
    from: *const T,
    from_row: usize,
    to: *mut T,
    to_row: usize,
    rows: usize,
    cols: usize,
) {
    let in_vectors = size_of::<T>() == 4 && tier() >= Tier::Neon;
    let [whole_rows, whole_cols] =
        [rows, cols].map(|n| if in_vectors { n / SIDE * SIDE } else { 0 });
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if in_vectors {
        // SAFETY: the tier has the vectors, the elements are as large as f32 (which are only moved), and the
        // blocks are inside both.
        unsafe { blocks(from.cast(), from_row, to.cast(), to_row, whole_rows, whole_cols) };
    }
    for i in 0..rows {
        for j in (if i < whole_rows { whole_cols } else { 0 })..cols {
            // SAFETY: row and column are inside both.
            unsafe { *to.add(i * to_row + j) = *from.add(j * from_row + i) };
        }
    }
}

/// The same in blocks of 8 × 8.
///
/// # Safety
/// As for [`transpose`]; `rows` and `cols` must be multiples of [`SIDE`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn blocks(
    from: *const f32,
    from_row: usize,
    to: *mut f32,
    to_row: usize,
    rows: usize,
    cols: usize,
) {
    use std::arch::x86_64::*;

    for i in (0..rows).step_by(8) {
        for j in (0..cols).step_by(8) {
            // Two halves of four columns of the source, each four rows of the result. Pairing row r with
            // row r + 4 while loading saves the shuffles across lanes, of which there is one port.
            for half in [0, 4] {
                // SAFETY: rows j..j + 8 and columns i..i + 8 are inside the source.
                let [a, b, c, d] = [0, 1, 2, 3].map(|r| unsafe {
                    let at = from.add((j + r) * from_row + i + half);
                    let low = _mm256_castps128_ps256(_mm_loadu_ps(at));
                    _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(at.add(4 * from_row)))
                });
                let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
                let (ab2, cd2) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
                let columns = [
                    _mm256_shuffle_ps::<0x44>(ab, cd),
                    _mm256_shuffle_ps::<0xee>(ab, cd),
                    _mm256_shuffle_ps::<0x44>(ab2, cd2),
                    _mm256_shuffle_ps::<0xee>(ab2, cd2),
                ];
                for (r, column) in columns.into_iter().enumerate() {
                    // SAFETY: rows i..i + 8 and columns j..j + 8 are inside the result.
                    unsafe { _mm256_storeu_ps(to.add((i + half + r) * to_row + j), column) };
                }
            }
        }
    }
}

/// The same in blocks of 4 × 4.
///
/// # Safety
/// As for [`transpose`]; `rows` and `cols` must be multiples of [`SIDE`].
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
unsafe fn blocks(
    from: *const f32,
    from_row: usize,
    to: *mut f32,
    to_row: usize,
    rows: usize,
    cols: usize,
) {
    use std::arch::aarch64::*;

    for i in (0..rows).step_by(4) {
        for j in (0..cols).step_by(4) {
            // SAFETY: rows j..j + 4 and columns i..i + 4 are inside the source.
            let [a, b, c, d] =
                [0, 1, 2, 3].map(|r| unsafe { vld1q_f32(from.add((j + r) * from_row + i)) });
            // Even and odd columns of two rows each; then those pairs of all four.
            let (ab, cd) = (vtrn1q_f32(a, b), vtrn1q_f32(c, d));
            let (ab2, cd2) = (vtrn2q_f32(a, b), vtrn2q_f32(c, d));
            let [ab, cd, ab2, cd2] = [ab, cd, ab2, cd2].map(|x| vreinterpretq_f64_f32(x));
            let columns = [
                vzip1q_f64(ab, cd),
                vzip1q_f64(ab2, cd2),
                vzip2q_f64(ab, cd),
                vzip2q_f64(ab2, cd2),
            ];
            for (r, column) in columns.into_iter().enumerate() {
                let column = vreinterpretq_f32_f64(column);
                // SAFETY: rows i..i + 4 and columns j..j + 4 are inside the result.
                unsafe { vst1q_f32(to.add((i + r) * to_row + j), column) };
            }
        }
    }
}
