//! The learning-rate schedules that a configuration may choose.

use std::num::NonZeroUsize;

use super::table::table;

/// The length of a run, and the learning rate that the optimizer starts with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunLength {
    /// The optimizer's own learning rate.
    pub lr: f64,
    /// Epochs of the run.
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
}

/// How far a run has come: epochs that are over, and steps that are over, in all epochs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// Epochs.
    pub epochs: usize,
    /// Steps.
    pub steps: usize,
}

/// A schedule: the learning rate of the next step.
pub type AnySchedule = Box<dyn Fn(Elapsed) -> f64>;

table! {
    /// Every learning-rate schedule known by name. A schedule of another kind is one more row.
    pub const SCHEDULES: fn(run: RunLength) -> AnySchedule;

    /// Multiplies the rate by `gamma` every `step_size` epochs.
    "StepLR" { step_size: NonZeroUsize, gamma: f64 = 0.1 } => {
        let lr = run.lr;
        Ok(Box::new(move |elapsed| lr * gamma.powi((elapsed.epochs / step_size.get()) as i32)))
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    /// The rates that PyTorch's StepLR(optimizer, step_size=2, gamma=0.5) gives from 0.8 on.
    #[test]
    fn steps_are_those_of_pytorch() {
        let text = crate::config::DEFAULT.replace("lr = 0.003", "lr = 0.8")
            + "[schedule]\ntype = \"StepLR\"\nstep_size = 2\ngamma = 0.5\n";
        let mut config = Config::parse(&text, "test").unwrap();
        let model = gradus_nn::Linear::new(2, 1);
        let optimizer = config.optimizer(&model).unwrap();
        let schedule = config.schedule(&*optimizer, 10).unwrap().unwrap();
        let rate = |epochs| schedule(Elapsed { epochs, steps: 10 * epochs });
        assert_eq!([0, 1, 2, 3, 4].map(rate), [0.8, 0.8, 0.4, 0.4, 0.2]);
    }
}
