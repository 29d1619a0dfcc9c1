//! What is done about a loss or a gradient that is not finite.
//!
//! The step that met it has failed as a whole: parameters, optimizer and buffers are as they were.
//! So the batch can be computed once more, value by value, to find out where it went wrong first, and
//! kept for others to do so.

use gradus_nn::StateDict;
use gradus_tensor::{
    Error, ErrorKind, Parameter, Result, RngState, Tensor, as_one_plan, no_grad, set_rng_state,
    with_samples,
};

use super::dump::{Dump, DumpedStep, DumpedUpdate, Dumps};
use super::probe::probe;
use super::{Accumulator, Cost, Objective, Trainer};
use crate::Build;

/// What the checks call what they look at.
const LOSS: &str = "loss";
const GRADIENT: &str = "gradient";

/// The loss, which fails the step if it is not finite.
pub(super) fn checked_loss(loss: &Tensor) -> Tensor {
    loss.checked_finite(LOSS)
}

/// Fails the step if a gradient is not finite; `norm` is that of all of them, if it is known.
pub(super) fn check_gradients(parameters: &[Parameter], norm: Option<&Tensor>) {
    as_one_plan(|| {
        no_grad(|| {
            // A check is an effect: it needs nobody to hold what it passes on.
            let check = |x: &Tensor| drop(x.checked_finite(GRADIENT));
            match norm {
                Some(norm) => check(norm),
                None => parameters.iter().filter_map(Parameter::grad).for_each(|grad| check(&grad)),
            }
        });
    });
}

/// A batch whose step may fail, and what it takes to compute it again.
pub(super) struct Attempt<'a, O: Objective> {
    pub objective: &'a O,
    pub batch: &'a O::Batch,
    /// The random generator before the step.
    pub random: RngState,
    /// Where gradients are accumulated, the samples of the step before the batch.
    pub first_sample: Option<usize>,
    /// The batches of the step before it, and their gradients: see [`Dump::gradients`].
    pub accumulated: Accumulator,
    pub gradients: StateDict,
    /// Steps of the optimizer before it.
    pub steps_before: u64,
    /// The epoch and the batch in it, both counted from 1, and the batches of the epoch.
    pub place: (u64, usize, usize),
    /// Which samples they are, and what each is known by.
    pub samples: &'a dyn Fn() -> Vec<usize>,
    pub name: &'a dyn Fn(usize) -> String,
}

impl<O: Objective> Attempt<'_, O> {
    /// The error of the step: what was not finite first, the samples of the batch, and where the
    /// step is kept.
    pub fn explain(&self, error: Error, trainer: &Trainer<'_>) -> Error {
        let (epoch, batch, batches) = self.place;
        let error = match self.is_not_finite(&error) {
            true => self.explain_not_finite(&error, trainer),
            false => error,
        };
        error.context(format_args!("epoch {epoch}, batch {batch} of {batches}"))
    }

    fn is_not_finite(&self, error: &Error) -> bool {
        let starts = |what: &str| error.message().starts_with(&format!("{what} "));
        error.kind() == ErrorKind::Value && (starts(LOSS) || starts(GRADIENT))
    }

    fn explain_not_finite(&self, error: &Error, trainer: &Trainer<'_>) -> Error {
        let samples = (self.samples)();
        // First, as a look at the step might fail too.
        let dumps = trainer.dumps.as_ref();
        let kept = dumps.and_then(|dumps| self.keep(error, &samples, dumps, trainer));
        let mut lines = vec![error.message().to_owned(), self.first_bad()];
        // As the data know them: a position in what is left after a split is in nobody's files.
        let names = samples.iter().map(|&sample| {
            let name = (self.name)(sample);
            name.strip_prefix("sample ").map(str::to_owned).unwrap_or(name)
        });
        lines.push(format!("samples of the batch: {}", listed(names)));
        lines.extend(self.bad_samples(&samples));
        lines.push(
            "no parameter was changed; training diverged, try a lower learning rate or clip the \
             gradients, and look at these samples"
                .to_owned(),
        );
        lines.extend(kept);
        Error::new(ErrorKind::Value, lines.join("\n  "))
    }

    /// What is not finite first.
    fn first_bad(&self) -> String {
        set_rng_state(self.random);
        let looked = probe(self.objective.module(), || self.cost().loss);
        match looked.as_ref().map(|probe| probe.first_not_finite()) {
            Ok(Some(first)) => format!("first not finite: {first}"),
            Ok(None) => "computed once more, every value is finite: the sum of the squares of the \
                         gradients overflows"
                .to_owned(),
            Err(error) => format!("computed once more, it fails otherwise: {}", error.message()),
        }
    }

    fn cost(&self) -> Cost {
        let cost = || self.objective.cost(self.batch);
        match self.first_sample {
            Some(first) => with_samples(first, self.objective.samples(self.batch), cost),
            None => cost(),
        }
    }

    /// The samples that are not finite themselves.
    fn bad_samples(&self, samples: &[usize]) -> Option<String> {
        let mut bad: Vec<usize> = Vec::new();
        for (_, tensor) in self.objective.tensors(self.batch) {
            if tensor.is_all_finite() || tensor.shape().first() != Some(&samples.len()) {
                continue;
            }
            let of_batch = (0..samples.len()).filter(|&i| !tensor.narrow(0, i, 1).is_all_finite());
            bad.extend(of_batch.map(|i| samples[i]));
        }
        bad.sort_unstable();
        bad.dedup();
        (!bad.is_empty()).then(|| {
            let names = bad.iter().map(|&sample| (self.name)(sample));
            format!("not finite themselves: {}", listed(names))
        })
    }

    /// Keeps the step, and says where, or why not.
    fn keep(
        &self,
        error: &Error,
        samples: &[usize],
        dumps: &Dumps,
        trainer: &Trainer<'_>,
    ) -> Option<String> {
        let (epoch, batch, batches) = self.place;
        let (optimizer, options) = (&trainer.optimizer, &trainer.options);
        let accumulated = self.accumulated.clone();
        let tensors = self.objective.tensors(self.batch);
        if tensors.is_empty() {
            return None;
        }
        let save = || -> Result<String> {
            let dump = Dump {
                model: self.objective.module().state_dict(),
                batch: tensors.into_iter().map(|(n, t)| (n.to_owned(), t)).collect(),
                optimizer: optimizer.state_dict(),
                gradients: self.gradients.clone(),
                step: DumpedStep {
                    version: DumpedStep::VERSION,
                    steps_before: self.steps_before,
                    epoch,
                    batch,
                    samples: samples.to_vec(),
                    first_sample: self.first_sample,
                    random: (self.random.seed, self.random.stream),
                    error: error.message().to_owned(),
                    build: Build::current(),
                    update: Some(DumpedUpdate {
                        lrs: optimizer.lrs(),
                        momentums: optimizer.momentums(),
                        clip_value: options.clip_value,
                        clip_norm: options.clip_norm,
                        ends_step: accumulated.batches() + 1 >= options.accumulate
                            || batch == batches,
                        accumulated,
                    }),
                },
                files: dumps.files.clone(),
            };
            let path = dump.save(&dumps.folder)?;
            Ok(format!(
                "the step is kept: gradus replay {} computes it again, layer by layer",
                path.display()
            ))
        };
        Some(save().unwrap_or_else(|error| format!("the step is not kept: {}", error.message())))
    }
}

/// The first of a list, and how many more there are.
fn listed(samples: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 64;
    let more = match samples.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown: Vec<String> = samples.take(SHOWN).collect();
    format!("{}{more}", shown.join(", "))
}
