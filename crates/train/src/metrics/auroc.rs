//! The area under the receiver operating characteristic.

use gradus_tensor::{Result, Tensor};

use super::average::Average;
use super::metric::same;
use super::ranking::{Ranking, Tie};
use super::{Metric, MetricValue};

/// The area under the ROC curve (Hanley and McNeil, 1982): the probability that a sample of a class
/// scores higher for it than a sample of another one, where equal scores count half. Each class
/// against the rest, averaged over classes; exact.
///
/// Undefined, none, for a class of which there is no sample or nothing but samples; averages leave
/// such classes out. It keeps all scores: 8 bytes for each class of each sample.
///
/// ```
/// use gradus_tensor::Tensor;
/// use gradus_train::metrics::{AUROC, Average, Metric};
///
/// let mut metric = AUROC::new().average(Average::Binary);
/// let logits = Tensor::from_slice(&[0.1f32, 0.4, 0.35, 0.8], [4]);
/// metric.update(&logits, &Tensor::from_slice(&[0i64, 0, 1, 1], [4]));
/// assert_eq!(metric.value()?.number(), Some(0.75));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct AUROC {
    ranking: Ranking,
    average: Average,
}

impl AUROC {
    /// That of no samples yet, [`Average::Macro`].
    pub fn new() -> AUROC {
        AUROC::default()
    }

    /// With another average; [`Average::Micro`] is an error of [`value`](Metric::value).
    #[must_use]
    pub fn average(mut self, average: Average) -> AUROC {
        self.average = average;
        self
    }
}

impl Metric for AUROC {
    fn name(&self) -> String {
        format!("auroc_{}", self.average.name())
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
        self.ranking.average("AUROC", self.average, area)
    }
}

/// Pairs won, ties counting half, among all pairs: counted twice over, in whole numbers.
fn area(ties: &[Tie]) -> Option<f64> {
    let (mut above, mut twice_won, mut negatives) = (0u128, 0u128, 0u128);
    for tie in ties {
        let (p, n) = (u128::from(tie.positives), u128::from(tie.negatives));
        twice_won += n * (2 * above + p);
        above += p;
        negatives += n;
    }
    let pairs = above * negatives;
    (pairs > 0).then(|| twice_won as f64 / (2 * pairs) as f64)
}
