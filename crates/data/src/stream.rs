//! Samples that come one after the other and cannot be had by number.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use gradus_tensor::{Error, ErrorKind, Result, mark_step};

use crate::Collate;

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
    /// One sample.
    type Item: Collate;

    /// The samples of an epoch, counted from 0. Called twice with the same number it should return
    /// the same ones.
    ///
    /// # Errors
    /// If there is nothing to read.
    fn stream(&self, epoch: u64) -> Result<Box<dyn Iterator<Item = Result<Self::Item>> + Send>>;

    /// What error messages call it: by default, the name of its type.
    fn name(&self) -> String {
        std::any::type_name::<Self>().to_string()
    }
}

type Batch<S> = <<S as Stream>::Item as Collate>::Batch;

/// Delivers the samples of a stream in batches, in their order.
pub struct StreamLoader<S> {
    stream: Arc<S>,
    batch_size: usize,
    drop_last: bool,
    prefetch: usize,
}

impl<S: Stream + 'static> StreamLoader<S> {
    /// A loader that delivers single samples.
    pub fn new(stream: S) -> StreamLoader<S> {
        StreamLoader { stream: Arc::new(stream), batch_size: 1, drop_last: false, prefetch: 0 }
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

    /// How many batches a thread of its own assembles ahead; with 0, the default, the loop's thread
    /// does all the work.
    pub fn prefetch(mut self, batches: usize) -> StreamLoader<S> {
        self.prefetch = batches;
        self
    }

    /// The batches of an epoch. After an error that names the sample, the stream has ended.
    pub fn epoch(&self, epoch: u64) -> StreamBatches<S> {
        let name = self.stream.name();
        let (stream, size, drop_last) = (Arc::clone(&self.stream), self.batch_size, self.drop_last);
        let mut assembly =
            Assembly { name, stream, epoch, samples: None, read: 0, size, drop_last, over: false };
        if self.prefetch == 0 {
            return StreamBatches { ready: None, assembly: Some(assembly), worker: None };
        }
        let (sender, ready) = sync_channel(self.prefetch);
        let worker = thread::Builder::new().name("stream-loader".to_owned()).spawn({
            move || {
                while let Some(batch) = assembly.next() {
                    // Nobody listens any more: the loop was left.
                    if sender.send(batch).is_err() {
                        return;
                    }
                }
            }
        });
        match worker {
            Ok(worker) => {
                StreamBatches { ready: Some(ready), assembly: None, worker: Some(worker) }
            }
            // Then without a thread: slower, not wrong.
            Err(_) => {
                StreamLoader { prefetch: 0, stream: Arc::clone(&self.stream), ..*self }.epoch(epoch)
            }
        }
    }
}

/// The batches of one epoch of a stream.
pub struct StreamBatches<S: Stream> {
    ready: Option<Receiver<Result<Batch<S>>>>,
    assembly: Option<Assembly<S>>,
    worker: Option<JoinHandle<()>>,
}

impl<S: Stream> Iterator for StreamBatches<S> {
    type Item = Result<Batch<S>>;

    fn next(&mut self) -> Option<Result<Batch<S>>> {
        mark_step();
        match (&self.ready, &mut self.assembly) {
            (Some(ready), _) => ready.recv().ok(),
            (None, assembly) => assembly.as_mut()?.next(),
        }
    }
}

impl<S: Stream> Drop for StreamBatches<S> {
    fn drop(&mut self) {
        // The worker's next batch finds nobody.
        self.ready = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

type Samples<S> = Box<dyn Iterator<Item = Result<<S as Stream>::Item>> + Send>;

struct Assembly<S: Stream> {
    name: String,
    stream: Arc<S>,
    epoch: u64,
    /// None before the first batch.
    samples: Option<Samples<S>>,
    read: usize,
    size: usize,
    drop_last: bool,
    over: bool,
}

impl<S: Stream> Assembly<S> {
    fn next(&mut self) -> Option<Result<Batch<S>>> {
        if self.over {
            return None;
        }
        let batch = catch_unwind(AssertUnwindSafe(|| self.assemble())).unwrap_or_else(|_| {
            Some(Err(Error::new(ErrorKind::Data, "panicked; its message is above")))
        });
        self.over |= !matches!(batch, Some(Ok(_)));
        batch.map(|batch| {
            batch.map_err(|e| e.context(format_args!("{}: sample {}", self.name, self.read)))
        })
    }

    fn assemble(&mut self) -> Option<Result<Batch<S>>> {
        let samples = match &mut self.samples {
            Some(samples) => samples,
            none => match self.stream.stream(self.epoch) {
                Ok(samples) => none.insert(samples),
                Err(error) => return Some(Err(error)),
            },
        };
        let first = self.read;
        let mut batch = Vec::new();
        while batch.len() < self.size {
            match samples.next() {
                Some(Ok(sample)) => batch.push(sample),
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
            self.read += 1;
        }
        self.over = batch.len() < self.size;
        if batch.is_empty() || (self.over && self.drop_last) {
            return None;
        }
        let indices: Vec<usize> = (first..self.read).collect();
        Some(S::Item::collate(batch, &indices))
    }
}
