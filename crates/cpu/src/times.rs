//! How long the kernels of a plan take: what a profile is made of.
//!
//! Nothing here is touched by a run that nobody times. One that is reads the clock twice per task; tasks last
//! microseconds, so that the times are those of the run without the clock, give or take a hundredth.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gradus_ir::schedule::Plan;

/// The times of a plan's kernels and waves, summed over runs.
#[derive(Debug)]
pub struct Times {
    /// Nanoseconds inside each kernel, summed over threads.
    kernels: Vec<AtomicU64>,
    /// On the clock, from the launch of each wave to its end.
    waves: Vec<Duration>,
}

impl Times {
    /// No runs yet of a plan.
    pub fn new(plan: &Plan) -> Times {
        Times {
            kernels: plan.kernels.iter().map(|_| AtomicU64::new(0)).collect(),
            waves: vec![Duration::ZERO; plan.waves.len()],
        }
    }

    /// What threads spent inside a kernel, summed over them.
    pub fn busy(&self, kernel: usize) -> Duration {
        Duration::from_nanos(self.kernels[kernel].load(Ordering::Relaxed))
    }

    /// What a wave took on the clock, with the cost of its launch and the wait for its slowest thread.
    pub fn elapsed(&self, wave: usize) -> Duration {
        self.waves[wave]
    }

    /// Times a wave, whose tasks time themselves with [`kernel`](Times::kernel).
    pub(crate) fn wave(&mut self, wave: usize, run: impl FnOnce(&Times)) {
        let start = Instant::now();
        run(self);
        self.waves[wave] += start.elapsed();
    }

    /// Times a task of a kernel.
    #[inline]
    pub(crate) fn kernel(&self, kernel: usize, task: impl FnOnce()) {
        let start = Instant::now();
        task();
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.kernels[kernel].fetch_add(nanoseconds, Ordering::Relaxed);
    }
}
