//! Random numbers for one transform of one sample.

use gradus_tensor::philox::philox4x32;

/// Keeps these draws apart from those that other purposes make under the same seed.
const AUGMENT: u32 = u32::from_le_bytes(*b"augm");

/// The random numbers that one step of a pipeline has for one sample of one epoch: a function of
/// seed, epoch, sample and position, whoever asks and whenever.
#[derive(Clone, Debug)]
pub struct Draws {
    key: [u32; 2],
    position: u32,
    drawn: u32,
}

impl Draws {
    /// The numbers of the step `position` for a sample in an epoch.
    pub fn new(seed: u64, epoch: u64, sample: u64, position: u32) -> Draws {
        let (low, high) = (|x: u64| x as u32, |x: u64| (x >> 32) as u32);
        // Four words of counter do not hold all of it: epoch and sample make the key.
        let counter = [low(sample), high(sample) ^ AUGMENT, low(epoch), high(epoch)];
        let [a, b, ..] = philox4x32([low(seed), high(seed)], counter);
        Draws { key: [a, b], position, drawn: 0 }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, ..] = philox4x32(self.key, [self.drawn, self.position, AUGMENT, 0]);
        self.drawn += 1;
        u64::from(a) | u64::from(b) << 32
    }

    /// A number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number in [`low`, `high`).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A whole number in `0..count`; 0 if there is none.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// Whether something happens that has the probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// A number from the normal distribution of mean 0 and variance 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(2.0 * std::f64::consts::PI * self.uniform())
    }

    /// A number from the gamma distribution of this shape and scale 1 (Marsaglia and Tsang 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let power = libm::pow(1.0 - self.uniform(), 1.0 / shape);
            return self.gamma(shape + 1.0) * power;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
            let u = 1.0 - self.uniform();
            if v > 0.0 && libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }

    /// A number from the beta distribution with both parameters `alpha`.
    pub fn beta(&mut self, alpha: f64) -> f64 {
        let (a, b) = (self.gamma(alpha), self.gamma(alpha));
        // Both vanish for a tiny alpha: the distribution is then a coin.
        if a + b > 0.0 { a / (a + b) } else { f64::from(u8::from(self.chance(0.5))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded runs depend on these numbers: a change here breaks their replay.
    #[test]
    fn draws_are_pinned_and_keyed() {
        let first =
            |seed, epoch, sample, position| Draws::new(seed, epoch, sample, position).bits();
        let all = [
            first(0, 0, 0, 0),
            first(1, 0, 0, 0),
            first(0, 1, 0, 0),
            first(0, 0, 1, 0),
            first(0, 0, 0, 1),
            first(0, 0, 1 << 32, 0),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b), "{i}");
        }
        let mut draws = Draws::new(7, 3, 11, 2);
        assert_eq!([draws.bits(), draws.bits()], PINNED);
    }

    const PINNED: [u64; 2] = [12978453352468599964, 8832436062192191770];

    /// Mean and variance of each distribution over 200,000 draws, within five standard errors.
    #[test]
    fn distributions_have_their_moments() {
        let n = 200_000;
        let check = |name: &str, mean: f64, variance: f64, draw: &mut dyn FnMut() -> f64| {
            let all: Vec<f64> = (0..n).map(|_| draw()).collect();
            let found = all.iter().sum::<f64>() / n as f64;
            let spread = all.iter().map(|x| (x - found).powi(2)).sum::<f64>() / n as f64;
            let error = 5.0 * (variance / n as f64).sqrt();
            assert!((found - mean).abs() < error, "{name}: mean {found}, not {mean}");
            assert!((spread / variance - 1.0).abs() < 0.03, "{name}: variance {spread}");
        };
        let mut draws = Draws::new(0, 0, 0, 0);
        check("uniform", 0.5, 1.0 / 12.0, &mut || draws.uniform());
        check("between", 1.0, 16.0 / 12.0, &mut || draws.between(-1.0, 3.0));
        check("below", 2.0, 2.0, &mut || draws.below(5) as f64);
        check("normal", 0.0, 1.0, &mut || draws.normal());
        check("gamma", 2.5, 2.5, &mut || draws.gamma(2.5));
        check("gamma below 1", 0.4, 0.4, &mut || draws.gamma(0.4));
        // Beta(α, α): mean 1/2, variance 1 / (4 (2α + 1)).
        check("beta", 0.5, 1.0 / 5.6, &mut || draws.beta(0.2));
        assert_eq!(draws.below(0), 0);
    }
}
