//! Scores kept sample by sample, for metrics that depend on their order.
//!
//! Exact metrics of ranks need all scores: this is the one place whose memory grows with the
//! samples, by 8 bytes for each class of each. They are sorted when a value is asked for. Everything
//! is counted in whole numbers up to the last division, so that neither the order of samples nor
//! merging changes a bit.

use gradus_tensor::{Error, ErrorKind, Result, Tensor};

use super::MetricValue;
use super::average::{Average, mean, weighted_mean};
use super::scores::{class_scores, labels, log_probabilities};

/// Scores and labels of the samples so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    /// `[n, classes]` in f64 and `[n]` in i64, batch by batch.
    batches: Vec<(Tensor, Tensor)>,
}

/// Of the samples with one score, how many are of the class and how many are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tie {
    pub(super) positives: u64,
    pub(super) negatives: u64,
}

impl Ranking {
    /// Takes in a batch. Two classes are ranked by the difference of their logits, which keeps ties
    /// and does not saturate as probabilities do; more by the logarithms of their probabilities.
    pub(super) fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        let scores = class_scores(predictions);
        let scores = match scores.try_shape().map(|shape| shape[1]) {
            Ok(2) => {
                let logits = scores.cast(gradus_tensor::DType::F64);
                let margin = logits.narrow(1, 1, 1) - logits.narrow(1, 0, 1);
                Tensor::cat(&[&-&margin, &margin], 1)
            }
            _ => log_probabilities(&scores),
        };
        self.batches.push((scores, labels(targets)));
    }

    pub(super) fn merge(&mut self, other: &Ranking) {
        self.batches.extend(other.batches.iter().cloned());
    }

    /// The average over classes of a score of their ranking, the highest first.
    ///
    /// # Errors
    /// If the scores cannot be evaluated, are NaN, or the average is [`Average::Micro`].
    pub(super) fn average(
        &self,
        name: &str,
        average: Average,
        score: impl Fn(&[Tie]) -> Option<f64>,
    ) -> Result<MetricValue> {
        refuse_micro(name, average)?;
        let mut columns: Vec<Vec<(f64, bool)>> = Vec::new();
        for (scores, labels) in &self.batches {
            let classes = scores.try_shape()?[1];
            let (scores, labels) = (scores.to_vec::<f64>()?, labels.to_vec::<i64>()?);
            columns.resize_with(classes.max(columns.len()), Vec::new);
            for (row, label) in scores.chunks(classes.max(1)).zip(labels) {
                for (class, &score) in row.iter().enumerate() {
                    if score.is_nan() {
                        let message = format!(
                            "{name}: a prediction is NaN, which has no rank; look at the loss and \
                             the learning rate"
                        );
                        return Err(Error::new(ErrorKind::Value, message));
                    }
                    columns[class].push((score, label == class as i64));
                }
            }
        }
        let classes: Vec<(Option<f64>, u64)> = columns
            .into_iter()
            .map(|column| {
                let ties = ties(column);
                (score(&ties), ties.iter().map(|tie| tie.positives).sum())
            })
            .collect();
        let defined = |&(score, support): &(Option<f64>, u64)| Some((score?, support));
        Ok(match average {
            Average::PerClass => MetricValue::Classes(classes.iter().map(|c| c.0).collect()),
            Average::Binary => MetricValue::Number(classes.get(1).and_then(|c| c.0)),
            Average::Weighted => {
                let defined: Vec<_> = classes.iter().filter_map(defined).collect();
                MetricValue::Number(weighted_mean(&defined))
            }
            Average::Macro | Average::Micro => {
                let defined: Vec<_> = classes.iter().filter_map(|class| class.0).collect();
                MetricValue::Number(mean(&defined))
            }
        })
    }
}

/// Scores of different classes have no common order.
///
/// # Errors
/// If that is asked for.
pub(crate) fn refuse_micro(name: &str, average: Average) -> Result<()> {
    if average != Average::Micro {
        return Ok(());
    }
    let message = format!("{name} has no micro average; take macro, weighted, binary or per_class");
    Err(Error::new(ErrorKind::Usage, message))
}

/// Groups of equal scores, the highest first.
fn ties(mut column: Vec<(f64, bool)>) -> Vec<Tie> {
    // `-0.0` and `0.0` are one score, so they are compared as numbers; there is no NaN.
    column.sort_unstable_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(std::cmp::Ordering::Equal));
    column
        .chunk_by(|a, b| a.0 == b.0)
        .map(|group| {
            let positives = group.iter().filter(|(_, positive)| *positive).count() as u64;
            Tie { positives, negatives: group.len() as u64 - positives }
        })
        .collect()
}
