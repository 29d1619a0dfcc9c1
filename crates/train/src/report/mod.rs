//! `report.html`: a run to look at, in one file that needs nothing else.
//!
//! Everything in it comes from the run's `log.jsonl`, and the images of the worst mistakes from the
//! data. It holds no script and fetches nothing: charts are SVG, images are inside it. Names of
//! classes, paths and configurations come from outside and are escaped wherever they appear
//! (`html`).

mod chart;
mod compare;
mod html;
mod images;
mod tables;

use std::fmt::Write;

use gradus_data::Dataset;
use gradus_tensor::Result;

use self::chart::{Chart, Series};
use self::html::{escape, fact_table, page};
use crate::data::Task;
use crate::log::{EpochEnd, History, StepEnd, TimeSplit, ValidationEnd, utc};
use crate::metrics::ScoreValue;
use crate::numbers::{duration, thousands};
use crate::trainer::Validation;
use crate::{Data, RunFolder};

pub use compare::{Comparison, Difference, compare};

/// The colours of what appears in several charts.
const TRAINING: usize = 0;
const VALIDATION: usize = 1;
const TEST: usize = 3;

/// Parameters whose gradient norms are drawn apart; more lines would hide each other.
const NORMS_DRAWN: usize = 8;

/// Writes `report.html` into the folder of a run, from its log. `test` is the data that it was
/// evaluated on, for the images; without them, mistakes are numbers alone.
///
/// # Errors
/// If the log cannot be read, a sample cannot be had, or the file cannot be written.
pub fn write(folder: &RunFolder, test: Option<&Data>) -> Result<()> {
    let history = History::read(folder.path())?;
    folder.save_report(&render(&history, test)?)
}

/// The report of a run as HTML.
///
/// # Errors
/// If a sample cannot be had.
pub fn render(history: &History, test: Option<&Data>) -> Result<String> {
    let start = &history.start;
    let mut body = String::new();
    let folder = start.folder.display().to_string();
    let _ = write!(
        body,
        "<header><h1>{}</h1><p class=\"quiet\">{} · {}</p></header>",
        escape(&start.name),
        escape(&folder),
        utc(start.environment.started)
    );
    body.push_str(&headline(history));
    body.push_str(&curves(history));
    if let Some(evaluation) = history.evaluations.last() {
        let Task::Classification { classes } = &start.data.task else {
            body.push_str(&tables::evaluation(evaluation));
            body.push_str(&tables::errors(evaluation, &start.data.task));
            body.push_str(&origin(history));
            return Ok(page(&title(history), &body));
        };
        body.push_str("<div class=\"beside\">");
        body.push_str(&tables::evaluation(evaluation));
        body.push_str(&tables::classes(evaluation));
        if let Some(confusion) = &evaluation.confusion {
            body.push_str(&tables::confusion(confusion, classes));
        }
        body.push_str("</div>");
        let samples = test.map(|data| data.samples());
        let images = evaluation.mistakes.iter().map(|mistake| match samples {
            Some(samples) if mistake.sample < samples.len() => {
                Ok(images::data_uri(&samples.get(mistake.sample)?.0))
            }
            _ => Ok(None),
        });
        let images: Vec<Option<String>> = images.collect::<Result<_>>()?;
        body.push_str(&tables::mistakes(evaluation, classes, &images));
    }
    body.push_str(&origin(history));
    Ok(page(&title(history), &body))
}

fn title(history: &History) -> String {
    let folder = history.start.folder.file_name().map(|name| name.to_string_lossy().into_owned());
    format!("{} · gradus", folder.unwrap_or_else(|| history.start.name.clone()))
}

/// The numbers that one looks for first.
fn headline(history: &History) -> String {
    let mut cards: Vec<(String, &str)> = Vec::new();
    match history.evaluations.last() {
        Some(end) => {
            if let Some(accuracy) = end.evaluation.accuracy() {
                cards.push((format!("{:.2}%", 100.0 * accuracy), "test accuracy"));
            }
            cards.push((format!("{:.4}", end.evaluation.average_loss()), "test loss"));
        }
        None => cards.push(("unfinished".to_owned(), "this run has not ended")),
    }
    if let Some(epoch) = history.epochs.last() {
        cards.push((format!("{:.4}", epoch.metrics.loss), "last training loss"));
    }
    cards.push((thousands(history.steps.len() as u64), "steps"));
    cards.push((thousands(history.start.parameters as u64), "parameters"));
    if let Some(end) = &history.end {
        cards.push((duration(end.seconds), "in all"));
    }
    let cards: String = cards
        .iter()
        .map(|(value, name)| format!("<div><strong>{value}</strong><span>{name}</span></div>"))
        .collect();
    format!("<section class=\"cards\">{cards}</section>")
}

fn curves(history: &History) -> String {
    let points = |value: &dyn Fn(&StepEnd) -> Option<f64>| -> Vec<(f64, f64)> {
        history.steps.iter().filter_map(|s| Some((s.step as f64, value(s)?))).collect()
    };
    let at_end = |value: &dyn Fn(&crate::Evaluation) -> Option<f64>| -> Vec<(f64, f64)> {
        let point = |e: &crate::log::EvaluationEnd| Some((e.step as f64, value(&e.evaluation)?));
        history.evaluations.iter().filter_map(point).collect()
    };
    let loss = Chart::new("Loss", "step").log(true).with([
        Series::new("each step", points(&|s| Some(s.loss))).colour(TRAINING).faint(),
        Series::new("mean of the epoch", means(history, |e| e.metrics.loss)).colour(TRAINING),
        Series::new("validation", validated(history, |v| Some(v.loss))).colour(VALIDATION),
        Series::new("test", at_end(&|e| Some(e.average_loss()))).colour(TEST).dots(),
    ]);
    let (name, share) = score_name(history);
    let test = if share { at_end(&|e| e.accuracy()) } else { Vec::new() };
    let score = Chart::new(name, "step").percent(share).with([
        Series::new("mean of the epoch", means(history, |e| number(&e.metrics.score)))
            .colour(TRAINING),
        Series::new("validation", validated(history, |v| v.score.as_ref().map(number)))
            .colour(VALIDATION),
        Series::new("test", test).colour(TEST).dots(),
    ]);
    let rate = Chart::new("Learning rate", "step").with_zero().with([Series::new(
        "learning rate",
        points(&|s| Some(s.lr)),
    )
    .stretches()]);
    let mut norms = vec![Series::new("all", points(&|s| s.gradient_norm()))];
    if history.start.parameter_names.len() <= NORMS_DRAWN {
        for (at, name) in history.start.parameter_names.iter().enumerate() {
            let norm = |s: &StepEnd| s.gradient_norms.as_ref()?.get(at).copied();
            norms.push(Series::new(name, points(&norm)));
        }
    }
    let norms = Chart::new("Gradient norms", "step").log(true).with(norms);
    let charts: String = [loss, score, rate, norms].iter().map(Chart::render).collect();
    format!("<section><h2>Learning curves</h2><div class=\"charts\">{charts}</div></section>")
}

/// Means of the epochs, each in the middle of its epoch: it is the mean over models, of which the
/// last is the best.
fn means(history: &History, value: impl Fn(&EpochEnd) -> f64) -> Vec<(f64, f64)> {
    let starts = std::iter::once(0).chain(history.epochs.iter().map(|epoch| epoch.step));
    let point = |(start, end): (u64, &EpochEnd)| ((start + end.step) as f64 / 2.0, value(end));
    starts.zip(&history.epochs).map(point).collect()
}

/// What validation has found, in mid-epoch or at the end of one, at the step at which it looked.
fn validated(history: &History, value: impl Fn(&Validation) -> Option<f64>) -> Vec<(f64, f64)> {
    let point = |v: &ValidationEnd| Some((v.step as f64, value(&v.validation)?));
    history.validations.iter().filter_map(point).collect()
}

/// What the score of a run is called, and whether it is a share.
fn score_name(history: &History) -> (&'static str, bool) {
    match history.epochs.first().map(|epoch| &epoch.metrics.score) {
        Some(ScoreValue::MeanAbsoluteError(_)) => ("Mean absolute error", false),
        _ => ("Accuracy", true),
    }
}

fn number(score: &ScoreValue) -> f64 {
    match score {
        ScoreValue::Accuracy(value) | ScoreValue::MeanAbsoluteError(value) => *value,
    }
}

/// Where the time went, and all that is needed to do it again.
fn origin(history: &History) -> String {
    let (start, environment) = (&history.start, &history.start.environment);
    let sum = |part: &dyn Fn(&StepEnd) -> f64| history.steps.iter().map(part).sum::<f64>();
    let data = sum(&|s| s.seconds.data);
    let record = sum(&|s| s.seconds.record);
    let compute = sum(&|s| s.seconds.compute);
    let training: f64 = history.epochs.iter().map(|e| e.metrics.seconds).sum();
    let other = (training - data - record - compute).max(0.0);
    let mut parts = vec![
        ("data", "waiting for batches", data),
        ("recording", "recording forward and backward pass", record),
    ];
    let end = history.end.as_ref();
    match end.and_then(|end| end.time) {
        Some(TimeSplit { forward, backward, update, .. }) => {
            // The three are one plan: the profile of a few steps says how its time divides.
            let share =
                |part: f64| compute * part / (forward + backward + update).max(f64::MIN_POSITIVE);
            parts.extend([
                ("forward", "the model and the loss", share(forward)),
                ("backward", "the gradients", share(backward)),
                ("update", "what the optimizer does", share(update)),
            ]);
        }
        None => {
            parts.push(("plan", "running loss, gradients and update, which are one plan", compute))
        }
    }
    parts.push(("other", "logging, progress and evaluation of metrics", other));
    let mut time = tables::time(&parts);
    if let Some(verdict) = end.and_then(|end| end.bottleneck.as_ref()) {
        let _ = write!(time, "<p class=\"quiet\">{}</p>", escape(verdict));
    }

    let mut facts = vec![
        ("gradus", environment.gradus.clone()),
        ("system", environment.system.clone()),
        ("processor", environment.processor.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("threads", environment.threads.to_string()),
        ("loader workers", environment.workers.to_string()),
        ("training samples", thousands(start.train_samples as u64)),
        ("test samples", thousands(start.test_samples as u64)),
    ];
    if let Some(end) = &history.end {
        let best = |step| ("weights", format!("those after step {step}, the best"));
        facts.extend(end.restored.map(best));
        facts.push(("weights, SHA-256", end.weights_sha256.clone()));
        facts.extend(end.data_sha256.clone().map(|hash| ("training data, SHA-256", hash)));
    }
    format!(
        "<section><h2>Time</h2>{time}</section>\
         <section><h2>Configuration</h2><pre>{}</pre></section>\
         <section><h2>Environment</h2>{}</section>",
        escape(&start.config),
        fact_table(&facts)
    )
}
