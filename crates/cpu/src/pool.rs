//! A small fork–join pool with a latency below a microsecond.
//!
//! A training step lasts 0.3–5 ms and launches 10–100 kernels, so what a launch costs is what matters. The
//! workers therefore spin for a moment after each launch, expecting the next one, and park only when none
//! comes. A launch writes one pointer and one word per thread, and allocates nothing.
//!
//! Invariants:
//! * Every thread owns a *contiguous* range of the tasks, and starts on it: task `i` of a kernel meets the
//!   thread, and the cache, that task `i` of the kernel before it met. Who is done early steals from the far
//!   end of another's range.
//! * Nobody waits for a worker that has not claimed a task. A launch ends when its tasks have, so a worker
//!   that wakes late costs nothing.
//! * A claim is what makes the job visible. The launch cannot end while a claimed task is unfinished, so a
//!   worker looks at the job only between its claim and its report.
//!
//! Which thread runs a task is not deterministic. What a task computes must depend on its index only.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long an idle worker spins before it parks. Longer than the gaps inside a step, shorter than anything
/// a user would call idle.
const SPIN: Duration = Duration::from_micros(50);

/// The pool that every kernel of the process runs on.
pub fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool::new(thread::available_parallelism().map_or(1, |n| n.get())))
}

/// Sets the number of threads of the process-wide pool, the calling one included; 0 counts as 1. It takes
/// effect with the next launch. By default there are as many as the machine runs at once.
pub fn set_num_threads(threads: usize) {
    pool().set_num_threads(threads);
}

/// The number of threads of the process-wide pool, the calling one included.
pub fn num_threads() -> usize {
    pool().num_threads()
}

/// What it costs now to fork to every thread of the process-wide pool and to join them: the median over
/// launches whose tasks do nothing but meet.
pub fn fork_join_latency() -> Duration {
    const LAUNCHES: usize = 2001;
    let threads = num_threads();
    let mut times: Vec<Duration> = (0..LAUNCHES)
        .map(|_| {
            let arrived = AtomicUsize::new(0);
            let start = Instant::now();
            pool().run(threads, &|_| {
                arrived.fetch_add(1, Ordering::Relaxed);
                // Each waits for all, so that each needs a thread of its own; bounded, because where
                // launches run inline (inside a task) there is only one.
                let mut patience = 10_000;
                while arrived.load(Ordering::Relaxed) < threads && patience > 0 {
                    std::hint::spin_loop();
                    patience -= 1;
                }
            });
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[LAUNCHES / 2]
}

thread_local! {
    /// Whether this thread is inside a launch: a nested launch runs inline.
    static IN_LAUNCH: Cell<bool> = const { Cell::new(false) };
}

/// A fork–join pool. Kernels use the process-wide one, [`pool`].
pub struct Pool {
    threads: AtomicUsize,
    /// The workers; holding the lock is holding the right to launch.
    team: Mutex<Team>,
}

impl Pool {
    /// A pool of `threads` threads: the caller of [`Pool::run`], and workers for the rest, which start with
    /// the first launch that needs them.
    pub fn new(threads: usize) -> Pool {
        Pool { threads: AtomicUsize::new(threads.max(1)), team: Mutex::new(Team::start(1)) }
    }

    /// The number of threads, the calling one included.
    pub fn num_threads(&self) -> usize {
        self.threads.load(Ordering::Relaxed)
    }

    /// Sets the number of threads from the next launch on; 0 counts as 1.
    pub fn set_num_threads(&self, threads: usize) {
        self.threads.store(threads.max(1), Ordering::Relaxed);
    }

    /// Calls `task(0)`, …, `task(tasks - 1)`, each once, on the calling thread and the workers, and returns
    /// when all have returned.
    ///
    /// A single task, or a launch from inside another, runs on the calling thread alone. Launches from
    /// several threads take turns.
    ///
    /// # Panics
    /// If a task does: tasks not yet begun are skipped, and the first panic continues here when those that
    /// run have stopped. The pool remains usable.
    pub fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let threads = self.num_threads();
        if tasks <= 1 || threads == 1 || IN_LAUNCH.get() {
            (0..tasks).for_each(task);
            return;
        }
        let mut team = lock(&self.team);
        if team.slots() != threads {
            *team = Team::start(threads);
        }
        let panic = team.launch(tasks, task);
        drop(team);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

/// The workers of a pool and what they share with the caller.
struct Team {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Team {
    fn start(threads: usize) -> Team {
        let shared = Arc::new(Shared::new(threads));
        // Where the system refuses a thread, the others take over its range.
        let workers = (1..threads)
            .map_while(|slot| {
                let shared = shared.clone();
                let name = format!("gradus-{slot}");
                thread::Builder::new().name(name).spawn(move || shared.work(slot)).ok()
            })
            .collect();
        Team { shared, workers }
    }

    fn slots(&self) -> usize {
        self.shared.slots.len()
    }

    fn launch(&mut self, tasks: usize, task: &(dyn Fn(usize) + Sync)) -> Option<Payload> {
        let job = Job { task, panicked: AtomicBool::new(false), payload: Mutex::new(None) };
        self.shared.publish(&job, tasks);
        IN_LAUNCH.set(true);
        self.shared.take_part(0);
        self.shared.join();
        IN_LAUNCH.set(false);
        job.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.announce();
        for worker in self.workers.drain(..) {
            // A worker runs tasks under `catch_unwind` and has nothing else to fail with.
            let _ = worker.join();
        }
    }
}

type Payload = Box<dyn Any + Send>;

/// One launch, on the stack of its caller.
struct Job<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    panicked: AtomicBool,
    payload: Mutex<Option<Payload>>,
}

impl Job<'_> {
    fn run(&self, index: usize) {
        if self.panicked.load(Ordering::Relaxed) {
            return;
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (self.task)(index))) {
            self.panicked.store(true, Ordering::Relaxed);
            lock(&self.payload).get_or_insert(payload);
        }
    }
}

/// A value on cache lines of its own (two, because processors fetch them in pairs).
#[repr(align(128))]
struct Line<T>(T);

struct Shared {
    /// Changes with every launch: what idle workers watch.
    epoch: Line<AtomicUsize>,
    /// Tasks of the current launch not yet reported as finished.
    unfinished: Line<AtomicUsize>,
    /// Per thread, the tasks of its range that are unclaimed.
    slots: Box<[Line<AtomicU64>]>,
    /// The current launch. Valid for whoever holds a claimed task, and for nobody else.
    job: AtomicPtr<Job<'static>>,
    /// Workers that are parked or about to park.
    sleepers: AtomicUsize,
    parking: Mutex<()>,
    wake: Condvar,
    stop: AtomicBool,
    /// More threads than processors: waiting must give way instead of spinning.
    crowded: bool,
}

impl Shared {
    fn new(threads: usize) -> Shared {
        Shared {
            epoch: Line(AtomicUsize::new(0)),
            unfinished: Line(AtomicUsize::new(0)),
            slots: (0..threads).map(|_| Line(AtomicU64::new(0))).collect(),
            job: AtomicPtr::new(std::ptr::null_mut()),
            sleepers: AtomicUsize::new(0),
            parking: Mutex::new(()),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
            crowded: thread::available_parallelism().is_ok_and(|n| threads > n.get()),
        }
    }

    /// Makes a launch visible and wakes who sleeps.
    fn publish(&self, job: &Job<'_>, tasks: usize) {
        assert!(
            u32::try_from(tasks).is_ok(),
            "{tasks} tasks in one launch; the limit is {}",
            u32::MAX
        );
        self.job.store(std::ptr::from_ref(job).cast_mut().cast(), Ordering::Relaxed);
        self.unfinished.0.store(tasks, Ordering::Relaxed);
        let threads = self.slots.len();
        let bound = |t: usize| (tasks * t).div_ceil(threads);
        for (t, slot) in self.slots.iter().enumerate() {
            // Release: a claim is a read-modify-write of this word, so it also acquires the two above.
            slot.0.store(pack(bound(t), bound(t + 1)), Ordering::Release);
        }
        self.announce();
    }

    /// Tells the workers that something has changed.
    fn announce(&self) {
        // SeqCst here and in `idle`: either the worker sees the new epoch, or we see the sleeper.
        self.epoch.0.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.parking));
            self.wake.notify_all();
        }
    }

    /// Runs unclaimed tasks, own range first, until there are none.
    fn take_part(&self, own: usize) {
        let mut finished = 0;
        let threads = self.slots.len();
        for victim in (own..threads).chain(0..own) {
            while let Some(index) = claim(&self.slots[victim].0, victim == own) {
                // SAFETY: `launch` keeps the job alive until `unfinished` is 0, and the task just claimed
                // is not yet subtracted from it. The claim acquired the slot word that `publish`
                // released after storing this pointer.
                let job = unsafe { &*self.job.load(Ordering::Relaxed) };
                job.run(index);
                finished += 1;
            }
        }
        if finished > 0 {
            self.unfinished.0.fetch_sub(finished, Ordering::Release);
        }
    }

    /// Waits for the tasks that others have claimed.
    fn join(&self) {
        let mut spins = 0;
        while self.unfinished.0.load(Ordering::Acquire) != 0 {
            spins += 1;
            // A task may last milliseconds, and its thread may be waiting for this processor.
            if self.crowded || spins > 10_000 {
                thread::yield_now()
            } else {
                std::hint::spin_loop()
            }
        }
    }

    /// A worker's life.
    fn work(&self, slot: usize) {
        IN_LAUNCH.set(true);
        let mut seen = 0;
        loop {
            seen = self.idle(seen);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            self.take_part(slot);
        }
    }

    /// Returns the epoch once it differs from `seen`: spins, then parks.
    fn idle(&self, seen: usize) -> usize {
        let start = Instant::now();
        loop {
            // Reading the clock costs as much as many looks at the epoch.
            for _ in 0..64 {
                let epoch = self.epoch.0.load(Ordering::Acquire);
                if epoch != seen {
                    return epoch;
                }
                if self.crowded { thread::yield_now() } else { std::hint::spin_loop() }
            }
            if start.elapsed() > SPIN {
                break;
            }
        }
        let mut guard = lock(&self.parking);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let epoch = loop {
            let epoch = self.epoch.0.load(Ordering::SeqCst);
            if epoch != seen {
                break epoch;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        epoch
    }
}

/// A range of unclaimed tasks as one word.
fn pack(start: usize, end: usize) -> u64 {
    (start as u64) << 32 | end as u64
}

/// Takes one task from a range: its owner from the front, a thief from the back.
fn claim(slot: &AtomicU64, owner: bool) -> Option<usize> {
    let mut word = slot.load(Ordering::Relaxed);
    loop {
        let (start, end) = ((word >> 32) as usize, (word & u64::from(u32::MAX)) as usize);
        if start >= end {
            return None;
        }
        let (index, rest) =
            if owner { (start, pack(start + 1, end)) } else { (end - 1, pack(start, end - 1)) };
        // No tag against ABA is needed: whatever launch the word belongs to by now, equal words mean that
        // the task is unclaimed in it.
        match slot.compare_exchange_weak(word, rest, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return Some(index),
            Err(now) => word = now,
        }
    }
}

/// Locks; a panic elsewhere leaves nothing here half done, so poison means nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many times each task ran.
    fn counts(pool: &Pool, tasks: usize) -> Vec<usize> {
        let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        pool.run(tasks, &|i| {
            counts[i].fetch_add(1, Ordering::Relaxed);
        });
        counts.into_iter().map(AtomicUsize::into_inner).collect()
    }

    const LAUNCHES: usize = if cfg!(miri) { 20 } else { 20_000 };

    #[test]
    fn every_task_runs_once_with_any_number_of_threads() {
        for threads in [1, 2, 3, 4, 7] {
            let pool = Pool::new(threads);
            for tasks in [0, 1, 2, 3, 6, 7, 8, 100] {
                assert_eq!(counts(&pool, tasks), vec![1; tasks], "{threads} threads");
            }
        }
    }

    #[test]
    fn many_launches_see_the_writes_of_those_before() {
        for threads in [2, 3] {
            let pool = Pool::new(threads);
            let cells: Vec<_> = (0..5).map(|_| AtomicUsize::new(0)).collect();
            for launch in 0..LAUNCHES {
                // Each reads a cell that, likely, another thread wrote a launch ago.
                pool.run(5, &|i| {
                    let (from, to) = if launch % 2 == 0 { (i, 4 - i) } else { (4 - i, i) };
                    let was = cells[from.min(to)].load(Ordering::Relaxed);
                    assert!(was <= launch + 1);
                    cells[i].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(cells.iter().all(|c| c.load(Ordering::Relaxed) == LAUNCHES));
        }
    }

    #[test]
    fn parked_workers_wake() {
        let pool = Pool::new(3);
        for _ in 0..5 {
            thread::sleep(SPIN * 10);
            // Tasks that wait for one another need all three threads.
            let arrived = AtomicUsize::new(0);
            pool.run(3, &|_| {
                arrived.fetch_add(1, Ordering::Relaxed);
                while arrived.load(Ordering::Relaxed) < 3 {
                    thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn an_idle_thread_steals() {
        let pool = Pool::new(2);
        let finished = AtomicUsize::new(0);
        // The thread that runs task 0 is stuck until the other has done the rest, of either range.
        pool.run(8, &|i| {
            while i == 0 && finished.load(Ordering::Relaxed) < 7 {
                thread::yield_now();
            }
            finished.fetch_add(1, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        for threads in [1, 2, 4] {
            let pool = Pool::new(threads);
            for bad in [0, 5, 9] {
                let running = AtomicUsize::new(0);
                let result = catch_unwind(AssertUnwindSafe(|| {
                    pool.run(10, &|i| {
                        running.fetch_add(1, Ordering::Relaxed);
                        if i == bad {
                            running.fetch_sub(1, Ordering::Relaxed);
                            panic!("task {i}");
                        }
                        thread::yield_now();
                        running.fetch_sub(1, Ordering::Relaxed);
                    });
                }));
                let payload = result.expect_err("the panic was lost");
                assert_eq!(payload.downcast_ref::<String>(), Some(&format!("task {bad}")));
                assert_eq!(running.into_inner(), 0, "run returned before its tasks stopped");
            }
            assert_eq!(counts(&pool, 10), vec![1; 10]);
        }
    }

    #[test]
    fn a_nested_launch_runs_inline() {
        let pool = Pool::new(3);
        let total = AtomicUsize::new(0);
        pool.run(4, &|_| {
            let outer = thread::current().id();
            pool.run(5, &|_| {
                assert_eq!(thread::current().id(), outer);
                total.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(total.into_inner(), 20);
    }

    #[test]
    fn a_panic_leaves_the_caller_outside_the_launch() {
        let pool = Pool::new(2);
        let _ = catch_unwind(AssertUnwindSafe(|| pool.run(2, &|_| panic!())));
        // Two tasks that wait for each other would hang if the launch ran inline.
        let arrived = AtomicUsize::new(0);
        pool.run(2, &|_| {
            arrived.fetch_add(1, Ordering::Relaxed);
            while arrived.load(Ordering::Relaxed) < 2 {
                thread::yield_now();
            }
        });
    }

    #[test]
    fn launches_from_several_threads_take_turns() {
        let pool = Pool::new(2);
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..LAUNCHES / 20 {
                        let mine = AtomicUsize::new(0);
                        pool.run(4, &|_| {
                            assert!(inside.fetch_add(1, Ordering::Relaxed) < 2);
                            mine.fetch_add(1, Ordering::Relaxed);
                            inside.fetch_sub(1, Ordering::Relaxed);
                        });
                        assert_eq!(mine.into_inner(), 4);
                    }
                });
            }
        });
    }

    #[test]
    fn resizing_takes_effect_with_the_next_launch() {
        let pool = Pool::new(1);
        for threads in [4, 2, 0, 7, 1, 3] {
            pool.set_num_threads(threads);
            assert_eq!(pool.num_threads(), threads.max(1));
            assert_eq!(counts(&pool, 50), vec![1; 50]);
        }
        // From inside a task too, where it must not wait for the launch that it is part of.
        pool.run(3, &|_| pool.set_num_threads(2));
        assert_eq!(counts(&pool, 9), vec![1; 9]);
        assert_eq!(lock(&pool.team).slots(), 2);
    }

    #[test]
    fn latency_is_measured() {
        assert!(fork_join_latency() > Duration::ZERO);
    }
}
