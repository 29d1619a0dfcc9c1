//! Images at another size, as Pillow computes them.
//!
//! Bilinear and bicubic resampling widen their support when an image shrinks (antialiasing). Weights
//! are rounded to 22 bits of fraction and sums kept in integers, with bytes between the pass along
//! the rows and the one along the columns: the same pixels on every machine, and as in Pillow's
//! `Image.resize`.

use pulp::{Arch, Simd, WithSimd};

/// How pixels between pixels are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resampling {
    /// The one they fall into.
    Nearest,
    /// A triangle of weights.
    #[default]
    Bilinear,
    /// Keys's cubic with a = −½ (1981).
    Bicubic,
}

impl Resampling {
    /// How far the weights of a place reach, in sources of its own size.
    fn support(self) -> f64 {
        match self {
            Resampling::Nearest => 0.0,
            Resampling::Bilinear => 1.0,
            Resampling::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Resampling::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Resampling::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Resampling::Bilinear if x < 1.0 => 1.0 - x,
            _ => 0.0,
        }
    }
}

/// Bits of fraction in a weight: 8 bits of pixel and 2 of overshoot are left.
const FRACTION: u32 = 32 - 8 - 2;

/// A plane of `from` (height, width) at the size `to`, added to `out`.
pub(crate) fn resample(
    plane: &[u8],
    from: (usize, usize),
    to: (usize, usize),
    how: Resampling,
    out: &mut Vec<u8>,
) {
    if from == to {
        return out.extend_from_slice(plane);
    }
    if how == Resampling::Nearest {
        let columns = nearest(from.1, to.1);
        for row in nearest(from.0, to.0) {
            let row = &plane[row * from.1..][..from.1];
            out.extend(columns.iter().map(|&column| row[column]));
        }
        return;
    }
    let narrow = match from.1 == to.1 {
        true => None,
        false => Some(along_rows(plane, from, to.1, how)),
    };
    let narrow = narrow.as_deref().unwrap_or(plane);
    if from.0 == to.0 {
        return out.extend_from_slice(narrow);
    }
    let start = out.len();
    out.resize(start + to.0 * to.1, 0);
    let columns = AlongColumns {
        plane: narrow,
        width: to.1,
        weights: &weights(from.0, to.0, how),
        out: &mut out[start..],
    };
    Arch::new().dispatch(columns);
}

/// The place that each new one falls into.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let scale = from as f64 / to as f64;
    let mut at = scale * 0.5;
    // Added up, not multiplied: what rounding does to ties is then as in Pillow.
    (0..to)
        .map(|_| {
            let source = (at as usize).min(from - 1);
            at += scale;
            source
        })
        .collect()
}

/// For each place of an axis of `to`, where its sources begin in an axis of `from`, and their
/// weights.
fn weights(from: usize, to: usize, how: Resampling) -> Vec<(usize, Vec<i32>)> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = how.support() * stretch;
    (0..to)
        .map(|place| {
            let centre = (place as f64 + 0.5) * scale;
            let start = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let weight =
                |source: usize| how.weight((source as f64 - centre + 0.5) * (1.0 / stretch));
            let weights: Vec<f64> = (start..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: f64| {
                let scaled = weight / sum * f64::from(1u32 << FRACTION);
                (scaled + 0.5f64.copysign(scaled)) as i32
            };
            (start, weights.into_iter().map(fixed).collect())
        })
        .collect()
}

/// A sum of weighted bytes as a byte.
#[inline(always)]
fn byte(sum: i32) -> u8 {
    (sum >> FRACTION).clamp(0, 255) as u8
}

/// Half, so that what follows rounds.
const HALF: i32 = 1 << (FRACTION - 1);

fn along_rows(plane: &[u8], from: (usize, usize), width: usize, how: Resampling) -> Vec<u8> {
    let weights = weights(from.1, width, how);
    let mut narrow = Vec::with_capacity(from.0 * width);
    for row in plane.chunks_exact(from.1) {
        narrow.extend(weights.iter().map(|(start, weights)| {
            let sources = &row[*start..*start + weights.len()];
            let products = sources.iter().zip(weights).map(|(&x, w)| i32::from(x) * w);
            byte(products.fold(HALF, i32::wrapping_add))
        }));
    }
    narrow
}

struct AlongColumns<'a> {
    plane: &'a [u8],
    width: usize,
    weights: &'a [(usize, Vec<i32>)],
    out: &'a mut [u8],
}

impl WithSimd for AlongColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut sums = vec![HALF; self.width];
        for ((start, weights), out) in
            self.weights.iter().zip(self.out.chunks_exact_mut(self.width))
        {
            sums.fill(HALF);
            for (row, &weight) in (*start..).zip(weights) {
                let row = &self.plane[row * self.width..][..self.width];
                for (sum, &x) in sums.iter_mut().zip(row) {
                    *sum = sum.wrapping_add(i32::from(x) * weight);
                }
            }
            for (x, &sum) in out.iter_mut().zip(&sums) {
                *x = byte(sum);
            }
        }
    }
}
