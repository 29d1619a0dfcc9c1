//! The state of a run between two batches, and how it goes into a checkpoint and comes back.

use std::collections::BTreeMap;

use gradus_nn::{Module, StateDict};
use gradus_tensor::{
    Error, ErrorKind, Parameter, Result, RngState, evaluate, no_grad, rng_state, set_rng_state,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Accumulator, Best, Cost, EpochSummary, Trainer, Validation};
use crate::checkpoint::Checkpoint;
use crate::metrics::{Mean, Score, ScoreValue};

/// Where a run is: all that is neither a tensor nor an option.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Run {
    /// Steps of the optimizer done.
    pub step: u64,
    /// Epochs done, and batches of the one that is running.
    pub epoch: u64,
    pub batch: usize,
    /// Batches since the last step, where gradients are being accumulated.
    pub accumulated: Accumulator,
    /// The random generator: seed and stream.
    pub random: (u64, u64),
    /// How long the run has taken, and the epoch that is running.
    pub seconds: f64,
    pub epoch_seconds: f64,
    /// Samples of the epoch that is running.
    pub epoch_samples: usize,
    /// The metrics of the epoch that is running, but for their tensors: terms counted.
    pub loss_terms: usize,
    pub score_terms: usize,
    /// The last validation of the epoch that is running.
    pub validation: Option<Validation>,
    /// Validations done.
    #[serde(default)]
    pub validations: u64,
    /// The epochs done.
    pub epochs: Vec<EpochSummary>,
    /// The best value so far, and the checkpoint that holds it.
    pub best: Option<(f64, String)>,
    /// The step of the best weights, where they are kept.
    #[serde(default)]
    pub best_step: Option<u64>,
    pub early_stopping: Option<(Option<f64>, usize)>,
    /// Why the run has ended, if it has ended for good.
    pub stopped: Option<String>,
    /// What callbacks remember.
    pub callbacks: BTreeMap<String, Value>,
    /// What the run is a run of.
    pub identity: String,
}

/// The version of `state.json`. Every field that is added later has a default.
const VERSION: u32 = 1;

/// The metrics of the epoch that is running.
pub(super) struct Totals {
    pub loss: Mean,
    pub score: Option<Score>,
}

impl Totals {
    /// Takes in a batch. The sums become part of its step.
    pub fn update(&mut self, cost: &Cost) {
        self.loss.update(&cost.loss, cost.weight);
        if let (Some(score), Some((predictions, targets))) = (&mut self.score, &cost.predictions) {
            score.update(predictions, targets);
        }
    }

    /// The mean loss, and the score if there is one.
    pub fn value(&self) -> Result<(f64, Option<ScoreValue>)> {
        Ok((self.loss.value()?, self.score.as_ref().map(Score::value).transpose()?))
    }
}

/// The checkpoint of a run.
pub(super) fn save(
    trainer: &Trainer<'_>,
    module: &dyn Module,
    run: &mut Run,
    totals: &Totals,
) -> Result<Checkpoint> {
    evaluate()?;
    let RngState { seed, stream } = rng_state();
    run.random = (seed, stream);
    run.loss_terms = totals.loss.samples();
    run.score_terms = totals.score.as_ref().map_or(0, Score::terms);
    run.early_stopping = trainer.early_stopping.as_ref().map(|stopping| stopping.seen());
    run.callbacks = trainer.callbacks.iter().filter_map(|c| c.state()).map(named).collect();

    let mut training = StateDict::default();
    let mut put = |prefix: &str, state: &StateDict| put(&mut training, prefix, state);
    put("optimizer", &trainer.optimizer.state_dict());
    if let Some(schedule) = &trainer.schedule {
        put("schedule", &schedule.state_dict());
    }
    if let Some(ema) = &trainer.ema {
        put("ema", &ema.state_dict());
    }
    run.best_step = trainer.best.as_ref().map(|best| best.step);
    if let Some(best) = &trainer.best {
        put("best", &best.weights);
    }
    put("totals.loss", &totals.loss.state_dict());
    if let Some(score) = &totals.score {
        put("totals.score", &score.state_dict());
    }
    if run.accumulated.batches() > 0 {
        put("grad", &gradients(&trainer.optimizer.parameters()));
    }
    let mut state = serde_json::to_value(&*run).map_err(unreadable)?;
    state["version"] = VERSION.into();
    Ok(Checkpoint { model: module.state_dict(), training, state })
}

/// Puts a run back to where it was.
pub(super) fn restore(
    trainer: &mut Trainer<'_>,
    module: &dyn Module,
    checkpoint: &Checkpoint,
    totals: &mut Totals,
) -> Result<Run> {
    let version = checkpoint.state["version"].as_u64().unwrap_or(0);
    if version != u64::from(VERSION) {
        let message = format!(
            "the state has version {version}, and this gradus reads versions up to {VERSION}; use \
             a newer gradus"
        );
        return Err(Error::new(ErrorKind::Format, message));
    }
    let run: Run = serde_json::from_value(checkpoint.state.clone()).map_err(unreadable)?;
    if !trainer.identity.is_empty() && run.identity != trainer.identity {
        let message = "the checkpoint is of a run with another configuration; resume it with its \
                       own, or begin anew";
        return Err(Error::new(ErrorKind::Usage, message));
    }
    module.load_state_dict(&checkpoint.model)?;
    let of = |prefix: &str| part(&checkpoint.training, prefix);
    trainer.optimizer.load_state_dict(&of("optimizer"))?;
    if let Some(schedule) = &mut trainer.schedule {
        schedule.load_state_dict(&of("schedule"), &mut *trainer.optimizer)?;
    }
    if let Some(ema) = &mut trainer.ema {
        ema.load_state_dict(&of("ema"))?;
    }
    trainer.best = run.best_step.map(|step| Best { step, weights: of("best") });
    totals.loss.load_state_dict(&of("totals.loss"), run.loss_terms)?;
    if let Some(score) = &mut totals.score {
        score.load_state_dict(&of("totals.score"), run.score_terms)?;
    }
    if let (Some(stopping), Some(seen)) = (&mut trainer.early_stopping, run.early_stopping) {
        stopping.restore(seen);
    }
    trainer.optimizer.zero_grad();
    set_grads(&trainer.optimizer.parameters(), &of("grad"))?;
    for callback in &mut trainer.callbacks {
        let saved = callback.state().and_then(|(name, _)| run.callbacks.get(name));
        if let Some(saved) = saved {
            callback.restore(saved)?;
        }
    }
    let (seed, stream) = run.random;
    set_rng_state(RngState { seed, stream });
    Ok(run)
}

/// The gradients of parameters, as far as they have been computed: `0`, `1` …
pub(super) fn gradients(parameters: &[Parameter]) -> StateDict {
    let grads = parameters.iter().enumerate();
    grads.filter_map(|(i, p)| Some((i.to_string(), p.grad()?.detach()))).collect()
}

/// Gives parameters the gradients that they had.
pub(super) fn set_grads(parameters: &[Parameter], saved: &StateDict) -> Result<()> {
    for (i, parameter) in parameters.iter().enumerate() {
        if let Some(grad) = saved.get(&i.to_string()) {
            let grad = no_grad(|| grad.to(parameter.value().device()));
            grad.eval()?;
            parameter.set_grad(grad);
        }
    }
    Ok(())
}

/// Adds the entries of a state, with `prefix.` before their names.
pub(super) fn put(all: &mut StateDict, prefix: &str, state: &StateDict) {
    for (name, tensor) in state {
        all.insert(format!("{prefix}.{name}"), tensor.clone());
    }
}

/// The entries whose names begin with `prefix.`, without it.
pub(super) fn part(state: &StateDict, prefix: &str) -> StateDict {
    let strip = |name: &str| name.strip_prefix(prefix)?.strip_prefix('.').map(str::to_owned);
    state.iter().filter_map(|(name, tensor)| Some((strip(name)?, tensor.clone()))).collect()
}

fn named((name, state): (&'static str, Value)) -> (String, Value) {
    (name.to_owned(), state)
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Format, format!("the state of the run: {error}"))
}
