//! The one-cycle policy (Smith and Topin, "Super-convergence: very fast training of neural networks
//! using large learning rates", 2019, arXiv:1708.07120).

use std::f64::consts::PI;

use super::{Schedule, at_least_one, check_per_group, of_group, setters};

/// Up from `max_lr / div_factor` to `max_lr`, then far down, to `1 / final_div_factor` of where it
/// started; momentum goes the other way. As in PyTorch, it is made for one scheduler step per batch,
/// the optimizer's own rate is not used, and it may be stepped `total_steps` times and no more.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::{LRScheduler, OneCycleLR};
/// use gradus_nn::optim::{Adam, Optimizer};
/// use gradus_nn::{Linear, Module};
/// let mut optimizer = Adam::new(Linear::new(4, 2).parameters(), 1e-3);
/// let mut scheduler = LRScheduler::new(&mut optimizer, OneCycleLR::new(0.1, 100))?;
/// assert!((optimizer.lr() - 0.1 / 25.0).abs() < 1e-15);
/// assert_eq!(optimizer.options(0).betas.0, 0.95);
/// for _batch in 0..29 {
///     scheduler.step(&mut optimizer)?;
/// }
/// assert_eq!((optimizer.lr(), optimizer.options(0).betas.0), (0.1, 0.85));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OneCycleLR {
    /// The highest rate: one for all groups of parameters, or one for each.
    pub max_lrs: Vec<f64>,
    /// The number of steps: epochs times batches in an epoch.
    pub total_steps: u64,
    /// The part of the steps on the way up: 0.3 by default.
    pub pct_start: f64,
    /// The shape of the way: a cosine by default.
    pub anneal_strategy: AnnealStrategy,
    /// Whether to cycle momentum, or β₁, too: yes by default.
    pub cycle_momentum: bool,
    /// The momentum at the highest rate: 0.85 by default.
    pub base_momentum: f64,
    /// The momentum at the lowest rates: 0.95 by default.
    pub max_momentum: f64,
    /// How many times smaller the first rate is than the highest: 25 by default.
    pub div_factor: f64,
    /// How many times smaller the last rate is than the first: 1e4 by default.
    pub final_div_factor: f64,
    /// Whether to go down to the first rate as slowly as up, and only then further, as in the paper:
    /// no by default.
    pub three_phase: bool,
}

/// The shape of [`OneCycleLR`]'s way from one rate to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnnealStrategy {
    /// Half a cosine.
    #[default]
    Cos,
    /// A straight line.
    Linear,
}

setters! {
    OneCycleLR:
    /// With a highest rate for each group of parameters.
    max_lrs: Vec<f64>;
    /// With a longer way up, or a shorter one.
    pct_start: f64;
    /// With another shape.
    anneal_strategy: AnnealStrategy;
    /// Cycling momentum, or leaving it alone.
    cycle_momentum: bool;
    /// With another lowest momentum.
    base_momentum: f64;
    /// With another highest momentum.
    max_momentum: f64;
    /// Starting from another rate.
    div_factor: f64;
    /// Ending with another rate.
    final_div_factor: f64;
    /// In three phases, or in two.
    three_phase: bool;
}

/// A part of the cycle: where it ends, and the rates and momenta between which it goes.
struct Phase {
    end: f64,
    lr: (f64, f64),
    momentum: (f64, f64),
}

impl OneCycleLR {
    /// A cycle of `total_steps` steps up to `max_lr`.
    pub fn new(max_lr: f64, total_steps: u64) -> OneCycleLR {
        OneCycleLR {
            max_lrs: vec![max_lr],
            total_steps,
            pct_start: 0.3,
            anneal_strategy: AnnealStrategy::Cos,
            cycle_momentum: true,
            base_momentum: 0.85,
            max_momentum: 0.95,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
        }
    }

    /// The rate and the momentum at a step.
    fn at(&self, step: u64, max_lr: f64) -> (f64, f64) {
        let (total, t) = (self.total_steps as f64, step as f64);
        let (low, high) = (self.base_momentum, self.max_momentum);
        let first = max_lr / self.div_factor;
        let last = first / self.final_div_factor;
        let up = self.pct_start * total - 1.0;
        let mut phases = vec![Phase { end: up, lr: (first, max_lr), momentum: (high, low) }];
        let end = total - 1.0;
        if self.three_phase {
            let down = 2.0 * self.pct_start * total - 2.0;
            phases.push(Phase { end: down, lr: (max_lr, first), momentum: (low, high) });
            phases.push(Phase { end, lr: (first, last), momentum: (high, high) });
        } else {
            phases.push(Phase { end, lr: (max_lr, last), momentum: (low, high) });
        }
        let at = phases.iter().position(|phase| t <= phase.end).unwrap_or(phases.len() - 1);
        let start = if at == 0 { 0.0 } else { phases[at - 1].end };
        let Phase { end, lr, momentum } = phases[at];
        // A phase of no length is over at once.
        let part = if end == start { 1.0 } else { (t - start) / (end - start) };
        (self.between(lr, part), self.between(momentum, part))
    }

    fn between(&self, (from, to): (f64, f64), part: f64) -> f64 {
        match self.anneal_strategy {
            AnnealStrategy::Cos => to + (from - to) / 2.0 * ((PI * part).cos() + 1.0),
            AnnealStrategy::Linear => (to - from) * part + from,
        }
    }
}

impl Schedule for OneCycleLR {
    fn name(&self) -> &'static str {
        "OneCycleLR"
    }

    fn lr(&self, step: u64, _base: f64, group: usize) -> f64 {
        self.at(step, of_group(&self.max_lrs, group)).0
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        self.cycle_momentum.then(|| self.at(step, 1.0).1)
    }

    fn last_step(&self) -> Option<u64> {
        Some(self.total_steps)
    }

    fn check(&self, groups: usize) -> Result<(), String> {
        check_per_group("max_lrs", &self.max_lrs, groups)?;
        at_least_one("total_steps", self.total_steps)?;
        if !(0.0..=1.0).contains(&self.pct_start) {
            return Err(format!("pct_start is {}; it must lie between 0 and 1", self.pct_start));
        }
        for (name, value) in
            [("div_factor", self.div_factor), ("final_div_factor", self.final_div_factor)]
        {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{name} is {value}; it must be finite and positive"));
            }
        }
        for (name, value) in
            [("base_momentum", self.base_momentum), ("max_momentum", self.max_momentum)]
        {
            if !(0.0..1.0).contains(&value) {
                return Err(format!("{name} is {value}; it must lie in 0..1"));
            }
        }
        Ok(())
    }
}
