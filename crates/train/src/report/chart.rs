//! Line charts as SVG.
//!
//! Colours and text sizes are those of the page's style; the legend is a list under the drawing, so
//! that it never lies over a line.

use std::fmt::Write;

use super::html::{escape, short};

/// The drawing, in the units of its text size; the page scales it.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 270.0;
/// Room for the numbers of the axes.
const LEFT: f64 = 58.0;
const BOTTOM: f64 = 40.0;
const EDGE: f64 = 14.0;

/// Points of a line beyond which neighbours are averaged: a screen shows no more.
const POINTS: usize = 400;

/// Colours that the style has.
const COLOURS: usize = 9;

/// A chart of several lines over one axis.
pub(super) struct Chart {
    title: String,
    x_label: &'static str,
    log: bool,
    series: Vec<Series>,
}

/// A line.
pub(super) struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    faint: bool,
    dots: bool,
}

impl Series {
    /// A line through points; those that are not finite are left out.
    pub(super) fn new(name: &str, mut points: Vec<(f64, f64)>) -> Series {
        points.retain(|(x, y)| x.is_finite() && y.is_finite());
        Series { name: name.to_owned(), points, faint: false, dots: false }
    }

    /// Drawn thinner: the raw values behind a mean.
    pub(super) fn faint(self) -> Series {
        Series { faint: true, ..self }
    }

    /// Drawn as dots.
    pub(super) fn dots(self) -> Series {
        Series { dots: true, ..self }
    }
}

impl Chart {
    pub(super) fn new(title: &str, x_label: &'static str) -> Chart {
        Chart { title: title.to_owned(), x_label, log: false, series: Vec::new() }
    }

    /// With a logarithmic axis, if the values allow it and span more than a decade.
    pub(super) fn log(self, log: bool) -> Chart {
        Chart { log, ..self }
    }

    /// With lines; empty ones are left out.
    pub(super) fn with(mut self, series: impl IntoIterator<Item = Series>) -> Chart {
        self.series.extend(series.into_iter().filter(|series| !series.points.is_empty()));
        self
    }

    /// A figure: title, drawing, legend. Nothing if there is nothing to draw.
    pub(super) fn render(&self) -> String {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let Some(x) = Range::of(all().map(|point| point.0)) else { return String::new() };
        let Some(y) = Range::of(all().map(|point| point.1)) else { return String::new() };
        let log = self.log && y.low > 0.0 && y.high / y.low > 10.0;
        let scale = |y: f64| if log { y.log10() } else { y };
        let axis = Range { low: scale(y.low), high: scale(y.high) }.widened();
        let x = x.not_empty();
        let place_x = |at: f64| LEFT + (at - x.low) / (x.high - x.low) * (WIDTH - LEFT - EDGE);
        let place_y = |at: f64| {
            HEIGHT
                - BOTTOM
                - (scale(at) - axis.low) / (axis.high - axis.low) * (HEIGHT - BOTTOM - EDGE)
        };

        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.title)
        );
        let ticks = if log { log_ticks(axis) } else { ticks(axis, 5) };
        for tick in ticks {
            let at = place_y(tick);
            // Writing to a String does not fail.
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - EDGE,
                LEFT - 8.0,
                at + 4.0,
                short(tick)
            );
        }
        for tick in ticks_whole(x) {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                place_x(tick),
                HEIGHT - BOTTOM + 18.0,
                short(tick)
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            (LEFT + WIDTH - EDGE) / 2.0,
            HEIGHT - 4.0,
            self.x_label
        );
        for (number, series) in self.series.iter().enumerate() {
            let colour = number % COLOURS;
            let points = thinned(&series.points);
            if series.dots || points.len() == 1 {
                for (x, y) in points {
                    let (x, y) = (place_x(x), place_y(y));
                    let _ = write!(
                        svg,
                        "<circle class=\"dot c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"
                    );
                }
                continue;
            }
            let mut path = String::new();
            for (x, y) in points {
                let to = if path.is_empty() { 'M' } else { 'L' };
                let _ = write!(path, "{to}{:.1} {:.1}", place_x(x), place_y(y));
            }
            let faint = if series.faint { " faint" } else { "" };
            let _ = write!(svg, "<path class=\"line{faint} c{colour}\" d=\"{path}\"/>");
        }
        svg.push_str("</svg>");
        format!("<figure><h3>{}</h3>{svg}{}</figure>", escape(&self.title), self.legend())
    }

    fn legend(&self) -> String {
        let entry = |(number, series): (usize, &Series)| {
            let colour = number % COLOURS;
            format!("<li class=\"c{colour}\"><span>{}</span></li>", escape(&series.name))
        };
        let entries: String = self.series.iter().enumerate().map(entry).collect();
        format!("<ul class=\"legend\">{entries}</ul>")
    }
}

#[derive(Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    fn of(values: impl Iterator<Item = f64>) -> Option<Range> {
        values.fold(None, |range, x| match range {
            None => Some(Range { low: x, high: x }),
            Some(Range { low, high }) => Some(Range { low: low.min(x), high: high.max(x) }),
        })
    }

    fn not_empty(self) -> Range {
        match self.high > self.low {
            true => self,
            false => Range { low: self.low - 0.5, high: self.high + 0.5 },
        }
    }

    /// With a margin, so that lines keep away from the edge.
    fn widened(self) -> Range {
        let span = match self.high - self.low {
            span if span > 1e-9 * self.high.abs() => span,
            _ => self.high.abs().max(1e-12),
        };
        Range { low: self.low - 0.05 * span, high: self.high + 0.05 * span }
    }
}

/// About so many round numbers in a range.
fn ticks(range: Range, about: usize) -> Vec<f64> {
    let rough = (range.high - range.low) / about as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = (range.low / step).ceil() as i64;
    let last = (range.high / step).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Round numbers that are whole: steps.
fn ticks_whole(range: Range) -> Vec<f64> {
    ticks(range, 6).into_iter().filter(|tick| tick.fract() == 0.0).collect()
}

/// Round numbers on an axis of logarithms.
fn log_ticks(axis: Range) -> Vec<f64> {
    let (first, last) = (axis.low.floor() as i32, axis.high.ceil() as i32);
    let ticks = |digits: &[f64], every: usize| -> Vec<f64> {
        (first..=last)
            .step_by(every)
            .flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)))
            .filter(|tick| (axis.low..=axis.high).contains(&tick.log10()))
            .collect()
    };
    match axis.high - axis.low {
        span if span < 2.0 => ticks(&[1.0, 2.0, 5.0], 1),
        span if span < 8.0 => ticks(&[1.0], 1),
        span => ticks(&[1.0], 1 + span as usize / 7),
    }
}

/// At most [`POINTS`] points, each the mean of neighbours.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let group = points.len().div_ceil(POINTS).max(1);
    points
        .chunks(group)
        .map(|group| {
            let n = group.len() as f64;
            let (x, y) = group.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
            (x / n, y / n)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(
            ticks(Range { low: 0.0, high: 1.0 }, 5),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(ticks_whole(Range { low: 1.0, high: 3.0 }), [1.0, 2.0, 3.0]);
        assert_eq!(log_ticks(Range { low: -1.1, high: 0.4 }), [0.1, 0.2, 0.5, 1.0, 2.0]);
        assert_eq!(log_ticks(Range { low: -3.5, high: 0.0 }), [1e-3, 1e-2, 1e-1, 1.0]);
    }

    #[test]
    fn a_chart_of_anything_holds_only_numbers() {
        let charts = [
            vec![],
            vec![(1.0, 2.0)],
            vec![(1.0, 0.0), (2.0, 0.0)],
            vec![(1.0, f64::NAN), (2.0, f64::INFINITY), (3.0, 1.0)],
            vec![(1.0, -1e300), (2.0, 1e300)],
            (0..5000).map(|i| (f64::from(i), f64::from(i % 7))).collect(),
        ];
        for points in charts {
            let chart = Chart::new("<loss>", "step").log(true).with([Series::new("a&b", points)]);
            let html = chart.render();
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
            assert!(html.is_empty() || html.contains("&lt;loss&gt;"), "{html}");
            assert!(html.len() < 20_000);
        }
    }
}
