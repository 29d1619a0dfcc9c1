//! Where the loops over a loader are, and what they leave behind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::loader::Position;

/// What the loops over a loader leave behind.
#[derive(Default)]
pub(crate) struct Cursor {
    /// Where the current loop is, and where the next one begins.
    places: Mutex<(Position, Position)>,
    waited: AtomicU64,
    assembling: AtomicU64,
    skipped: Mutex<Vec<String>>,
}

impl Cursor {
    pub(crate) fn position(&self) -> Position {
        lock(&self.places).0
    }

    pub(crate) fn next(&self) -> Position {
        lock(&self.places).1
    }

    pub(crate) fn seek(&self, position: Position) {
        *lock(&self.places) = (position, position);
    }

    /// Where a loop begins; after it comes the whole of the next epoch.
    pub(crate) fn begin(&self) -> Position {
        let mut places = lock(&self.places);
        let start = places.1;
        *places = (start, Position { epoch: start.epoch + 1, batch: 0 });
        start
    }

    /// The current loop has come to a place.
    pub(crate) fn reach(&self, position: Position) {
        lock(&self.places).0 = position;
    }

    pub(crate) fn add_waiting(&self, since: Instant) {
        add(&self.waited, since);
    }

    pub(crate) fn add_assembling(&self, since: Instant) {
        add(&self.assembling, since);
    }

    pub(crate) fn add_skipped(&self, samples: Vec<String>) {
        lock(&self.skipped).extend(samples);
    }

    pub(crate) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Ordering::Relaxed))
    }

    pub(crate) fn assembling(&self) -> Duration {
        Duration::from_nanos(self.assembling.load(Ordering::Relaxed))
    }

    pub(crate) fn skipped(&self) -> Vec<String> {
        lock(&self.skipped).clone()
    }
}

/// What it guards is sound whatever happened to the thread that held it: single assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(total: &AtomicU64, since: Instant) {
    total.fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
}
