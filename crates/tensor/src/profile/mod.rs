//! Where the time of training steps goes: waiting for data, recording, and kernel by kernel.
//!
//! A profile belongs to a thread, and cuts its time at the end of every plan: the time from one end to the next is
//! that of a plan, and what is before it. So the parts of a step always add up to the step. Plans that had to
//! be compiled, and what led to them, are warm-up and counted apart.
//!
//! Nobody pays for what nobody asked for: without a profile, a plan costs one look at a flag of its thread more.

mod kernels;
mod report;
mod verdict;

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gradus_cpu::Times;
use gradus_ir::Scalar;
use gradus_ir::ops::CheckFailure;

use crate::device::Storage;
use crate::plans::{Found, Program};

pub(crate) use kernels::Named;
pub use kernels::Phase;
pub use report::{KernelProfile, ProfileReport};
pub use verdict::Verdict;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static BEGUN: Cell<u64> = const { Cell::new(0) };
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// Begins to measure where this thread's time goes; [`Profile::finish`] says where it went.
///
/// Put it around a few steps of a loop. Prefer a handful of steps to one: a plan that is compiled is warm-up,
/// which is counted apart. One profile runs at a time in a thread; a new one takes the place of the one
/// before.
///
/// ```
/// use gradus_tensor::{DType, Tensor, evaluate, profile};
///
/// let x = Tensor::rand([64, 64], DType::F32);
/// evaluate()?;
/// let profile = profile();
/// for _ in 0..4 {
///     let y = x.matmul(&x).relu().sum();
///     y.item::<f32>()?;
/// }
/// let report = profile.finish();
/// assert_eq!(report.steps, 3); // the first compiled the plan
/// assert!(report.kernels.iter().any(|k| k.kernel == "matmul [64, 64]·[64, 64]"));
/// println!("{report}"); // a table, the most expensive kernels first, and a verdict
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[must_use = "`finish` returns what was measured"]
pub fn profile() -> Profile {
    let number = BEGUN.get() + 1;
    BEGUN.set(number);
    RECORDING.set(Some(Recording::new(number)));
    ON.set(true);
    Profile { number, _of_this_thread: PhantomData }
}

/// A running profile of this thread; see [`profile()`]. Dropping it ends it.
pub struct Profile {
    number: u64,
    _of_this_thread: PhantomData<*const ()>,
}

impl Profile {
    /// Ends the profile and says where the time went. It measures the processor's peak, if nothing has before,
    /// which takes some ten milliseconds.
    pub fn finish(self) -> ProfileReport {
        let recording = self.take().unwrap_or_else(|| Recording::new(0));
        ProfileReport::new(recording)
    }

    /// What was measured, unless another profile has taken its place.
    fn take(&self) -> Option<Recording> {
        let mine = RECORDING.with_borrow_mut(|r| r.take_if(|r| r.number == self.number));
        if mine.is_some() {
            ON.set(false);
        }
        mine
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.take();
    }
}

/// Runs `f`, whose time counts as waiting for data if this thread is profiled. The data loader calls it for each
/// batch; `data` is what the batches are of, `workers` how many threads prepare them beside this one.
pub fn waiting_for_data<R>(data: &str, workers: usize, f: impl FnOnce() -> R) -> R {
    if !ON.get() {
        return f();
    }
    let start = Instant::now();
    let result = f();
    let waited = start.elapsed();
    RECORDING.with_borrow_mut(|recording| {
        if let Some(recording) = recording {
            recording.interval.waiting += waited;
            recording.source = Some((data.to_owned(), workers));
        }
    });
    result
}

/// Runs a plan, and times it if this thread is profiled. `names` says whose values the plan's inputs are.
pub(crate) fn run(
    found: &Found,
    inputs: &mut Vec<Storage>,
    slots: &[Scalar],
    names: impl FnOnce() -> Vec<Option<Named>>,
) -> Result<Vec<Storage>, CheckFailure> {
    if !ON.get() {
        return found.program.run(inputs, slots, None);
    }
    RECORDING.with_borrow_mut(|recording| match recording {
        Some(recording) => recording.run(found, inputs, slots, names),
        None => found.program.run(inputs, slots, None),
    })
}

/// What a profile has measured so far.
struct Recording {
    number: u64,
    /// When the last plan ended.
    last: Instant,
    /// Since then.
    interval: Parts,
    /// The intervals of plans that were there.
    steady: Parts,
    /// Those of plans that were compiled, and how many.
    warm_up: Duration,
    compiled: usize,
    plans: Vec<Measured>,
    /// What the data are, and how many workers prepare them.
    source: Option<(String, usize)>,
}

/// The parts of a time.
#[derive(Clone, Copy, Default)]
struct Parts {
    whole: Duration,
    waiting: Duration,
    computing: Duration,
}

/// A plan that was run, without the run for which it was compiled.
struct Measured {
    program: Arc<Program>,
    names: Vec<Option<Named>>,
    times: Option<Times>,
    runs: usize,
    computing: Duration,
}

impl Recording {
    fn new(number: u64) -> Recording {
        Recording {
            number,
            last: Instant::now(),
            interval: Parts::default(),
            steady: Parts::default(),
            warm_up: Duration::ZERO,
            compiled: 0,
            plans: Vec::new(),
            source: None,
        }
    }

    fn run(
        &mut self,
        found: &Found,
        inputs: &mut Vec<Storage>,
        slots: &[Scalar],
        names: impl FnOnce() -> Vec<Option<Named>>,
    ) -> Result<Vec<Storage>, CheckFailure> {
        if found.compiled {
            let outcome = found.program.run(inputs, slots, None);
            let interval = self.end_interval();
            self.warm_up += interval.whole;
            self.compiled += 1;
            return outcome;
        }
        let plan = self.plan(&found.program, names);
        let start = Instant::now();
        let outcome = found.program.run(inputs, slots, plan.times.as_mut());
        let computing = start.elapsed();
        plan.runs += 1;
        plan.computing += computing;
        let mut parts = self.end_interval();
        parts.computing = computing;
        self.steady.whole += parts.whole;
        self.steady.waiting += parts.waiting;
        self.steady.computing += parts.computing;
        outcome
    }

    /// Ends the interval, and returns its length and what is known of it.
    fn end_interval(&mut self) -> Parts {
        let now = Instant::now();
        let whole = now - mem::replace(&mut self.last, now);
        Parts { whole, ..mem::take(&mut self.interval) }
    }

    fn plan(
        &mut self,
        program: &Arc<Program>,
        names: impl FnOnce() -> Vec<Option<Named>>,
    ) -> &mut Measured {
        let at = self.plans.iter().position(|plan| Arc::ptr_eq(&plan.program, program));
        let at = at.unwrap_or_else(|| {
            self.plans.push(Measured {
                program: program.clone(),
                names: names(),
                times: program.plan().map(Times::new),
                runs: 0,
                computing: Duration::ZERO,
            });
            self.plans.len() - 1
        });
        &mut self.plans[at]
    }
}
