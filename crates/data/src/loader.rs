//! The loader: which samples make which batch, and where in the data a run is.
//!
//! Batches are numbered, and what is in one follows from its number alone. How they are assembled
//! ahead of the training loop is the business of [`Batches`].

use std::sync::Arc;
use std::time::Duration;

use gradus_tensor::{Error, ErrorKind, Result};

use crate::batches::Plan;
use crate::cursor::Cursor;
use crate::order::Sampling;
use crate::{Batches, Collate, Dataset};

/// What a loader over `D` delivers: a tuple of tensors where the sample is a tuple.
pub type Batch<D> = <<D as Dataset>::Item as Collate>::Batch;

/// A place in the data: the next batch is number `batch` of epoch `epoch`, both counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// How many epochs are complete.
    pub epoch: u64,
    /// How many batches of this one have been delivered.
    pub batch: usize,
}

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
/// | [`weighted`](DataLoader::weighted), [`balanced`](DataLoader::balanced) | | draws with replacement instead |
/// | [`drop_last`](DataLoader::drop_last) | `false` | leave out a last batch that is not full |
/// | [`shard`](DataLoader::shard) | all | the share of one of several processes |
/// | [`workers`](DataLoader::workers) | 0 | threads that assemble batches |
/// | [`prefetch`](DataLoader::prefetch) | 2 per worker | batches assembled ahead |
/// | [`skip_errors`](DataLoader::skip_errors) | 0 | bad samples that may be left out |
///
/// A sample that cannot be had, or whose `get` panics, makes an error of its batch that names the
/// dataset and the sample; the batches after it still come.
///
/// # Resuming
///
/// [`position`](DataLoader::position) says where a run is, and [`seek`](DataLoader::seek) makes the
/// next `for batch in &loader` begin there: it delivers, to the bit, what the interrupted epoch
/// would have.
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
///     if loader.position().batch == 20 {
///         break;
///     }
/// }
/// let position = loader.position();
/// loader.seek(position.epoch, position.batch);
/// assert_eq!(loader.into_iter().count(), 3);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub struct DataLoader<D> {
    dataset: Arc<D>,
    batch_size: usize,
    sampling: Sampling,
    drop_last: bool,
    /// Which of how many.
    shard: (usize, usize),
    workers: usize,
    prefetch: Option<usize>,
    skip_errors: usize,
    /// An option that makes no sense; reported as the first batch.
    misuse: Option<String>,
    cursor: Arc<Cursor>,
}

impl<D: Dataset + 'static> DataLoader<D> {
    /// A loader that delivers single samples in order. Pass an `Arc` to share a dataset between
    /// loaders.
    pub fn new(dataset: D) -> DataLoader<D> {
        DataLoader {
            dataset: Arc::new(dataset),
            batch_size: 1,
            sampling: Sampling::Sequential,
            drop_last: false,
            shard: (0, 1),
            workers: 0,
            prefetch: None,
            skip_errors: 0,
            misuse: None,
            cursor: Arc::default(),
        }
    }

    /// Samples per batch; the last batch holds what is left. 0 is an error of the first batch.
    pub fn batch_size(mut self, samples: usize) -> DataLoader<D> {
        self.batch_size = samples;
        self
    }

    /// Visits the samples in a random order, another one each epoch, that follows from `seed`.
    pub fn shuffle(mut self, seed: u64) -> DataLoader<D> {
        self.sampling = Sampling::Shuffled(seed);
        self
    }

    /// Draws as many samples per epoch as there are, with replacement, each in proportion to its
    /// weight: PyTorch's `WeightedRandomSampler`. Another draw each epoch, which follows from
    /// `seed`. As many weights as samples, 0 or more, not all 0; otherwise, the first batch is an
    /// error.
    pub fn weighted(mut self, seed: u64, weights: &[f64]) -> DataLoader<D> {
        let count = (weights.len() != self.dataset.len()).then(|| {
            format!(
                "there are {} weights, but {} samples; give one for each",
                weights.len(),
                self.dataset.len()
            )
        });
        match count.map_or_else(|| Sampling::weighted(seed, weights), Err) {
            Ok(sampling) => self.sampling = sampling,
            Err(why) => self.misuse = Some(why),
        }
        self
    }

    /// As [`weighted`](DataLoader::weighted), so that every class comes up equally often; `labels`
    /// are the classes of the samples.
    pub fn balanced(self, seed: u64, labels: &[i64]) -> DataLoader<D> {
        let mut counts = std::collections::HashMap::<i64, f64>::new();
        for label in labels {
            *counts.entry(*label).or_default() += 1.0;
        }
        let weights: Vec<f64> = labels.iter().map(|label| 1.0 / counts[label]).collect();
        self.weighted(seed, &weights)
    }

    /// Whether to leave out a last batch that is not full.
    pub fn drop_last(mut self, drop_last: bool) -> DataLoader<D> {
        self.drop_last = drop_last;
        self
    }

    /// Delivers the share of process `rank` of `ranks`, which all use the same seed: every sample of
    /// an epoch goes to exactly one of them. Together, batches of the same number are the batch of
    /// `ranks · batch_size` samples that one process would have had. The last one is shared out
    /// evenly; where it has fewer samples than there are ranks, some have one batch less, unless it
    /// is [left out](DataLoader::drop_last).
    pub fn shard(mut self, rank: usize, ranks: usize) -> DataLoader<D> {
        if rank >= ranks {
            let why =
                format!("rank {rank} of {ranks}: ranks count from 0 to one below their number");
            self.misuse = Some(why);
        } else {
            self.shard = (rank, ranks);
        }
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

    /// How many samples of an epoch may be left out because they cannot be had: their batches are
    /// then smaller, and [`skipped`](DataLoader::skipped) says why. One more is an error, and so is
    /// a batch without a good sample. An epoch that is [resumed](DataLoader::seek) counts from there.
    pub fn skip_errors(mut self, most: usize) -> DataLoader<D> {
        self.skip_errors = most;
        self
    }

    /// The number of batches in an epoch.
    pub fn len(&self) -> usize {
        self.plan(0).batches()
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
        self.cursor.next().epoch
    }

    /// Makes the next `for batch in &loader` the epoch `epoch`: to resume a run, or to repeat an
    /// epoch.
    pub fn set_epoch(&self, epoch: u64) {
        self.seek(epoch, 0);
    }

    /// Where `for batch in &loader` is: the batch after the one that it delivered last. When it has
    /// found that there are no more, this is the beginning of the next epoch.
    pub fn position(&self) -> Position {
        self.cursor.position()
    }

    /// Makes the next `for batch in &loader` begin at a [position](DataLoader::position). It goes to
    /// the end of that epoch; the one after it is whole.
    pub fn seek(&self, epoch: u64, batch: usize) {
        self.cursor.seek(Position { epoch, batch });
    }

    /// How long loops over this loader have waited for batches, altogether; without workers, they
    /// assemble them meanwhile.
    pub fn waited(&self) -> Duration {
        self.cursor.waited()
    }

    /// How long threads have assembled batches, altogether: where it approaches
    /// [`workers`](DataLoader::workers) times the time that has passed, the data are the bottleneck.
    pub fn assembling(&self) -> Duration {
        self.cursor.assembling()
    }

    /// What was wrong with the samples that have been [left out](DataLoader::skip_errors), each with
    /// its name.
    pub fn skipped(&self) -> Vec<String> {
        self.cursor.skipped()
    }

    /// The samples of batch `number` of `epoch`, as positions in the dataset: to say which they were.
    pub fn samples_of(&self, epoch: u64, number: usize) -> Vec<usize> {
        self.plan(epoch).samples_of(number)
    }

    /// The batches of `epoch` from number `first` on, whatever the loader has delivered before. What
    /// it delivers equals what follows after `first` batches of the whole epoch. The loader's own
    /// [position](DataLoader::position) stays.
    pub fn batches_from(&self, epoch: u64, first: usize) -> Batches<D> {
        let failure = match (&self.misuse, self.batch_size) {
            (Some(why), _) => Some(why.clone()),
            (None, 0) => Some("the batch size is 0; set `batch_size` to 1 or more".to_owned()),
            _ => None,
        };
        let failure = failure.map(|why| Error::new(ErrorKind::Usage, format!("DataLoader: {why}")));
        Batches::start(&self.dataset, self.plan(epoch), first, Arc::clone(&self.cursor), failure)
    }

    fn plan(&self, epoch: u64) -> Plan {
        Plan {
            epoch,
            samples: self.dataset.len(),
            batch_size: self.batch_size,
            sampling: self.sampling.clone(),
            drop_last: self.drop_last,
            shard: self.shard,
            workers: self.workers,
            prefetch: self.prefetch.unwrap_or(self.workers.saturating_mul(2)).max(1),
            skip_errors: self.skip_errors,
        }
    }
}

impl<D: Dataset + 'static> IntoIterator for &DataLoader<D> {
    type Item = Result<Batch<D>>;
    type IntoIter = Batches<D>;

    /// The batches of the next epoch.
    fn into_iter(self) -> Batches<D> {
        let Position { epoch, batch } = self.cursor.begin();
        self.batches_from(epoch, batch).followed()
    }
}
