//! Random numbers as a function of their position.
//!
//! Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
//! 2011) turns a key and a counter into four words with no state in between. Element `i` of a
//! random tensor is therefore a pure function of (seed, stream, i): whichever thread computes it,
//! in whichever order and pieces, the bits are the same, and nothing needs to be saved but the
//! seed.
//!
//! The key is the seed, low half first; the counter is the block's number in 64 bits, then the
//! stream in 64. A block of four words holds four `f32`, or two `f64`, or two normals. The
//! functions per element say what a tensor holds; the `fill` functions write a run of elements with
//! the same bits, in a loop over blocks that vectorises for the instruction set of the caller.

/// The ten rounds of Philox4x32.
#[inline(always)]
pub fn philox4x32(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    for _ in 0..10 {
        let a = u64::from(c0) * 0xd251_1f53;
        let b = u64::from(c2) * 0xcd9e_8d57;
        (c0, c1, c2, c3) =
            ((b >> 32) as u32 ^ c1 ^ k0, b as u32, (a >> 32) as u32 ^ c3 ^ k1, a as u32);
        k0 = k0.wrapping_add(0x9e37_79b9);
        k1 = k1.wrapping_add(0xbb67_ae85);
    }
    [c0, c1, c2, c3]
}

macro_rules! sampler {
    ($t:ty, $per_block:literal, $from_block:ident,
     $(#[$one_doc:meta])* $one:ident, $(#[$fill_doc:meta])* $fill:ident) => {
        $(#[$one_doc])*
        #[inline]
        pub fn $one(seed: u64, stream: u64, i: u64) -> $t {
            $from_block(block(seed, stream, i / $per_block))[(i % $per_block) as usize]
        }

        $(#[$fill_doc])*
        #[inline(always)]
        pub fn $fill(seed: u64, stream: u64, start: u64, out: &mut [$t]) {
            // Up to the first whole block, the whole blocks, and what is left of the last one.
            let ragged = (start.next_multiple_of($per_block) - start).min(out.len() as u64);
            let (head, rest) = out.split_at_mut(ragged as usize);
            let first = start + ragged;
            let (blocks, tail) = rest.as_chunks_mut::<$per_block>();
            let last = first + (blocks.len() * $per_block) as u64;
            for (i, x) in (start..).zip(head).chain((last..).zip(tail)) {
                *x = $one(seed, stream, i);
            }
            for (number, x) in (first / $per_block..).zip(blocks) {
                *x = $from_block(block(seed, stream, number));
            }
        }
    };
}

sampler!(
    f32,
    4,
    uniforms_f32,
    /// Element `i`, uniform in [0, 1): a multiple of 2⁻²⁴.
    uniform_f32,
    /// Elements `start ..` of [`uniform_f32`].
    fill_uniform_f32
);
sampler!(
    f64,
    2,
    uniforms_f64,
    /// Element `i`, uniform in [0, 1): a multiple of 2⁻⁵³.
    uniform_f64,
    /// Elements `start ..` of [`uniform_f64`].
    fill_uniform_f64
);
sampler!(
    f64,
    2,
    normals_f64,
    /// Element `i`, normal with mean 0 and variance 1 (Box and Muller 1958).
    normal_f64,
    /// Elements `start ..` of [`normal_f64`].
    fill_normal_f64
);
sampler!(
    f32,
    2,
    normals_f32,
    /// [`normal_f64`] rounded to f32.
    normal_f32,
    /// Elements `start ..` of [`normal_f32`].
    fill_normal_f32
);

#[inline(always)]
fn block(seed: u64, stream: u64, number: u64) -> [u32; 4] {
    let halves = |x: u64| [x as u32, (x >> 32) as u32];
    let ([n0, n1], [s0, s1]) = (halves(number), halves(stream));
    philox4x32(halves(seed), [n0, n1, s0, s1])
}

#[inline(always)]
fn uniforms_f32(words: [u32; 4]) -> [f32; 4] {
    // Signed, because few instruction sets convert unsigned integers.
    words.map(|w| (w >> 8) as i32 as f32 * (1.0 / (1 << 24) as f32))
}

#[inline(always)]
fn uniforms_f64([w0, w1, w2, w3]: [u32; 4]) -> [f64; 2] {
    // The top 53 bits of a 64-bit number. In two exact parts, because few instruction sets convert
    // 64 bits.
    [(w0, w1), (w2, w3)].map(|(low, high)| {
        f64::from(high) * (1.0 / (1_u64 << 32) as f64)
            + f64::from(low >> 11) * (1.0 / (1_u64 << 53) as f64)
    })
}

#[inline(always)]
fn normals_f64(words: [u32; 4]) -> [f64; 2] {
    let [u, v] = uniforms_f64(words);
    // 1 − u is in (0, 1], so that its logarithm is finite.
    let radius = (-2.0 * libm::log(1.0 - u)).sqrt();
    let (sin, cos) = libm::sincos(std::f64::consts::TAU * v);
    [radius * cos, radius * sin]
}

#[inline(always)]
fn normals_f32(words: [u32; 4]) -> [f32; 2] {
    normals_f64(words).map(|x| x as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    /// The known answers that come with the authors' Random123 library.
    #[test]
    fn known_answers() {
        for (counter, key, words) in [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([!0; 4], [!0; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ] {
            assert_eq!(philox4x32(key, counter), words);
        }
    }

    /// Checks mean, variance, skewness and kurtosis to five standard errors, and that neighbours
    /// are not correlated.
    fn moments(samples: &[f64], mean: f64, variance: f64, kurtosis: f64) {
        let n = samples.len() as f64;
        let average = |f: &dyn Fn(f64) -> f64| samples.iter().map(|&x| f(x)).sum::<f64>() / n;
        let z = |x: f64| (x - mean) / variance.sqrt();
        let error = 5.0 / n.sqrt();
        assert!(average(&z).abs() < error);
        assert!((average(&|x| z(x).powi(2)) - 1.0).abs() < error * (kurtosis - 1.0).sqrt());
        assert!(average(&|x| z(x).powi(3)).abs() < error * 15_f64.sqrt());
        assert!((average(&|x| z(x).powi(4)) - kurtosis).abs() < error * 96_f64.sqrt());
        for lag in 1..=4 {
            let pairs = samples.iter().zip(&samples[lag..]);
            assert!((pairs.map(|(&x, &y)| z(x) * z(y)).sum::<f64>() / n).abs() < error);
        }
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        let mut wide = vec![0.0_f64; 1 << 20];
        let mut narrow = vec![0.0_f32; 1 << 20];
        let widened = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();

        fill_uniform_f64(1, 2, 0, &mut wide);
        fill_uniform_f32(1, 2, 0, &mut narrow);
        assert!(wide.iter().all(|x| (0.0..1.0).contains(x)));
        assert!(narrow.iter().all(|x| (0.0..1.0).contains(x)));
        moments(&wide, 0.5, 1.0 / 12.0, 1.8);
        moments(&widened(&narrow), 0.5, 1.0 / 12.0, 1.8);

        fill_normal_f64(1, 2, 0, &mut wide);
        fill_normal_f32(1, 2, 0, &mut narrow);
        moments(&wide, 0.0, 1.0, 3.0);
        assert!(wide.iter().zip(&narrow).all(|(&x, &y)| x as f32 == y));
    }

    #[test]
    fn the_ends_of_the_range_are_as_documented() {
        assert_eq!(uniforms_f32([!0; 4]), [1.0 - f32::EPSILON / 2.0; 4]);
        assert_eq!(uniforms_f64([!0; 4]), [1.0 - f64::EPSILON / 2.0; 2]);
        assert_eq!(normals_f64([0; 4]), [0.0; 2]);
        assert!((normals_f64([!0; 4])[0] - 8.57).abs() < 0.01);
    }

    fn agree<T: Copy + Default + Debug + PartialEq>(
        one: fn(u64, u64, u64) -> T,
        fill: fn(u64, u64, u64, &mut [T]),
    ) {
        // Across the 32-bit boundary of the block number too.
        for base in [0, (1 << 34) - 20] {
            for start in base..base + 9 {
                for len in 0..40 {
                    let mut bulk = vec![T::default(); len];
                    fill(7, 9, start, &mut bulk);
                    let single: Vec<T> = (start..).take(len).map(|i| one(7, 9, i)).collect();
                    assert_eq!(bulk, single, "start {start}, length {len}");
                }
            }
        }
        let sample = |seed, stream| (0..8).map(|i| one(seed, stream, i)).collect::<Vec<_>>();
        let (reference, high) = (sample(7, 9), 1 << 32);
        for other in [sample(8, 9), sample(7 + high, 9), sample(7, 10), sample(7, 9 + high)] {
            assert!(reference.iter().zip(&other).all(|(a, b)| a != b));
        }
    }

    #[test]
    fn runs_equal_their_elements_and_streams_differ() {
        agree(uniform_f32, fill_uniform_f32);
        agree(uniform_f64, fill_uniform_f64);
        agree(normal_f32, fill_normal_f32);
        agree(normal_f64, fill_normal_f64);
    }
}
