//! How elements are combined: the order of every reduction.
//!
//! The order follows from the logical shape and the reduced axes, never from strides, threads, strips or the
//! instruction tier. The innermost run of reduced elements, of length `L`, is combined like this:
//!
//! * fewer than [`LANES`]: one after the other;
//! * up to [`CHUNK`]: lane `j` combines elements `j`, `j + LANES`, `j + 2·LANES`, … one after the other; then
//!   the upper half of the lanes is combined with the lower half until one is left;
//! * more: chunk by chunk as above, then chunks pairwise.
//!
//! Of the reduced axes further out, a [`block`] of runs is combined one after the other, and blocks pairwise.
//! No sum is longer than `CHUNK / LANES` terms in a row, so that the rounding error grows with the logarithm of
//! the length.

/// How many elements are combined side by side.
pub(crate) const LANES: usize = 32;
/// The longest run that lanes combine.
pub(crate) const CHUNK: usize = 4096;

/// How many of `runs` runs are combined one after the other: few, for the threads to share out; but not so few
/// that combining the blocks takes long.
pub(crate) fn block(runs: usize) -> usize {
    (runs / 16).next_power_of_two().clamp(32, CHUNK / LANES)
}

/// A way to combine two elements.
pub(crate) trait Join<T> {
    /// What changes nothing.
    const IDENTITY: T;
    /// The combination, `a` being the earlier.
    fn join(a: T, b: T) -> T;
}

/// The sum; integers wrap, `bool` is "any".
pub(crate) struct Sum;
/// The maximum; NaN if either is.
pub(crate) struct Max;
/// The minimum; NaN if either is.
pub(crate) struct Min;

macro_rules! join {
    ($($how:ident $t:ty: $identity:expr, |$a:ident, $b:ident| $f:expr;)*) => {$(
        impl Join<$t> for $how {
            const IDENTITY: $t = $identity;
            #[inline(always)]
            fn join($a: $t, $b: $t) -> $t { $f }
        }
    )*};
}
join! {
    Sum f32: 0.0, |a, b| a + b;
    Sum f64: 0.0, |a, b| a + b;
    Sum i64: 0, |a, b| a.wrapping_add(b);
    Sum u8: 0, |a, b| a | b;
    // Bitwise or: both comparisons are made, so that a vector needs no branch.
    Max f32: f32::NEG_INFINITY, |a, b| if a.is_nan() | (a >= b) { a } else { b };
    Max f64: f64::NEG_INFINITY, |a, b| if a.is_nan() | (a >= b) { a } else { b };
    Max i64: i64::MIN, |a, b| a.max(b);
    Max u8: 0, |a, b| a.max(b);
    Min f32: f32::INFINITY, |a, b| if a.is_nan() | (a <= b) { a } else { b };
    Min f64: f64::INFINITY, |a, b| if a.is_nan() | (a <= b) { a } else { b };
    Min i64: i64::MAX, |a, b| a.min(b);
    Min u8: u8::MAX, |a, b| a.min(b);
}

/// Lanes of a run in progress.
pub(crate) type Lanes<T> = [T; LANES];

/// Combines the elements of a run of at most [`CHUNK`].
#[inline(always)]
pub(crate) fn fold<T: Copy, J: Join<T>>(x: &[T]) -> T {
    if x.len() < LANES {
        return x.iter().fold(J::IDENTITY, |a, &b| J::join(a, b));
    }
    let mut lanes = [J::IDENTITY; LANES];
    extend::<T, J>(&mut lanes, x);
    across::<T, J>(lanes)
}

/// Combines each of the runs of `run` elements that `x` consists of, as [`fold`] does, with a result.
#[inline(always)]
pub(crate) fn fold_runs<T: Copy, J: Join<T>>(x: &[T], results: &mut [T], run: usize) {
    // Short runs many at a time: each is a chain of dependent steps.
    const ABREAST: usize = 16;
    let mut done = 0;
    if run < LANES {
        let (groups, _) = results.as_chunks_mut::<ABREAST>();
        for (group, x) in groups.iter_mut().zip(x.chunks_exact(ABREAST * run)) {
            let mut all = [J::IDENTITY; ABREAST];
            for i in 0..run {
                for (j, a) in all.iter_mut().enumerate() {
                    *a = J::join(*a, x[j * run + i]);
                }
            }
            for (a, x) in group.iter_mut().zip(all) {
                *a = J::join(*a, x);
            }
            done += ABREAST;
        }
    }
    for (a, x) in results[done..].iter_mut().zip(x[done * run..].chunks_exact(run)) {
        *a = J::join(*a, fold::<T, J>(x));
    }
}

/// Combines further elements into lanes; all pieces of a run but the last must be multiples of [`LANES`].
#[inline(always)]
pub(crate) fn extend<T: Copy, J: Join<T>>(lanes: &mut Lanes<T>, x: &[T]) {
    let (rows, rest) = x.as_chunks::<LANES>();
    let mut all = *lanes;
    for row in rows {
        for (a, &x) in all.iter_mut().zip(row) {
            *a = J::join(*a, x);
        }
    }
    for (a, &x) in all.iter_mut().zip(rest) {
        *a = J::join(*a, x);
    }
    *lanes = all;
}

/// Combines the lanes.
#[inline(always)]
pub(crate) fn across<T: Copy, J: Join<T>>(mut lanes: Lanes<T>) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for j in 0..half {
            lanes[j] = J::join(lanes[j], lanes[j + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Combines rows element by element, pairwise: `n` rows of `len` elements, `pitch` apart. The result is in the
/// first.
///
/// # Safety
/// The rows must be valid for reads and writes by this thread alone.
#[inline(always)]
pub(crate) unsafe fn pairwise<T: Copy, J: Join<T>>(
    rows: *mut T,
    n: usize,
    pitch: usize,
    len: usize,
) {
    let mut left = n;
    while left > 1 {
        for pair in 0..left / 2 {
            for i in 0..len {
                // SAFETY: rows `2·pair` and `2·pair + 1` are among the `left`, and passed on to the caller.
                unsafe {
                    let (a, b) =
                        (*rows.add(2 * pair * pitch + i), *rows.add((2 * pair + 1) * pitch + i));
                    *rows.add(pair * pitch + i) = J::join(a, b);
                }
            }
        }
        if left % 2 == 1 {
            // SAFETY: as above; the rows differ, since there are at least three.
            unsafe {
                rows.add(left / 2 * pitch).copy_from(rows.add((left - 1) * pitch), len);
            }
        }
        left = left.div_ceil(2);
    }
}

/// Adds up what several tasks have left, in order: `out[i] = Σₚ first[p·pitch + i]`.
///
/// # Safety
/// Each of the `parts` results, `pitch` elements apart from `first` on, must be as long as `out` and apart from it.
pub(crate) unsafe fn add_parts<T: Copy>(
    out: &mut [T],
    first: *const T,
    pitch: usize,
    parts: usize,
    add: impl Fn(T, T) -> T,
) {
    for p in 0..parts {
        // SAFETY: passed on to the caller.
        let part = unsafe { std::slice::from_raw_parts(first.add(p * pitch), out.len()) };
        match p {
            0 => out.copy_from_slice(part),
            _ => out.iter_mut().zip(part).for_each(|(out, &part)| *out = add(*out, part)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_do_not_depend_on_the_pieces() {
        let x: Vec<f32> = (0..3000).map(|i| (i as f32 * 0.37).sin()).collect();
        for len in [32, 33, 500, 1024, 3000] {
            for piece in [32, 256, 1024] {
                let mut lanes = [0.0; LANES];
                x[..len].chunks(piece).for_each(|p| extend::<f32, Sum>(&mut lanes, p));
                assert_eq!(across::<f32, Sum>(lanes), fold::<f32, Sum>(&x[..len]));
            }
        }
    }

    #[test]
    fn sums_are_accurate_and_extremes_keep_nan() {
        let x: Vec<f32> = (0..4001).map(|i| 0.1 + i as f32 * 1e-6).collect();
        let exact: f64 = x.iter().map(|&x| f64::from(x)).sum();
        assert!((f64::from(fold::<f32, Sum>(&x)) / exact - 1.0).abs() < 1e-6);
        for at in [0, 5, 31, 32, 100] {
            for len in [at + 1, 101, 200] {
                let mut y = vec![1.0f32; len];
                y[at] = f32::NAN;
                assert!(fold::<f32, Max>(&y).is_nan() && fold::<f32, Min>(&y).is_nan());
                y[at] = 2.0;
                assert_eq!(
                    (fold::<f32, Max>(&y), fold::<f32, Min>(&y[..at])),
                    (2.0, if at > 0 { 1.0 } else { f32::INFINITY })
                );
            }
        }
    }

    #[test]
    fn runs_fold_alike_alone_and_abreast() {
        for run in [1, 2, 10, 31, 32, 50] {
            for n in [1, 15, 16, 17, 40] {
                let x: Vec<f32> = (0..n * run).map(|i| (i as f32 * 0.37).sin()).collect();
                let mut results = vec![0.5; n];
                fold_runs::<f32, Sum>(&x, &mut results, run);
                let alone: Vec<f32> = x.chunks(run).map(|x| 0.5 + fold::<f32, Sum>(x)).collect();
                assert_eq!(results, alone);
            }
        }
    }

    #[test]
    fn rows_combine_pairwise() {
        for n in 1..20 {
            let mut rows: Vec<i64> = (0..n * 5).collect();
            // SAFETY: `n` rows of 5, of which 3 are used.
            unsafe { pairwise::<i64, Sum>(rows.as_mut_ptr(), n as usize, 5, 3) };
            let sums = [0, 1, 2].map(|c| (0..n).map(|r| r * 5 + c).sum::<i64>());
            assert_eq!(rows[..3], sums);
        }
    }
}
