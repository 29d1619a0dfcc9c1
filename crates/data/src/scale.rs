//! From bytes to the numbers that a network sees, in one pass.
//!
//! Every element is divided twice and subtracted from once, exactly as torchvision's `ToTensor` and
//! `Normalize` do: a product with the inverse would be another number in the last bit. The loop is
//! compiled for each set of vector instructions; its operations are element by element, so the bits
//! are the same on all.

use pulp::{Arch, Simd, WithSimd};

use crate::Normalization;

/// Writes `bytes / full_scale`, normalised channel by channel where there is a normalisation. `out`
/// is as long as `bytes`, whose channels lie one after the other.
pub(crate) fn scale(
    bytes: &[u8],
    full_scale: u8,
    normalization: Option<&Normalization>,
    out: &mut [f32],
) {
    let full_scale = f32::from(full_scale);
    let arch = Arch::new();
    let Some(normalization) = normalization else {
        return arch.dispatch(Divide { bytes, full_scale, out });
    };
    let (mean, std) = (normalization.mean(), normalization.std());
    let plane = (bytes.len() / mean.len().max(1)).max(1);
    let planes = bytes.chunks(plane).zip(out.chunks_mut(plane));
    for ((bytes, out), (&mean, &std)) in planes.zip(mean.iter().zip(std)) {
        arch.dispatch(Normalize { bytes, full_scale, mean, std, out });
    }
}

struct Divide<'a> {
    bytes: &'a [u8],
    full_scale: f32,
    out: &'a mut [f32],
}

impl WithSimd for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (x, &byte) in self.out.iter_mut().zip(self.bytes) {
            *x = f32::from(byte) / self.full_scale;
        }
    }
}

struct Normalize<'a> {
    bytes: &'a [u8],
    full_scale: f32,
    mean: f32,
    std: f32,
    out: &'a mut [f32],
}

impl WithSimd for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (x, &byte) in self.out.iter_mut().zip(self.bytes) {
            *x = (f32::from(byte) / self.full_scale - self.mean) / self.std;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain formula, for lengths that fill vectors and that do not.
    #[test]
    fn every_byte_has_the_bits_of_the_formula() {
        let bytes: Vec<u8> = (0..3 * 331).map(|i| (i * 7 % 256) as u8).collect();
        let (mean, std) = ([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]);
        let normalization = Normalization::new(&mean, &std).unwrap();
        for full_scale in [16u8, 255] {
            let mut out = vec![f32::NAN; bytes.len()];
            scale(&bytes, full_scale, None, &mut out);
            for (x, &byte) in out.iter().zip(&bytes) {
                assert_eq!(*x, f32::from(byte) / f32::from(full_scale));
            }
            scale(&bytes, full_scale, Some(&normalization), &mut out);
            for (i, (x, &byte)) in out.iter().zip(&bytes).enumerate() {
                let channel = i / 331;
                let unit = f32::from(byte) / f32::from(full_scale);
                assert_eq!(*x, (unit - mean[channel]) / std[channel]);
            }
        }
    }
}
