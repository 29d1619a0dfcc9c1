//! The curves of the dashboard.

use gradus::train::log::EpochEnd;
use gradus::train::metrics::ScoreValue;
use gradus::train::numbers::thousands;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Paragraph, Sparkline};

use super::curve::{Curve, Scale, smoothed};
use super::state::State;
use super::view::{QUIET, TRAINING, VALIDATION, panel};

/// A little curve of one line.
pub fn spark(frame: &mut Frame<'_>, area: Rect, curve: &Curve) {
    let values = curve.values(area.width.into());
    let highest = values.iter().copied().fold(0.0, f64::max);
    if highest > 0.0 {
        let bars = values.iter().map(|value| (1000.0 * value / highest).max(1.0) as u64);
        let bars = Sparkline::default().data(bars).max(1000).style(TRAINING);
        frame.render_widget(bars, area);
    }
}

/// The vertical axis of a chart.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Linear,
    FromZero,
    Log,
}

/// A line of a chart.
struct Drawn {
    points: Vec<(f64, f64)>,
    style: Style,
}

/// The loss of each step, its trend, and that of validation.
pub fn loss_chart(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let steps = state.loss.points(2 * usize::from(area.width));
    let validated =
        |epoch: &EpochEnd| Some((epoch.step as f64, epoch.metrics.validation.as_ref()?.loss));
    let validation: Vec<_> = state.epochs.iter().filter_map(validated).collect();
    let mut title = vec![
        " Loss ".bold(),
        Span::styled("── each step ", QUIET),
        Span::styled("── smoothed ", TRAINING),
    ];
    if !validation.is_empty() {
        title.push(Span::styled("── validation ", VALIDATION));
    }
    let trend = smoothed(&steps);
    let lines = [
        Drawn { points: steps, style: QUIET },
        Drawn { points: trend, style: TRAINING.into() },
        Drawn { points: validation, style: VALIDATION.into() },
    ];
    chart(frame, area, title, ("step", 0, state.step()), &lines, Kind::Log);
}

/// The score of each epoch.
pub fn score_chart(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let number = |score: &ScoreValue| match score {
        ScoreValue::Accuracy(share) => 100.0 * share,
        ScoreValue::MeanAbsoluteError(error) => *error,
    };
    let name = match state.epochs.first().map(|epoch| &epoch.metrics.score) {
        Some(ScoreValue::MeanAbsoluteError(_)) => " Mean absolute error ",
        _ => " Accuracy, % ",
    };
    let mut training = Vec::new();
    let mut validation = Vec::new();
    for epoch in &state.epochs {
        let (metrics, x) = (&epoch.metrics, epoch.metrics.epoch as f64);
        training.push((x, number(&metrics.score)));
        let score = metrics.validation.as_ref().and_then(|validation| validation.score.as_ref());
        validation.extend(score.map(|score| (x, number(score))));
    }
    let (train, validate) = match area.width < 42 {
        true => ("── train ", "── val. "),
        false => ("── training ", "── validation "),
    };
    let mut title = vec![name.bold(), Span::styled(train, TRAINING)];
    if !validation.is_empty() {
        title.push(Span::styled(validate, VALIDATION));
    }
    let lines = [
        Drawn { points: training, style: TRAINING.into() },
        Drawn { points: validation, style: VALIDATION.into() },
    ];
    chart(frame, area, title, ("epoch", 1, state.epochs.len() as u64), &lines, Kind::Linear);
}

/// A value of each step.
pub fn step_chart(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    curve: &Curve,
    step: u64,
    kind: Kind,
) {
    let points = curve.points(2 * usize::from(area.width));
    let lines = [Drawn { points, style: TRAINING.into() }];
    chart(frame, area, vec![format!(" {title} ").bold()], ("step", 0, step), &lines, kind);
}

/// Lines over steps or epochs. A single point is drawn as such.
fn chart(
    frame: &mut Frame<'_>,
    area: Rect,
    title: Vec<Span<'_>>,
    (x_label, first, last): (&str, u64, u64),
    lines: &[Drawn],
    kind: Kind,
) {
    let block = panel(Line::from(title));
    let inner = block.inner(area);
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = usize::from(inner.height / 3).clamp(2, 6);
    let zero = (kind == Kind::FromZero && points().next().is_some()).then_some(0.0);
    let values = points().map(|point| point.1).chain(zero);
    let Some(y) = Scale::of(values, kind == Kind::Log, most) else {
        let waiting = format!("after the first {x_label}");
        let waiting = Paragraph::new(Line::styled(waiting, QUIET).centered());
        let middle = Rect { y: inner.y + inner.height / 2, height: 1, ..inner };
        frame.render_widget(block, area);
        return frame.render_widget(waiting, middle);
    };
    let placed: Vec<Vec<(f64, f64)>> = lines
        .iter()
        .map(|line| line.points.iter().map(|(x, value)| (*x, y.place(*value))).collect())
        .collect();
    let sets = placed.iter().zip(lines).map(|(points, line)| {
        let (marker, kind) = match points.len() {
            1 => (Marker::Dot, GraphType::Scatter),
            _ => (Marker::Braille, GraphType::Line),
        };
        Dataset::default().marker(marker).graph_type(kind).style(line.style).data(points)
    });
    // All labels are as wide, so that the numbers end where the axis begins.
    let width = y.labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let labels = y.labels.iter().map(|label| Span::styled(format!("{label:>width$}"), QUIET));
    let around = if first < last { 0.0 } else { 0.5 };
    let (left, right) = (first as f64 - around, last as f64 + around);
    let ends = [format!("{x_label} {}", thousands(first)), thousands(last)];
    let chart = Chart::new(sets.collect())
        .block(block)
        .legend_position(None)
        .x_axis(
            Axis::default()
                .bounds([left, right])
                .labels(ends.map(|end| Span::styled(end, QUIET)))
                .style(QUIET),
        )
        .y_axis(Axis::default().bounds(y.bounds).labels(labels).style(QUIET));
    frame.render_widget(chart, area);
}
