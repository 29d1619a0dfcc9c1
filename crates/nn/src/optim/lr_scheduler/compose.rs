//! Schedules made of functions and of other schedules.

use super::Schedule;

/// Times a function of the step, or a function for each group of parameters.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{LambdaLR, Schedule};
/// // The schedule of "Attention is all you need", with a warm-up of 4000 steps.
/// let noam = LambdaLR::new(|step| {
///     let step = (step + 1) as f64;
///     step.powf(-0.5).min(step * 4000f64.powf(-1.5))
/// });
/// assert!(noam.lr(3999, 1.0, 0) > noam.lr(8000, 1.0, 0));
/// ```
pub struct LambdaLR {
    lr_lambdas: Vec<Lambda>,
}

type Lambda = Box<dyn Fn(u64) -> f64 + Send>;

/// Schedules one after the other, each counting from 0 at its milestone.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{ExponentialLR, LinearLR, Schedule, SequentialLR};
/// let warm_up = LinearLR::new().start_factor(0.5).total_iters(2);
/// let schedule = SequentialLR::new(warm_up).then(4, ExponentialLR::new(0.5));
/// assert_eq!([0, 2, 4, 5].map(|step| schedule.lr(step, 1.0, 0)), [0.5, 1.0, 1.0, 0.5]);
/// ```
pub struct SequentialLR {
    schedules: Vec<Box<dyn Schedule>>,
    /// The step at which each schedule but the first starts.
    milestones: Vec<u64>,
}

/// All schedules at once: the rate of each is the base of the next, so that their factors multiply.
///
/// For schedules that multiply the rate (all but [`OneCycleLR`](super::OneCycleLR) and cosines with
/// an `eta_min`) the values are PyTorch's.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{ChainedScheduler, ConstantLR, ExponentialLR, Schedule};
/// let schedule = ChainedScheduler::new(ConstantLR::new().factor(0.5).total_iters(2))
///     .and(ExponentialLR::new(0.5));
/// assert_eq!([0, 1, 2].map(|step| schedule.lr(step, 1.0, 0)), [0.5, 0.25, 0.25]);
/// ```
pub struct ChainedScheduler {
    schedules: Vec<Box<dyn Schedule>>,
}

impl LambdaLR {
    /// One function for all groups of parameters.
    pub fn new(lr_lambda: impl Fn(u64) -> f64 + Send + 'static) -> LambdaLR {
        LambdaLR { lr_lambdas: vec![Box::new(lr_lambda)] }
    }

    /// With a function for the next group of parameters.
    #[must_use]
    pub fn group(mut self, lr_lambda: impl Fn(u64) -> f64 + Send + 'static) -> LambdaLR {
        self.lr_lambdas.push(Box::new(lr_lambda));
        self
    }
}

impl SequentialLR {
    /// Starts with a schedule.
    pub fn new(first: impl Schedule + 'static) -> SequentialLR {
        SequentialLR { schedules: vec![Box::new(first)], milestones: Vec::new() }
    }

    /// Goes on with another from step `milestone` on.
    #[must_use]
    pub fn then(mut self, milestone: u64, next: impl Schedule + 'static) -> SequentialLR {
        self.schedules.push(Box::new(next));
        self.milestones.push(milestone);
        self
    }

    /// The schedule of a step, and the number of the step in it.
    fn at(&self, step: u64) -> (&dyn Schedule, u64) {
        let passed = self.milestones.iter().filter(|m| **m <= step).count();
        let start = if passed == 0 { 0 } else { self.milestones[passed - 1] };
        (&*self.schedules[passed], step - start)
    }
}

impl ChainedScheduler {
    /// Starts with a schedule.
    pub fn new(first: impl Schedule + 'static) -> ChainedScheduler {
        ChainedScheduler { schedules: vec![Box::new(first)] }
    }

    /// With another at the same time.
    #[must_use]
    pub fn and(mut self, next: impl Schedule + 'static) -> ChainedScheduler {
        self.schedules.push(Box::new(next));
        self
    }
}

impl Schedule for LambdaLR {
    fn name(&self) -> &'static str {
        "LambdaLR"
    }

    fn lr(&self, step: u64, base: f64, group: usize) -> f64 {
        let lambda = if self.lr_lambdas.len() == 1 { 0 } else { group };
        base * self.lr_lambdas[lambda](step)
    }

    fn check(&self, groups: usize) -> Result<(), String> {
        let n = self.lr_lambdas.len();
        if n != 1 && n != groups {
            return Err(format!(
                "{n} functions for {groups} groups of parameters; give one, or one for each"
            ));
        }
        Ok(())
    }
}

impl Schedule for SequentialLR {
    fn name(&self) -> &'static str {
        "SequentialLR"
    }

    fn lr(&self, step: u64, base: f64, group: usize) -> f64 {
        let (schedule, step) = self.at(step);
        schedule.lr(step, base, group)
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        let (schedule, step) = self.at(step);
        schedule.momentum(step)
    }

    fn last_step(&self) -> Option<u64> {
        let start = self.milestones.last().copied().unwrap_or(0);
        self.schedules.last()?.last_step().map(|last| start.saturating_add(last))
    }

    fn check(&self, groups: usize) -> Result<(), String> {
        if !self.milestones.is_sorted() {
            return Err(format!("milestones are {:?}; they must not fall", self.milestones));
        }
        let mut start = 0;
        for (i, schedule) in self.schedules.iter().enumerate() {
            check_part(&**schedule, groups)?;
            let Some(&end) = self.milestones.get(i) else { break };
            if let Some(last) = schedule.last_step().filter(|last| start + last + 1 < end) {
                return Err(format!(
                    "{} starts at step {start} and ends with its step {last}, before the next \
                     schedule starts at step {end}",
                    schedule.name()
                ));
            }
            start = end;
        }
        Ok(())
    }
}

impl Schedule for ChainedScheduler {
    fn name(&self) -> &'static str {
        "ChainedScheduler"
    }

    fn lr(&self, step: u64, base: f64, group: usize) -> f64 {
        self.schedules.iter().fold(base, |base, schedule| schedule.lr(step, base, group))
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        self.schedules.iter().rev().find_map(|schedule| schedule.momentum(step))
    }

    fn last_step(&self) -> Option<u64> {
        self.schedules.iter().filter_map(|schedule| schedule.last_step()).min()
    }

    fn check(&self, groups: usize) -> Result<(), String> {
        self.schedules.iter().try_for_each(|schedule| check_part(&**schedule, groups))
    }
}

fn check_part(schedule: &dyn Schedule, groups: usize) -> Result<(), String> {
    schedule.check(groups).map_err(|why| format!("{}: {why}", schedule.name()))
}
