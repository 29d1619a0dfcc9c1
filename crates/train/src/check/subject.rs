//! What checks look at: samples, and one step tried on a copy of the model.

use std::time::{Duration, Instant};

use gradus_data::{Collate, Dataset, Part};
use gradus_nn::{Layer, Module, Sequential};
use gradus_tensor::{
    Error, ErrorKind, Result, Tensor, evaluate, manual_seed, rng_state, set_rng_state,
};

use super::memory::MemoryUse;
use crate::config::AnyLoss;
use crate::{Config, Data, DataSpec, Input, Summary, Task};

/// At most so many samples are read of each part, for at most so long.
const SAMPLES: (usize, Duration) = (256, Duration::from_millis(200));
/// Floating-point operations of the step that is tried: a fraction of a second. Its batch is smaller than the
/// run's if that takes more.
const OPERATIONS: usize = 8_000_000_000;

/// What the checks of [`CHECKS`](super::CHECKS) look at.
pub struct Subject<'a> {
    /// The configuration; sizes that were inferred are in it as far as the model could be made.
    pub config: Config,
    /// The part to train on.
    pub train: Sampled<'a>,
    /// The part to test.
    pub test: Sampled<'a>,
    /// Threads that will assemble batches.
    pub workers: usize,
    /// The model, layer by layer.
    pub summary: Option<Summary>,
    /// A first step.
    pub trial: Option<Trial>,
    /// What training will take.
    pub memory: Option<MemoryUse>,
}

/// Some samples of a part of the data.
pub struct Sampled<'a> {
    /// All of them.
    pub data: &'a Data,
    /// How many were read.
    pub read: usize,
    /// Those that could be read, with their numbers.
    pub samples: Vec<(usize, (Part, Part))>,
    /// The errors of the others.
    pub unreadable: Vec<(usize, Error)>,
}

/// A first step, on a batch of samples.
pub struct Trial {
    /// How many samples it has.
    pub batch_size: usize,
    /// The model's outputs, one row for each prediction, and what they should be.
    pub outputs: Tensor,
    /// One for each prediction.
    pub targets: Tensor,
    /// The loss.
    pub loss: f64,
    /// The parameters by name, and their gradients.
    pub gradients: Vec<(String, Option<Tensor>)>,
    /// Bytes that the optimizer remembers.
    pub optimizer_bytes: usize,
}

impl<'a> Subject<'a> {
    /// Reads samples and tries a step. Also returns what went wrong with the model or the step.
    pub(super) fn new(
        config: &Config,
        train: &'a Data,
        test: &'a Data,
        workers: usize,
    ) -> Result<(Subject<'a>, Option<Error>)> {
        evaluate()?;
        let random = rng_state();
        let mut subject = Subject {
            config: config.clone(),
            train: Sampled::new(train),
            test: Sampled::new(test),
            workers,
            summary: None,
            trial: None,
            memory: None,
        };
        manual_seed(config.seed);
        let outcome = subject.try_step();
        // What was recorded and not wanted, such as the writes of a step that failed, goes here.
        let settled = evaluate();
        set_rng_state(random);
        Ok((subject, outcome.err().or(settled.err())))
    }

    /// The loss of a model that gives every class the same probability.
    pub fn chance(&self) -> Option<f64> {
        let name = self.config.loss.as_ref().map_or("", |loss| loss.name());
        let classes = match &self.train.data.spec().task {
            Task::Classification { classes } => classes.len(),
            Task::Language { vocabulary } => vocabulary.chars().count(),
            Task::Regression { .. } => return None,
        };
        matches!(name, "CrossEntropyLoss" | "NLLLoss").then(|| (classes as f64).ln())
    }

    /// The name of the last layer, and where it is written.
    pub fn last_layer(&self) -> Option<(&'static str, String)> {
        self.config.layers.last().map(|layer| (layer.name(), layer.line()))
    }

    /// Where the loss is written, or the data that it follows from.
    pub fn loss_line(&self) -> String {
        self.config.loss.as_ref().unwrap_or(&self.config.data).line()
    }

    fn try_step(&mut self) -> Result<()> {
        let before = MemoryUse::before(self);
        let spec = self.train.data.spec().clone();
        let model = self.config.model(&spec)?;
        let summary = Summary::new(&model, &spec)?;
        let criterion = self.config.criterion(&spec)?;
        let flops: usize = summary.layers.iter().map(|layer| layer.flops).sum();
        self.summary = Some(summary);
        self.try_test_size(&spec)?;
        if self.train.samples.is_empty() {
            return Ok(());
        }
        // Backward takes twice what forward does. Statistics of a batch need two samples.
        let affordable = (OPERATIONS / (3 * flops).max(1)).max(2);
        let size = self.config.batch_size.min(self.train.samples.len()).min(affordable);
        let trial = self.step(&model, &criterion, size)?;
        self.memory = Some(before.predict(self, &model, &criterion, trial.optimizer_bytes)?);
        self.trial = Some(trial);
        self.try_last_batch(&model, &criterion)
    }

    /// Tries a single sample, if one is left for the last batch of an epoch: it has no statistics.
    fn try_last_batch(&self, model: &Sequential, criterion: &AnyLoss) -> Result<()> {
        let all = self.train.data.samples().len();
        let left = all - self.train.data.held_out(self.config.training.validation.0);
        let size = self.config.batch_size;
        if self.config.drop_last || left % size != 1 {
            return Ok(());
        }
        model.train(true);
        let (inputs, targets) = self.train.batch(1)?;
        let (outputs, targets) = self.train.data.spec().task.align(model.forward(&inputs), targets);
        let Some(error) = criterion(&outputs, &targets).error() else { return Ok(()) };
        let message = format!(
            "[train]: batches of {size} leave one of {left} samples for the last batch; set `drop_last = true`, or \
             another `batch_size` ({})",
            error.message()
        );
        Err(Error::new(ErrorKind::Usage, message))
    }

    /// Tries the model on images as large as those it is tested on, which may be others.
    fn try_test_size(&mut self, trained: &DataSpec) -> Result<()> {
        let tested = self.test.data.spec();
        let [size, other] = [trained, tested].map(|spec| spec.input.shape());
        let (Input::Image { height, width, .. }, true) = (&trained.input, size != other) else {
            return Ok(());
        };
        // The sizes that were inferred are those of its layers by now.
        self.config.clone().model(tested).map(drop).map_err(|misfit| {
            let message = format!(
                "{}: images are tested on as {other:?}, but the model is for {size:?}, as they are \
                 trained on; give `test_transforms` that end in this size, such as {{ type = \
                 \"CenterCrop\", size = [{height}, {width}] }} ({})",
                self.config.data.line(),
                misfit.message()
            );
            Error::new(ErrorKind::Usage, message)
        })
    }

    fn step(&mut self, model: &Sequential, criterion: &AnyLoss, size: usize) -> Result<Trial> {
        let task = &self.train.data.spec().task;
        let (inputs, targets) = self.train.batch(size)?;
        model.train(true);
        let mut optimizer = self.config.optimizer(model)?;
        let (outputs, targets) = task.align(model.forward(&inputs), targets);
        let loss = criterion(&outputs, &targets);
        loss.backward();
        // Before the step, which uses them up.
        let parameters = model.named_parameters().into_iter();
        let gradients = parameters.map(|(name, p)| (name, p.grad())).collect();
        optimizer.step()?;
        let state = optimizer.state_dict();
        Ok(Trial {
            batch_size: size,
            gradients,
            loss: loss.item::<f64>()?,
            outputs: outputs.detach(),
            targets,
            optimizer_bytes: state.iter().map(|(_, t)| t.numel() * t.dtype().size()).sum(),
        })
    }
}

impl<'a> Sampled<'a> {
    fn new(data: &'a Data) -> Sampled<'a> {
        let mut sampled = Sampled { data, read: 0, samples: Vec::new(), unreadable: Vec::new() };
        let start = Instant::now();
        for index in spread(data.samples().len(), SAMPLES.0) {
            if start.elapsed() > SAMPLES.1 && sampled.samples.len() >= 8 {
                break;
            }
            sampled.read += 1;
            match data.samples().get(index) {
                Ok(sample) => sampled.samples.push((index, sample)),
                Err(error) => sampled.unreadable.push((index, error)),
            }
        }
        sampled
    }

    /// A batch of so many samples; they repeat if there are fewer.
    pub(super) fn batch(&self, size: usize) -> Result<(Tensor, Tensor)> {
        let (numbers, samples): (Vec<usize>, Vec<(Part, Part)>) =
            self.samples.iter().cycle().take(size).cloned().unzip();
        Collate::collate(samples, &numbers)
    }
}

/// Numbers below `len`, each at most once, of which any beginning is spread evenly: after each comes the one that
/// is a golden section of the whole further on.
fn spread(len: usize, at_most: usize) -> impl Iterator<Item = usize> {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let mut step = ((len as f64 * GOLDEN) as usize).max(1);
    while gcd(step, len) > 1 {
        step += 1;
    }
    (0..len.min(at_most)).map(move |i| (i as u128 * step as u128 % len as u128) as usize)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_and_differ() {
        for len in [0, 1, 2, 3, 10, 97, 1000] {
            let mut all: Vec<usize> = spread(len, usize::MAX).collect();
            all.sort_unstable();
            assert_eq!(all, (0..len).collect::<Vec<_>>());
        }
        // Any tenth has one of every fifth of the whole.
        let first: Vec<usize> = spread(1000, 100).map(|i| i / 200).collect();
        for part in first.chunks(10) {
            assert!((0..5).all(|fifth| part.contains(&fifth)), "{part:?}");
        }
    }
}
