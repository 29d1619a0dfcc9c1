//! The order in which an epoch visits the samples.

use std::collections::HashMap;
use std::sync::Arc;

use gradus_tensor::philox::philox4x32;

/// How the samples of an epoch are chosen.
#[derive(Clone)]
pub(crate) enum Sampling {
    /// As they stand.
    Sequential,
    /// All of them, in an order that follows from the seed.
    Shuffled(u64),
    /// With replacement, as often as their weights say: the sums of the weights up to each sample.
    Weighted(u64, Arc<[f64]>),
}

/// The sample at each position of an epoch.
pub(crate) enum Order {
    /// As they stand.
    Sequential,
    /// As listed.
    Listed(Vec<usize>),
    /// As drawn, with replacement: each, and how often it was drawn before.
    Drawn(Vec<(usize, u32)>),
}

impl Sampling {
    /// Draws in proportion to `weights`, or says what is wrong with them.
    pub(crate) fn weighted(seed: u64, weights: &[f64]) -> Result<Sampling, String> {
        if let Some(at) = weights.iter().position(|w| !(*w >= 0.0 && w.is_finite())) {
            return Err(format!(
                "the weight of sample {at} is {}; weights are numbers, 0 or more",
                weights[at]
            ));
        }
        let sums: Arc<[f64]> = weights
            .iter()
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        match sums.last() {
            Some(total) if *total > 0.0 && total.is_finite() => Ok(Sampling::Weighted(seed, sums)),
            _ => Err("the weights add up to nothing; give at least one above 0".to_owned()),
        }
    }

    /// The order of one epoch over `len` samples: of a shuffle, a Fisher–Yates shuffle. Every draw
    /// is keyed by the seed, the epoch and the position. The same on every platform.
    pub(crate) fn of_epoch(&self, epoch: u64, len: usize) -> Order {
        match self {
            Sampling::Sequential => Order::Sequential,
            Sampling::Shuffled(seed) => {
                let mut samples: Vec<usize> = (0..len).collect();
                for i in (1..len).rev() {
                    samples.swap(i, draw(*seed, epoch, i as u64));
                }
                Order::Listed(samples)
            }
            Sampling::Weighted(seed, sums) => {
                let total = sums.last().copied().unwrap_or(0.0);
                let pick = |position: usize| {
                    let bits = word(*seed, epoch, position as u64, WEIGHTED);
                    // 53 bits: a uniform number in [0, 1).
                    let uniform = (bits >> 11) as f64 / (1u64 << 53) as f64;
                    sums.partition_point(|&sum| sum <= uniform * total).min(sums.len() - 1)
                };
                let mut drawn = HashMap::new();
                let pick = |position| {
                    let sample = pick(position);
                    let times = drawn.entry(sample).or_insert(0);
                    *times += 1;
                    (sample, *times - 1)
                };
                Order::Drawn((0..len).map(pick).collect())
            }
        }
    }
}

impl Order {
    /// The samples at `positions`.
    pub(crate) fn samples(&self, positions: std::ops::Range<usize>) -> Vec<usize> {
        match self {
            Order::Sequential => positions.collect(),
            Order::Listed(samples) => samples[positions].to_vec(),
            Order::Drawn(samples) => samples[positions].iter().map(|&(sample, _)| sample).collect(),
        }
    }

    /// The epoch that each sample at `positions` is to be seen in: one that is drawn again is another
    /// one to what augments it.
    pub(crate) fn epochs(&self, epoch: u64, positions: std::ops::Range<usize>) -> Vec<u64> {
        match self {
            Order::Drawn(samples) => samples[positions]
                .iter()
                .map(|&(_, again)| epoch + (u64::from(again) << 32))
                .collect(),
            _ => vec![epoch; positions.len()],
        }
    }
}

/// Keeps these draws apart from those that other purposes make under the same seed and epoch.
const SHUFFLE: u32 = u32::from_le_bytes(*b"shuf");
const WEIGHTED: u32 = u32::from_le_bytes(*b"weig");

/// 64 random bits.
fn word(seed: u64, epoch: u64, position: u64, purpose: u32) -> u64 {
    let (low, high) = (|x: u64| x as u32, |x: u64| (x >> 32) as u32);
    // Positions fit the first word below 2³² samples; above, its upper half shares a word with the
    // purpose.
    let counter = [low(position), high(position) ^ purpose, low(epoch), high(epoch)];
    let [a, b, ..] = philox4x32([low(seed), high(seed)], counter);
    u64::from(a) | u64::from(b) << 32
}

/// A uniform number in `0..=last`. 64 random bits scaled by a multiplication: the bias is below
/// `last` / 2⁶⁴.
fn draw(seed: u64, epoch: u64, last: u64) -> usize {
    let bits = word(seed, epoch, last, SHUFFLE);
    ((u128::from(bits) * (u128::from(last) + 1)) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffled(seed: u64, epoch: u64, len: usize) -> Vec<usize> {
        Sampling::Shuffled(seed).of_epoch(epoch, len).samples(0..len)
    }

    /// Recorded runs depend on these numbers: a change here breaks their replay.
    #[test]
    fn the_order_is_pinned() {
        assert_eq!(shuffled(0, 0, 10), [4, 3, 6, 5, 8, 0, 7, 2, 9, 1]);
        assert_eq!(shuffled(0, 1, 10), [0, 6, 9, 4, 7, 3, 2, 5, 8, 1]);
        assert_eq!(shuffled(1 << 40, 0, 10), [9, 4, 7, 1, 8, 5, 6, 2, 0, 3]);
    }

    #[test]
    fn an_order_is_a_permutation() {
        for len in [0, 1, 2, 3, 100, 1797] {
            let mut samples = shuffled(3, 5, len);
            samples.sort_unstable();
            assert!(samples.into_iter().eq(0..len));
        }
    }

    /// Each of the 24 orders of 4 samples comes up about equally often over the epochs (χ² with 23
    /// degrees of freedom, at one in ten thousand).
    #[test]
    fn orders_are_uniform() {
        let mut counts = HashMap::new();
        let epochs = 24_000;
        for epoch in 0..epochs {
            *counts.entry(shuffled(42, epoch, 4)).or_insert(0u32) += 1;
        }
        let expected = epochs as f64 / 24.0;
        let chi2: f64 =
            counts.values().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        assert_eq!(counts.len(), 24);
        assert!(chi2 < 58.0, "χ² = {chi2}");
    }

    /// Samples come up in proportion to their weights (within five standard deviations), and those
    /// without weight never.
    #[test]
    fn weights_are_followed() {
        let weights = [0.0, 1.0, 2.0, 0.0, 5.0, 0.0];
        let sampling = Sampling::weighted(7, &weights).unwrap();
        let n = 80_000;
        let mut counts = [0.0; 6];
        for sample in sampling.of_epoch(3, n).samples(0..n) {
            counts[sample] += 1.0;
        }
        for (count, weight) in counts.iter().zip(weights) {
            let expected = n as f64 * weight / 8.0;
            assert!((count - expected).abs() <= 5.0 * expected.sqrt(), "{counts:?}");
        }
        let error = |weights: &[f64]| Sampling::weighted(0, weights).err().unwrap();
        assert!(error(&[1.0, -1.0]).contains("the weight of sample 1 is -1"));
        assert!(error(&[f64::NAN]).contains("NaN"));
        assert!(error(&[0.0]).contains("add up to nothing") && error(&[]).contains("nothing"));
    }
}
