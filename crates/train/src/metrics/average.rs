//! Precision, recall and F-score of classes, and their averages over classes.

use super::MetricValue;

/// How the scores of classes become one.
///
/// In an average an undefined score, such as the precision of a class that was never predicted,
/// counts as 0, as with scikit-learn's `zero_division=0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Average {
    /// The mean over the classes that occur, among the labels or the predictions.
    #[default]
    Macro,
    /// The score of the counts of all classes together.
    Micro,
    /// The mean over classes, each weighted by how many samples it has.
    Weighted,
    /// The score of class 1 alone, where there are two.
    Binary,
    /// No average: one score for each class, none where it is undefined.
    PerClass,
}

impl Average {
    /// Every average, with its name in configurations and logs.
    pub const ALL: [(Average, &'static str); 5] = [
        (Average::Macro, "macro"),
        (Average::Micro, "micro"),
        (Average::Weighted, "weighted"),
        (Average::Binary, "binary"),
        (Average::PerClass, "per_class"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Average::ALL.iter().find(|(average, _)| *average == self);
        found.map_or("", |(_, name)| *name)
    }
}

/// How often a class was predicted rightly, wrongly, and missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hits {
    pub(super) true_positives: u64,
    pub(super) false_positives: u64,
    pub(super) false_negatives: u64,
}

impl Hits {
    /// Class by class, from a confusion matrix `counts[label][predicted]`.
    pub(super) fn of(counts: &[Vec<u64>]) -> Vec<Hits> {
        let class = |c: usize| {
            let true_positives = counts[c][c];
            let predicted: u64 = counts.iter().map(|row| row[c]).sum();
            let labelled: u64 = counts[c].iter().sum();
            Hits {
                true_positives,
                false_positives: predicted - true_positives,
                false_negatives: labelled - true_positives,
            }
        };
        (0..counts.len()).map(class).collect()
    }

    /// Of the samples predicted to be of the class, the share that is.
    pub(super) fn precision(self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Of the samples of the class, the share predicted to be.
    pub(super) fn recall(self) -> Option<f64> {
        ratio(self.true_positives, self.support())
    }

    /// `(1 + β²)·TP / ((1 + β²)·TP + β²·FN + FP)`.
    pub(super) fn f_beta(self, beta: f64) -> Option<f64> {
        let square = beta * beta;
        let hits = (1.0 + square) * self.true_positives as f64;
        let whole = hits + square * self.false_negatives as f64 + self.false_positives as f64;
        (self.occurs()).then(|| hits / whole)
    }

    fn support(self) -> u64 {
        self.true_positives + self.false_negatives
    }

    fn occurs(self) -> bool {
        self.support() + self.false_positives > 0
    }
}

/// The average of a score over classes.
pub(super) fn average(
    hits: &[Hits],
    average: Average,
    score: impl Fn(Hits) -> Option<f64>,
) -> MetricValue {
    let or_zero = |hits: &Hits| score(*hits).unwrap_or(0.0);
    MetricValue::Number(match average {
        Average::PerClass => {
            return MetricValue::Classes(hits.iter().map(|hits| score(*hits)).collect());
        }
        Average::Binary => hits.get(1).copied().filter(|hits| hits.occurs()).map(|h| or_zero(&h)),
        Average::Micro => score(hits.iter().fold(Hits::default(), |sum, hits| Hits {
            true_positives: sum.true_positives + hits.true_positives,
            false_positives: sum.false_positives + hits.false_positives,
            false_negatives: sum.false_negatives + hits.false_negatives,
        })),
        Average::Macro => {
            let occurring: Vec<f64> =
                hits.iter().filter(|hits| hits.occurs()).map(or_zero).collect();
            mean(&occurring)
        }
        Average::Weighted => {
            let all: Vec<(f64, u64)> = hits.iter().map(|h| (or_zero(h), h.support())).collect();
            weighted_mean(&all)
        }
    })
}

/// The mean; none of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The mean of values with weights; none if they weigh nothing.
pub(super) fn weighted_mean(values: &[(f64, u64)]) -> Option<f64> {
    let weight: u64 = values.iter().map(|(_, weight)| weight).sum();
    let sum: f64 = values.iter().map(|(value, weight)| value * *weight as f64).sum();
    (weight > 0).then(|| sum / weight as f64)
}

/// A part of a whole; none of nothing.
pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
