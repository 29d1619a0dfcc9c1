//! How the state of a run looks on a terminal of any size.
//!
//! Small terminals get the loss, the numbers of now, the score and the last epochs; large ones
//! learning rate and gradient norms as curves too. Colours are those of the terminal's theme, and
//! nothing is told by colour alone.

use gradus::train::metrics::ScoreValue;
use gradus::train::numbers::{duration, short, thousands};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Paragraph, Row, Table};

use super::charts::{Kind, loss_chart, score_chart, spark, step_chart};
use super::state::{Checkpoint, Phase, State};

/// What is smaller cannot show a curve.
const SMALLEST: (u16, u16) = (60, 18);

/// From here on there is room for all curves.
const LARGE: (u16, u16) = (120, 36);

pub const TRAINING: Color = Color::Cyan;
pub const VALIDATION: Color = Color::Yellow;
pub const QUIET: Style = Style::new().fg(Color::DarkGray);

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, state: &State) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let text = format!(
            "{}\nThe dashboard needs {width} × {height} characters; here are {} × {}.",
            progress(state),
            area.width,
            area.height
        );
        return frame.render_widget(Paragraph::new(text), area);
    }
    let [top, bar, middle, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    header(frame, top, state);
    progress_bar(frame, bar, state);
    if area.width >= LARGE.0 && area.height >= LARGE.1 {
        let [left, right] =
            Layout::horizontal([Constraint::Fill(2), Constraint::Fill(1)]).areas(middle);
        let [loss, below] =
            Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(left);
        let [score, rate] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(below);
        let [now, norms, epochs] = Layout::vertical([
            Constraint::Length(NOW_LINES + 2),
            Constraint::Fill(2),
            Constraint::Fill(3),
        ])
        .areas(right);
        loss_chart(frame, loss, state);
        score_chart(frame, score, state);
        step_chart(frame, rate, "Learning rate", &state.rate, state.step(), Kind::FromZero);
        now_panel(frame, now, state);
        step_chart(frame, norms, "Gradient norm", &state.norm, state.step(), Kind::Log);
        epochs_table(frame, epochs, state);
    } else {
        let [above, below] =
            Layout::vertical([Constraint::Min(NOW_LINES + 2), Constraint::Percentage(42)])
                .areas(middle);
        let [loss, now] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(30)]).areas(above);
        let [score, epochs] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(49)]).areas(below);
        loss_chart(frame, loss, state);
        now_panel(frame, now, state);
        score_chart(frame, score, state);
        epochs_table(frame, epochs, state);
    }
    footer(frame, bottom, state);
}

fn header(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let run = &state.run;
    let title = Line::from(vec![
        Span::from(" gradus ").bold().reversed(),
        Span::from(format!(" {} ", run.name)).bold(),
        Span::styled(run.folder.display().to_string(), QUIET),
    ]);
    let about = format!(
        "{} parameters · {} samples · {} threads ",
        thousands(run.parameters as u64),
        thousands(run.train_samples as u64),
        run.environment.threads
    );
    let width = about.chars().count() as u16;
    let [left, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(width)]).areas(area);
    frame.render_widget(title, left);
    frame.render_widget(Line::styled(about, QUIET), right);
}

/// `epoch 2/3, step 1,410 of 2,814`.
fn progress(state: &State) -> String {
    format!(
        "epoch {}/{}, step {} of {}",
        state.epoch(),
        state.run.epochs,
        thousands(state.step()),
        thousands(state.steps)
    )
}

fn progress_bar(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let share = (state.step() as f64 / state.steps.max(1) as f64).min(1.0);
    let left = match state.phase {
        Phase::Training => {
            state.left().map_or(String::new(), |left| format!("{} left", duration(left.ceil())))
        }
        Phase::Stopping => "stopping: saving a checkpoint …".to_owned(),
        Phase::Testing => match &state.test {
            Some(end) => format!("test loss {:.4}", end.evaluation.average_loss()),
            None => "evaluating on the test data …".to_owned(),
        },
    };
    let before = format!(" {}  ", progress(state));
    let after = format!("  {:>3}%  {left} ", (100.0 * share).floor());
    let taken = before.chars().count() + after.chars().count();
    let width = (area.width as usize).saturating_sub(taken);
    let done = (share * width as f64).round() as usize;
    let line = Line::from(vec![
        before.into(),
        Span::styled("━".repeat(done), TRAINING),
        Span::styled("─".repeat(width - done), QUIET),
        after.into(),
    ]);
    frame.render_widget(line, area);
}

fn footer(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let keys = " q stop and save   s save now ";
    let width = keys.chars().count() as u16;
    let [left, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(width)]).areas(area);
    if let Some(warning) = &state.warning {
        let warning = Span::styled(format!(" warning: {warning}"), Color::Red);
        frame.render_widget(Line::from(warning), left);
    }
    frame.render_widget(Line::styled(keys, QUIET), right);
}

/// A frame around a part, with a title.
pub fn panel(title: Line<'_>) -> Block<'_> {
    Block::bordered().border_type(BorderType::Rounded).border_style(QUIET).title(title)
}

/// Lines inside the panel of the numbers of now.
const NOW_LINES: u16 = 10;

/// The numbers of the last step.
fn now_panel(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let block = panel(Line::from(" Now ".bold()));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let none = || "–".to_owned();
    let last = state.last.as_ref();
    let speed = state.pace.samples_per_second();
    let data = last.map(|step| step.seconds.data / step.seconds.total().max(f64::MIN_POSITIVE));
    let ago = |at: f64| format!("{} ago", duration((state.now - at).max(0.0).floor()));
    let (saved, style) = match &state.checkpoint {
        Checkpoint::None => (none(), Style::new()),
        Checkpoint::Writing => ("writing …".to_owned(), Style::new()),
        Checkpoint::Saved { name, at } => {
            (format!("{}, {}", checkpoint_step(name), ago(*at)), Style::new())
        }
        Checkpoint::Failed { at } => (format!("failed {}", ago(*at)), Style::new().fg(Color::Red)),
    };
    let normal = Style::new();
    let facts = [
        ("loss", last.map_or_else(none, |step| format!("{:.4}", step.loss)), normal.bold()),
        ("learning rate", last.map_or_else(none, |step| short(step.lr)), normal),
        ("samples/s", speed.map_or_else(none, |speed| thousands(speed as u64)), normal),
        (
            "gradient norm",
            last.and_then(|step| step.gradient_norm()).map_or_else(none, short),
            normal,
        ),
        (
            "waiting for data",
            data.map_or_else(none, |share| format!("{:.0}%", 100.0 * share)),
            normal,
        ),
        ("time per step", last.map_or_else(none, |step| duration(step.seconds.total())), normal),
        ("elapsed", duration(state.now.floor()), normal),
        ("saved", saved, style),
    ];
    let rows = Layout::vertical([Constraint::Length(1); NOW_LINES as usize]).split(inner);
    let mut rows = rows.iter();
    for (name, value, style) in facts {
        let Some(row) = rows.next() else { return };
        frame.render_widget(Line::styled(format!(" {name}"), QUIET), *row);
        frame.render_widget(Line::styled(format!("{value} "), style).right_aligned(), *row);
        // A little curve under each of the two that change from step to step.
        let curve = match name {
            "learning rate" => &state.rate,
            "samples/s" => &state.speed,
            _ => continue,
        };
        let Some(row) = rows.next() else { return };
        let [_, row, _] =
            Layout::horizontal([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
                .areas(*row);
        spark(frame, row, curve);
    }
}

/// The number of the step in the name of a checkpoint.
fn checkpoint_step(name: &str) -> String {
    let digits = |part: &str| part.parse::<u64>().ok();
    let step = name.split(|c: char| !c.is_ascii_digit()).find_map(digits);
    step.map_or_else(|| name.to_owned(), |step| format!("step {}", thousands(step)))
}

/// The last epochs, the newest below.
fn epochs_table(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let block = panel(Line::from(" Epochs ".bold()));
    let rows = usize::from(area.height.saturating_sub(3));
    let (score, val) = match state.epochs.first().map(|epoch| &epoch.metrics.score) {
        Some(ScoreValue::MeanAbsoluteError(_)) => ("error", "val err"),
        _ => ("accuracy", "val acc"),
    };
    let number = |score: &ScoreValue| match score {
        ScoreValue::Accuracy(share) => format!("{:.2}%", 100.0 * share),
        ScoreValue::MeanAbsoluteError(error) => short(*error),
    };
    let validated = state.epochs.iter().any(|epoch| epoch.metrics.validation.is_some());
    let mut columns = vec![("epoch", 5), ("loss", 7), (score, 8)];
    if validated {
        columns.extend([("val loss", 8), (val, 7)]);
    }
    columns.push(("time", 7));
    let last = state.epochs.iter().skip(state.epochs.len().saturating_sub(rows));
    let body = last.map(|epoch| {
        let metrics = &epoch.metrics;
        let mut cells =
            vec![metrics.epoch.to_string(), format!("{:.4}", metrics.loss), number(&metrics.score)];
        if validated {
            let validation = metrics.validation.as_ref();
            let score = validation.and_then(|validation| validation.score.as_ref());
            cells.push(validation.map_or("–".to_owned(), |v| format!("{:.4}", v.loss)));
            cells.push(score.map_or("–".to_owned(), number));
        }
        cells.push(clock(metrics.seconds));
        Row::new(cells.into_iter().map(|cell| Line::from(cell).right_aligned()))
    });
    let body: Vec<Row<'_>> = body.collect();
    let widths: Vec<_> = columns.iter().map(|(_, width)| Constraint::Min(*width)).collect();
    let header = columns.into_iter().map(|(name, _)| Line::from(name).right_aligned());
    let header = Row::new(header).style(QUIET.add_modifier(Modifier::BOLD));
    frame.render_widget(Table::new(body, widths).header(header).block(block), area);
}

/// A time in at most seven characters: `4.25 s`, `3:05`, `2:07:00`.
fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => duration(seconds),
        60..3600 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60),
    }
}
