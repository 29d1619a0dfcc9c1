//! Conditions on values.

use gradus_ir::DType;
use gradus_ir::ops::{CheckFailure, CheckKind};
use gradus_ir::schedule::View;

use super::{Kernel, TASK};
use crate::layout::{Layout, Run};
use crate::loops::register::{Class, Stored, with_stored};
use crate::memory::Memory;
use crate::tier::{Vectorized, vectorize};

/// How many elements are looked at between two looks at whether one has failed.
const BLOCK: usize = 512;

/// Reports the first element for which a condition does not hold.
pub(super) struct Check {
    x: View,
    layout: Layout,
    kind: CheckKind,
    ordinal: usize,
    dtype: DType,
    per_task: usize,
}

impl Check {
    pub fn new(x: &View, kind: CheckKind, ordinal: usize, dtype: DType) -> Check {
        let layout = Layout::new(&x.shape, &x.strides, 0);
        Check { x: x.clone(), layout, kind, ordinal, dtype, per_task: TASK / dtype.size() }
    }
}

impl Kernel for Check {
    fn tasks(&self) -> usize {
        self.x.shape.numel().div_ceil(self.per_task)
    }

    fn cost(&self) -> usize {
        self.x.shape.numel() * self.dtype.size()
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        vectorize(Part { check: self, memory, start: task * self.per_task });
    }
}

/// The elements of one task.
struct Part<'a> {
    check: &'a Check,
    memory: &'a Memory<'a>,
    start: usize,
}

impl Vectorized for Part<'_> {
    #[inline(always)]
    fn run(self) {
        let Part { check, memory, start } = self;
        let len = check.per_task.min(check.x.shape.numel() - start);
        let mut failed = None;
        check.layout.runs(start, len, |run| {
            if failed.is_none() {
                // SAFETY: the run is inside the view.
                let first = unsafe {
                    with_stored!(check.dtype, Class::of(check.dtype), S => check.first::<S>(memory, run))
                };
                failed = first.map(|(i, value)| (start + run.done + i, value));
            }
        });
        if let Some((position, value)) = failed {
            memory.fail(CheckFailure { check: check.ordinal, position, value });
        }
    }
}

/// An element as the condition sees it.
trait Number: Copy {
    fn to_f64(self) -> f64;

    /// Whether its size is at most the limit and finite.
    fn is_within(self, limit: f64) -> bool;
}
macro_rules! number {
    ($($t:ty, $within:expr;)*) => {$(
        impl Number for $t {
            #[inline(always)]
            fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)]
            fn is_within(self, limit: f64) -> bool { $within(self, limit) }
        }
    )*};
}
number! {
    u8, |_, _| true;
    i64, |x: i64, limit| x.unsigned_abs() as f64 <= limit;
    f32, |x: f32, limit: f64| x.abs() <= limit.min(f64::from(f32::MAX)) as f32;
    f64, |x: f64, limit| x.abs() <= limit;
}

impl Check {
    /// The first element of a run that fails, and its value.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; `S` must be the type of the elements, and the run inside the view.
    #[inline(always)]
    unsafe fn first<S: Stored<Register: Number>>(
        &self,
        memory: &Memory<'_>,
        run: Run,
    ) -> Option<(usize, f64)> {
        let x = memory.view::<S::Raw>(&self.x);
        // SAFETY: the run is inside the view.
        let value = |i: usize| S::load(unsafe { *x.offset(run.at + i as isize * run.stride) });
        for start in (0..run.len).step_by(BLOCK) {
            let block = start..run.len.min(start + BLOCK);
            let all = match (self.kind.limit(), run.stride) {
                // No way out of the loop, so that it is one of vectors.
                (Some(limit), 1) => {
                    // SAFETY: as above.
                    let x = unsafe {
                        std::slice::from_raw_parts(x.offset(run.at).add(start), block.len())
                    };
                    x.iter().fold(true, |all, &x| all & S::load(x).is_within(limit))
                }
                _ => false,
            };
            if !all {
                let mut rest = block.map(|i| (i, value(i).to_f64()));
                if let Some(failed) = rest.find(|&(_, value)| !self.kind.accepts(value)) {
                    return Some(failed);
                }
            }
        }
        None
    }
}
