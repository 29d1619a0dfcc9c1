//! Runs side by side: their numbers, their curves, and the step at which they part.

use std::fmt;

use super::chart::{Chart, Series};

use super::html::{escape, page};
use super::{means, number, score_name, validated};
use crate::log::{History, StepEnd};
use crate::numbers::{duration, thousands};

/// What there is to say of several runs.
#[derive(Clone, Debug)]
pub struct Comparison {
    runs: Vec<(String, History)>,
    /// For each run but the first: where it parts from the first.
    pub differences: Vec<Difference>,
}

/// Where a run parts from another. Losses and learning rates are compared to the bit.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// They have the same steps.
    Nowhere,
    /// They are equal as far as both go: to this step.
    Length(u64),
    /// This step is the first that differs, as both have it.
    Step(Box<(StepEnd, StepEnd)>),
}

/// Compares runs, each with the name that it is shown by, with the first.
pub fn compare(runs: Vec<(String, History)>) -> Comparison {
    let difference = |other: &History| {
        let first = &runs[0].1.steps;
        let differs = |(a, b): &(&StepEnd, &StepEnd)| {
            a.loss.to_bits() != b.loss.to_bits()
                || a.lr.to_bits() != b.lr.to_bits()
                || a.step != b.step
        };
        match first.iter().zip(&other.steps).find(differs) {
            Some((a, b)) => Difference::Step(Box::new((a.clone(), b.clone()))),
            None if first.len() == other.steps.len() => Difference::Nowhere,
            None => Difference::Length(first.len().min(other.steps.len()) as u64),
        }
    };
    let differences = runs.iter().skip(1).map(|(_, history)| difference(history)).collect();
    Comparison { runs, differences }
}

const COLUMNS: [&str; 7] =
    ["run", "steps", "last loss", "test loss", "test accuracy", "parameters", "time"];

impl Comparison {
    /// A row of the table for each run.
    fn rows(&self) -> Vec<[String; 7]> {
        let none = || "–".to_owned();
        let row = |(name, history): &(String, History)| {
            let test = history.evaluations.last().map(|end| &end.evaluation);
            [
                name.clone(),
                thousands(history.steps.len() as u64),
                history.epochs.last().map_or_else(none, |e| format!("{:.4}", e.metrics.loss)),
                test.map_or_else(none, |test| format!("{:.4}", test.average_loss())),
                test.and_then(|test| test.accuracy())
                    .map_or_else(none, |share| format!("{:.2}%", 100.0 * share)),
                thousands(history.start.parameters as u64),
                history.end.as_ref().map_or("unfinished".to_owned(), |end| duration(end.seconds)),
            ]
        };
        self.runs.iter().map(row).collect()
    }

    /// For each run but the first, a sentence on where it parts from it, and the lines of their
    /// configurations that differ.
    fn sentences(&self) -> Vec<(String, Vec<String>)> {
        let Some((first, history)) = self.runs.first() else { return Vec::new() };
        let others = self.runs[1..].iter().zip(&self.differences);
        others
            .map(|((name, other), difference)| {
                let sentence = match difference {
                    Difference::Nowhere => {
                        let same = |a: &History, b: &History| {
                            let hash =
                                |h: &History| h.end.as_ref().map(|e| e.weights_sha256.clone());
                            hash(a).is_some() && hash(a) == hash(b)
                        };
                        let models = match same(history, other) {
                            true => "their models are the same, to the bit",
                            false => "their models are not, or not there yet",
                        };
                        format!("{name} and {first} have the same steps; {models}")
                    }
                    Difference::Length(step) => {
                        format!("{name} and {first} are equal to step {step}, where one ends")
                    }
                    Difference::Step(pair) => {
                        let (a, b) = &**pair;
                        let what = match a.loss.to_bits() == b.loss.to_bits() {
                            true => format!("the learning rate is {} and {}", b.lr, a.lr),
                            false => format!("the loss is {} and {}", b.loss, a.loss),
                        };
                        format!(
                            "{name} and {first} first differ at step {} (epoch {}): {what}",
                            a.step, a.epoch
                        )
                    }
                };
                let mut lines = changed_lines(&history.start.config, &other.start.config);
                if !lines.is_empty() {
                    lines.splice(0..0, [format!("--- {first}"), format!("+++ {name}")]);
                }
                (sentence, lines)
            })
            .collect()
    }

    /// A page with the table and the curves of all runs.
    pub fn html(&self) -> String {
        let row = |row: &[String; 7]| {
            let cells: String =
                row.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
            format!("<tr>{cells}</tr>")
        };
        let header: String = COLUMNS.iter().map(|name| format!("<th>{name}</th>")).collect();
        let rows: String = self.rows().iter().map(row).collect();
        let part = |(sentence, lines): &(String, Vec<String>)| {
            let lines = match lines.is_empty() {
                true => String::new(),
                false => format!("<pre>{}</pre>", escape(&lines.join("\n"))),
            };
            format!("<p>{}</p>{lines}", escape(sentence))
        };
        let parts: String = self.sentences().iter().map(part).collect();
        let body = format!(
            "<header><h1>{} runs</h1></header><section><div class=\"scroll\"><table><thead><tr>\
             {header}</tr></thead><tbody>{rows}</tbody></table></div></section>\
             <section><h2>Where they part</h2>{parts}</section>\
             <section><h2>Learning curves</h2><div class=\"charts\">{}</div></section>",
            self.runs.len(),
            self.charts()
        );
        page(&format!("{} runs · gradus", self.runs.len()), &body)
    }

    fn charts(&self) -> String {
        let each = |points: &dyn Fn(&History) -> Vec<(f64, f64)>| -> Vec<Series> {
            self.runs.iter().map(|(name, history)| Series::new(name, points(history))).collect()
        };
        let steps = |value: fn(&StepEnd) -> Option<f64>| {
            each(&|h: &History| {
                h.steps.iter().filter_map(|s| Some((s.step as f64, value(s)?))).collect()
            })
        };
        let scores = self.runs.first().map_or(("Accuracy", true), |run| score_name(&run.1));
        [
            Chart::new("Loss, mean of the epoch", "step")
                .log(true)
                .with(each(&|h: &History| means(h, |e| e.metrics.loss))),
            Chart::new(&format!("{}, mean of the epoch", scores.0), "step")
                .percent(scores.1)
                .with(each(&|h: &History| means(h, |e| number(&e.metrics.score)))),
            Chart::new("Loss, validation", "step")
                .log(true)
                .with(each(&|h: &History| validated(h, |v| Some(v.loss)))),
            Chart::new(&format!("{}, validation", scores.0), "step")
                .percent(scores.1)
                .with(each(&|h: &History| validated(h, |v| v.score.as_ref().map(number)))),
            Chart::new("Loss, each step", "step").log(true).with(steps(|s| Some(s.loss))),
            Chart::new("Learning rate", "step")
                .with_zero()
                .with(steps(|s| Some(s.lr)).into_iter().map(Series::stretches)),
            Chart::new("Gradient norm", "step").log(true).with(steps(StepEnd::gradient_norm)),
        ]
        .iter()
        .map(Chart::render)
        .collect()
    }
}

/// The lines that only one of two texts has: `- ` in the first, `+ ` in the second.
fn changed_lines(first: &str, second: &str) -> Vec<String> {
    let missing = |from: &str, other: &str, sign: &str| -> Vec<String> {
        let known: Vec<&str> = other.lines().collect();
        from.lines()
            .filter(|line| !known.contains(line))
            .map(|line| format!("{sign} {}", line.trim()))
            .collect()
    };
    let mut lines = missing(first, second, "-");
    lines.extend(missing(second, first, "+"));
    lines
}

/// The table, then where each run parts from the first.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let header = COLUMNS.map(str::to_owned);
        let width = |column: usize| {
            let cells = rows.iter().chain([&header]).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
        for row in [&header].into_iter().chain(&rows) {
            write!(f, "{:<width$}", row[0], width = widths[0])?;
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        for (sentence, lines) in self.sentences() {
            write!(f, "\n{sentence}")?;
            lines.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_a_configuration_are_its_lines() {
        let (a, b) = ("[train]\nlr = 0.1\nseed = 0\n", "[train]\nlr = 0.2\nseed = 0\n");
        assert_eq!(changed_lines(a, b), ["- lr = 0.1", "+ lr = 0.2"]);
        assert!(changed_lines(a, a).is_empty());
    }
}
