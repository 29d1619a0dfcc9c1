//! The learning-rate schedules that a configuration may choose.

use std::num::NonZeroUsize;

use gradus_nn::StateDict;
use gradus_nn::optim::Optimizer;
use gradus_nn::optim::lr_scheduler::{
    AnnealStrategy, ConstantLR, CosineAnnealingLR, CosineAnnealingWarmRestarts, ExponentialLR,
    LRScheduler, LinearLR, MultiStepLR, OneCycleLR, PolynomialLR, ReduceLROnPlateau, Schedule,
    SequentialLR, StepLR,
};
use gradus_tensor::{Error, ErrorKind, Result};

use super::table::table;
use super::value::{NotNegative, Positive, Probability, Setting, Value, Whole};

/// The length of a run, and the learning rate that the optimizer starts with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunLength {
    /// The optimizer's own learning rate.
    pub lr: f64,
    /// Epochs of the run.
    pub epochs: usize,
    /// Steps of the optimizer in an epoch.
    pub steps_per_epoch: usize,
    /// Steps after which the run ends at the latest.
    pub max_steps: Option<usize>,
}

/// What a schedule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// The rate changes after each epoch.
    Epoch,
    /// The rate changes after each step of the optimizer.
    Step,
}

/// A schedule as a configuration describes it.
pub enum AnySchedule {
    /// A function of the epoch or the step.
    Planned(Box<dyn Schedule>, Every),
    /// Looks at the loss after each epoch: that of the validation, if there is one.
    Plateau(ReduceLROnPlateau),
}

/// A schedule that drives an optimizer.
pub enum Scheduler {
    /// A function of the epoch or the step.
    Planned(LRScheduler, Every),
    /// Looks at the loss after each epoch: that of the validation, if there is one.
    Plateau(ReduceLROnPlateau),
}

table! {
    /// Every learning-rate schedule known by name. A schedule of another kind is one more row.
    ///
    /// All but two count epochs, or with `every = "step"` the optimizer's steps; `warmup` is how many of
    /// these the rate first rises to where the schedule begins.
    pub const SCHEDULES: fn(run: RunLength) -> AnySchedule;

    /// Multiplies the rate by `gamma` every `step_size` epochs.
    "StepLR" {
        step_size: NonZeroUsize,
        gamma: Positive = Positive(0.1),
        every: Every = Every::Epoch,
        warmup: usize = 0,
    } => planned(StepLR::new(step_size.get() as u64).gamma(gamma.0), every, warmup);
    /// Multiplies the rate by `gamma` at each of the `milestones`.
    "MultiStepLR" {
        milestones: Vec<Whole>,
        gamma: Positive = Positive(0.1),
        every: Every = Every::Epoch,
        warmup: usize = 0,
    } => {
        if milestones.iter().any(|m| m.0 < 0) {
            let message = "`milestones` are counted from 0; give whole numbers, 0 or more";
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let milestones = milestones.iter().map(|m| m.0 as u64);
        planned(MultiStepLR::new(milestones).gamma(gamma.0), every, warmup)
    };
    /// Multiplies the rate by `gamma` after every epoch.
    "ExponentialLR" { gamma: Positive, every: Every = Every::Epoch, warmup: usize = 0 } => {
        planned(ExponentialLR::new(gamma.0), every, warmup)
    };
    /// Half a cosine, down to `eta_min` at the end of the run or after `t_max` epochs.
    "CosineAnnealingLR" {
        every: Every = Every::Epoch,
        warmup: usize = 0,
        t_max: Option<NonZeroUsize> = None,
        eta_min: NotNegative = NotNegative(0.0),
    } => {
        let t_max = t_max.unwrap_or_else(|| run.rest(every, warmup)).get() as u64;
        planned(CosineAnnealingLR::new(t_max).eta_min(eta_min.0), every, warmup)
    };
    /// Half a cosine down, again and again, `t_mult` times as long each time.
    "CosineAnnealingWarmRestarts" {
        t_0: NonZeroUsize,
        t_mult: NonZeroUsize = NonZeroUsize::MIN,
        eta_min: NotNegative = NotNegative(0.0),
        every: Every = Every::Epoch,
        warmup: usize = 0,
    } => {
        let schedule = CosineAnnealingWarmRestarts::new(t_0.get() as u64).t_mult(t_mult.get() as u64);
        planned(schedule.eta_min(eta_min.0), every, warmup)
    };
    /// From a part of the rate to another part in `total_iters` epochs.
    "LinearLR" {
        start_factor: Positive = Positive(1.0 / 3.0),
        end_factor: NotNegative = NotNegative(1.0),
        total_iters: NonZeroUsize = NonZeroUsize::MIN,
        every: Every = Every::Epoch,
    } => {
        let schedule = LinearLR::new().start_factor(start_factor.0).end_factor(end_factor.0);
        planned(schedule.total_iters(total_iters.get() as u64), every, 0)
    };
    /// A part of the rate for `total_iters` epochs, then all of it.
    "ConstantLR" {
        factor: Probability = Probability(1.0 / 3.0),
        total_iters: NonZeroUsize = NonZeroUsize::MIN,
        every: Every = Every::Epoch,
    } => planned(ConstantLR::new().factor(factor.0).total_iters(total_iters.get() as u64), every, 0);
    /// Down to zero as a power of the epochs left.
    "PolynomialLR" {
        every: Every = Every::Epoch,
        warmup: usize = 0,
        total_iters: Option<NonZeroUsize> = None,
        power: Positive = Positive(1.0),
    } => {
        let total_iters = total_iters.unwrap_or_else(|| run.rest(every, warmup));
        let schedule = PolynomialLR::new().total_iters(total_iters.get() as u64).power(power.0);
        planned(schedule, every, warmup)
    };
    /// Up to `max_lr` and far down, over all steps of the run; momentum the other way.
    "OneCycleLR" {
        max_lr: Option<Positive> = None,
        pct_start: Probability = Probability(0.3),
        anneal_strategy: AnnealStrategy = AnnealStrategy::Cos,
        cycle_momentum: bool = true,
        div_factor: Positive = Positive(25.0),
        final_div_factor: Positive = Positive(1e4),
        three_phase: bool = false,
    } => {
        let schedule = OneCycleLR::new(max_lr.map_or(run.lr, |lr| lr.0), run.count(Every::Step) as u64)
            .pct_start(pct_start.0)
            .anneal_strategy(anneal_strategy)
            .cycle_momentum(cycle_momentum)
            .div_factor(div_factor.0)
            .final_div_factor(final_div_factor.0)
            .three_phase(three_phase);
        planned(schedule, Every::Step, 0)
    };
    /// Multiplies the rate by `factor` when the (validation) loss has not fallen for `patience` epochs.
    "ReduceLROnPlateau" {
        factor: Probability = Probability(0.1),
        patience: usize = 10,
        threshold: Positive = Positive(1e-4),
        cooldown: usize = 0,
        min_lr: NotNegative = NotNegative(0.0),
    } => {
        let schedule = ReduceLROnPlateau::new()
            .factor(factor.0)
            .patience(patience as u64)
            .threshold(threshold.0)
            .cooldown(cooldown as u64)
            .min_lrs(vec![min_lr.0]);
        Ok(AnySchedule::Plateau(schedule))
    };
}

/// A schedule, after a linear warm-up if there is one.
fn planned(schedule: impl Schedule + 'static, every: Every, warmup: usize) -> Result<AnySchedule> {
    let schedule: Box<dyn Schedule> = match warmup as u64 {
        0 => Box::new(schedule),
        n => {
            let start = 1.0 / (n + 1) as f64;
            let rise = LinearLR::new().start_factor(start).total_iters(n);
            Box::new(SequentialLR::new(rise).then(n, schedule))
        }
    };
    Ok(AnySchedule::Planned(schedule, every))
}

impl RunLength {
    /// How many epochs or steps the run has.
    pub(super) fn count(&self, every: Every) -> usize {
        match every {
            Every::Epoch => self.epochs,
            Every::Step => {
                let all = self.epochs * self.steps_per_epoch;
                self.max_steps.map_or(all, |max| all.min(max))
            }
        }
    }

    /// How many are left after a warm-up.
    fn rest(&self, every: Every, warmup: usize) -> NonZeroUsize {
        let rest = self.count(every).saturating_sub(warmup);
        NonZeroUsize::new(rest).unwrap_or(NonZeroUsize::MIN)
    }
}

impl AnySchedule {
    /// Starts to drive an optimizer.
    ///
    /// # Errors
    /// If the schedule's options make no sense, or it cycles the momentum of an optimizer without.
    pub fn drive(self, optimizer: &mut dyn Optimizer) -> Result<Scheduler> {
        Ok(match self {
            AnySchedule::Planned(schedule, every) => {
                Scheduler::Planned(LRScheduler::new(optimizer, schedule)?, every)
            }
            AnySchedule::Plateau(schedule) => Scheduler::Plateau(schedule),
        })
    }
}

impl Scheduler {
    /// Sets the rates of a step, before it. `first_of_epoch` says whether it begins an epoch that is not the
    /// first; the first step of all has been set already.
    ///
    /// # Errors
    /// If the schedule has ended.
    pub fn before_step(
        &mut self,
        optimizer: &mut dyn Optimizer,
        first_of_epoch: bool,
    ) -> Result<()> {
        match self {
            Scheduler::Planned(schedule, Every::Step) => schedule.step(optimizer),
            Scheduler::Planned(schedule, Every::Epoch) if first_of_epoch => {
                schedule.step(optimizer)
            }
            _ => Ok(()),
        }
    }

    /// Where the schedule is.
    pub fn state_dict(&self) -> StateDict {
        match self {
            Scheduler::Planned(schedule, _) => schedule.state_dict(),
            Scheduler::Plateau(schedule) => schedule.state_dict(),
        }
    }

    /// Puts the schedule back to where it was, and the optimizer's rates with it.
    ///
    /// # Errors
    /// If the state is of another schedule.
    pub fn load_state_dict(
        &mut self,
        state: &StateDict,
        optimizer: &mut dyn Optimizer,
    ) -> Result<()> {
        match self {
            Scheduler::Planned(schedule, _) => schedule.load_state_dict(state, optimizer),
            Scheduler::Plateau(schedule) => schedule.load_state_dict(state, optimizer),
        }
    }

    /// Looks at the mean loss of an epoch, after it.
    ///
    /// # Errors
    /// If the loss is NaN.
    pub fn after_epoch(&mut self, optimizer: &mut dyn Optimizer, loss: f64) -> Result<()> {
        match self {
            Scheduler::Plateau(schedule) => schedule.step(optimizer, loss),
            Scheduler::Planned(..) => Ok(()),
        }
    }
}

impl Setting for Every {
    const WANTED: &'static str = "\"epoch\" or \"step\"";
    fn read(value: &Value) -> Option<Every> {
        match String::read(value)?.as_str() {
            "epoch" => Some(Every::Epoch),
            "step" => Some(Every::Step),
            _ => None,
        }
    }
    fn write(&self) -> Option<Value> {
        let name = if *self == Every::Epoch { "epoch" } else { "step" };
        Some(Value::Text(name.to_owned()))
    }
}

impl Setting for AnnealStrategy {
    const WANTED: &'static str = "\"cos\" or \"linear\"";
    fn read(value: &Value) -> Option<AnnealStrategy> {
        match String::read(value)?.as_str() {
            "cos" => Some(AnnealStrategy::Cos),
            "linear" => Some(AnnealStrategy::Linear),
            _ => None,
        }
    }
    fn write(&self) -> Option<Value> {
        let name = if *self == AnnealStrategy::Cos { "cos" } else { "linear" };
        Some(Value::Text(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use gradus_nn::Linear;

    use crate::Config;

    /// The rates of each step of a run of 5 epochs of 2 steps.
    fn rates(schedule: &str) -> Vec<f64> {
        let text = crate::config::DEFAULT
            .replace("lr = 0.003", "lr = 0.8")
            .replace("epochs = 30", "epochs = 5")
            + "[schedule]\n"
            + schedule;
        let mut config = Config::parse(&text, "test").unwrap();
        let mut optimizer = config.optimizer(&Linear::new(2, 1)).unwrap();
        let mut scheduler = config.schedule(&mut *optimizer, 2).unwrap().unwrap();
        let mut rates = Vec::new();
        for step in 0..10 {
            if step > 0 {
                scheduler.before_step(&mut *optimizer, step % 2 == 0).unwrap();
            }
            rates.push((optimizer.lr() * 1e6).round() / 1e6);
            if step % 2 == 1 {
                scheduler.after_epoch(&mut *optimizer, 1.0).unwrap();
            }
        }
        rates
    }

    #[test]
    fn epochs_and_steps_are_counted() {
        let by_epoch = "type = \"StepLR\"\nstep_size = 2\ngamma = 0.5\n";
        assert_eq!(rates(by_epoch), [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2, 0.2]);
        let by_step = "type = \"StepLR\"\nstep_size = 4\ngamma = 0.5\nevery = \"step\"\n";
        assert_eq!(rates(by_step), [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2, 0.2]);
    }

    #[test]
    fn a_warm_up_rises_and_the_rest_takes_the_run() {
        let schedule = "type = \"CosineAnnealingLR\"\nwarmup = 3\nevery = \"step\"\n";
        let rates = rates(schedule);
        assert_eq!(rates[..4], [0.2, 0.4, 0.6, 0.8]);
        assert!(rates[4] < 0.8 && rates[9] < 0.05 && rates[9] > 0.0, "{rates:?}");
    }

    #[test]
    fn only_what_takes_the_run_depends_on_its_length() {
        let config = |schedule: &str, epochs| {
            let text = format!("{}[schedule]\n{schedule}\n", crate::config::DEFAULT);
            Config { epochs, ..Config::parse(&text, "test").unwrap() }
        };
        for (schedule, depends) in [
            ("type = \"OneCycleLR\"", true),
            ("type = \"CosineAnnealingLR\"", true),
            ("type = \"CosineAnnealingLR\"\nt_max = 3", false),
            ("type = \"PolynomialLR\"\nwarmup = 1", true),
            ("type = \"StepLR\"\nstep_size = 2", false),
            ("type = \"ReduceLROnPlateau\"", false),
        ] {
            let [short, long] = [3, 4].map(|epochs| config(schedule, epochs));
            assert_eq!(long.has_other_rates(&short, 0.1, 5).unwrap(), depends, "{schedule}");
            assert!(!long.has_other_rates(&long, 0.1, 5).unwrap(), "{schedule}");
        }
    }

    #[test]
    fn a_plateau_is_noticed() {
        let schedule = "type = \"ReduceLROnPlateau\"\npatience = 1\nfactor = 0.5\n";
        assert_eq!(rates(schedule), [0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4]);
    }

    #[test]
    fn one_cycle_ends_with_the_run() {
        let rates = rates("type = \"OneCycleLR\"\n");
        let top = rates.iter().cloned().fold(0.0, f64::max);
        assert!((top - 0.8).abs() < 1e-6 && rates[0] < 0.04 && rates[9] < 1e-5, "{rates:?}");
    }
}
