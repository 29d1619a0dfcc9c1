//! Rates that fall: in steps, exponentially, as a power.

use super::{Schedule, at_least_one, finite, setters};

/// Times `gamma` every `step_size` steps: `base · gamma^⌊step / step_size⌋`.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{Schedule, StepLR};
/// let schedule = StepLR::new(30).gamma(0.5);
/// assert_eq!([29, 30, 60].map(|step| schedule.lr(step, 1.0, 0)), [1.0, 0.5, 0.25]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StepLR {
    /// How many steps the rate stays.
    pub step_size: u64,
    /// What the rate is multiplied by: 0.1 by default.
    pub gamma: f64,
}

/// Times `gamma` at each milestone; a milestone that is named twice counts twice.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{MultiStepLR, Schedule};
/// let schedule = MultiStepLR::new([30, 80]).gamma(0.5);
/// assert_eq!([29, 30, 80].map(|step| schedule.lr(step, 1.0, 0)), [1.0, 0.5, 0.25]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MultiStepLR {
    /// The steps at which the rate changes, in any order.
    pub milestones: Vec<u64>,
    /// What the rate is multiplied by: 0.1 by default.
    pub gamma: f64,
}

/// Times `gamma` at every step: `base · gamma^step`.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{ExponentialLR, Schedule};
/// assert_eq!(ExponentialLR::new(0.5).lr(3, 1.0, 0), 0.125);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ExponentialLR {
    /// What the rate is multiplied by.
    pub gamma: f64,
}

/// Falls to zero as a power of what is left: `base · (1 − step / total_iters)^power`, and stays
/// there.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{PolynomialLR, Schedule};
/// let schedule = PolynomialLR::new().total_iters(4).power(2.0);
/// assert_eq!([0, 2, 4, 9].map(|step| schedule.lr(step, 1.0, 0)), [1.0, 0.25, 0.0, 0.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PolynomialLR {
    /// After how many steps the rate is zero: 5 by default.
    pub total_iters: u64,
    /// The power: 1, a straight line, by default.
    pub power: f64,
}

setters! {
    StepLR:
    /// With another factor.
    gamma: f64;
}

setters! {
    MultiStepLR:
    /// With another factor.
    gamma: f64;
}

setters! {
    PolynomialLR:
    /// Ending after another number of steps.
    total_iters: u64;
    /// With another power.
    power: f64;
}

impl StepLR {
    /// Changes every `step_size` steps.
    pub fn new(step_size: u64) -> StepLR {
        StepLR { step_size, gamma: 0.1 }
    }
}

impl MultiStepLR {
    /// Changes at milestones.
    pub fn new(milestones: impl IntoIterator<Item = u64>) -> MultiStepLR {
        MultiStepLR { milestones: milestones.into_iter().collect(), gamma: 0.1 }
    }
}

impl ExponentialLR {
    /// Changes at every step.
    pub fn new(gamma: f64) -> ExponentialLR {
        ExponentialLR { gamma }
    }
}

impl PolynomialLR {
    /// A straight line of five steps.
    pub fn new() -> PolynomialLR {
        PolynomialLR { total_iters: 5, power: 1.0 }
    }
}

impl Default for PolynomialLR {
    fn default() -> PolynomialLR {
        PolynomialLR::new()
    }
}

impl Schedule for StepLR {
    fn name(&self) -> &'static str {
        "StepLR"
    }

    fn lr(&self, step: u64, base: f64, _group: usize) -> f64 {
        base * self.gamma.powf((step / self.step_size) as f64)
    }

    fn check(&self, _groups: usize) -> Result<(), String> {
        at_least_one("step_size", self.step_size)?;
        finite("gamma", self.gamma)
    }
}

impl Schedule for MultiStepLR {
    fn name(&self) -> &'static str {
        "MultiStepLR"
    }

    fn lr(&self, step: u64, base: f64, _group: usize) -> f64 {
        let passed = self.milestones.iter().filter(|m| **m <= step).count();
        base * self.gamma.powf(passed as f64)
    }

    fn check(&self, _groups: usize) -> Result<(), String> {
        finite("gamma", self.gamma)
    }
}

impl Schedule for ExponentialLR {
    fn name(&self) -> &'static str {
        "ExponentialLR"
    }

    fn lr(&self, step: u64, base: f64, _group: usize) -> f64 {
        base * self.gamma.powf(step as f64)
    }

    fn check(&self, _groups: usize) -> Result<(), String> {
        finite("gamma", self.gamma)
    }
}

impl Schedule for PolynomialLR {
    fn name(&self) -> &'static str {
        "PolynomialLR"
    }

    fn lr(&self, step: u64, base: f64, _group: usize) -> f64 {
        let done = step.min(self.total_iters) as f64 / self.total_iters as f64;
        base * (1.0 - done).powf(self.power)
    }

    fn check(&self, _groups: usize) -> Result<(), String> {
        at_least_one("total_iters", self.total_iters)?;
        finite("power", self.power)
    }
}
