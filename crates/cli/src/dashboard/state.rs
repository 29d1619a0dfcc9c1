//! What the dashboard knows of a run. It learns it from the events that the logs of the run are
//! made of too, and changes with nothing else but the time.

use gradus::Result;
use gradus::train::log::{EpochEnd, EvaluationEnd, History, RunStart, StepEnd};
use gradus::train::{Config, Pace};

use super::curve::Curve;

/// What is shown.
pub struct State {
    /// Seconds since the dashboard began.
    pub now: f64,
    pub phase: Phase,
    pub run: RunStart,
    /// When training ends, if nothing ends it before: steps in all, and seconds.
    pub steps: u64,
    pub time: f64,
    pub pace: Pace,
    pub last: Option<StepEnd>,
    pub loss: Curve,
    pub rate: Curve,
    pub norm: Curve,
    pub speed: Curve,
    pub epochs: Vec<EpochEnd>,
    pub test: Option<EvaluationEnd>,
    pub checkpoint: Checkpoint,
    pub warning: Option<String>,
}

/// What the run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Training,
    /// It was asked to stop: the step is finished and a checkpoint written.
    Stopping,
    /// Training is over.
    Testing,
}

/// What has become of the last checkpoint, and when in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Checkpoint {
    None,
    Writing,
    Saved { name: String, at: f64 },
    Failed { at: f64 },
}

impl State {
    /// A run that begins now, or goes on: then what its log holds is shown too.
    pub fn new(config: &Config, run: &RunStart) -> State {
        let all = (run.epochs * run.steps_per_epoch) as u64;
        let most = config.training.max_steps.map_or(all, |steps| all.min(steps.get() as u64));
        let mut state = State {
            now: 0.0,
            phase: Phase::Training,
            run: run.clone(),
            steps: most,
            time: config.training.max_minutes.map_or(f64::INFINITY, |minutes| 60.0 * minutes.0),
            pace: Pace::new(0.0, run.steps_done),
            last: None,
            loss: Curve::default(),
            rate: Curve::default(),
            norm: Curve::default(),
            speed: Curve::default(),
            epochs: Vec::new(),
            test: None,
            checkpoint: Checkpoint::None,
            warning: None,
        };
        if run.steps_done > 0 {
            state.warning = state.go_on().err().map(|error| error.message().to_owned());
        }
        state
    }

    fn go_on(&mut self) -> Result<()> {
        let history = History::read(&self.run.folder)?;
        history.steps.iter().for_each(|step| self.draw(step));
        self.epochs = history.epochs;
        Ok(())
    }

    pub fn step_end(&mut self, step: &StepEnd) {
        self.pace.mark(self.now, step.step, step.samples as u64);
        if let Some(speed) = self.pace.samples_per_second() {
            self.speed.push(step.step as f64, speed);
        }
        self.draw(step);
    }

    fn draw(&mut self, step: &StepEnd) {
        let x = step.step as f64;
        self.loss.push(x, step.loss);
        self.rate.push(x, step.lr);
        // It is not measured at every step: the last one stays.
        let norms = match (&step.gradient_norms, &self.last) {
            (None, Some(last)) => last.gradient_norms.clone(),
            (norms, _) => norms.clone(),
        };
        if let Some(norm) = step.gradient_norm() {
            self.norm.push(x, norm);
        }
        self.last = Some(StepEnd { gradient_norms: norms, ..step.clone() });
    }

    pub fn epoch_end(&mut self, epoch: &EpochEnd) {
        self.epochs.push(epoch.clone());
        if epoch.step >= self.steps {
            self.phase = Phase::Testing;
        }
    }

    pub fn evaluation_end(&mut self, end: &EvaluationEnd) {
        self.phase = Phase::Testing;
        self.test = Some(end.clone());
    }

    pub fn checkpoint_begins(&mut self) {
        self.checkpoint = Checkpoint::Writing;
    }

    pub fn checkpoint(&mut self, name: &str) {
        self.checkpoint = Checkpoint::Saved { name: name.to_owned(), at: self.now };
    }

    pub fn warning(&mut self, warning: &str) {
        if self.checkpoint == Checkpoint::Writing {
            self.checkpoint = Checkpoint::Failed { at: self.now };
        }
        self.warning = Some(warning.to_owned());
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.last.as_ref().map_or(self.run.steps_done, |step| step.step)
    }

    /// The epoch that is trained, counted from 1.
    pub fn epoch(&self) -> usize {
        self.last.as_ref().map_or(self.run.epochs_done + 1, |step| step.epoch)
    }

    /// Seconds that are left.
    pub fn left(&self) -> Option<f64> {
        let left = self.pace.left(self.now, self.steps)?;
        Some(left.min((self.time - self.now).max(0.0)))
    }
}
