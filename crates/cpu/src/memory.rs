//! What a running plan's kernels see: where values live, scratch memory, counters, slots.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gradus_ir::Scalar;
use gradus_ir::ops::CheckFailure;
use gradus_ir::schedule::{ValueId, View};

use crate::buffer::{ALIGN, Arena};

/// The memory of one run of a plan.
pub(crate) struct Memory<'a> {
    /// The first byte of every value.
    pub values: &'a [Address],
    /// [`Scratch::bytes`] bytes that the kernels of a wave share out among themselves.
    pub scratch: *mut u8,
    /// [`Scratch::counters`] counters, all 0 whenever a wave begins.
    pub counters: &'a [AtomicU32],
    /// The scalars given for this run.
    pub slots: &'a [Scalar],
    /// The first check that failed, in the order of the graph.
    pub failure: &'a Mutex<Option<CheckFailure>>,
}

// SAFETY: the pointers are only addresses; kernels follow them under the contract of `Kernel::run`.
unsafe impl Sync for Memory<'_> {}

/// Where a value starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address(pub *mut u8);

// SAFETY: only an address; see `Memory`.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

impl Memory<'_> {
    /// The first element of a value.
    #[inline(always)]
    pub fn at<T>(&self, value: ValueId) -> *mut T {
        self.values[value.index()].0.cast()
    }

    /// The element at index 0 of a view, if it has elements.
    #[inline(always)]
    pub fn view<T>(&self, view: &View) -> *const T {
        self.at::<T>(view.value).wrapping_add(view.offset)
    }

    /// The place that [`Scratch::reserve`] gave out.
    #[inline(always)]
    pub fn scratch<T>(&self, offset: usize) -> *mut T {
        self.scratch.wrapping_add(offset).cast()
    }

    /// Counts an arrival at a counter and says whether it was the last of `expected`. What the others wrote
    /// before they arrived is then visible, and the counter is 0 again.
    #[inline]
    pub fn is_last(&self, counter: usize, expected: usize) -> bool {
        let counter = &self.counters[counter];
        let last = counter.fetch_add(1, Ordering::AcqRel) as usize + 1 == expected;
        if last {
            counter.store(0, Ordering::Relaxed);
        }
        last
    }

    /// Reports a failed check. The first in the graph wins, and there the first element.
    pub fn fail(&self, failure: CheckFailure) {
        let mut first = lock(self.failure);
        let rank = |f: &CheckFailure| (f.check, f.position);
        if first.as_ref().is_none_or(|f| rank(&failure) < rank(f)) {
            *first = Some(failure);
        }
    }
}

/// Shares out scratch memory and counters among the kernels of a plan, wave by wave.
#[derive(Default)]
pub(crate) struct Scratch {
    wave: (usize, usize),
    /// Bytes needed by the wave that needs most.
    pub bytes: usize,
    /// Counters needed by the wave that needs most.
    pub counters: usize,
}

impl Scratch {
    /// Begins a wave: what the one before used is free again.
    pub fn next_wave(&mut self) {
        self.wave = (0, 0);
    }

    /// A place for `bytes` bytes, aligned to [`ALIGN`].
    pub fn reserve(&mut self, bytes: usize) -> usize {
        let at = self.wave.0;
        self.wave.0 += bytes.next_multiple_of(ALIGN);
        self.bytes = self.bytes.max(self.wave.0);
        at
    }

    /// The first of `n` counters.
    pub fn counters(&mut self, n: usize) -> usize {
        let first = self.wave.1;
        self.wave.1 += n;
        self.counters = self.counters.max(self.wave.1);
        first
    }
}

/// What a run borrows from the process: plans share it, and in the steady state nothing is allocated.
#[derive(Default)]
pub(crate) struct Workspace {
    pub arena: Arena,
    pub values: Vec<Address>,
    pub counters: Vec<AtomicU32>,
}

static IDLE: Mutex<Vec<Workspace>> = Mutex::new(Vec::new());

impl Workspace {
    /// One that is not in use. All its counters are 0.
    pub fn take() -> Workspace {
        lock(&IDLE).pop().unwrap_or_default()
    }

    /// Gives it back. A run that panics drops it instead: its counters may be anything.
    pub fn give_back(self) {
        lock(&IDLE).push(self);
    }
}

thread_local! {
    static STRIPS: RefCell<Arena> = const { RefCell::new(Arena::new()) };
}

/// Calls `f` with `bytes` bytes of this thread's own scratch memory, aligned to [`ALIGN`]. Not to be nested.
#[inline(always)]
pub(crate) fn with_strips(bytes: usize, f: impl FnOnce(*mut u8)) {
    STRIPS.with_borrow_mut(|arena| f(arena.ensure(bytes)));
}

/// Locks; a panic elsewhere leaves nothing here half done, so poison means nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
