//! Samples that come one after the other and cannot be had by number.

mod batches;
mod map;

use std::sync::Arc;

use gradus_tensor::Result;

use self::batches::Plan;
pub use self::batches::StreamBatches;
pub use self::map::{StreamMap, ToChange};
use crate::cursor::Cursor;
use crate::{Collate, Position};

/// Samples that come one after the other: lines of a log, records of archives, what a simulation puts
/// out.
///
/// ```
/// use gradus_data::{Stream, StreamLoader};
/// use gradus_tensor::Result;
///
/// /// The Collatz sequence of a number; of the next one in the next epoch.
/// struct Collatz(i64);
///
/// impl Stream for Collatz {
///     type Item = i64;
///
///     fn stream(&self, epoch: u64) -> Result<Box<dyn Iterator<Item = Result<i64>> + Send>> {
///         let next = |n: &i64| Some(if n % 2 == 0 { n / 2 } else { 3 * n + 1 }).filter(|_| *n != 1);
///         Ok(Box::new(std::iter::successors(Some(self.0 + epoch as i64), next).map(Ok)))
///     }
/// }
///
/// let loader = StreamLoader::new(Collatz(6)).batch_size(4).prefetch(2);
/// let batches: Vec<Vec<i64>> =
///     loader.epoch(0).map(|batch| batch?.to_vec()).collect::<Result<_>>()?;
/// assert_eq!(batches, [vec![6, 3, 10, 5], vec![16, 8, 4, 2], vec![1]]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub trait Stream: Send + Sync {
    /// One sample: of a type that [`Collate`] puts into batches, or one that is
    /// [mapped](Stream::map) to such a type.
    type Item: Send;

    /// The samples of an epoch, counted from 0. Called twice with the same number it should return
    /// the same ones.
    ///
    /// # Errors
    /// If there is nothing to read.
    fn stream(&self, epoch: u64) -> Result<Samples<Self::Item>>;

    /// The samples of an epoch after the first `first`, for a run that is resumed. By default these
    /// are read and thrown away; a stream that can jump should do so.
    ///
    /// # Errors
    /// As [`stream`](Stream::stream), or those of the samples before.
    fn stream_from(&self, epoch: u64, first: usize) -> Result<Samples<Self::Item>> {
        let mut samples = self.stream(epoch)?;
        for sample in samples.by_ref().take(first) {
            sample?;
        }
        Ok(samples)
    }

    /// What error messages call it: by default, the name of its type.
    fn name(&self) -> String {
        std::any::type_name::<Self>().to_string()
    }

    /// Each sample changed by `change`. The stream itself is read by one thread at a time; this is
    /// done by all [workers](StreamLoader::workers), so that it is the place to decode.
    ///
    /// ```
    /// use gradus_data::{Stream, StreamLoader};
    /// # use gradus_tensor::Result;
    /// # struct Lines;
    /// # impl Stream for Lines {
    /// #     type Item = Vec<f32>;
    /// #     fn stream(&self, _: u64) -> Result<Box<dyn Iterator<Item = Result<Vec<f32>>> + Send>> {
    /// #         Ok(Box::new((0..5).map(|i| Ok(vec![i as f32]))))
    /// #     }
    /// # }
    ///
    /// let loader = StreamLoader::new(Lines.map(|line| Ok((line[0] as i64, line)))).batch_size(5);
    /// let (numbers, lines) = loader.workers(2).epoch(0).next().unwrap()?;
    /// assert_eq!(numbers.to_vec::<i64>()?, [0, 1, 2, 3, 4]);
    /// assert_eq!(lines.shape()[..], [5, 1]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    fn map<U, F>(self, change: F) -> StreamMap<Self, F>
    where
        Self: Sized,
        U: Collate,
        F: Fn(Self::Item) -> Result<U> + Send + Sync,
    {
        StreamMap::new(self, change)
    }
}

/// The samples of an epoch, or errors.
pub type Samples<T> = Box<dyn Iterator<Item = Result<T>> + Send>;

/// What a loader over a stream delivers.
pub type StreamBatch<S> = <<S as Stream>::Item as Collate>::Batch;

/// Delivers the samples of a stream in batches, in their order.
///
/// What a stream puts out is up to it: one that knows its rank among several processes puts out its
/// share, and one that meets a bad record and can go on leaves it out.
///
/// Each `for batch in &loader` is one epoch, counted from 0; the batches are the same for any number
/// of workers. After an error, which names the sample or the batch, the epoch has ended.
///
/// As with [`DataLoader`](crate::DataLoader), [`position`](StreamLoader::position) says where a run
/// is and [`seek`](StreamLoader::seek) goes on there; how fast it gets there is up to the
/// [stream](Stream::stream_from).
pub struct StreamLoader<S> {
    stream: Arc<S>,
    batch_size: usize,
    drop_last: bool,
    workers: usize,
    prefetch: Option<usize>,
    cursor: Arc<Cursor>,
}

impl<S: Stream<Item: Collate> + 'static> StreamLoader<S> {
    /// A loader that delivers single samples.
    pub fn new(stream: S) -> StreamLoader<S> {
        StreamLoader {
            stream: Arc::new(stream),
            batch_size: 1,
            drop_last: false,
            workers: 0,
            prefetch: None,
            cursor: Arc::default(),
        }
    }

    /// Samples per batch, at least 1; the last batch holds what is left.
    pub fn batch_size(mut self, samples: usize) -> StreamLoader<S> {
        self.batch_size = samples.max(1);
        self
    }

    /// Whether to leave out a last batch that is not full.
    pub fn drop_last(mut self, drop_last: bool) -> StreamLoader<S> {
        self.drop_last = drop_last;
        self
    }

    /// Threads that read the stream, one at a time, and put batches together, all at once; with 0, the
    /// default, the loop's thread does all the work.
    pub fn workers(mut self, threads: usize) -> StreamLoader<S> {
        self.workers = threads;
        self
    }

    /// How many batches, at least 1, may be finished or in the making ahead of the loop: by default,
    /// two for each worker. Without workers, one thread is started for it.
    pub fn prefetch(mut self, batches: usize) -> StreamLoader<S> {
        self.prefetch = Some(batches.max(1));
        self
    }

    /// The batches of an epoch.
    pub fn epoch(&self, epoch: u64) -> StreamBatches<S> {
        self.batches_from(epoch, 0)
    }

    /// The batches of an epoch from number `first` on: what follows after `first` batches of the whole
    /// epoch. The loader's own [position](StreamLoader::position) stays.
    pub fn batches_from(&self, epoch: u64, first: usize) -> StreamBatches<S> {
        self.start(Position { epoch, batch: first }, None)
    }

    /// Where `for batch in &loader` is: the batch after the one that it delivered last. When it has
    /// found that there are no more, this is the beginning of the next epoch.
    pub fn position(&self) -> Position {
        self.cursor.position()
    }

    /// Makes the next `for batch in &loader` begin at a [position](StreamLoader::position). It goes to
    /// the end of that epoch; the one after it is whole.
    pub fn seek(&self, epoch: u64, batch: usize) {
        self.cursor.seek(Position { epoch, batch });
    }

    fn start(&self, at: Position, cursor: Option<Arc<Cursor>>) -> StreamBatches<S> {
        let plan = Plan {
            stream: Arc::clone(&self.stream),
            epoch: at.epoch,
            first: at.batch,
            batch_size: self.batch_size,
            drop_last: self.drop_last,
        };
        let threads = self.workers.max(self.prefetch.map_or(0, |_| 1));
        let prefetch = self.prefetch.unwrap_or(threads.saturating_mul(2));
        StreamBatches::start(plan, threads, prefetch, cursor)
    }
}

impl<S: Stream<Item: Collate> + 'static> IntoIterator for &StreamLoader<S> {
    type Item = Result<StreamBatch<S>>;
    type IntoIter = StreamBatches<S>;

    /// The batches of the next epoch.
    fn into_iter(self) -> StreamBatches<S> {
        let at = self.cursor.begin();
        self.start(at, Some(Arc::clone(&self.cursor)))
    }
}
