//! What a task that is written over explicit vectors is given: those of the tier, and memory of its thread's own.

use pulp::{Simd, WithSimd};

use crate::memory::{Memory, with_strips};
use crate::tier::with_simd;

/// A kernel whose tasks compute over explicit vectors, in strips of their thread's memory.
pub(super) trait InStrips {
    /// How many numbers of memory a task needs.
    fn numbers(&self) -> usize;

    /// Runs one task. To be inlined always: what is not keeps the baseline's instructions.
    ///
    /// # Safety
    /// As for [`Kernel::run`](crate::kernels::Kernel::run); `strips` must have room for [`InStrips::numbers`].
    unsafe fn run_with<S: Simd>(&self, simd: S, task: usize, strips: *mut f32, memory: &Memory<'_>);
}

/// Runs one task of a kernel.
///
/// # Safety
/// As for [`Kernel::run`](crate::kernels::Kernel::run).
pub(super) unsafe fn run_in_strips<K: InStrips>(kernel: &K, task: usize, memory: &Memory<'_>) {
    // Outside of the vectors' instructions, which no closure keeps.
    with_strips(kernel.numbers() * size_of::<f32>(), |strips| {
        with_simd(Task { kernel, task, strips: strips.cast(), memory });
    });
}

struct Task<'a, K> {
    kernel: &'a K,
    task: usize,
    strips: *mut f32,
    memory: &'a Memory<'a>,
}

impl<K: InStrips> WithSimd for Task<'_, K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: made by `run_in_strips`, under the same contract.
        unsafe { self.kernel.run_with(simd, self.task, self.strips, self.memory) };
    }
}
