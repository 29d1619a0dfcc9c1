//! Line charts as SVG.
//!
//! Colours and text sizes are those of the page's style, which makes text larger where the drawing is
//! small; the legend is a list under the drawing, so that it never lies over a line, and ends each
//! line with its last value.

use std::fmt::Write;

use super::html::escape;
use crate::numbers::{short, thousands};

/// The drawing, in the units of its text size; the page scales it.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 270.0;
/// Room for the numbers of the axes.
const LEFT: f64 = 72.0;
const BOTTOM: f64 = 46.0;
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
    with_zero: bool,
    percent: bool,
    series: Vec<Series>,
}

/// A line.
pub(super) struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    colour: Option<usize>,
    faint: bool,
    dots: bool,
}

impl Series {
    /// A line through points; those that are not finite are left out.
    pub(super) fn new(name: &str, mut points: Vec<(f64, f64)>) -> Series {
        points.retain(|(x, y)| x.is_finite() && y.is_finite());
        Series { name: name.to_owned(), points, colour: None, faint: false, dots: false }
    }

    /// In a colour of the style; by default, each line of a chart has the next one.
    pub(super) fn colour(self, colour: usize) -> Series {
        Series { colour: Some(colour), ..self }
    }

    /// Of a value that stays the same for many steps: only the ends of each stretch are kept, so
    /// that a jump is drawn as one.
    pub(super) fn stretches(mut self) -> Series {
        let points = &self.points;
        let changes = |at: usize| points[at].1.to_bits() != points[at + 1].1.to_bits();
        let kept =
            |at: &usize| *at == 0 || *at + 1 == points.len() || changes(*at) || changes(*at - 1);
        self.points = (0..points.len()).filter(kept).map(|at| points[at]).collect();
        self
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
        let title = title.to_owned();
        Chart { title, x_label, log: false, with_zero: false, percent: false, series: Vec::new() }
    }

    /// With an axis that begins at 0.
    pub(super) fn with_zero(self) -> Chart {
        Chart { with_zero: true, ..self }
    }

    /// Of shares, 0–1, that are written as percentages.
    pub(super) fn percent(self, percent: bool) -> Chart {
        Chart { percent, ..self }
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
        let y = if self.with_zero { Range { low: y.low.min(0.0), ..y } } else { y };
        let mut axis = Range { low: scale(y.low), high: scale(y.high) }.widened();
        if self.with_zero && y.low == 0.0 {
            axis.low = 0.0;
        }
        // All charts of a run begin where the run does.
        let x = Range { low: x.low.min(0.0), ..x }.not_empty();
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
        let written = self.written(&ticks, log);
        for (tick, text) in ticks.into_iter().zip(written) {
            let at = place_y(tick);
            // Writing to a String does not fail.
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                WIDTH - EDGE,
                LEFT - 8.0,
                at + 4.0
            );
        }
        for tick in ticks_whole(x) {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                place_x(tick),
                HEIGHT - BOTTOM + 19.0,
                thousands(tick as u64)
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
            let colour = series.colour.unwrap_or(number) % COLOURS;
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

    /// What is written beside the lines of the grid: all with as many places.
    fn written(&self, ticks: &[f64], log: bool) -> Vec<String> {
        let unit = if self.percent { 100.0 } else { 1.0 };
        let sign = if self.percent { "%" } else { "" };
        let step = ticks.windows(2).map(|pair| unit * (pair[1] - pair[0])).next();
        let places = step.map_or(-1.0, |step| -(step.log10() + 1e-9).floor());
        let large = ticks.iter().any(|tick| (unit * tick).abs() >= 1e6);
        let write = |tick: &f64| match log || large || !(-6.0..=5.0).contains(&places) {
            true => format!("{}{sign}", short(unit * tick)),
            false => format!("{:.*}{sign}", places.max(0.0) as usize, unit * tick),
        };
        ticks.iter().map(write).collect()
    }

    fn legend(&self) -> String {
        let entry = |(number, series): (usize, &Series)| {
            let colour = series.colour.unwrap_or(number) % COLOURS;
            let kind = match series {
                Series { dots: true, .. } => " dots",
                Series { faint: true, .. } => " faint",
                _ => "",
            };
            // Of noise, the last value says nothing.
            let last = match series.points.last() {
                Some((_, y)) if !series.faint && self.percent => format!("{:.2}%", 100.0 * y),
                Some((_, y)) if !series.faint => short(*y),
                _ => String::new(),
            };
            let name = escape(&series.name);
            format!("<li class=\"c{colour}{kind}\"><span>{name} <i>{last}</i></span></li>")
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
    ticks(range, 5).into_iter().filter(|tick| tick.fract() == 0.0).collect()
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
        assert_eq!(ticks_whole(Range { low: 0.0, high: 3.0 }), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(log_ticks(Range { low: -1.1, high: 0.4 }), [0.1, 0.2, 0.5, 1.0, 2.0]);
        assert_eq!(log_ticks(Range { low: -3.5, high: 0.0 }), [1e-3, 1e-2, 1e-1, 1.0]);
    }

    #[test]
    fn what_is_beside_an_axis_has_as_many_places() {
        let written = |ticks: &[f64], percent: bool, log: bool| {
            Chart::new("", "step").percent(percent).written(ticks, log)
        };
        assert_eq!(written(&[0.0, 5e-4, 1e-3], false, false), ["0.0000", "0.0005", "0.0010"]);
        assert_eq!(written(&[0.9, 0.92, 0.94], true, false), ["90%", "92%", "94%"]);
        assert_eq!(written(&[0.995, 1.0], true, false), ["99.5%", "100.0%"]);
        assert_eq!(written(&[0.0, 2e-7], false, false), ["0", "2e-7"]);
        assert_eq!(written(&[0.0, 5e6], false, false), ["0", "5e6"]);
        assert_eq!(written(&[0.01, 0.1, 1.0], false, true), ["0.01", "0.1", "1"]);
        assert_eq!(written(&[3.0], false, false), ["3"]);
    }

    #[test]
    fn a_jump_is_drawn_as_one() {
        let points = [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5];
        let points = points.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
        let kept = Series::new("", points).stretches().points;
        assert_eq!(kept, [(0.0, 1.0), (3.0, 1.0), (4.0, 0.5), (6.0, 0.5)]);
        assert!(Series::new("", vec![]).stretches().points.is_empty());
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
