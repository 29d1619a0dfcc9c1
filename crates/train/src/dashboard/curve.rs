//! A curve of any length in bounded memory.

/// Points kept; a terminal has fewer columns of dots.
const POINTS: usize = 512;

/// Means of neighbouring values, over more and more of them as the curve grows.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    points: Vec<(f64, f64)>,
    /// Values per point, and those of the point in the making: their number and sums.
    group: usize,
    taken: usize,
    sum: (f64, f64),
}

impl Default for Curve {
    fn default() -> Curve {
        Curve { points: Vec::new(), group: 1, taken: 0, sum: (0.0, 0.0) }
    }
}

impl Curve {
    /// Takes in a value; one that is not finite is left out.
    pub(super) fn push(&mut self, x: f64, y: f64) {
        if !y.is_finite() {
            return;
        }
        self.sum = (self.sum.0 + x, self.sum.1 + y);
        self.taken += 1;
        if self.taken < self.group {
            return;
        }
        let n = self.taken as f64;
        self.points.push((self.sum.0 / n, self.sum.1 / n));
        (self.taken, self.sum) = (0, (0.0, 0.0));
        if self.points.len() == POINTS {
            let halve = |pair: &[(f64, f64)]| {
                ((pair[0].0 + pair[1].0) / 2.0, (pair[0].1 + pair[1].1) / 2.0)
            };
            self.points = self.points.chunks_exact(2).map(halve).collect();
            self.group *= 2;
        }
    }

    pub(super) fn points(&self) -> &[(f64, f64)] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_become_means() {
        let mut curve = Curve::default();
        (0..100_000).for_each(|i| curve.push(f64::from(i), f64::from(i % 2)));
        curve.push(1.0, f64::NAN);
        let points = curve.points();
        assert!(points.len() >= POINTS / 2 && points.len() < POINTS, "{}", points.len());
        assert!(points.iter().all(|(_, y)| *y == 0.5));
        assert!(points.is_sorted_by(|a, b| a.0 < b.0));
    }
}
