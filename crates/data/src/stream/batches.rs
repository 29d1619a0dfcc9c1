//! The batches of an epoch of a stream, assembled by several threads and delivered in order.
//!
//! Samples are taken from the stream by one thread at a time, a batch at once, and the batch gets the
//! next number; then its thread puts it together while others take theirs. The loop is handed the
//! batches by their numbers. So what it sees does not depend on the number of threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use gradus_tensor::{Error, Result, mark_step, waiting_for_data};

use super::{Samples, Stream};
use crate::batches::guarded;
use crate::cursor::Cursor;
use crate::{Collate, Position, StreamBatch};

/// What the batches of an epoch follow from.
pub(super) struct Plan<S> {
    pub(super) stream: Arc<S>,
    pub(super) epoch: u64,
    /// The number of the first batch.
    pub(super) first: usize,
    pub(super) batch_size: usize,
    pub(super) drop_last: bool,
}

/// The batches of one epoch of a stream.
pub struct StreamBatches<S: Stream<Item: Collate>> {
    work: Arc<Work<S>>,
    threads: Vec<JoinHandle<()>>,
    /// The number of the next batch.
    next: usize,
    over: bool,
    /// Told of every batch that is delivered.
    cursor: Option<Arc<Cursor>>,
}

/// What the threads share.
struct Work<S: Stream<Item: Collate>> {
    plan: Plan<S>,
    source: Mutex<Source<S>>,
    desk: Mutex<Desk<StreamBatch<S>>>,
    changed: Condvar,
}

/// The stream, read by one thread at a time.
struct Source<S: Stream> {
    /// None before the first batch.
    samples: Option<Samples<S::Item>>,
    /// The number of the next batch, and of the next sample.
    batch: usize,
    sample: usize,
    over: bool,
}

/// Where finished batches wait.
struct Desk<B> {
    ready: BTreeMap<usize, Result<B>>,
    /// How many more may be begun.
    room: usize,
    /// The number after the last batch, when that is known.
    end: Option<usize>,
    /// Nobody takes batches any more.
    left: bool,
}

/// A batch's samples, or why there are none.
enum Taken<T> {
    Batch(usize, Vec<T>, Vec<usize>),
    Failed(usize, Error),
    /// There is no batch of this number.
    End(usize),
}

impl<S: Stream<Item: Collate> + 'static> StreamBatches<S> {
    pub(super) fn start(
        plan: Plan<S>,
        threads: usize,
        prefetch: usize,
        cursor: Option<Arc<Cursor>>,
    ) -> StreamBatches<S> {
        let first = plan.first;
        let source = Source { samples: None, batch: first, sample: 0, over: false };
        let desk = Desk { ready: BTreeMap::new(), room: prefetch, end: None, left: false };
        let work = Arc::new(Work {
            plan,
            source: Mutex::new(source),
            desk: Mutex::new(desk),
            changed: Condvar::new(),
        });
        let spawn = |_| {
            let work = Arc::clone(&work);
            let thread = thread::Builder::new().name("stream-loader".to_owned());
            // With fewer threads it is slower, not wrong.
            thread.spawn(move || while work.assemble_ahead() {}).ok()
        };
        let threads = (0..threads).filter_map(spawn).collect();
        StreamBatches { work, threads, next: first, over: false, cursor }
    }
}

impl<S: Stream<Item: Collate>> Work<S> {
    /// Assembles a batch when there is room for one; false when there is nothing left to do.
    fn assemble_ahead(&self) -> bool {
        {
            let mut desk = lock(&self.desk);
            while desk.room == 0 && !desk.left {
                desk = self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner);
            }
            if desk.left {
                return false;
            }
            desk.room -= 1;
        }
        let (number, batch) = self.finish(self.take());
        let mut desk = lock(&self.desk);
        let go_on = match batch {
            Some(batch) => {
                let sound = batch.is_ok();
                desk.ready.insert(number, batch);
                sound
            }
            None => {
                desk.end = Some(desk.end.map_or(number, |end| end.min(number)));
                false
            }
        };
        self.changed.notify_all();
        go_on
    }

    /// The samples of the next batch.
    fn take(&self) -> Taken<S::Item> {
        let mut source = lock(&self.source);
        let number = source.batch;
        if source.over {
            return Taken::End(number);
        }
        source.batch += 1;
        let first = number.saturating_mul(self.plan.batch_size);
        match guarded(|| source.take(&self.plan, first)) {
            Err(error) => {
                source.over = true;
                let named = format!("{}: sample {}", self.plan.stream.name(), source.sample);
                Taken::Failed(number, error.context(named))
            }
            Ok(samples) => {
                source.over = samples.len() < self.plan.batch_size;
                if samples.is_empty() || (source.over && self.plan.drop_last) {
                    return Taken::End(number);
                }
                let indices = (first..first + samples.len()).collect();
                Taken::Batch(number, samples, indices)
            }
        }
    }

    /// A batch with its number; none after the last one.
    fn finish(&self, taken: Taken<S::Item>) -> (usize, Option<Result<StreamBatch<S>>>) {
        match taken {
            Taken::End(number) => (number, None),
            Taken::Failed(number, error) => (number, Some(Err(error))),
            Taken::Batch(number, samples, indices) => {
                let batch = guarded(|| S::Item::collate(samples, &indices));
                let named = |e: Error| {
                    e.context(format_args!("{}: batch {number}", self.plan.stream.name()))
                };
                (number, Some(batch.map_err(named)))
            }
        }
    }
}

impl<S: Stream> Source<S> {
    fn take(&mut self, plan: &Plan<S>, first: usize) -> Result<Vec<S::Item>> {
        let samples = match &mut self.samples {
            Some(samples) => samples,
            none => {
                self.sample = first;
                none.insert(plan.stream.stream_from(plan.epoch, first)?)
            }
        };
        let mut batch = Vec::new();
        while batch.len() < plan.batch_size {
            match samples.next() {
                Some(sample) => batch.push(sample?),
                None => break,
            }
            self.sample += 1;
        }
        Ok(batch)
    }
}

impl<S: Stream<Item: Collate>> StreamBatches<S> {
    fn name(&self) -> String {
        self.work.plan.stream.name()
    }

    fn deliver(&self) -> Option<Result<StreamBatch<S>>> {
        if self.threads.is_empty() {
            return self.work.finish(self.work.take()).1;
        }
        let mut desk = lock(&self.work.desk);
        loop {
            if let Some(batch) = desk.ready.remove(&self.next) {
                desk.room += 1;
                self.work.changed.notify_all();
                return Some(batch);
            }
            if desk.end.is_some_and(|end| end <= self.next) {
                return None;
            }
            desk = self.work.changed.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<S: Stream<Item: Collate>> Iterator for StreamBatches<S> {
    type Item = Result<StreamBatch<S>>;

    fn next(&mut self) -> Option<Result<StreamBatch<S>>> {
        mark_step();
        if self.over {
            return None;
        }
        let batch = waiting_for_data(&self.name(), self.threads.len(), || self.deliver());
        self.next += 1;
        // After an error, threads may have gone on; what they have made is not delivered.
        self.over = !matches!(batch, Some(Ok(_)));
        if let Some(cursor) = &self.cursor {
            let epoch = self.work.plan.epoch;
            cursor.reach(match batch {
                Some(_) => Position { epoch, batch: self.next },
                None => Position { epoch: epoch + 1, batch: 0 },
            });
        }
        batch
    }
}

impl<S: Stream<Item: Collate>> Drop for StreamBatches<S> {
    fn drop(&mut self) {
        lock(&self.work.desk).left = true;
        self.work.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What it guards is sound whatever happened to the thread that held it: the user's code is
/// guarded.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
