//! Conditions on values.

use gradus_ir::DType;
use gradus_ir::ops::{CheckFailure, CheckKind};
use gradus_ir::schedule::View;

use super::{Kernel, TASK};
use crate::layout::Layout;
use crate::loops::register::{Class, Stored, with_stored};
use crate::memory::Memory;

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
        let start = task * self.per_task;
        let len = self.per_task.min(self.x.shape.numel() - start);
        // SAFETY: passed on to the caller.
        let failed = unsafe {
            with_stored!(self.dtype, Class::of(self.dtype), S => self.first::<S>(memory, start, len))
        };
        if let Some((position, value)) = failed {
            memory.fail(CheckFailure { check: self.ordinal, position, value });
        }
    }
}

/// An element as the condition sees it.
trait Number: Copy {
    fn to_f64(self) -> f64;
}
macro_rules! number {
    ($($t:ty)*) => {$(
        impl Number for $t {
            fn to_f64(self) -> f64 { self as f64 }
        }
    )*};
}
number! { u8 i64 f32 f64 }

impl Check {
    /// The position and value of the first element in a range that fails.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; `S` must be the type of the elements.
    unsafe fn first<S: Stored<Register: Number>>(
        &self,
        memory: &Memory<'_>,
        start: usize,
        len: usize,
    ) -> Option<(usize, f64)> {
        let x = memory.view::<S::Raw>(&self.x);
        let mut failed = None;
        self.layout.runs(start, len, |run| {
            // SAFETY: the run is inside the view.
            let at = |i: usize| unsafe { *x.offset(run.at + i as isize * run.stride) };
            let value = |i: usize| S::load(at(i)).to_f64();
            if failed.is_none() {
                let position = (0..run.len).find(|&i| !self.kind.accepts(value(i)));
                failed = position.map(|i| (start + run.done + i, value(i)));
            }
        });
        failed
    }
}
