//! The area under the curve of precision over recall.

use gradus_tensor::{Result, Tensor};

use super::average::Average;
use super::metric::same;
use super::ranking::{Ranking, Tie};
use super::{Metric, MetricValue};

/// Average precision: `Σ (R_i − R_{i−1})·P_i` over the thresholds `i`, the scores from the highest
/// down, where `P` and `R` are precision and recall of what scores at least as high. Each class
/// against the rest, averaged over classes; exact, and without interpolation.
///
/// Undefined, none, for a class of which there is no sample (scikit-learn says 0); averages leave
/// such classes out. It keeps all scores: 8 bytes for each class of each sample.
///
/// ```
/// use gradus_tensor::Tensor;
/// use gradus_train::metrics::{Average, AveragePrecision, Metric};
///
/// let mut metric = AveragePrecision::new().average(Average::Binary);
/// let logits = Tensor::from_slice(&[0.1f32, 0.4, 0.35, 0.8], [4]);
/// metric.update(&logits, &Tensor::from_slice(&[0i64, 0, 1, 1], [4]));
/// assert_eq!(metric.value()?.number(), Some((1.0 + 2.0 / 3.0) / 2.0));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct AveragePrecision {
    ranking: Ranking,
    average: Average,
}

impl AveragePrecision {
    /// That of no samples yet, [`Average::Macro`].
    pub fn new() -> AveragePrecision {
        AveragePrecision::default()
    }

    /// With another average; [`Average::Micro`] is an error of [`value`](Metric::value).
    #[must_use]
    pub fn average(mut self, average: Average) -> AveragePrecision {
        self.average = average;
        self
    }
}

impl Metric for AveragePrecision {
    fn name(&self) -> String {
        format!("average_precision_{}", self.average.name())
    }

    fn update(&mut self, predictions: &Tensor, targets: &Tensor) {
        self.ranking.update(predictions, targets);
    }

    fn merge(&mut self, other: &dyn Metric) -> Result<()> {
        let other = same(self, other)?;
        self.ranking.merge(&other.ranking);
        Ok(())
    }

    fn value(&self) -> Result<MetricValue> {
        self.ranking.average("AveragePrecision", self.average, area)
    }
}

fn area(ties: &[Tie]) -> Option<f64> {
    let (mut hits, mut above, mut sum) = (0u64, 0u64, 0.0);
    for tie in ties {
        hits += tie.positives;
        above += tie.positives + tie.negatives;
        sum += tie.positives as f64 * (hits as f64 / above as f64);
    }
    (hits > 0).then(|| sum / hits as f64)
}
