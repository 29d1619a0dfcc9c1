//! Learning-rate schedules.
//!
//! | | the learning rate |
//! |---|---|
//! | [`StepLR`], [`MultiStepLR`] | times `gamma` at regular steps, or at given ones |
//! | [`ExponentialLR`] | times `gamma` at every step |
//! | [`PolynomialLR`] | falls to zero as a power of the steps left |
//! | [`ConstantLR`], [`LinearLR`] | starts smaller and is then, or becomes, what it was: warm-up |
//! | [`CosineAnnealingLR`], [`CosineAnnealingWarmRestarts`] | half a cosine, once or in growing cycles |
//! | [`OneCycleLR`] | up and far down; momentum the other way |
//! | [`LambdaLR`] | times any function of the step |
//! | [`SequentialLR`], [`ChainedScheduler`] | schedules one after the other, or all at once |
//! | [`ReduceLROnPlateau`] | falls when a metric has stopped improving |
//!
//! Names, defaults and values are PyTorch's. All but the last are a [`Schedule`]: a pure function
//! from the number of the step to the rate, where PyTorch multiplies the rate of the step before.
//! The values are the same; but a schedule can be replayed, plotted and resumed at any step, and its
//! state is that number. An [`LRScheduler`] counts the steps and sets the rates of any
//! [`Optimizer`], for every group of parameters; this never recompiles.
//!
//! ```
//! use gradus_nn::optim::lr_scheduler::{CosineAnnealingLR, LRScheduler, LinearLR, SequentialLR};
//! use gradus_nn::optim::{Optimizer, SGD};
//! use gradus_nn::{Linear, Module};
//! let model = Linear::new(4, 2);
//! let mut optimizer = SGD::new(model.parameters(), 0.1);
//! let schedule = SequentialLR::new(LinearLR::new().start_factor(0.1).total_iters(5))
//!     .then(5, CosineAnnealingLR::new(95));
//! let mut scheduler = LRScheduler::new(&mut optimizer, schedule)?;
//! let mut rates = Vec::new();
//! for _epoch in 0..100 {
//!     // … train with `optimizer` …
//!     rates.push(optimizer.lr());
//!     scheduler.step(&mut optimizer)?;
//! }
//! assert!((rates[0] - 0.01).abs() < 1e-9 && rates[5] == 0.1 && rates[99] < 1e-4);
//! # Ok::<(), gradus_tensor::Error>(())
//! ```

mod compose;
mod cosine;
mod decay;
mod one_cycle;
mod plateau;
mod warm_up;

use std::collections::HashMap;

use gradus_tensor::{Error, ErrorKind, Result, Tensor, Variable};

pub use compose::{ChainedScheduler, LambdaLR, SequentialLR};
pub use cosine::{CosineAnnealingLR, CosineAnnealingWarmRestarts};
pub use decay::{ExponentialLR, MultiStepLR, PolynomialLR, StepLR};
pub use one_cycle::{AnnealStrategy, OneCycleLR};
pub use plateau::{PlateauMode, ReduceLROnPlateau, ThresholdMode};
pub use warm_up::{ConstantLR, LinearLR};

use super::Optimizer;
use crate::StateDict;
use crate::module::assign;

/// The learning rate as a function of the step.
///
/// A schedule of your own is one implementation; [`LambdaLR`] saves writing most of them.
pub trait Schedule: Send {
    /// The name in errors.
    fn name(&self) -> &'static str;

    /// The learning rate at a step, counted from 0, of a group of parameters whose own rate is
    /// `base`. Steps are whatever the scheduler's [`step`](LRScheduler::step) is called for: epochs
    /// or batches.
    fn lr(&self, step: u64, base: f64, group: usize) -> f64;

    /// The momentum (or β₁) at a step, of all groups; none if it is left alone, as by default.
    fn momentum(&self, _step: u64) -> Option<f64> {
        None
    }

    /// The last step the schedule knows, if it ends. It does not by default.
    fn last_step(&self) -> Option<u64> {
        None
    }

    /// Whether the options make sense for so many groups of parameters; if not, why.
    fn check(&self, groups: usize) -> Result<(), String>;
}

/// A schedule chosen when the program runs.
impl Schedule for Box<dyn Schedule> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn lr(&self, step: u64, base: f64, group: usize) -> f64 {
        (**self).lr(step, base, group)
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        (**self).momentum(step)
    }

    fn last_step(&self) -> Option<u64> {
        (**self).last_step()
    }

    fn check(&self, groups: usize) -> Result<(), String> {
        (**self).check(groups)
    }
}

/// Drives the learning rates of an optimizer by a [`Schedule`].
pub struct LRScheduler {
    schedule: Box<dyn Schedule>,
    base_lrs: Vec<f64>,
    last_epoch: u64,
    last_lr: Vec<f64>,
}

impl LRScheduler {
    /// Starts a schedule at step 0: sets the optimizer's rates, from those it has.
    ///
    /// # Errors
    /// If the schedule's options make no sense, or if it cycles momentum and the optimizer has none.
    pub fn new(
        optimizer: &mut dyn Optimizer,
        schedule: impl Schedule + 'static,
    ) -> Result<LRScheduler> {
        let base_lrs = optimizer.lrs();
        let wrong = |why: String| usage(schedule.name(), &why);
        schedule.check(base_lrs.len()).map_err(wrong)?;
        if schedule.momentum(0).is_some() && optimizer.momentums().is_none() {
            return Err(usage(
                schedule.name(),
                "the optimizer has neither momentum nor betas to cycle; call \
                 `cycle_momentum(false)`",
            ));
        }
        let last_lr = base_lrs.clone();
        let schedule = Box::new(schedule);
        let mut scheduler = LRScheduler { schedule, base_lrs, last_epoch: 0, last_lr };
        scheduler.set(optimizer);
        Ok(scheduler)
    }

    /// Sets the optimizer's rates for the next epoch, or the next batch. Call it after
    /// [`Optimizer::step`].
    ///
    /// # Errors
    /// If the schedule has ended, or if the optimizer has another number of groups than at first.
    /// Then nothing changes.
    pub fn step(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.check_groups(optimizer)?;
        let step = self.last_epoch + 1;
        if let Some(last) = self.schedule.last_step().filter(|last| step > *last) {
            return Err(usage(
                self.schedule.name(),
                &format!("this is step {step}, and the schedule ends with step {last}"),
            ));
        }
        self.last_epoch = step;
        self.set(optimizer);
        Ok(())
    }

    /// The rates that were set last, by group.
    pub fn get_last_lr(&self) -> &[f64] {
        &self.last_lr
    }

    /// How many steps have been made.
    pub fn last_epoch(&self) -> u64 {
        self.last_epoch
    }

    /// The number of the step and the rates the schedule started from: `last_epoch`, `base_lrs`.
    pub fn state_dict(&self) -> StateDict {
        let count = Tensor::from_slice(&[self.last_epoch as i64], []);
        let base = Tensor::from_slice(&self.base_lrs, [self.base_lrs.len()]);
        vec![("last_epoch".to_owned(), count), ("base_lrs".to_owned(), base)].into()
    }

    /// Restores a state, and sets the optimizer's rates accordingly.
    ///
    /// # Errors
    /// If a name or a shape does not fit; the error lists all of them, and nothing changes.
    pub fn load_state_dict(
        &mut self,
        state: &StateDict,
        optimizer: &mut dyn Optimizer,
    ) -> Result<()> {
        self.check_groups(optimizer)?;
        let loaded = load(state, &["last_epoch"], &[("base_lrs", &[self.base_lrs.len()])])?;
        self.last_epoch = loaded["last_epoch"].item::<i64>()?.max(0) as u64;
        self.base_lrs = loaded["base_lrs"].to_vec()?;
        self.set(optimizer);
        Ok(())
    }

    fn set(&mut self, optimizer: &mut dyn Optimizer) {
        let (schedule, step) = (&*self.schedule, self.last_epoch);
        let groups = self.base_lrs.iter().enumerate();
        self.last_lr = groups.map(|(group, base)| schedule.lr(step, *base, group)).collect();
        optimizer.set_lrs(&self.last_lr);
        if let Some(momentum) = schedule.momentum(step) {
            optimizer.set_momentums(&vec![momentum; self.base_lrs.len()]);
        }
    }

    fn check_groups(&self, optimizer: &dyn Optimizer) -> Result<()> {
        check_groups(self.schedule.name(), self.base_lrs.len(), optimizer)
    }
}

/// Builder methods: `name: Type;` sets the option `name`.
macro_rules! setters {
    ($schedule:ident: $($(#[$doc:meta])* $name:ident: $t:ty;)*) => {
        impl $schedule {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $t) -> $schedule {
                self.$name = $name;
                self
            })*
        }
    };
}
use setters;

fn usage(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("{name}: {why}"))
}

fn check_groups(name: &str, known: usize, optimizer: &dyn Optimizer) -> Result<()> {
    let groups = optimizer.lrs().len();
    if groups == known {
        return Ok(());
    }
    let why = format!("the optimizer has {groups} groups of parameters; it had {known} at first");
    Err(usage(name, &why))
}

/// An option that one number sets for all groups of parameters, or one for each.
fn of_group(values: &[f64], group: usize) -> f64 {
    if values.len() == 1 { values[0] } else { values[group] }
}

fn check_per_group(name: &str, values: &[f64], groups: usize) -> Result<(), String> {
    if values.len() != 1 && values.len() != groups {
        return Err(format!(
            "{} {name} for {groups} groups of parameters; give one, or one for each",
            values.len()
        ));
    }
    match values.iter().find(|x| !(x.is_finite() && **x >= 0.0)) {
        Some(x) => Err(format!("{name} has {x}; it must be finite and not negative")),
        None => Ok(()),
    }
}

fn at_least_one(name: &str, value: u64) -> Result<(), String> {
    if value == 0 { Err(format!("{name} is 0; it must be at least 1")) } else { Ok(()) }
}

fn finite(name: &str, value: f64) -> Result<(), String> {
    if value.is_finite() { Ok(()) } else { Err(format!("{name} is {value}; it must be finite")) }
}

/// Reads counts and vectors of numbers from a state that holds just these.
fn load(
    state: &StateDict,
    counts: &[&'static str],
    numbers: &[(&'static str, &[usize])],
) -> Result<HashMap<&'static str, Tensor>> {
    let counts = counts.iter().map(|&name| (name, Tensor::from_slice(&[0i64], [])));
    let numbers = numbers.iter().map(|&(name, shape)| {
        (name, Tensor::from_slice(&vec![0f64; shape.iter().product()], shape))
    });
    let cells: Vec<(&str, Variable)> =
        counts.chain(numbers).map(|(name, zero)| (name, Variable::new(zero))).collect();
    let named: Vec<(String, Variable)> =
        cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect();
    let saved: HashMap<&str, &Tensor> = state.iter().map(|(n, t)| (n.as_str(), t)).collect();
    assign("the schedule", &named, &saved)?;
    Ok(cells.into_iter().map(|(name, cell)| (name, cell.get())).collect())
}
