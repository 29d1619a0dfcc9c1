//! Cosine annealing (Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts",
//! ICLR 2017).

use std::f64::consts::PI;

use super::{Schedule, at_least_one, finite, setters};

/// From the rate down to `eta_min` along half a cosine of `t_max` steps, and up again if there are
/// more: `eta_min + (base − eta_min) · (1 + cos(π · step / t_max)) / 2`.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{CosineAnnealingLR, Schedule};
/// let schedule = CosineAnnealingLR::new(100).eta_min(0.5);
/// assert_eq!([0, 50, 100].map(|step| schedule.lr(step, 1.0, 0)), [1.0, 0.75, 0.5]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CosineAnnealingLR {
    /// The number of steps on the way down: PyTorch's `T_max`.
    pub t_max: u64,
    /// The lowest rate: 0 by default.
    pub eta_min: f64,
}

/// From the rate down to `eta_min` along half a cosine, then at once up to the rate again, in cycles
/// of `t_0` steps, each `t_mult` times as long as the one before.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{CosineAnnealingWarmRestarts, Schedule};
/// let schedule = CosineAnnealingWarmRestarts::new(10).t_mult(2);
/// // Cycles start at 0, 10 and 30.
/// assert_eq!([0, 10, 30].map(|step| schedule.lr(step, 1.0, 0)), [1.0; 3]);
/// assert!((schedule.lr(20, 1.0, 0) - 0.5).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CosineAnnealingWarmRestarts {
    /// The number of steps of the first cycle: PyTorch's `T_0`.
    pub t_0: u64,
    /// How many times longer each cycle is than the one before: 1 by default, PyTorch's `T_mult`.
    pub t_mult: u64,
    /// The lowest rate: 0 by default.
    pub eta_min: f64,
}

setters! {
    CosineAnnealingLR:
    /// With another lowest rate.
    eta_min: f64;
}

setters! {
    CosineAnnealingWarmRestarts:
    /// With cycles that grow.
    t_mult: u64;
    /// With another lowest rate.
    eta_min: f64;
}

impl CosineAnnealingLR {
    /// Down to zero in `t_max` steps.
    pub fn new(t_max: u64) -> CosineAnnealingLR {
        CosineAnnealingLR { t_max, eta_min: 0.0 }
    }
}

impl CosineAnnealingWarmRestarts {
    /// Down to zero in cycles of `t_0` steps.
    pub fn new(t_0: u64) -> CosineAnnealingWarmRestarts {
        CosineAnnealingWarmRestarts { t_0, t_mult: 1, eta_min: 0.0 }
    }
}

impl Schedule for CosineAnnealingLR {
    fn name(&self) -> &'static str {
        "CosineAnnealingLR"
    }

    fn lr(&self, step: u64, base: f64, _group: usize) -> f64 {
        anneal(base, self.eta_min, step, self.t_max)
    }

    fn check(&self, _groups: usize) -> Result<(), String> {
        at_least_one("t_max", self.t_max)?;
        finite("eta_min", self.eta_min)
    }
}

impl Schedule for CosineAnnealingWarmRestarts {
    fn name(&self) -> &'static str {
        "CosineAnnealingWarmRestarts"
    }

    fn lr(&self, step: u64, base: f64, _group: usize) -> f64 {
        let (mut t, mut cycle) = (step, self.t_0);
        if self.t_mult == 1 {
            t %= cycle;
        }
        while t >= cycle {
            t -= cycle;
            cycle = cycle.saturating_mul(self.t_mult);
        }
        anneal(base, self.eta_min, t, cycle)
    }

    fn check(&self, _groups: usize) -> Result<(), String> {
        at_least_one("t_0", self.t_0)?;
        at_least_one("t_mult", self.t_mult)?;
        finite("eta_min", self.eta_min)
    }
}

/// Step `t` of a way from `base` to `eta_min` that takes `steps`.
fn anneal(base: f64, eta_min: f64, t: u64, steps: u64) -> f64 {
    eta_min + (base - eta_min) * (1.0 + (PI * t as f64 / steps as f64).cos()) / 2.0
}
