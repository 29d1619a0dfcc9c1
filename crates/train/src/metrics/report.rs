//! What is said about a run: a line per epoch, the table of an evaluation, `metrics.json`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ScoreValue;
use super::average::{Average, Hits, average, ratio};
use crate::numbers::thousands;
use crate::trainer::{EpochSummary, Validation};

/// All metrics of a run, as its `metrics.json` holds them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunMetrics {
    /// The epochs finished so far.
    pub epochs: Vec<EpochMetrics>,
    /// The evaluation of the trained model on the test part; absent while the run is not finished.
    pub test: Option<Evaluation>,
}

/// One epoch of training. Loss and score are those of each batch before its own update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: usize,
    /// The average loss per sample.
    #[serde(with = "crate::json_number")]
    pub loss: f64,
    /// The accuracy, or the mean absolute error of numbers.
    #[serde(flatten)]
    pub score: ScoreValue,
    /// How long the epoch took.
    pub seconds: f64,
    /// Samples per second.
    pub samples_per_second: f64,
    /// What validation found, if there was one in the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
}

impl EpochMetrics {
    /// An epoch as it is shown and logged; none if nothing but the loss was measured.
    pub(crate) fn of(epoch: &EpochSummary) -> Option<EpochMetrics> {
        let EpochSummary { epoch, loss, score, validation, samples, seconds, .. } = *epoch;
        Some(EpochMetrics {
            epoch: epoch as usize,
            loss,
            score: score?,
            seconds,
            samples_per_second: samples as f64 / seconds,
            validation,
        })
    }
}

/// How well a model does on samples that it was not trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Evaluation {
    /// A classifier.
    Classification(Classification),
    /// A model of a number.
    Regression(Regression),
    /// A model of text.
    Language(Language),
}

impl Evaluation {
    /// The average loss per sample.
    pub fn average_loss(&self) -> f64 {
        match self {
            Evaluation::Classification(report) => report.average_loss,
            Evaluation::Regression(report) => report.average_loss,
            Evaluation::Language(report) => report.average_loss,
        }
    }

    /// The share of correct predictions, 0–1; none if numbers are predicted.
    pub fn accuracy(&self) -> Option<f64> {
        match self {
            Evaluation::Classification(report) => Some(report.accuracy),
            Evaluation::Regression(_) => None,
            Evaluation::Language(report) => Some(report.accuracy),
        }
    }
}

/// How well a model predicts numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// The average loss per sample.
    #[serde(with = "crate::json_number")]
    pub average_loss: f64,
    /// The mean distance from the true number, in its unit.
    #[serde(with = "crate::json_number")]
    pub mean_absolute_error: f64,
    /// The share of the variance that the predictions explain; undefined if there is no variance.
    pub r2: Option<f64>,
    /// How many samples there are.
    pub samples: u64,
}

/// How well a model predicts the characters of a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Language {
    /// The share of characters predicted correctly, 0–1.
    pub accuracy: f64,
    /// The average loss per character, in nats.
    #[serde(with = "crate::json_number")]
    pub average_loss: f64,
    /// `exp(average_loss)`: among how many characters the model hesitates.
    #[serde(with = "crate::json_number")]
    pub perplexity: f64,
    /// How many characters there are.
    pub samples: u64,
}

impl Language {
    /// The report on an average loss and an accuracy.
    pub fn new(average_loss: f64, accuracy: f64, samples: u64) -> Language {
        Language { accuracy, average_loss, perplexity: average_loss.exp(), samples }
    }
}

/// How well a classifier does on samples that it was not trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// The share of samples predicted correctly, 0–1.
    pub accuracy: f64,
    /// The average cross-entropy per sample, in nats.
    #[serde(with = "crate::json_number")]
    pub average_loss: f64,
    /// How many samples there are.
    pub samples: u64,
    /// The mean of the precisions of the classes that occur, among labels or predictions; an
    /// undefined one counts as 0.
    pub macro_precision: f64,
    /// The mean of their recalls; an undefined one counts as 0.
    pub macro_recall: f64,
    /// Class by class.
    pub classes: Vec<ClassReport>,
}

/// How well a classifier does on one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// The name of the class.
    pub class: String,
    /// Of the samples predicted to be of the class, the share that is; undefined if there are none.
    pub precision: Option<f64>,
    /// Of the samples of the class, the share predicted to be; undefined if there are none.
    pub recall: Option<f64>,
    /// How many samples of the class there are.
    pub samples: u64,
}

impl Classification {
    /// The report on a confusion matrix, `counts[label][predicted]`, for classes with names.
    ///
    /// ```
    /// use gradus_train::metrics::Classification;
    ///
    /// let names = ["cat", "dog"].map(String::from);
    /// let report = Classification::new(0.5, &[vec![3, 1], vec![0, 4]], &names);
    /// assert_eq!(report.accuracy, 7.0 / 8.0);
    /// assert_eq!(report.classes[1].precision, Some(4.0 / 5.0));
    /// assert_eq!(report.classes[0].recall, Some(3.0 / 4.0));
    /// ```
    pub fn new(average_loss: f64, counts: &[Vec<u64>], names: &[String]) -> Classification {
        let hits = Hits::of(counts);
        let classes: Vec<ClassReport> = names
            .iter()
            .zip(&hits)
            .map(|(name, hits)| ClassReport {
                class: name.clone(),
                precision: hits.precision(),
                recall: hits.recall(),
                samples: hits.true_positives + hits.false_negatives,
            })
            .collect();
        let macro_average = |score: fn(Hits) -> Option<f64>| {
            average(&hits, Average::Macro, score).number().unwrap_or(f64::NAN)
        };
        let correct = hits.iter().map(|hits| hits.true_positives).sum();
        let samples = classes.iter().map(|c| c.samples).sum();
        Classification {
            accuracy: ratio(correct, samples).unwrap_or(f64::NAN),
            average_loss,
            samples,
            macro_precision: macro_average(Hits::precision),
            macro_recall: macro_average(Hits::recall),
            classes,
        }
    }
}

/// One line: `loss 0.3056  accuracy 91.44%  48,213 samples/s  0.03 s`.
impl fmt::Display for EpochMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "loss {:.4}  {}  {:>9} samples/s  {:.2} s",
            self.loss,
            self.score,
            thousands(self.samples_per_second as u64),
            self.seconds
        )?;
        if let Some(Validation { loss, score, .. }) = &self.validation {
            write!(f, "  validation loss {loss:.4}")?;
            score.iter().try_for_each(|score| write!(f, "  {score}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evaluation::Classification(report) => report.fmt(f),
            Evaluation::Regression(report) => report.fmt(f),
            Evaluation::Language(report) => report.fmt(f),
        }
    }
}

/// One line: `test loss 0.1200, MAE 0.2711, R² 0.9120, 360 samples`.
impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r2 = self.r2.map_or("–".to_owned(), |r2| format!("{r2:.4}"));
        write!(
            f,
            "test loss {:.4}, MAE {:.4}, R² {r2}, {} samples",
            self.average_loss,
            self.mean_absolute_error,
            thousands(self.samples)
        )
    }
}

/// One line: `test loss 1.4703, perplexity 4.35, accuracy 56.12%, 111,488 characters`.
impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "test loss {:.4}, perplexity {:.2}, accuracy {:.2}%, {} characters",
            self.average_loss,
            self.perplexity,
            100.0 * self.accuracy,
            thousands(self.samples)
        )
    }
}

/// Accuracy and average loss, then a table of the classes.
impl fmt::Display for Classification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "test accuracy {:.2}%, average loss {:.4}, {} samples\n",
            100.0 * self.accuracy,
            self.average_loss,
            thousands(self.samples)
        )?;
        let longest = self.classes.iter().map(|c| c.class.chars().count()).max().unwrap_or(0);
        let width = longest.max("class".len());
        writeln!(f, "{:<width$}  precision   recall  samples", "class")?;
        let row = |name: &str, precision, recall, samples| {
            let (precision, recall) = (percent(precision), percent(recall));
            format!(
                "{name:<width$}  {precision:>9}  {recall:>7}  {samples:>7}",
                samples = thousands(samples)
            )
        };
        for c in &self.classes {
            writeln!(f, "{}", row(&c.class, c.precision, c.recall, c.samples))?;
        }
        let (precision, recall) = (Some(self.macro_precision), Some(self.macro_recall));
        f.write_str(&row("mean", precision, recall, self.samples))
    }
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or("–".to_owned(), |ratio| format!("{:.2}%", 100.0 * ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Classification {
        let names = ["tench", "cup", "bus"].map(String::from);
        // Two cups are taken for buses; nothing is ever taken for a tench, and there is none.
        Classification::new(0.25, &[vec![0, 0, 0], vec![0, 4, 2], vec![0, 0, 1994]], &names)
    }

    #[test]
    fn precision_is_by_column_and_recall_by_row() {
        let report = report();
        let [tench, cup, bus] = &report.classes[..] else { panic!("three classes") };
        assert_eq!((tench.precision, tench.recall, tench.samples), (None, None, 0));
        assert_eq!((cup.precision, cup.recall, cup.samples), (Some(1.0), Some(4.0 / 6.0), 6));
        assert_eq!((bus.precision, bus.recall), (Some(1994.0 / 1996.0), Some(1.0)));
        assert_eq!(report.accuracy, 1998.0 / 2000.0);
        assert_eq!(report.macro_recall, (4.0 / 6.0 + 1.0) / 2.0);
        assert_eq!(report.macro_precision, (1.0 + 1994.0 / 1996.0) / 2.0);
    }

    #[test]
    fn the_table_lines_up() {
        let expected = "\
test accuracy 99.90%, average loss 0.2500, 2,000 samples

class  precision   recall  samples
tench          –        –        0
cup      100.00%   66.67%        6
bus       99.90%  100.00%    1,994
mean      99.95%   83.33%    2,000";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn accuracy_comes_first_in_the_json() {
        let metrics =
            RunMetrics { epochs: Vec::new(), test: Some(Evaluation::Classification(report())) };
        let json = serde_json::to_string(&metrics).unwrap();
        assert!(json.contains(r#""test":{"accuracy":0.999,"average_loss":0.25,"#), "{json}");
        assert!(json.contains(r#"{"class":"tench","precision":null,"#), "{json}");
    }
}
