//! A rate that falls when nothing improves any more.

use gradus_tensor::{Error, ErrorKind, Result, Tensor};

use super::super::Optimizer;
use super::{check_groups, check_per_group, load, of_group, setters, usage};
use crate::StateDict;

/// Multiplies the learning rates by `factor` when a metric has not improved for more than `patience`
/// steps, as in PyTorch. It depends on what it has seen, so it is no [`Schedule`](super::Schedule):
/// its step takes the metric.
///
/// ```
/// use gradus_nn::optim::lr_scheduler::ReduceLROnPlateau;
/// use gradus_nn::optim::{Optimizer, SGD};
/// use gradus_nn::{Linear, Module};
/// let mut optimizer = SGD::new(Linear::new(4, 2).parameters(), 0.1);
/// let mut scheduler = ReduceLROnPlateau::new().factor(0.5).patience(1);
/// for validation_loss in [1.0, 0.9, 0.95, 0.91] {
///     scheduler.step(&mut optimizer, validation_loss)?;
/// }
/// assert_eq!(optimizer.lr(), 0.05);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceLROnPlateau {
    /// Whether the metric is to fall or to rise: to fall by default.
    pub mode: PlateauMode,
    /// What rates are multiplied by, below 1: 0.1 by default.
    pub factor: f64,
    /// How many steps without improvement are ignored: 10 by default.
    pub patience: u64,
    /// How much better the metric must be to count: 1e-4 by default.
    pub threshold: f64,
    /// What the threshold is a part of: the best value by default.
    pub threshold_mode: ThresholdMode,
    /// For how many steps after a change nothing is counted: 0 by default.
    pub cooldown: u64,
    /// The lowest rate: one for all groups of parameters, or one for each; 0 by default.
    pub min_lrs: Vec<f64>,
    /// A change that is not larger is not made: 1e-8 by default.
    pub eps: f64,
    seen: Seen,
}

/// Whether [`ReduceLROnPlateau`]'s metric is to fall or to rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlateauMode {
    /// Less is better: a loss.
    #[default]
    Min,
    /// More is better: an accuracy.
    Max,
}

/// What [`ReduceLROnPlateau`]'s threshold means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThresholdMode {
    /// A part of the best value.
    #[default]
    Rel,
    /// A difference from it.
    Abs,
}

setters! {
    ReduceLROnPlateau:
    /// With a metric that is to rise, or to fall.
    mode: PlateauMode;
    /// With another factor.
    factor: f64;
    /// With more patience, or less.
    patience: u64;
    /// With another threshold.
    threshold: f64;
    /// With a threshold of another meaning.
    threshold_mode: ThresholdMode;
    /// With a time of rest after each change.
    cooldown: u64;
    /// With lowest rates: one for all groups of parameters, or one for each.
    min_lrs: Vec<f64>;
    /// With another least change.
    eps: f64;
}

/// The state: what has been seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    best: Option<f64>,
    num_bad_epochs: u64,
    cooldown_counter: u64,
    last_epoch: u64,
    /// The rates after the last step; empty before the first.
    last_lr: Vec<f64>,
}

impl ReduceLROnPlateau {
    /// With default options, for a metric that is to fall.
    pub fn new() -> ReduceLROnPlateau {
        ReduceLROnPlateau {
            mode: PlateauMode::Min,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            threshold_mode: ThresholdMode::Rel,
            cooldown: 0,
            min_lrs: vec![0.0],
            eps: 1e-8,
            seen: Seen::default(),
        }
    }

    /// Looks at the metric of the epoch that has ended, and lowers the optimizer's rates if it is
    /// time.
    ///
    /// # Errors
    /// If the metric is NaN, if options make no sense, or if the optimizer has another number of
    /// groups than at first. Then nothing changes.
    pub fn step(&mut self, optimizer: &mut dyn Optimizer, metric: f64) -> Result<()> {
        let mut lrs = optimizer.lrs();
        self.check(optimizer)?;
        if metric.is_nan() {
            let message = format!("{NAME}: the metric is NaN; the run has diverged");
            return Err(Error::new(ErrorKind::Value, message));
        }
        let better = self.is_better(metric);
        let seen = &mut self.seen;
        seen.last_epoch += 1;
        if better {
            seen.best = Some(metric);
            seen.num_bad_epochs = 0;
        } else {
            seen.num_bad_epochs += 1;
        }
        if seen.cooldown_counter > 0 {
            seen.cooldown_counter -= 1;
            seen.num_bad_epochs = 0;
        }
        if seen.num_bad_epochs > self.patience {
            for (group, lr) in lrs.iter_mut().enumerate() {
                let new = (*lr * self.factor).max(of_group(&self.min_lrs, group));
                if *lr - new > self.eps {
                    *lr = new;
                }
            }
            optimizer.set_lrs(&lrs);
            seen.cooldown_counter = self.cooldown;
            seen.num_bad_epochs = 0;
        }
        seen.last_lr = lrs;
        Ok(())
    }

    /// The rates after the last step, by group; empty before the first.
    pub fn get_last_lr(&self) -> &[f64] {
        &self.seen.last_lr
    }

    /// What has been seen: `last_epoch`, `num_bad_epochs`, `cooldown_counter`, `best` and `last_lr`;
    /// empty before the first step.
    pub fn state_dict(&self) -> StateDict {
        let Seen { best, num_bad_epochs, cooldown_counter, last_epoch, last_lr } = &self.seen;
        let mut state = StateDict::default();
        if *last_epoch == 0 {
            return state;
        }
        for (name, count) in [LAST_EPOCH, NUM_BAD_EPOCHS, COOLDOWN_COUNTER].into_iter().zip([
            last_epoch,
            num_bad_epochs,
            cooldown_counter,
        ]) {
            state.insert(name, Tensor::from_slice(&[*count as i64], []));
        }
        let best = best.unwrap_or_else(|| self.worst());
        state.insert("best", Tensor::from_slice(&[best], []));
        state.insert("last_lr", Tensor::from_slice(last_lr, [last_lr.len()]));
        state
    }

    /// Restores a state, and sets the optimizer's rates to those of that time.
    ///
    /// # Errors
    /// If a name or a shape does not fit; the error lists all of them, and nothing changes.
    pub fn load_state_dict(
        &mut self,
        state: &StateDict,
        optimizer: &mut dyn Optimizer,
    ) -> Result<()> {
        if state.is_empty() {
            self.seen = Seen::default();
            return Ok(());
        }
        let numbers: [(&str, &[usize]); 2] = [("best", &[]), ("last_lr", &[optimizer.lrs().len()])];
        let loaded = load(state, &[LAST_EPOCH, NUM_BAD_EPOCHS, COOLDOWN_COUNTER], &numbers)?;
        let count = |name| Ok::<u64, Error>(loaded[name].item::<i64>()?.max(0) as u64);
        self.seen = Seen {
            best: Some(loaded["best"].item()?),
            num_bad_epochs: count(NUM_BAD_EPOCHS)?,
            cooldown_counter: count(COOLDOWN_COUNTER)?,
            last_epoch: count(LAST_EPOCH)?,
            last_lr: loaded["last_lr"].to_vec()?,
        };
        optimizer.set_lrs(&self.seen.last_lr);
        Ok(())
    }

    fn check(&self, optimizer: &dyn Optimizer) -> Result<()> {
        let groups = optimizer.lrs().len();
        if self.seen.last_epoch > 0 {
            check_groups(NAME, self.seen.last_lr.len(), optimizer)?;
        }
        if !(self.factor >= 0.0 && self.factor < 1.0) {
            let why = format!("factor is {}; it must be below 1 and not negative", self.factor);
            return Err(usage(NAME, &why));
        }
        check_per_group("min_lrs", &self.min_lrs, groups).map_err(|why| usage(NAME, &why))
    }

    /// What any metric is better than.
    fn worst(&self) -> f64 {
        match self.mode {
            PlateauMode::Min => f64::INFINITY,
            PlateauMode::Max => f64::NEG_INFINITY,
        }
    }

    fn is_better(&self, metric: f64) -> bool {
        let best = self.seen.best.unwrap_or_else(|| self.worst());
        match (self.mode, self.threshold_mode) {
            (PlateauMode::Min, ThresholdMode::Rel) => metric < best * (1.0 - self.threshold),
            (PlateauMode::Min, ThresholdMode::Abs) => metric < best - self.threshold,
            (PlateauMode::Max, ThresholdMode::Rel) => metric > best * (1.0 + self.threshold),
            (PlateauMode::Max, ThresholdMode::Abs) => metric > best + self.threshold,
        }
    }
}

impl Default for ReduceLROnPlateau {
    fn default() -> ReduceLROnPlateau {
        ReduceLROnPlateau::new()
    }
}

const NAME: &str = "ReduceLROnPlateau";
const LAST_EPOCH: &str = "last_epoch";
const NUM_BAD_EPOCHS: &str = "num_bad_epochs";
const COOLDOWN_COUNTER: &str = "cooldown_counter";
