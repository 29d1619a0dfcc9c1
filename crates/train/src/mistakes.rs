//! The worst mistakes of a model: the samples to look at first.

use gradus_tensor::{DType, Result, Tensor, evaluate};

use crate::data::Task;
use crate::log::Mistake;

/// How many are kept.
const KEPT: usize = 24;

/// The worst mistakes among the samples so far: for classes, the wrong predictions whose label was
/// given the least probability; for numbers, the largest errors. Text has none: its samples are
/// blocks, of which every position is a prediction.
pub(crate) struct Mistakes {
    kind: Kind,
    samples: usize,
    /// How bad, and what; the worst first.
    worst: Vec<(f64, Mistake)>,
}

enum Kind {
    Classes,
    Numbers,
    None,
}

impl Mistakes {
    pub(crate) fn new(task: &Task) -> Mistakes {
        let kind = match task {
            Task::Classification { .. } => Kind::Classes,
            Task::Regression { .. } => Kind::Numbers,
            Task::Language { .. } => Kind::None,
        };
        Mistakes { kind, samples: 0, worst: Vec::new() }
    }

    /// Takes in a batch, in the order of the data, and evaluates it along with whatever else is
    /// recorded.
    pub(crate) fn update(&mut self, predictions: &Tensor, targets: &Tensor) -> Result<()> {
        match self.kind {
            Kind::Classes => {
                let logs = predictions.cast(DType::F64).log_softmax(1);
                let own = logs.gather(1, &targets.unsqueeze(1));
                let (highest, predicted) = logs.max(1, false);
                evaluate()?;
                let (own, highest) = (own.to_vec::<f64>()?, highest.to_vec::<f64>()?);
                let (predicted, labels) = (predicted.to_vec::<i64>()?, targets.to_vec::<i64>()?);
                for (at, label) in labels.into_iter().enumerate() {
                    if predicted[at] != label {
                        let mistake = Mistake {
                            sample: self.samples + at,
                            target: label as f64,
                            predicted: predicted[at] as f64,
                            probability: Some(own[at].exp()),
                            confidence: Some(highest[at].exp()),
                        };
                        self.keep(-own[at], mistake);
                    }
                }
            }
            Kind::Numbers => {
                evaluate()?;
                let (predicted, targets) = (predictions.to_vec::<f64>()?, targets.to_vec::<f64>()?);
                for (at, (&predicted, &target)) in predicted.iter().zip(&targets).enumerate() {
                    let sample = self.samples + at;
                    let (probability, confidence) = (None, None);
                    let mistake = Mistake { sample, target, predicted, probability, confidence };
                    self.keep((predicted - target).abs(), mistake);
                }
            }
            Kind::None => evaluate()?,
        }
        self.samples += targets.try_shape().map_or(0, |shape| shape.first().copied().unwrap_or(0));
        Ok(())
    }

    /// Of equally bad ones, the first sample comes first.
    fn keep(&mut self, badness: f64, mistake: Mistake) {
        let at = self.worst.partition_point(|(other, _)| other.total_cmp(&badness).is_ge());
        if at < KEPT {
            self.worst.insert(at, (badness, mistake));
            self.worst.truncate(KEPT);
        }
    }

    pub(crate) fn worst_first(self) -> Vec<Mistake> {
        self.worst.into_iter().map(|(_, mistake)| mistake).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_probable_labels_come_first() {
        let task = Task::Classification { classes: vec!["a".into(), "b".into()] };
        let mut mistakes = Mistakes::new(&task);
        // Right, wrong, very wrong; then as wrong as the second.
        let logits = Tensor::from_slice(&[1.0f32, 0.0, 1.0, 0.0, 9.0, 0.0], [3, 2]);
        mistakes.update(&logits, &Tensor::from_slice(&[0i64, 1, 1], [3])).unwrap();
        let logits = Tensor::from_slice(&[0.0f32, 1.0], [1, 2]);
        mistakes.update(&logits, &Tensor::from_slice(&[0i64], [1])).unwrap();
        let worst = mistakes.worst_first();
        let samples: Vec<usize> = worst.iter().map(|mistake| mistake.sample).collect();
        assert_eq!(samples, [2, 1, 3]);
        assert_eq!((worst[2].target, worst[2].predicted), (0.0, 1.0));
        let expected = 1.0 / (1.0 + 1f64.exp());
        assert!((worst[1].probability.unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn no_more_are_kept_than_are_shown() {
        let mut mistakes = Mistakes::new(&Task::Regression { target: "y".into() });
        let n = 3 * KEPT;
        let targets = Tensor::from_vec((0..n).map(|i| (i * 7 % n) as f32).collect(), [n, 1]);
        mistakes.update(&targets.zeros_like(), &targets).unwrap();
        let worst = mistakes.worst_first();
        assert_eq!(worst.len(), KEPT);
        assert_eq!((worst[0].target, worst[KEPT - 1].target), ((n - 1) as f64, (n - KEPT) as f64));
    }
}
