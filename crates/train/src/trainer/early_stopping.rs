//! When to stop because nothing gets better (Prechelt, "Early stopping: but when?", 1998).

use serde::{Deserialize, Serialize};

/// Stops a run when a value, such as the validation loss, has not fallen by more than `min_delta`
/// for so many looks in a row.
///
/// ```
/// use gradus_train::trainer::EarlyStopping;
/// let mut stopping = EarlyStopping::new(2);
/// let stops = [1.0, 0.5, 0.6, 0.5].map(|loss| stopping.look(loss));
/// assert_eq!(stops, [false, false, false, true]);
/// assert_eq!(stopping.best(), Some(0.5));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    patience: usize,
    min_delta: f64,
    best: Option<f64>,
    waited: usize,
}

impl EarlyStopping {
    /// Stops after so many looks without improvement, at least one.
    pub fn new(patience: usize) -> EarlyStopping {
        EarlyStopping { patience: patience.max(1), min_delta: 0.0, best: None, waited: 0 }
    }

    /// How much lower a value must be to count: 0 by default.
    #[must_use]
    pub fn min_delta(mut self, min_delta: f64) -> EarlyStopping {
        self.min_delta = min_delta;
        self
    }

    /// Looks at a value; whether to stop. One that is not finite is no improvement.
    pub fn look(&mut self, value: f64) -> bool {
        if self.best.is_none_or(|best| value < best - self.min_delta) && value.is_finite() {
            self.best = Some(value);
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        self.waited >= self.patience
    }

    /// The lowest value so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    /// What has been seen; options are not part of it.
    pub(super) fn seen(&self) -> (Option<f64>, usize) {
        (self.best, self.waited)
    }

    pub(super) fn restore(&mut self, (best, waited): (Option<f64>, usize)) {
        self.best = best;
        self.waited = waited;
    }
}
