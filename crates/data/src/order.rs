//! The order in which an epoch visits the samples.

use gradus_tensor::philox::philox4x32;

/// A permutation of `0..len`.
pub(crate) enum Order {
    /// As they stand.
    Sequential,
    /// The sample at each position.
    Shuffled(Vec<usize>),
}

impl Order {
    /// The order of one epoch: sequential without a seed, otherwise a Fisher–Yates shuffle whose
    /// every draw is keyed by the seed, the epoch and the position. The same on every platform.
    pub(crate) fn of_epoch(seed: Option<u64>, epoch: u64, len: usize) -> Order {
        let Some(seed) = seed else { return Order::Sequential };
        let mut samples: Vec<usize> = (0..len).collect();
        for i in (1..len).rev() {
            samples.swap(i, draw(seed, epoch, i as u64));
        }
        Order::Shuffled(samples)
    }

    /// The samples at `positions`.
    pub(crate) fn samples(&self, positions: std::ops::Range<usize>) -> Vec<usize> {
        match self {
            Order::Sequential => positions.collect(),
            Order::Shuffled(samples) => samples[positions].to_vec(),
        }
    }
}

/// Keeps these draws apart from those that other purposes make under the same seed and epoch.
const SHUFFLE: u32 = u32::from_le_bytes(*b"shuf");

/// A uniform number in `0..=last`. 64 random bits scaled by a multiplication: the bias is below
/// `last` / 2⁶⁴.
fn draw(seed: u64, epoch: u64, last: u64) -> usize {
    let (low, high) = (|x: u64| x as u32, |x: u64| (x >> 32) as u32);
    // Positions fit the first word below 2³² samples; above, its upper half shares a word with the
    // purpose.
    let counter = [low(last), high(last) ^ SHUFFLE, low(epoch), high(epoch)];
    let [a, b, ..] = philox4x32([low(seed), high(seed)], counter);
    let bits = u64::from(a) | u64::from(b) << 32;
    ((u128::from(bits) * (u128::from(last) + 1)) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffled(seed: u64, epoch: u64, len: usize) -> Vec<usize> {
        Order::of_epoch(Some(seed), epoch, len).samples(0..len)
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
        let mut counts = std::collections::HashMap::new();
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
}
