//! The tables of a report: metrics, classes, the confusion matrix, mistakes, time.

use std::fmt::Write;

use super::html::{escape, fact_table};
use crate::data::Task;
use crate::log::{EvaluationEnd, Mistake};
use crate::metrics::{Evaluation, MetricValue};
use crate::numbers::{duration, short, thousands};

/// Classes up to which the whole matrix is shown; of more, the pairs confused most.
const MATRIX: usize = 30;

/// Pairs shown instead.
const PAIRS: usize = 25;

/// The numbers of an evaluation.
pub(super) fn evaluation(end: &EvaluationEnd) -> String {
    let mut facts: Vec<(&str, String)> = Vec::new();
    match &end.evaluation {
        Evaluation::Classification(report) => {
            facts.push(("accuracy", format!("{:.2}%", 100.0 * report.accuracy)));
            facts.push(("average loss", format!("{:.4}", report.average_loss)));
            facts.push(("macro precision", format!("{:.2}%", 100.0 * report.macro_precision)));
            facts.push(("macro recall", format!("{:.2}%", 100.0 * report.macro_recall)));
        }
        Evaluation::Regression(report) => {
            facts.push(("average loss", format!("{:.4}", report.average_loss)));
            facts.push(("mean absolute error", short(report.mean_absolute_error)));
            facts.push(("R²", report.r2.map_or("–".to_owned(), |r2| format!("{r2:.4}"))));
        }
        Evaluation::Language(report) => {
            facts.push(("accuracy", format!("{:.2}%", 100.0 * report.accuracy)));
            facts.push(("average loss", format!("{:.4}", report.average_loss)));
            facts.push(("perplexity", format!("{:.2}", report.perplexity)));
        }
    }
    for metric in &end.metrics {
        if !matches!(metric.value, MetricValue::Matrix(_)) {
            facts.push((metric.name.as_str(), metric.value.to_string()));
        }
    }
    format!("<section><h2>Test</h2>{}</section>", fact_table(&facts))
}

/// Precision, recall and F1 of each class.
pub(super) fn classes(end: &EvaluationEnd) -> String {
    let Evaluation::Classification(report) = &end.evaluation else { return String::new() };
    let percent = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{:.2}%", 100.0 * x));
    let mut rows = String::new();
    for class in &report.classes {
        let f1 = match (class.precision, class.recall) {
            (Some(p), Some(r)) if p + r > 0.0 => Some(2.0 * p * r / (p + r)),
            (None, None) => None,
            _ => Some(0.0),
        };
        let name = escape(&class.class);
        let _ = write!(
            rows,
            "<tr><td class=\"name\" title=\"{name}\">{name}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td></tr>",
            percent(class.precision),
            percent(class.recall),
            percent(f1),
            thousands(class.samples)
        );
    }
    format!(
        "<section><h2>Classes</h2><div class=\"scroll\"><table><thead><tr><th>class</th>\
         <th>precision</th><th>recall</th><th>F1</th><th>samples</th></tr></thead>\
         <tbody>{rows}</tbody></table></div></section>"
    )
}

/// Rows are labels, columns are predictions; the darker, the larger the share of the row.
pub(super) fn confusion(counts: &[Vec<u64>], classes: &[String]) -> String {
    let heading = "<section><h2>Confusion</h2>";
    if counts.len() > MATRIX {
        return format!("{heading}{}</section>", pairs(counts, classes));
    }
    let header = |name: &String| {
        let name = escape(name);
        format!("<th title=\"{name}\"><span>{name}</span></th>")
    };
    let columns: String = classes.iter().map(header).collect();
    // Long names stand upright above their columns.
    let kind = match classes.iter().any(|name| name.chars().count() > 3) {
        true => "matrix upright",
        false => "matrix",
    };
    let mut rows = String::new();
    for (label, (row, name)) in counts.iter().zip(classes).enumerate() {
        let total = row.iter().sum::<u64>().max(1);
        let cell = |(predicted, &n): (usize, &u64)| {
            let kind = if predicted == label { "hit" } else { "miss" };
            match n {
                0 => "<td></td>".to_owned(),
                // Mistakes are rare: the root makes them visible.
                n => format!(
                    "<td class=\"{kind}\" style=\"--a:{:.2}\">{}</td>",
                    (0.08 + 0.6 * (n as f64 / total as f64).sqrt()).min(0.7),
                    thousands(n)
                ),
            }
        };
        let cells: String = row.iter().enumerate().map(cell).collect();
        let _ = write!(rows, "<tr>{}{cells}</tr>", header(name));
    }
    format!(
        "{heading}<p class=\"quiet\">Rows are labels, columns are predictions.</p>\
         <div class=\"scroll\"><table class=\"{kind}\"><thead><tr><th></th>{columns}</tr></thead>\
         <tbody>{rows}</tbody></table></div></section>"
    )
}

/// The pairs of classes confused most, instead of a matrix too large to read.
fn pairs(counts: &[Vec<u64>], classes: &[String]) -> String {
    let mut pairs: Vec<(u64, usize, usize)> = Vec::new();
    for (label, row) in counts.iter().enumerate() {
        let wrong = row.iter().enumerate().filter(|(predicted, n)| *predicted != label && **n > 0);
        pairs.extend(wrong.map(|(predicted, n)| (*n, label, predicted)));
    }
    pairs.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let row = |(n, label, predicted): &(u64, usize, usize)| {
        let name = |class: usize| escape(classes.get(class).map_or("?", String::as_str));
        format!(
            "<tr><td class=\"name\">{}</td><td class=\"name\">{}</td><td>{}</td></tr>",
            name(*label),
            name(*predicted),
            thousands(*n)
        )
    };
    let rows: String = pairs.iter().take(PAIRS).map(row).collect();
    format!(
        "<p class=\"quiet\">The pairs confused most, of {} classes.</p><div class=\"scroll\">\
         <table><thead><tr><th>label</th><th>predicted</th><th>samples</th></tr></thead>\
         <tbody>{rows}</tbody></table></div>",
        classes.len()
    )
}

/// The samples of classes that were got most wrong, with their images if they are images.
pub(super) fn mistakes(
    end: &EvaluationEnd,
    classes: &[String],
    images: &[Option<String>],
) -> String {
    if end.mistakes.is_empty() {
        return "<section><h2>Worst mistakes</h2><p>None: every test sample is right.</p></section>"
            .to_owned();
    }
    let name = |class: f64| escape(classes.get(class as usize).map_or("?", String::as_str));
    let percent = |p: Option<f64>| match p.map(|p| 100.0 * p) {
        None => String::new(),
        Some(p) if p < 0.1 => "&lt;0.1%".to_owned(),
        Some(p) if p > 99.9 => "&gt;99.9%".to_owned(),
        Some(p) => format!("{p:.1}%"),
    };
    let figure = |(mistake, image): (&Mistake, &Option<String>)| {
        let label = name(mistake.target);
        let image = image.as_ref().map_or(String::new(), |uri| {
            format!("<img src=\"{uri}\" alt=\"sample {}, {label}\">", mistake.sample)
        });
        format!(
            "<figure>{image}<figcaption>is <b>{label}</b> <span>{}</span><br>taken for <b>{}</b> \
             <span>{}</span><br><span>sample {}</span></figcaption></figure>",
            percent(mistake.probability),
            name(mistake.predicted),
            percent(mistake.confidence),
            mistake.sample
        )
    };
    let none = &None;
    let images = images.iter().chain(std::iter::repeat(none));
    let figures: String = end.mistakes.iter().zip(images).map(figure).collect();
    format!(
        "<section><h2>Worst mistakes</h2><p class=\"quiet\">The test samples whose label was given \
         the least probability. Beside each class is the probability that it was given.</p><div class=\"mistakes\">{figures}</div></section>"
    )
}

/// The numbers that were predicted worst. Text has none.
pub(super) fn errors(end: &EvaluationEnd, task: &Task) -> String {
    let (Task::Regression { target }, false) = (task, end.mistakes.is_empty()) else {
        return String::new();
    };
    let row = |mistake: &Mistake| {
        format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            mistake.sample,
            short(mistake.target),
            short(mistake.predicted),
            short(mistake.predicted - mistake.target)
        )
    };
    let rows: String = end.mistakes.iter().map(row).collect();
    format!(
        "<section><h2>Largest errors</h2><div class=\"scroll\"><table><thead><tr><th>sample</th>\
         <th>{}</th><th>predicted</th><th>error</th></tr></thead><tbody>{rows}</tbody></table>\
         </div></section>",
        escape(target)
    )
}

/// Parts of the training time: a bar, and a table with what each means.
pub(super) fn time(parts: &[(&str, &str, f64)]) -> String {
    let total: f64 = parts.iter().map(|part| part.2).sum::<f64>().max(f64::MIN_POSITIVE);
    let (mut bar, mut rows) = (String::new(), String::new());
    for (number, (name, about, seconds)) in parts.iter().enumerate() {
        let share = 100.0 * seconds / total;
        let _ = write!(bar, "<div class=\"c{number}\" style=\"width:{share:.2}%\"></div>");
        let _ = write!(
            rows,
            "<tr><td class=\"key c{number}\"><span>{name}</span></td><td>{}</td>\
             <td>{share:.1}%</td><td class=\"quiet about\">{about}</td></tr>",
            duration(*seconds)
        );
    }
    format!(
        "<div class=\"bar\">{bar}</div>\
         <div class=\"scroll\"><table><tbody>{rows}</tbody></table></div>"
    )
}
