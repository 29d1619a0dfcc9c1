//! Curves that grow for as long as a run does, and the numbers beside them.

use gradus::train::numbers::short;

/// Points kept of a curve: more than a terminal has columns of dots.
const POINTS: usize = 1024;

/// A curve of any length in bounded memory: when it is full, neighbours become their mean.
#[derive(Debug)]
pub struct Curve {
    points: Vec<(f64, f64)>,
    /// Values behind each point.
    each: usize,
    /// The sums of the values of the point that is not full yet, and how many they are.
    open: (f64, f64, usize),
}

impl Default for Curve {
    fn default() -> Curve {
        Curve { points: Vec::new(), each: 1, open: (0.0, 0.0, 0) }
    }
}

impl Curve {
    /// Adds a value; one that is not finite cannot be drawn.
    pub fn push(&mut self, x: f64, y: f64) {
        if !y.is_finite() {
            return;
        }
        let (sum_x, sum_y, n) = self.open;
        self.open = (sum_x + x, sum_y + y, n + 1);
        if n + 1 < self.each {
            return;
        }
        self.points.extend(self.last());
        self.open = (0.0, 0.0, 0);
        if self.points.len() == POINTS {
            self.points = thinned(&self.points, POINTS / 2);
            self.each *= 2;
        }
    }

    /// The point that is not full yet.
    fn last(&self) -> Option<(f64, f64)> {
        let (x, y, n) = self.open;
        (n > 0).then(|| (x / n as f64, y / n as f64))
    }

    /// So many values from the first to the last, or all if there are fewer.
    pub fn values(&self, count: usize) -> Vec<f64> {
        let points = self.points(POINTS + 1);
        let n = points.len().min(count);
        (0..n).map(|i| points[(i + 1) * points.len() / n - 1].1).collect()
    }

    /// At most so many points.
    pub fn points(&self, count: usize) -> Vec<(f64, f64)> {
        let mut points = self.points.clone();
        points.extend(self.last());
        thinned(&points, count)
    }
}

/// At most so many points, each the mean of neighbours.
fn thinned(points: &[(f64, f64)], count: usize) -> Vec<(f64, f64)> {
    let group = points.len().div_ceil(count.max(1)).max(1);
    let mean = |group: &[(f64, f64)]| {
        let (x, y) = group.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
        (x / group.len() as f64, y / group.len() as f64)
    };
    points.chunks(group).map(mean).collect()
}

/// The trend behind noise: the mean over a sixteenth of the curve. Windows are symmetric, so that
/// the trend neither lags behind nor leaves the ends.
pub fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (n, widest) = (points.len(), points.len() / 32 + 1);
    let mean = |at: usize| {
        let radius = widest.min(at).min(n - 1 - at);
        let window = &points[at - radius..=at + radius];
        (points[at].0, window.iter().map(|p| p.1).sum::<f64>() / window.len() as f64)
    };
    (0..n).map(mean).collect()
}

/// An axis: how values are placed, where it begins and ends, and what is written beside it, from
/// one end to the other at equal distances.
#[derive(Debug, PartialEq)]
pub struct Scale {
    pub log: bool,
    pub bounds: [f64; 2],
    pub labels: Vec<String>,
}

impl Scale {
    /// Of values, with at most so many labels. Logarithmic, if asked for and the values span more
    /// than a decade.
    pub fn of(values: impl Iterator<Item = f64>, log: bool, labels: usize) -> Option<Scale> {
        let range = |(low, high): (f64, f64), y: f64| (low.min(y), high.max(y));
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), range);
        if low > high {
            return None;
        }
        let gaps = labels.saturating_sub(1).max(1);
        if log && low > 0.0 && high / low > 10.0 {
            let (low, high) = (low.log10(), high.log10());
            let at = |i: usize| low + (high - low) * i as f64 / gaps as f64;
            let labels = (0..=gaps).map(|i| rounded(10f64.powf(at(i)))).collect();
            return Some(Scale { log: true, bounds: [low, high], labels });
        }
        // Of the round distances, the first whose multiples around the values are few enough.
        let span = if high - low > 1e-9 * high.abs() { high - low } else { high.abs().max(1e-9) };
        let power = 10f64.powf((span / gaps as f64).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0].map(|m| m * power);
        let multiples = |step: f64| ((low / step).floor(), (high / step).ceil());
        let fits = |step: &f64| {
            let (first, last) = multiples(*step);
            last - first <= gaps as f64
        };
        let step = steps.into_iter().find(fits).unwrap_or(100.0 * power);
        let (mut first, mut last) = multiples(step);
        if first == last {
            (first, last) = (first - 1.0, last + 1.0);
        }
        let count = (last - first) as usize;
        let labels = (0..=count).map(|i| short((first + i as f64) * step)).collect();
        Some(Scale { log: false, bounds: [first * step, last * step], labels })
    }

    /// Where a value is on the axis.
    pub fn place(&self, value: f64) -> f64 {
        if self.log { value.max(f64::MIN_POSITIVE).log10() } else { value }
    }
}

/// With two digits.
fn rounded(x: f64) -> String {
    format!("{x:.1e}").parse().map_or_else(|_| short(x), short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_is_kept_in_few_points() {
        let mut curve = Curve::default();
        for i in 0..1_000_000 {
            curve.push(f64::from(i), 2.0 * f64::from(i));
        }
        curve.push(0.0, f64::NAN);
        assert!(curve.points.len() <= POINTS);
        let points = curve.points(100);
        assert!((50..=100).contains(&points.len()), "{}", points.len());
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(points.iter().all(|(x, y)| (y - 2.0 * x).abs() < 1e-6));
    }

    #[test]
    fn values_reach_from_the_first_to_the_last() {
        let mut curve = Curve::default();
        (0..100).for_each(|i| curve.push(f64::from(i), f64::from(i)));
        let values = curve.values(40);
        assert_eq!((values.len(), values[39]), (40, 99.0));
        assert_eq!(curve.values(1000).len(), 100);
        assert!(Curve::default().values(10).is_empty());
    }

    #[test]
    fn the_trend_of_a_line_is_the_line() {
        let line: Vec<_> = (0..200).map(|i| (f64::from(i), 3.0 - f64::from(i))).collect();
        for (point, smooth) in line.iter().zip(smoothed(&line)) {
            assert!((point.1 - smooth.1).abs() < 1e-9);
        }
        assert_eq!(smoothed(&[]), []);
    }

    #[test]
    fn axes_have_round_numbers() {
        let scale = |values: &[f64], log| Scale::of(values.iter().copied(), log, 5);
        let linear = scale(&[0.87, 0.93], false).unwrap();
        assert_eq!(linear.labels, ["0.86", "0.88", "0.9", "0.92", "0.94"]);
        assert!((linear.bounds[0] - 0.86).abs() + (linear.bounds[1] - 0.94).abs() < 1e-12);
        assert_eq!(scale(&[5.0], false).unwrap().labels, ["4", "5", "6"]);
        let log = scale(&[0.001, 10.0], true).unwrap();
        assert_eq!(log.labels, ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!((log.place(0.1), log.bounds), (-1.0, [-3.0, 1.0]));
        // Too narrow, or not above 0.
        assert!(!scale(&[1.0, 2.0], true).unwrap().log);
        assert!(!scale(&[0.0, 20.0], true).unwrap().log);
        assert_eq!(scale(&[], true), None);
    }
}
