//! The loader: which samples make which batch, and the threads that assemble batches ahead of the
//! training loop.
//!
//! Batches are numbered. Whoever is free claims the next number and assembles that batch: a worker,
//! or the training loop itself as long as the batch it needs is not there, which without workers is
//! every time. No more than `prefetch` batches are claimed ahead of the training loop. Batches are
//! handed over by number, so neither the count of workers nor their timing shows in what it
//! receives.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use gradus_tensor::{Error, ErrorKind, Result, mark_step};

use crate::order::Order;
use crate::{Collate, Dataset};

/// What a loader over `D` delivers: a tuple of tensors where the sample is a tuple.
pub type Batch<D> = <<D as Dataset>::Item as Collate>::Batch;

/// Draws samples from a dataset and delivers them in batches.
///
/// Each `for batch in &loader` is one epoch, counted from 0: a loader that shuffles visits the
/// samples in another order each time, and the `n`-th time in the same order in every run, on every
/// platform and for any number of workers.
///
/// | option | default | |
/// |---|---|---|
/// | [`batch_size`](DataLoader::batch_size) | 1 | samples per batch |
/// | [`shuffle`](DataLoader::shuffle) | in order | the seed of the shuffles |
/// | [`drop_last`](DataLoader::drop_last) | `false` | leave out a last batch that is not full |
/// | [`workers`](DataLoader::workers) | 0 | threads that assemble batches |
/// | [`prefetch`](DataLoader::prefetch) | 2 per worker | batches assembled ahead |
///
/// A sample that cannot be had, or whose `get` panics, makes an error of its batch that names the
/// dataset and the sample; the batches after it still come.
///
/// ```
/// use gradus_data::{DataLoader, Split, datasets};
///
/// let digits = datasets::digits(Split::Train);
/// let loader = DataLoader::new(digits).batch_size(64).shuffle(0).workers(2);
/// assert_eq!(loader.len(), 23);
/// for batch in &loader {
///     let (images, labels) = batch?;
///     assert_eq!(images.shape()[1..], [1, 8, 8]);
///     assert_eq!(labels.shape()[0], images.shape()[0]);
/// }
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub struct DataLoader<D> {
    dataset: Arc<D>,
    batch_size: usize,
    shuffle: Option<u64>,
    drop_last: bool,
    workers: usize,
    prefetch: Option<usize>,
    epoch: AtomicU64,
}

impl<D: Dataset + 'static> DataLoader<D> {
    /// A loader that delivers single samples in order. Pass an `Arc` to share a dataset between
    /// loaders.
    pub fn new(dataset: D) -> DataLoader<D> {
        DataLoader {
            dataset: Arc::new(dataset),
            batch_size: 1,
            shuffle: None,
            drop_last: false,
            workers: 0,
            prefetch: None,
            epoch: AtomicU64::new(0),
        }
    }

    /// Samples per batch; the last batch holds what is left. 0 is an error of the first batch.
    pub fn batch_size(mut self, samples: usize) -> DataLoader<D> {
        self.batch_size = samples;
        self
    }

    /// Visits the samples in a random order, another one each epoch, that follows from `seed`.
    pub fn shuffle(mut self, seed: u64) -> DataLoader<D> {
        self.shuffle = Some(seed);
        self
    }

    /// Whether to leave out a last batch that is not full.
    pub fn drop_last(mut self, drop_last: bool) -> DataLoader<D> {
        self.drop_last = drop_last;
        self
    }

    /// Threads that assemble batches while the training loop computes; with 0, the loop's own
    /// thread does.
    pub fn workers(mut self, threads: usize) -> DataLoader<D> {
        self.workers = threads;
        self
    }

    /// How many batches, at least 1, may be finished or in the making ahead of the training loop:
    /// this bounds the memory that they take. It means nothing without workers.
    pub fn prefetch(mut self, batches: usize) -> DataLoader<D> {
        self.prefetch = Some(batches);
        self
    }

    /// The number of batches in an epoch.
    pub fn len(&self) -> usize {
        match (self.dataset.len(), self.batch_size) {
            (_, 0) => 0,
            (samples, size) if self.drop_last => samples / size,
            (samples, size) => samples.div_ceil(size),
        }
    }

    /// Whether an epoch has no batches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The dataset.
    pub fn dataset(&self) -> &D {
        &self.dataset
    }

    /// The epoch that the next `for batch in &loader` will be.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Makes the next `for batch in &loader` the epoch `epoch`: to resume a run, or to repeat an
    /// epoch.
    pub fn set_epoch(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// The samples of batch `number` of `epoch`, as positions in the dataset: to say which they were.
    pub fn samples_of(&self, epoch: u64, number: usize) -> Vec<usize> {
        let samples = self.dataset.len();
        let start = number.saturating_mul(self.batch_size).min(samples);
        let end = start.saturating_add(self.batch_size).min(samples);
        Order::of_epoch(self.shuffle, epoch, samples).samples(start..end)
    }

    /// The batches of `epoch` from number `first` on, whatever the loader has delivered before: to
    /// resume in mid-epoch. What it delivers equals what follows after `first` batches of the whole
    /// epoch.
    pub fn batches_from(&self, epoch: u64, first: usize) -> Batches<D> {
        let samples = self.dataset.len();
        let end = self.len();
        let first = first.min(end);
        let shared = Arc::new(Shared {
            dataset: Arc::clone(&self.dataset),
            name: self.dataset.name(),
            samples,
            order: Order::of_epoch(self.shuffle, epoch, samples),
            batch_size: self.batch_size,
            end,
            prefetch: self.prefetch.unwrap_or(self.workers.saturating_mul(2)).max(1),
            progress: Mutex::new(Progress { claimed: first, next: first, ready: HashMap::new() }),
            room: Condvar::new(),
            arrival: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let mut batches = Batches { shared, workers: Vec::new(), failure: None };
        if self.batch_size == 0 {
            batches.failure = Some(Error::new(
                ErrorKind::Usage,
                "DataLoader: the batch size is 0; set `batch_size` to 1 or more".to_string(),
            ));
        }
        for worker in 0..self.workers.min(end - first) {
            let shared = Arc::clone(&batches.shared);
            let thread = thread::Builder::new().name(format!("loader-{worker}"));
            match thread.spawn(move || shared.work()) {
                Ok(handle) => batches.workers.push(handle),
                Err(error) => {
                    batches.failure = Some(Error::new(
                        ErrorKind::Io,
                        format!(
                            "DataLoader: cannot start worker {} of {}: {error}; ask for fewer \
                             `workers`",
                            worker + 1,
                            self.workers
                        ),
                    ));
                    break;
                }
            }
        }
        batches
    }
}

impl<D: Dataset + 'static> IntoIterator for &DataLoader<D> {
    type Item = Result<Batch<D>>;
    type IntoIter = Batches<D>;

    /// The batches of the next epoch.
    fn into_iter(self) -> Batches<D> {
        self.batches_from(self.epoch.fetch_add(1, Ordering::Relaxed), 0)
    }
}

/// The batches of one epoch, in order. Dropping it stops its workers, each after the sample it is
/// at.
pub struct Batches<D: Dataset> {
    shared: Arc<Shared<D>>,
    workers: Vec<JoinHandle<()>>,
    /// What kept the loader from starting; reported before the first batch.
    failure: Option<Error>,
}

impl<D: Dataset> Iterator for Batches<D> {
    type Item = Result<Batch<D>>;

    fn next(&mut self) -> Option<Self::Item> {
        // The work on the batch before is complete; a loop that only counts must not pile it up.
        mark_step();
        match self.failure.take() {
            Some(error) => Some(Err(error)),
            None => self.shared.next(),
        }
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
    /// The dataset's name and length, asked once: its code runs in `build` and nowhere else.
    name: String,
    samples: usize,
    order: Order,
    batch_size: usize,
    /// The number of batches.
    end: usize,
    prefetch: usize,
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
    ready: HashMap<usize, Result<B>>,
}

type Guard<'a, D> = MutexGuard<'a, Progress<Batch<D>>>;

impl<D: Dataset> Shared<D> {
    /// The training loop's side: the next batch, or `None` at the end.
    fn next(&self) -> Option<Result<Batch<D>>> {
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
                return Some(batch);
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
        if number == self.end || number - progress.next >= self.prefetch {
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
    ///
    /// A panic in the dataset's code is an error like any other: a worker that died of it would
    /// leave the training loop waiting for ever.
    fn assemble(&self, number: usize) -> Option<Result<Batch<D>>> {
        let start = number * self.batch_size;
        let end = (start + self.batch_size).min(self.samples);
        let indices = self.order.samples(start..end);
        let mut sample = None;
        let batch = catch_unwind(AssertUnwindSafe(|| self.build(&indices, &mut sample)))
            .unwrap_or_else(|panic| {
                let text = format!("panicked: {}", message(&*panic));
                Some(Err(Error::new(ErrorKind::Data, text)))
            });
        batch.map(|batch| {
            batch.map_err(|error| {
                let place = sample.map_or(format!("batch {number}"), |i| format!("sample {i}"));
                error.context(format_args!("{}: {place}", self.name))
            })
        })
    }

    /// The batch of the samples `indices`, keeping in `sample` which one it is at.
    fn build(&self, indices: &[usize], sample: &mut Option<usize>) -> Option<Result<Batch<D>>> {
        let mut samples = Vec::with_capacity(indices.len());
        for &index in indices {
            if self.stopped.load(Ordering::Relaxed) {
                return None;
            }
            *sample = Some(index);
            match self.dataset.get(index) {
                Ok(item) => samples.push(item),
                Err(error) => return Some(Err(error)),
            }
        }
        *sample = None;
        Some(D::Item::collate(samples, indices))
    }

    fn lock(&self) -> Guard<'_, D> {
        self.progress.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "no code of the dataset's runs under the loader's lock";

fn message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no message",
    }
}
