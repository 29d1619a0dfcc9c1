//! What training will take in memory, from the plans that it will run.

use std::fmt;

use gradus_data::Dataset;
use gradus_nn::{Layer, Module, Sequential};
use gradus_tensor::{Result, Tensor, Variable, no_grad};

use super::subject::Sampled;
use super::{Finding, Subject};
use crate::Input;
use crate::config::AnyLoss;
use crate::evaluate::BATCH_SIZE;
use crate::resident::{available_memory, peak_resident_memory, resident_memory};

/// What a run holds at its peak, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// The most that was held so far, while the data were read.
    pub reading: usize,
    /// The program and the data, which it holds already.
    pub held: usize,
    /// Parameters and buffers.
    pub weights: usize,
    /// Their gradients, and other results of a step.
    pub gradients: usize,
    /// What the optimizer remembers.
    pub optimizer: usize,
    /// Activations, and scratch memory of kernels: what lives only within a step, or an evaluation. In the first
    /// step, the weights as they were before it.
    pub workspace: usize,
    /// Batches of inputs and targets.
    pub batches: usize,
    /// The moving average of the weights and the best ones, if they are kept, the state as it is copied for a
    /// checkpoint, and as it is before and after an update that is not made in place.
    pub copies: usize,
    /// Plans, stacks and code.
    pub fixed: usize,
}

/// Plans, the stacks of threads, and the code that training touches: measured, by `tests/memory.rs`.
const FIXED: usize = 6 << 20;

/// Memory of so many bytes or more goes back to the system as soon as it is freed, for which the `gradus` command
/// [asks](gradus_tensor::give_back_freed).
pub const GIVEN_BACK: usize = 4 << 20;

impl MemoryUse {
    /// What the process holds before there is a model.
    pub(super) fn before(subject: &Subject<'_>) -> MemoryUse {
        let unread = subject.train.data.unread_bytes() + subject.test.data.unread_bytes();
        MemoryUse {
            reading: peak_resident_memory().unwrap_or_default(),
            held: resident_memory().unwrap_or_default() + unread,
            ..MemoryUse::default()
        }
    }

    /// Records a step of a whole batch, and an evaluation, and looks at their plans without running them.
    pub(super) fn predict(
        self,
        subject: &Subject<'_>,
        model: &Sequential,
        criterion: &AnyLoss,
        optimizer: usize,
    ) -> Result<MemoryUse> {
        let task = &subject.train.data.spec().task;
        let state = model.state_dict();
        let weights: usize = state.iter().map(|(_, t)| t.numel() * t.dtype().size()).sum();

        model.parameters().iter().for_each(|p| p.zero_grad());
        // The statistics of batch normalisation, which a step writes: this one is never run.
        let statistics: Vec<(Variable, Tensor)> =
            model.buffers().into_iter().map(|buffer| (buffer.clone(), buffer.get())).collect();
        model.train(true);
        let samples = subject.train.data.samples().len();
        let (inputs, targets) = subject.train.batch(subject.config.batch_size.min(samples))?;
        let train_batches = Batches::of(subject, &subject.train, samples, &inputs, &targets);
        let (outputs, targets) = task.align(model.forward(&inputs), targets);
        let loss = criterion(&outputs, &targets);
        drop(outputs);
        loss.backward();
        let step = loss.cost()?;
        model.parameters().iter().for_each(|p| p.zero_grad());
        statistics.iter().for_each(|(buffer, value)| buffer.set(value));
        drop(loss);

        let training = &subject.config.training;
        let averages = if training.ema.is_some() { weights } else { 0 };
        let best = if training.restore_best { weights } else { 0 };
        // The best weights are others than the last only once there have been several looks.
        let looks_again = subject.config.epochs > 1 || training.validate_steps.is_some();
        let kept = averages + if looks_again { best } else { 0 };
        // Gradients that are added up are kept from batch to batch, and those that are looked at before the update
        // are not overwritten, nor is then what they update.
        let accumulate = training.accumulate.get();
        let looked_at = accumulate > 1 && training.guard;
        let added_up = usize::from(looked_at || accumulate > 2);
        let updated = if looked_at { weights + optimizer } else { 0 };
        let training_file = optimizer + averages + best;
        let checkpoint = weights + training_file;
        let in_steps = MemoryUse {
            weights,
            gradients: (1 + added_up) * step.outputs,
            optimizer,
            // The average begins with the weights as they were before the first step.
            workspace: step.arena + if training.ema.is_some() { 0 } else { weights },
            batches: train_batches.bytes(),
            copies: kept + updated + checkpoint,
            fixed: FIXED,
            ..self
        };
        // While the model is validated, a checkpoint may be on its way to the disk; when it is tested, all are there,
        // and only what the allocator keeps of them is left. What is not freed by then is kept for the next step.
        let lingering =
            [weights, training_file].into_iter().filter(|file| *file < GIVEN_BACK).sum();
        let held_out = subject.train.data.held_out(training.validation.0);
        let tested = subject.test.data.samples().len();
        let looks = [(&subject.train, held_out, checkpoint), (&subject.test, tested, lingering)];
        let mut peak = in_steps;
        for (part, samples, copies) in looks {
            if samples == 0 || part.samples.is_empty() {
                continue;
            }
            model.eval();
            let (inputs, targets) = part.batch(BATCH_SIZE.min(samples))?;
            let batches = Batches::of(subject, part, samples, &inputs, &targets);
            let (outputs, targets) = task.align(no_grad(|| model.forward(&inputs)), targets);
            // Its metrics look at the outputs too.
            let outputs_bytes = bytes(&[&outputs]);
            let loss = no_grad(|| criterion(&outputs, &targets));
            drop(outputs);
            let in_evaluation = MemoryUse {
                workspace: in_steps.workspace.max(loss.cost()?.arena) + outputs_bytes,
                batches: train_batches.and(batches).bytes(),
                copies: kept + updated + copies,
                ..in_steps
            };
            if in_evaluation.more() > peak.more() {
                peak = in_evaluation;
            }
        }
        Ok(peak)
    }

    /// The most at any time.
    pub fn total(&self) -> usize {
        self.reading.max(self.held + self.more())
    }

    /// What training adds to the program and the data.
    pub fn more(&self) -> usize {
        let MemoryUse { weights, gradients, optimizer, workspace, batches, copies, fixed, .. } =
            self;
        weights + gradients + optimizer + workspace + batches + copies + fixed
    }
}

/// The batches of a loader.
#[derive(Clone, Copy, Default)]
struct Batches {
    /// Bytes of one, and how many there are at a time.
    size: usize,
    count: usize,
    /// Bytes of the samples that are being put together.
    samples: usize,
}

impl Batches {
    /// Of so many samples of a part.
    fn of(
        subject: &Subject<'_>,
        part: &Sampled<'_>,
        samples: usize,
        inputs: &Tensor,
        targets: &Tensor,
    ) -> Batches {
        let size = bytes(&[inputs, targets]);
        // Two are ahead for each worker, if there are so many. Images become numbers when they are put together.
        let all = samples.div_ceil(inputs.shape()[0].max(1));
        let images = matches!(part.data.spec().input, Input::Image { .. });
        let assembled = if images { size / size_of::<f32>() } else { size };
        Batches {
            size,
            count: (1 + 2 * subject.workers).min(all),
            samples: subject.workers.clamp(1, all.max(1)) * assembled,
        }
    }

    /// Those of two loaders, one after the other: memory is used again for batches of the same size.
    fn and(self, other: Batches) -> Batches {
        let samples = self.samples.max(other.samples);
        if self.size == other.size {
            return Batches { count: self.count.max(other.count), samples, ..self };
        }
        let size = self.size * self.count + other.size * other.count;
        Batches { size, count: 1, samples }
    }

    fn bytes(self) -> usize {
        self.size * self.count + self.samples
    }
}

fn bytes(tensors: &[&Tensor]) -> usize {
    tensors.iter().map(|t| t.numel() * t.dtype().size()).sum()
}

/// `peak memory of training: 24.1 MB (program and data 12.0, weights 1.2, gradients 1.2, …)`.
impl fmt::Display for MemoryUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: usize| format!("{:.1}", bytes as f64 / 1e6);
        write!(
            f,
            "peak memory of training: {} MB{} (program and data {}, weights {}, gradients {}, optimizer {}, \
             activations {}, batches {}, copies {}, the rest {})",
            megabytes(self.total()),
            if self.reading > self.held + self.more() { ", as the data are read" } else { "" },
            megabytes(self.held),
            megabytes(self.weights),
            megabytes(self.gradients),
            megabytes(self.optimizer),
            megabytes(self.workspace),
            megabytes(self.batches),
            megabytes(self.copies),
            megabytes(self.fixed),
        )
    }
}

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(memory), Some(available)) = (subject.memory, available_memory()) else {
        return Vec::new();
    };
    exceeds(&memory, available, subject.config.batch_size).into_iter().collect()
}

/// What is found where less memory is available than training takes.
fn exceeds(memory: &MemoryUse, available: usize, batch_size: usize) -> Option<Finding> {
    let gigabytes = |bytes: usize| format!("{:.1} GB", bytes as f64 / 1e9);
    let more = memory.more();
    let batch = memory.workspace + memory.batches;
    let room = available.saturating_sub(more - batch);
    let smaller = (batch_size as f64 * room as f64 / batch.max(1) as f64) as usize;
    let remedy = match smaller {
        0 => "use a smaller model, or a machine with more memory".to_owned(),
        n => format!("set `batch_size` to {n} or less"),
    };
    (more > available).then(|| {
        let what = format!(
            "training takes about {} more, but the machine has {} left",
            gigabytes(more),
            gigabytes(available)
        );
        Finding::warning("[train]", what, remedy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_asks_for_smaller_batches() {
        let gb = 1_000_000_000;
        let memory = MemoryUse { weights: gb, workspace: 8 * gb, ..MemoryUse::default() };
        assert_eq!(exceeds(&memory, 16 * gb, 64), None);
        let found = |available| exceeds(&memory, available, 64).unwrap().to_string();
        assert_eq!(
            found(5 * gb),
            "warning: [train]: training takes about 9.0 GB more, but the machine has 5.0 GB left; set \
             `batch_size` to 32 or less"
        );
        assert!(found(gb / 2).ends_with("use a smaller model, or a machine with more memory"));
    }
}
