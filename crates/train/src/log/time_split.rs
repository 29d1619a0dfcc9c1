//! Where the time of a run went: waiting for data, recording, forward, backward, update.
//!
//! The loop sees how long each step waits and how long its plan runs. Forward, backward and update
//! are one plan: their shares of it are taken from a profile of a few steps now and then, which
//! times kernels and changes nothing. Steps whose plans had to be compiled are left out.

use gradus_tensor::{Phase, Profile, ProfileReport, plan_stats, profile};
use serde::{Deserialize, Serialize};

use super::StepSeconds;

/// Steps that are profiled together, and steps from one such look to the next.
const PROFILED: usize = 4;
const EVERY: usize = 500;
/// The first steps fill caches, and compile the plans.
const WARM_UP: usize = 2;

/// The parts of the time of steps, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeSplit {
    /// How many steps these are: those since the run began or went on, but for those whose plans
    /// were compiled.
    pub steps: u64,
    /// Waiting for the loader.
    pub data: f64,
    /// Recording the passes, and everything else that the loop does.
    pub record: f64,
    /// Computing the forward pass.
    pub forward: f64,
    /// Computing the gradients.
    pub backward: f64,
    /// Computing the update.
    pub update: f64,
}

impl TimeSplit {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.parts().map(|(_, seconds)| seconds).iter().sum()
    }

    /// What the parts are called, and their seconds, in order.
    pub fn parts(&self) -> [(&'static str, f64); 5] {
        let TimeSplit { data, record, forward, backward, update, .. } = *self;
        [
            ("data", data),
            ("recording", record),
            ("forward", forward),
            ("backward", backward),
            ("update", update),
        ]
    }
}

/// `time: 5% data, 3% recording, 29% forward, 44% backward, 19% update`.
impl std::fmt::Display for TimeSplit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let total = self.total().max(f64::MIN_POSITIVE);
        let shares = self.parts().map(|(part, s)| format!("{:.0}% {part}", 100.0 * s / total));
        write!(f, "time: {}", shares.join(", "))
    }
}

/// Adds up the times of steps, and profiles some of them.
#[derive(Default)]
pub(crate) struct Stopwatch {
    steps: u64,
    sum: StepSeconds,
    compiled: u64,
    /// The steps since the last profile began.
    since: Option<usize>,
    running: Option<(Profile, usize)>,
    found: Option<ProfileReport>,
}

impl Stopwatch {
    /// So many steps of an epoch follow each other without a break.
    pub fn follow(&mut self, steps: usize) {
        let due = self.since.is_none_or(|since| since >= EVERY) && self.seen() >= WARM_UP;
        if due && steps > 0 && self.running.is_none() {
            self.running = Some((profile(), steps.min(PROFILED)));
            self.since = Some(0);
        }
    }

    /// A step is over.
    pub fn step(&mut self, seconds: &StepSeconds) {
        self.since = self.since.map(|since| since + 1);
        if let Some((profile, left)) = self.running.take() {
            match left - 1 {
                0 => self.found = Some(profile.finish()).filter(|report| report.steps > 0),
                left => self.running = Some((profile, left)),
            }
        }
        let before = std::mem::replace(&mut self.compiled, plan_stats().compiled);
        if self.compiled == before {
            self.steps += 1;
            self.sum.data += seconds.data;
            self.sum.record += seconds.record;
            self.sum.compute += seconds.compute;
        }
    }

    /// Something else than steps comes now.
    pub fn pause(&mut self) {
        if self.running.take().is_some() {
            self.since = None;
        }
        // Its plans are none of the steps'.
        self.compiled = plan_stats().compiled;
    }

    fn seen(&self) -> usize {
        usize::try_from(self.steps).unwrap_or(usize::MAX)
    }

    /// Where the time went, and what to do about it; nothing if there were too few steps to tell.
    /// `name` is what a reader calls the layer at a path.
    pub fn verdict(self, name: impl Fn(&str) -> String) -> Option<(TimeSplit, String)> {
        let (mut report, sum) = (self.found?, self.sum);
        let phases = Phase::ALL.map(|phase| report.phase(phase).as_secs_f64());
        let all: f64 = phases.iter().sum();
        let [forward, backward, update] =
            phases.map(|s| sum.compute * s / all.max(f64::MIN_POSITIVE));
        let split = TimeSplit {
            steps: self.steps,
            data: sum.data,
            record: sum.record,
            forward,
            backward,
            update,
        };
        // The kernels of a few steps, within the mean of all.
        let mean = |seconds: f64| {
            std::time::Duration::try_from_secs_f64(seconds / self.steps.max(1) as f64)
                .unwrap_or_default()
        };
        let scale = mean(sum.compute).as_secs_f64() / all.max(f64::MIN_POSITIVE);
        for kernel in &mut report.kernels {
            kernel.time = kernel.time.mul_f64(scale);
            kernel.busy = kernel.busy.mul_f64(scale);
            kernel.layer = name(&kernel.layer);
        }
        report.step = mean(sum.total());
        report.waiting = mean(sum.data);
        report.recording = mean(sum.record);
        report.computing = mean(sum.compute);
        Some((split, report.verdict().to_string()))
    }
}
