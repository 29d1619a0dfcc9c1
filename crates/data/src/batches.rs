//! The threads that assemble batches ahead of the training loop.
//!
//! Whoever is free claims the next number and assembles that batch: a worker, or the training loop
//! itself as long as the batch it needs is not there, which without workers is every time. No more
//! than `prefetch` batches are claimed ahead of the training loop. Batches are handed over by
//! number, so neither the count of workers nor their timing shows in what it receives.

use std::any::Any;
use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use gradus_tensor::{Error, ErrorKind, Result, mark_step, waiting_for_data};

use crate::cursor::Cursor;
use crate::loader::{Batch, Position};
use crate::order::{Order, Sampling};
use crate::{Collate, Dataset};

/// What decides the batches of an epoch, and how they are assembled.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) epoch: u64,
    pub(crate) samples: usize,
    pub(crate) batch_size: usize,
    pub(crate) sampling: Sampling,
    pub(crate) drop_last: bool,
    /// Which of how many.
    pub(crate) shard: (usize, usize),
    pub(crate) workers: usize,
    pub(crate) prefetch: usize,
    pub(crate) skip_errors: usize,
}

impl Plan {
    /// The number of batches.
    pub(crate) fn batches(&self) -> usize {
        let together = self.together();
        if together == 0 {
            return 0;
        }
        if self.drop_last {
            return self.samples / together;
        }
        let batches = self.samples.div_ceil(together);
        // The last one may be too small for every rank to get a share.
        batches - usize::from(batches > 0 && self.positions(batches - 1).is_empty())
    }

    /// The samples of batch `number`, as positions in the dataset; none if there is no such batch.
    pub(crate) fn samples_of(&self, number: usize) -> Vec<usize> {
        match number < self.batches() {
            true => {
                self.sampling.of_epoch(self.epoch, self.samples).samples(self.positions(number))
            }
            false => Vec::new(),
        }
    }

    /// The samples that batches of one number have in all ranks.
    fn together(&self) -> usize {
        self.batch_size.saturating_mul(self.shard.1)
    }

    /// Where in the epoch's order the samples of batch `number` are.
    fn positions(&self, number: usize) -> Range<usize> {
        let (rank, ranks) = self.shard;
        let start = number * self.together();
        let count = self.together().min(self.samples - start);
        let share = |rank: usize| start + (count as u128 * rank as u128 / ranks as u128) as usize;
        share(rank)..share(rank + 1)
    }
}

/// The batches of one epoch, in order. Dropping it stops its workers, each after the sample it is
/// at.
pub struct Batches<D: Dataset> {
    shared: Arc<Shared<D>>,
    workers: Vec<JoinHandle<()>>,
    /// What kept the loader from starting; reported before the first batch.
    failure: Option<Error>,
    /// Whether the loader's position goes with it.
    followed: bool,
    /// Samples left out so far.
    skipped: usize,
}

impl<D: Dataset + 'static> Batches<D> {
    /// Starts the workers.
    pub(crate) fn start(
        dataset: &Arc<D>,
        plan: Plan,
        first: usize,
        cursor: Arc<Cursor>,
        failure: Option<Error>,
    ) -> Batches<D> {
        let end = if failure.is_some() { 0 } else { plan.batches() };
        let first = first.min(end);
        let workers = plan.workers.min(end - first);
        let shared = Arc::new(Shared {
            dataset: Arc::clone(dataset),
            name: dataset.name(),
            order: plan.sampling.of_epoch(plan.epoch, plan.samples),
            plan,
            end,
            cursor,
            progress: Mutex::new(Progress { claimed: first, next: first, ready: HashMap::new() }),
            room: Condvar::new(),
            arrival: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let mut batches =
            Batches { shared, workers: Vec::new(), failure, followed: false, skipped: 0 };
        for worker in 0..workers {
            let shared = Arc::clone(&batches.shared);
            let thread = thread::Builder::new().name(format!("loader-{worker}"));
            match thread.spawn(move || shared.work()) {
                Ok(handle) => batches.workers.push(handle),
                Err(error) => {
                    batches.failure = Some(Error::new(
                        ErrorKind::Io,
                        format!(
                            "DataLoader: cannot start worker {} of {workers}: {error}; ask for \
                             fewer `workers`",
                            worker + 1
                        ),
                    ));
                    break;
                }
            }
        }
        batches
    }

    /// The same, taking the loader's position along.
    pub(crate) fn followed(mut self) -> Batches<D> {
        self.followed = true;
        self
    }
}

impl<D: Dataset> Batches<D> {
    /// A batch that has been assembled, unless too much was left out of it.
    fn accept(&mut self, number: usize, assembled: Assembled<Batch<D>>) -> Result<Batch<D>> {
        let Assembled { batch, skipped } = assembled;
        self.skipped += skipped.len();
        let most = self.shared.plan.skip_errors;
        let last = skipped.last().cloned();
        self.shared.cursor.add_skipped(skipped);
        match (batch, last) {
            (batch, Some(last)) if self.skipped > most => {
                drop(batch);
                let message = format!(
                    "{last} (that is one sample more than the {most} that may be left out of an \
                     epoch)"
                );
                Err(Error::new(ErrorKind::Data, message))
            }
            (Some(batch), _) => batch,
            (None, last) => {
                let last = last.unwrap_or_default();
                let message = format!("batch {number} has no good sample; the last: {last}");
                Err(Error::new(ErrorKind::Data, message))
            }
        }
    }
}

impl<D: Dataset> Iterator for Batches<D> {
    type Item = Result<Batch<D>>;

    fn next(&mut self) -> Option<Self::Item> {
        // The work on the batch before is complete; a loop that only counts must not pile it up.
        mark_step();
        if let Some(error) = self.failure.take() {
            return Some(Err(error));
        }
        let start = Instant::now();
        let (data, workers) = (&self.shared.name, self.workers.len());
        let next = waiting_for_data(data, workers, || self.shared.next());
        let cursor = &self.shared.cursor;
        cursor.add_waiting(start);
        let epoch = self.shared.plan.epoch;
        if self.followed {
            let position = match &next {
                Some((number, _)) => Position { epoch, batch: number + 1 },
                None => Position { epoch: epoch + 1, batch: 0 },
            };
            cursor.reach(position);
        }
        next.map(|(number, assembled)| self.accept(number, assembled))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.shared.end - self.shared.lock().next + usize::from(self.failure.is_some());
        (left, Some(left))
    }
}

impl<D: Dataset> ExactSizeIterator for Batches<D> {}

impl<D: Dataset> Drop for Batches<D> {
    fn drop(&mut self) {
        {
            // Under the lock, so that no worker is between its last look at the flag and its wait.
            let _progress = self.shared.lock();
            self.shared.stopped.store(true, Ordering::Relaxed);
        }
        self.shared.room.notify_all();
        for worker in self.workers.drain(..) {
            // It has nothing to report: panics of the dataset's have become errors of their
            // batches.
            let _ = worker.join();
        }
    }
}

/// What the workers and the training loop share.
struct Shared<D: Dataset> {
    dataset: Arc<D>,
    /// The dataset's name, asked once: its code runs in `build` and nowhere else.
    name: String,
    plan: Plan,
    order: Order,
    /// The number of batches.
    end: usize,
    cursor: Arc<Cursor>,
    progress: Mutex<Progress<Batch<D>>>,
    /// Signalled when the training loop takes a batch.
    room: Condvar,
    /// Signalled when the batch that the training loop waits for is ready.
    arrival: Condvar,
    stopped: AtomicBool,
}

struct Progress<B> {
    /// The first batch that nobody assembles yet.
    claimed: usize,
    /// The batch that the training loop takes next.
    next: usize,
    /// Finished batches, by number.
    ready: HashMap<usize, Assembled<B>>,
}

/// A batch and what was left out of it.
struct Assembled<B> {
    /// None if nothing was left.
    batch: Option<Result<B>>,
    skipped: Vec<String>,
}

type Guard<'a, D> = MutexGuard<'a, Progress<Batch<D>>>;

impl<D: Dataset> Shared<D> {
    /// The training loop's side: the next batch, or `None` at the end.
    fn next(&self) -> Option<(usize, Assembled<Batch<D>>)> {
        let mut progress = self.lock();
        let number = progress.next;
        if number == self.end {
            return None;
        }
        loop {
            if let Some(batch) = progress.ready.remove(&number) {
                progress.next += 1;
                drop(progress);
                self.room.notify_one();
                return Some((number, batch));
            }
            progress = self.contribute(progress, &self.arrival)?;
        }
    }

    /// A worker's life.
    fn work(&self) {
        let mut progress = self.lock();
        while progress.claimed < self.end && !self.stopped.load(Ordering::Relaxed) {
            match self.contribute(progress, &self.room) {
                Some(after) => progress = after,
                None => return,
            }
        }
    }

    /// Assembles the first unclaimed batch, or waits for `signal` if none is left or there is no
    /// room for it. `None` if the training loop went away meanwhile.
    fn contribute<'a>(
        &'a self,
        mut progress: Guard<'a, D>,
        signal: &Condvar,
    ) -> Option<Guard<'a, D>> {
        let number = progress.claimed;
        if number == self.end || number - progress.next >= self.plan.prefetch {
            return Some(signal.wait(progress).expect(UNPOISONED));
        }
        progress.claimed += 1;
        drop(progress);
        let batch = self.assemble(number)?;
        let mut progress = self.lock();
        progress.ready.insert(number, batch);
        if progress.next == number {
            self.arrival.notify_one();
        }
        Some(progress)
    }

    /// Batch `number`; `None` if the training loop went away meanwhile.
    fn assemble(&self, number: usize) -> Option<Assembled<Batch<D>>> {
        let start = Instant::now();
        let positions = self.plan.positions(number);
        let epochs = self.order.epochs(self.plan.epoch, positions.clone());
        let mut indices = self.order.samples(positions);
        let mut samples = Vec::with_capacity(indices.len());
        let mut skipped = Vec::new();
        let mut failure = None;
        for (&index, epoch) in indices.iter().zip(epochs) {
            if self.stopped.load(Ordering::Relaxed) {
                return None;
            }
            let error = match guarded(|| self.dataset.visit(index, epoch)) {
                Ok(sample) => {
                    samples.push(Ok(sample));
                    continue;
                }
                Err(error) => self.named(error, index),
            };
            if self.plan.skip_errors == 0 {
                failure = Some(error);
                break;
            }
            samples.push(Err(()));
            skipped.push(error.to_string());
        }
        if !skipped.is_empty() {
            let mut kept = samples.iter().map(Result::is_ok);
            indices.retain(|_| kept.next().unwrap_or(false));
        }
        let samples: Vec<D::Item> = samples.into_iter().flatten().collect();
        let batch = match failure {
            Some(error) => Some(Err(error)),
            None if samples.is_empty() => None,
            None => Some(
                guarded(|| D::Item::collate(samples, &indices))
                    .map_err(|error| error.context(format_args!("{}: batch {number}", self.name))),
            ),
        };
        self.cursor.add_assembling(start);
        Some(Assembled { batch, skipped })
    }

    /// The error of a sample, with its number and what else it is known by, unless the error says so.
    fn named(&self, error: Error, index: usize) -> Error {
        let number = format!("sample {index}");
        let known_as = guarded(|| Ok(self.dataset.describe(index))).unwrap_or_default();
        if known_as.is_empty() || known_as == number || error.message().contains(&known_as) {
            return error.context(format_args!("{}: {number}", self.name));
        }
        error.context(format_args!("{}: {number} ({known_as})", self.name))
    }

    fn lock(&self) -> Guard<'_, D> {
        self.progress.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "no code of the dataset's runs under the loader's lock";

/// The result of the dataset's code. A panic in it is an error like any other: a worker that died of
/// it would leave the training loop waiting for ever.
pub(crate) fn guarded<T>(code: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Data, format!("panicked: {}", message(&*panic))))
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no message",
    }
}
