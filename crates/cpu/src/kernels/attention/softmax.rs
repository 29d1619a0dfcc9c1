//! The softmax of a row of scores, in place.
//!
//! Comparisons and maxima are such that NaN in a row makes NaN of all of it.

use pulp::Simd;

use crate::gemm::micro::multiply_add;

/// eˣ for x ≤ 0, within 2 ulp; results below the smallest normal number are 0.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |value: f32| simd.splat_f32s(value);
    // Adding 1.5 · 2²³ rounds to an integer, which the sum's low bits hold.
    let round = splat(12_582_912.0);
    let shifted = multiply_add(simd, x, splat(std::f32::consts::LOG2_E), round);
    let n = simd.sub_f32s(shifted, round);
    // ln 2 in two parts: the first has so few bits that its product with n is exact.
    let r = multiply_add(simd, n, splat(-0.693_359_4), x);
    let r = multiply_add(simd, n, splat(2.121_944_4e-4), r);
    let mut p = splat(0.00019790245);
    for c in [0.0013944758, 0.008333498, 0.041666295, 0.16666666, 0.5] {
        p = multiply_add(simd, p, r, splat(c));
    }
    let mantissa = simd.add_f32s(multiply_add(simd, simd.mul_f32s(r, r), p, r), splat(1.0));
    let biased = simd.add_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(127));
    let power = simd.wrapping_dyn_shl_u32s(biased, simd.splat_u32s(23));
    let y = simd.mul_f32s(mantissa, simd.transmute_f32s_u32s(power));
    // A comparison that NaN fails, so that it stays.
    simd.select_f32s(simd.less_than_f32s(x, splat(-87.3)), splat(0.0), y)
}

/// A row of `len` scores, of which the first `seen` count, becomes `exp(score − greatest)`, and 0 for the rest. Returns
/// what to multiply with to make the sum 1, or 0 where nothing is seen.
///
/// # Safety
/// The row must be valid for `len` elements, a multiple of the vector's.
#[inline(always)]
pub(super) unsafe fn exponentials<S: Simd>(simd: S, row: *mut f32, seen: usize, len: usize) -> f32 {
    let lanes = S::F32_LANES;
    let none = f32::NEG_INFINITY;
    // SAFETY: all elements are inside the row.
    unsafe {
        for j in seen..len {
            *row.add(j) = none;
        }
        let vectors = std::slice::from_raw_parts_mut(row.cast::<S::f32s>(), len / lanes);
        let mut top = simd.splat_f32s(none);
        for x in &*vectors {
            top = simd.max_f32s(top, *x);
        }
        let top = simd.reduce_max_f32s(top);
        let top = simd.splat_f32s(if top == none { 0.0 } else { top });
        let mut sum = simd.splat_f32s(0.0);
        for x in vectors {
            *x = exp(simd, simd.sub_f32s(*x, top));
            sum = simd.add_f32s(sum, *x);
        }
        let sum = simd.reduce_sum_f32s(sum);
        if sum == 0.0 { 0.0 } else { 1.0 / sum }
    }
}
