//! Rates that start smaller.

use super::{Schedule, at_least_one, setters};

/// Times `factor` for `total_iters` steps, then as it was.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{ConstantLR, Schedule};
/// let schedule = ConstantLR::new().factor(0.5).total_iters(4);
/// assert_eq!([0, 3, 4].map(|step| schedule.lr(step, 1.0, 0)), [0.5, 0.5, 1.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConstantLR {
    /// What the rate is multiplied by at first, from 0 to 1: 1/3 by default.
    pub factor: f64,
    /// For how many steps: 5 by default.
    pub total_iters: u64,
}

/// From `start_factor` to `end_factor` times the rate, along a straight line of `total_iters` steps:
/// a warm-up.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{LinearLR, Schedule};
/// let schedule = LinearLR::new().start_factor(0.5).total_iters(4);
/// assert_eq!([0, 1, 4, 9].map(|step| schedule.lr(step, 1.0, 0)), [0.5, 0.625, 1.0, 1.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LinearLR {
    /// What the rate is multiplied by at first, above 0 and up to 1: 1/3 by default.
    pub start_factor: f64,
    /// What it is multiplied by in the end, from 0 to 1: 1 by default.
    pub end_factor: f64,
    /// The number of steps in between: 5 by default.
    pub total_iters: u64,
}

setters! {
    ConstantLR:
    /// With another factor.
    factor: f64;
    /// For another number of steps.
    total_iters: u64;
}

setters! {
    LinearLR:
    /// Starting with another factor.
    start_factor: f64;
    /// Ending with another factor.
    end_factor: f64;
    /// Along another number of steps.
    total_iters: u64;
}

impl ConstantLR {
    /// A third of the rate for five steps.
    pub fn new() -> ConstantLR {
        ConstantLR { factor: 1.0 / 3.0, total_iters: 5 }
    }
}

impl LinearLR {
    /// From a third of the rate to all of it in five steps.
    pub fn new() -> LinearLR {
        LinearLR { start_factor: 1.0 / 3.0, end_factor: 1.0, total_iters: 5 }
    }
}

impl Default for ConstantLR {
    fn default() -> ConstantLR {
        ConstantLR::new()
    }
}

impl Default for LinearLR {
    fn default() -> LinearLR {
        LinearLR::new()
    }
}

impl Schedule for ConstantLR {
    fn name(&self) -> &'static str {
        "ConstantLR"
    }

    fn lr(&self, step: u64, base: f64, _group: usize) -> f64 {
        if step < self.total_iters { base * self.factor } else { base }
    }

    fn check(&self, _groups: usize) -> Result<(), String> {
        match self.factor {
            0.0..=1.0 => Ok(()),
            factor => Err(format!("factor is {factor}; it must lie between 0 and 1")),
        }
    }
}

impl Schedule for LinearLR {
    fn name(&self) -> &'static str {
        "LinearLR"
    }

    fn lr(&self, step: u64, base: f64, _group: usize) -> f64 {
        let done = step.min(self.total_iters) as f64 / self.total_iters as f64;
        base * (self.start_factor + (self.end_factor - self.start_factor) * done)
    }

    fn check(&self, _groups: usize) -> Result<(), String> {
        let LinearLR { start_factor, end_factor, total_iters } = *self;
        if !(start_factor > 0.0 && start_factor <= 1.0) {
            return Err(format!(
                "start_factor is {start_factor}; it must be greater than 0 and at most 1"
            ));
        }
        if !(0.0..=1.0).contains(&end_factor) {
            return Err(format!("end_factor is {end_factor}; it must lie between 0 and 1"));
        }
        at_least_one("total_iters", total_iters)
    }
}
