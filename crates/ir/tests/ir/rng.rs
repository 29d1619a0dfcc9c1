//! Seeded numbers for generated cases.

/// SplitMix64: small, and good enough to choose test cases.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to but not including `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Uniform on [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// Numbers between −2 and 2 in random order, no two of them closer than `1.9 / n` and none
    /// closer to 0 than a tenth.
    pub fn distinct(&mut self, n: usize) -> Vec<f64> {
        let width = 3.8 / n.max(1) as f64;
        let mut x: Vec<f64> = (0..n)
            .map(|i| {
                let t = -1.9 + width * (i as f64 + 0.25 + 0.5 * self.unit());
                t + if t < 0.0 { -0.1 } else { 0.1 }
            })
            .collect();
        self.shuffle(&mut x);
        x
    }
}
