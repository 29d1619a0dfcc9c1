//! What the dashboard shows, and where.
//!
//! From 110 columns on there are more curves; below, the loss and the numbers have the room. It
//! draws into whatever it is given: the tests give it a terminal in memory.

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LineGauge, Paragraph};

use super::curve::Curve;
use crate::log::{EpochEnd, EvaluationEnd, RunStart, StepEnd};
use crate::metrics::{ScoreValue, thousands};
use crate::report::duration;

/// Columns from which there is room for more than one chart.
const WIDE: u16 = 110;

/// What is known of the run.
pub(super) struct State {
    run: RunStart,
    started: Instant,
    last: Option<StepEnd>,
    samples: usize,
    loss: Curve,
    norm: Curve,
    lr: Curve,
    score: Vec<(f64, f64)>,
    /// The line of each epoch.
    epochs: Vec<String>,
    phase: &'static str,
}

impl State {
    pub(super) fn new(run: &RunStart) -> State {
        State {
            run: run.clone(),
            started: Instant::now(),
            last: None,
            samples: 0,
            loss: Curve::default(),
            norm: Curve::default(),
            lr: Curve::default(),
            score: Vec::new(),
            epochs: Vec::new(),
            phase: "training",
        }
    }

    pub(super) fn step(&mut self, step: &StepEnd) {
        let x = step.step as f64;
        self.samples += step.samples;
        self.loss.push(x, step.loss);
        self.lr.push(x, step.lr);
        // Norms are measured now and then; between, the last one stands.
        let mut step = step.clone();
        match (step.gradient_norm(), &self.last) {
            (Some(norm), _) => self.norm.push(x, norm),
            (None, Some(last)) => step.gradient_norms.clone_from(&last.gradient_norms),
            (None, None) => {}
        }
        self.last = Some(step);
    }

    pub(super) fn epoch(&mut self, end: &EpochEnd) {
        let score = match end.metrics.score {
            ScoreValue::Accuracy(value) | ScoreValue::MeanAbsoluteError(value) => value,
        };
        self.score.push((end.step as f64, score));
        self.epochs.push(format!("epoch {}  {}", end.metrics.epoch, end.metrics));
        if end.metrics.epoch == self.run.epochs {
            self.phase = "evaluating";
        }
    }

    pub(super) fn evaluation(&mut self, end: &EvaluationEnd) {
        let accuracy = end.evaluation.accuracy();
        let accuracy = accuracy.map_or(String::new(), |a| format!("  accuracy {:.2}%", 100.0 * a));
        self.epochs.push(format!("test     loss {:.4}{accuracy}", end.evaluation.average_loss()));
        self.phase = "done";
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let lines = if frame.area().height < 36 { 6 } else { 14 };
        let [title, gauge, middle, epochs, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Min(6),
            Constraint::Length(lines),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        self.draw_title(frame, title);
        self.draw_gauge(frame, gauge);
        if middle.width >= WIDE {
            let [left, right, numbers] = Layout::horizontal([
                Constraint::Fill(3),
                Constraint::Fill(2),
                Constraint::Length(30),
            ])
            .areas(middle);
            let third = Constraint::Fill(1);
            let [top, centre, bottom] = Layout::vertical([third, third, third]).areas(right);
            self.chart(frame, left, "loss", self.loss.points(), Color::Cyan);
            self.chart(frame, top, self.score_name(), &self.score, Color::Green);
            self.chart(frame, centre, "gradient norm", self.norm.points(), Color::Magenta);
            self.chart(frame, bottom, "learning rate", self.lr.points(), Color::Yellow);
            self.draw_numbers(frame, numbers);
        } else {
            let [left, numbers] =
                Layout::horizontal([Constraint::Fill(1), Constraint::Length(28)]).areas(middle);
            self.chart(frame, left, "loss", self.loss.points(), Color::Cyan);
            self.draw_numbers(frame, numbers);
        }
        self.draw_epochs(frame, epochs);
        let help = " q close this view · s stop training and save ";
        frame.render_widget(Line::from(help).dim(), keys);
    }

    fn steps(&self) -> (u64, u64) {
        let all = (self.run.epochs * self.run.steps_per_epoch) as u64;
        (self.last.as_ref().map_or(0, |last| last.step), all)
    }

    fn draw_title(&self, frame: &mut Frame<'_>, area: Rect) {
        let epoch = self.last.as_ref().map_or(1, |last| last.epoch);
        let left = format!(" {} ", self.run.name);
        let right = format!("{} · epoch {epoch}/{} ", self.phase, self.run.epochs);
        let folder = format!("· {}", self.run.folder.display());
        let [title, state] = Layout::horizontal([
            Constraint::Fill(1),
            Constraint::Length(right.chars().count() as u16),
        ])
        .areas(area);
        frame.render_widget(Line::from(vec![left.bold(), Span::from(folder).dim()]), title);
        frame.render_widget(Line::from(right).right_aligned(), state);
    }

    fn draw_gauge(&self, frame: &mut Frame<'_>, area: Rect) {
        let (step, all) = self.steps();
        let ratio = (step as f64 / all.max(1) as f64).clamp(0.0, 1.0);
        let elapsed = self.started.elapsed().as_secs_f64();
        let left = match step {
            0 => String::new(),
            _ => format!(", {} left", duration(elapsed / ratio.max(1e-9) * (1.0 - ratio))),
        };
        let label = format!(
            " {} of {} steps, {}{left} ",
            thousands(step),
            thousands(all),
            duration(elapsed)
        );
        let gauge = LineGauge::default().ratio(ratio).label(label).filled_style(Color::Cyan);
        frame.render_widget(gauge, area);
    }

    fn draw_numbers(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(last) = &self.last else {
            frame.render_widget(Paragraph::new(" the first step …").block(Block::bordered()), area);
            return;
        };
        let elapsed = self.started.elapsed().as_secs_f64().max(1e-9);
        let norm = last.gradient_norm().map_or("–".to_owned(), |norm| format!("{norm:.4}"));
        let total = last.seconds.total().max(f64::MIN_POSITIVE);
        let share = |part: f64| format!("{:.0}%", 100.0 * part / total);
        let rows = [
            ("loss", format!("{:.4}", last.loss)),
            ("learning rate", format!("{:.2e}", last.lr)),
            ("gradient norm", norm),
            ("samples/s", thousands((self.samples as f64 / elapsed) as u64)),
            ("step", format!("{:.2} ms", 1e3 * total)),
            ("· data", share(last.seconds.data)),
            ("· recording", share(last.seconds.record)),
            ("· plan", share(last.seconds.compute)),
            ("parameters", thousands(self.run.parameters as u64)),
            ("threads", self.run.environment.threads.to_string()),
        ];
        let width = area.width.saturating_sub(4) as usize;
        let row = |(name, value): &(&str, String)| {
            let room = width.saturating_sub(name.chars().count());
            Line::from(vec![format!(" {name}").dim(), format!("{value:>room$}").into()])
        };
        let lines: Vec<Line<'_>> = rows.iter().map(row).collect();
        frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" now ")), area);
    }

    fn draw_epochs(&self, frame: &mut Frame<'_>, area: Rect) {
        let room = area.height.saturating_sub(2) as usize;
        let first = self.epochs.len().saturating_sub(room);
        let lines: Vec<Line<'_>> =
            self.epochs[first..].iter().map(|line| Line::from(format!(" {line}"))).collect();
        let block = Block::bordered().title(" epochs ");
        frame.render_widget(Paragraph::new(lines).block(block), area);
    }

    fn score_name(&self) -> &'static str {
        match self.run.data.task {
            crate::Task::Regression { .. } => "mean absolute error, each epoch",
            _ => "training accuracy, each epoch",
        }
    }

    fn chart(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        title: &str,
        points: &[(f64, f64)],
        colour: Color,
    ) {
        let block = Block::bordered().title(format!(" {title} "));
        let fold = |from: f64, choose: fn(f64, f64) -> f64| {
            points.iter().map(|point| point.1).fold(from, choose)
        };
        let (low, high) = (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max));
        if points.len() < 2 {
            frame.render_widget(Paragraph::new(" –").dim().block(block), area);
            return;
        }
        let margin = match high - low {
            span if span > 0.0 => 0.05 * span,
            _ => 0.05 * high.abs().max(1e-9),
        };
        let (low, high) = (low - margin, high + margin);
        let (start, end) = (points[0].0, points[points.len() - 1].0);
        let labels = [low, (low + high) / 2.0, high].map(|y| Span::from(format!("{y:>8.3}")));
        let labels = match high.abs() < 0.01 {
            true => [low, (low + high) / 2.0, high].map(|y| Span::from(format!("{y:>8.1e}"))),
            false => labels,
        };
        let dataset = Dataset::default()
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::from(colour))
            .data(points);
        let steps = [start, end].map(|x| Span::from(thousands(x as u64)));
        let chart = Chart::new(vec![dataset])
            .block(block)
            .x_axis(Axis::default().bounds([start, end]).labels(steps))
            .y_axis(Axis::default().bounds([low, high]).labels(labels));
        frame.render_widget(chart, area);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::log::{Environment, StepSeconds};
    use crate::{DataSpec, EpochMetrics, Input, Task};

    fn state(steps: u64) -> State {
        let run = RunStart {
            folder: "runs/digits-1".into(),
            name: "digits".to_owned(),
            config: String::new(),
            data: DataSpec {
                input: Input::Tokens { length: 1 },
                task: Task::Classification { classes: vec!["0".to_owned()] },
            },
            parameters: 19_210,
            train_samples: 1437,
            test_samples: 360,
            epochs: 30,
            steps_per_epoch: 45,
            parameter_names: vec!["1.weight".to_owned()],
            environment: Environment::now(0),
        };
        let mut state = State::new(&run);
        for step in 1..=steps {
            let seconds = StepSeconds { data: 0.001, record: 0.001, compute: 0.002 };
            let loss = 2.3 / step as f64;
            let gradient_norms = (step % 10 == 1).then(|| vec![3.0, 4.0]);
            let epoch = 1 + (step as usize - 1) / 45;
            state.step(&StepEnd {
                step,
                epoch,
                loss,
                lr: 3e-3,
                samples: 32,
                gradient_norms,
                seconds,
            });
            if step % 45 == 0 {
                let score = ScoreValue::Accuracy(0.9);
                let metrics =
                    EpochMetrics { epoch, loss, score, seconds: 1.0, samples_per_second: 1437.0 };
                state.epoch(&EpochEnd { step, metrics });
            }
        }
        state
    }

    fn screen(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| state.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_there_in_any_size() {
        let state = state(100);
        for (width, height) in [(80, 24), (200, 50)] {
            let screen = screen(&state, width, height);
            for part in [
                "runs/digits-1",
                "epoch 3/30",
                "100 of 1,350 steps",
                "3.00e-3",
                "5.0000",
                "19,210",
                "epoch 2  loss 0.0256  accuracy  90.00%",
                "s stop training",
            ] {
                assert!(screen.contains(part), "{part} is not in {width} × {height}:\n{screen}");
            }
            assert_eq!(screen.contains("gradient norm ─"), width == 200, "{screen}");
        }
    }

    #[test]
    fn it_draws_before_there_is_anything_and_where_there_is_no_room() {
        for (steps, width, height) in [(0, 80, 24), (1, 80, 24), (100, 10, 5), (100, 1, 1)] {
            screen(&state(steps), width, height);
        }
    }
}
