//! Which learning rate to try (Smith, "Cyclical learning rates for training neural networks", WACV
//! 2017): the rate rises step by step, and the loss is watched.

use std::fmt::Write;

use gradus_data::{Collate, DataLoader, Dataset};
use gradus_nn::optim::Optimizer;
use gradus_tensor::{Error, ErrorKind, Result, evaluate, rng_state, set_rng_state};

use super::Objective;

/// The loss at rising learning rates.
#[derive(Clone, Debug, PartialEq)]
pub struct LrCurve {
    /// The rates, each a fixed factor above the one before.
    pub rates: Vec<f64>,
    /// The mean loss of the batch that was trained on with that rate, before the update.
    pub losses: Vec<f64>,
}

/// How much of the average of losses is kept from step to step.
const SMOOTHING: f64 = 0.9;
/// Past so many times the lowest average, training has diverged.
const DIVERGED: f64 = 4.0;

/// Makes `steps` steps (100 are enough) with rates from the first to the last of `range`, such as
/// `1e-6..10.0`, and stops early where the loss runs away. Model, optimizer and random generator are
/// as before afterwards.
///
/// # Errors
/// If a batch cannot be had, the range makes no sense, or the first losses are not finite.
pub fn find_lr<O, D>(
    objective: &O,
    loader: &DataLoader<D>,
    optimizer: &mut dyn Optimizer,
    range: std::ops::Range<f64>,
    steps: usize,
) -> Result<LrCurve>
where
    O: Objective,
    D: Dataset<Item: Collate<Batch = O::Batch>> + 'static,
{
    if !(range.start > 0.0 && range.end > range.start && range.end.is_finite()) || steps < 2 {
        let message = "find_lr: give a range of rates above 0, such as 1e-6..10.0, and 2 steps or \
                       more";
        return Err(Error::new(ErrorKind::Usage, message));
    }
    evaluate()?;
    let module = objective.module();
    let (random, lrs) = (rng_state(), optimizer.lrs());
    let (weights, state) = (module.state_dict(), optimizer.state_dict());
    let found = climb(objective, loader, optimizer, range, steps);
    optimizer.zero_grad();
    optimizer.set_lrs(&lrs);
    optimizer.load_state_dict(&state)?;
    module.load_state_dict(&weights)?;
    set_rng_state(random);
    found
}

fn climb<O, D>(
    objective: &O,
    loader: &DataLoader<D>,
    optimizer: &mut dyn Optimizer,
    range: std::ops::Range<f64>,
    steps: usize,
) -> Result<LrCurve>
where
    O: Objective,
    D: Dataset<Item: Collate<Batch = O::Batch>> + 'static,
{
    objective.module().train(true);
    let factor = (range.end / range.start).powf(1.0 / (steps - 1) as f64);
    let mut curve = LrCurve { rates: Vec::new(), losses: Vec::new() };
    let mut lowest = f64::INFINITY;
    // As many epochs as it takes.
    for epoch in 0..steps as u64 {
        for batch in loader.batches_from(epoch, 0) {
            let done = curve.rates.len();
            if done == steps {
                return Ok(curve);
            }
            let rate = range.start * factor.powi(done as i32);
            optimizer.set_lr(rate);
            let cost = objective.cost(&batch?);
            optimizer.zero_grad();
            cost.loss.backward();
            optimizer.step()?;
            let loss = cost.loss.cast(gradus_tensor::DType::F64).item::<f64>()?;
            if !loss.is_finite() {
                return match done {
                    0 => Err(Error::new(ErrorKind::Value, "find_lr: the first loss is not finite")),
                    _ => Ok(curve),
                };
            }
            curve.rates.push(rate);
            curve.losses.push(loss);
            let smooth = *curve.smoothed().last().unwrap_or(&loss);
            lowest = lowest.min(smooth);
            if smooth > DIVERGED * lowest && done > steps / 10 {
                return Ok(curve);
            }
        }
    }
    Ok(curve)
}

impl LrCurve {
    /// The losses, averaged over neighbouring steps.
    pub fn smoothed(&self) -> Vec<f64> {
        let mut average = 0.0;
        let mut kept = 1.0;
        let smooth = |loss: &f64| {
            average = SMOOTHING * average + (1.0 - SMOOTHING) * loss;
            kept *= SMOOTHING;
            average / (1.0 - kept)
        };
        self.losses.iter().map(smooth).collect()
    }

    /// The rate at which the loss falls most steeply; none if it never falls. Without momentum or a
    /// schedule, a rate a few times higher often trains faster.
    pub fn suggestion(&self) -> Option<f64> {
        let smooth = self.smoothed();
        let last = smooth.len().checked_sub(1)?;
        let slope = |i: &usize| {
            let (from, to) = (i.saturating_sub(2), (i + 2).min(last));
            (smooth[to] - smooth[from]) / (to - from).max(1) as f64
        };
        // The first averages are of few losses.
        let inner = smooth.len() / 10..smooth.len();
        let steepest = inner.min_by(|a, b| slope(a).total_cmp(&slope(b)))?;
        (slope(&steepest) < 0.0).then(|| self.rates[steepest])
    }

    /// `lr,loss,smoothed`, a line for each step.
    pub fn to_csv(&self) -> String {
        let mut text = "lr,loss,smoothed\n".to_owned();
        for ((rate, loss), smooth) in self.rates.iter().zip(&self.losses).zip(self.smoothed()) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{rate:e},{loss},{smooth}");
        }
        text
    }

    /// A plot of the averaged losses over the rates, which grow as powers of ten, with the
    /// suggestion marked: a drawing of its own, without scripts or fonts from elsewhere.
    pub fn to_svg(&self) -> String {
        const WIDTH: f64 = 720.0;
        const HEIGHT: f64 = 420.0;
        const LEFT: f64 = 70.0;
        const RIGHT: f64 = 20.0;
        const TOP: f64 = 40.0;
        const BOTTOM: f64 = 50.0;
        let smooth = self.smoothed();
        let (low, high) =
            smooth.iter().fold((f64::MAX, f64::MIN), |(l, h), &y| (l.min(y), h.max(y)));
        let (first, last) = match (self.rates.first(), self.rates.last()) {
            (Some(first), Some(last)) if last > first => (first.log10(), last.log10()),
            _ => (-1.0, 0.0),
        };
        let height = (high - low).max(f64::MIN_POSITIVE);
        let x = |rate: f64| LEFT + (rate.log10() - first) / (last - first) * (WIDTH - LEFT - RIGHT);
        let y = |loss: f64| TOP + (high - loss) / height * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">Loss by learning rate</text>\n"
        );
        // Writing to a string does not fail.
        let mut line = |text: String| {
            let _ = writeln!(svg, "{text}");
        };
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for power in first.ceil() as i32..=last.floor() as i32 {
            let at = x(10f64.powi(power));
            line(format!(
                "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">1e{power}</text>",
                bottom + 20.0
            ));
        }
        for part in 0..=4 {
            let loss = low + (high - low) * f64::from(part) / 4.0;
            let at = y(loss);
            line(format!(
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{loss:.3}</text>",
                LEFT - 8.0,
                at + 4.0
            ));
        }
        if let Some(rate) = self.suggestion() {
            let at = x(rate);
            line(format!(
                "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#c40\" \
                 stroke-dasharray=\"5 4\"/><text x=\"{at:.1}\" y=\"{:.1}\" fill=\"#c40\" \
                 text-anchor=\"middle\">steepest at {rate:.1e}</text>",
                TOP - 4.0
            ));
        }
        let points = self.rates.iter().zip(&smooth);
        let points: Vec<String> =
            points.map(|(&rate, &loss)| format!("{:.1},{:.1}", x(rate), y(loss))).collect();
        line(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>",
            points.join(" ")
        ));
        svg + "</svg>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loss that falls between 1e-3 and 1e-1 and then runs away.
    fn curve() -> LrCurve {
        let rates: Vec<f64> = (0..60).map(|i| 10f64.powf(-6.0 + i as f64 / 10.0)).collect();
        let loss = |rate: &f64| {
            let fall = 1.0 / (1.0 + (rate / 1e-2).powi(2));
            2.0 * fall + (rate / 0.3).powi(2)
        };
        LrCurve { losses: rates.iter().map(loss).collect(), rates }
    }

    #[test]
    fn the_steepest_fall_is_suggested() {
        let rate = curve().suggestion().unwrap();
        assert!((3e-3..1e-1).contains(&rate), "{rate}");
        let rising = LrCurve { rates: vec![0.1, 1.0, 2.0], losses: vec![1.0, 2.0, 3.0] };
        assert_eq!(rising.suggestion(), None);
        let none = LrCurve { rates: Vec::new(), losses: Vec::new() };
        assert_eq!(none.suggestion(), None);
        assert!(none.to_svg().ends_with("</svg>\n"));
    }

    #[test]
    fn the_plot_shows_every_step() {
        let svg = curve().to_svg();
        let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(points.split(' ').count(), 60);
        assert!(svg.contains(">1e-3</text>") && svg.contains("steepest at"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(curve().to_csv().lines().count(), 61);
    }
}
