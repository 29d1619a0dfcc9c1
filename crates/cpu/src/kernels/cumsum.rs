//! Running sums.

use gradus_ir::DType;
use gradus_ir::ops;
use gradus_ir::schedule::{ValueId, View};

use super::scatter_add::{Addend, Any};
use super::{Kernel, TASK};
use crate::layout::Layout;
use crate::memory::Memory;

/// Running sums of lines; a task owns some lines, and adds up each from its beginning.
pub(super) struct CumSum {
    x: View,
    out: ValueId,
    dtype: DType,
    reverse: bool,
    /// Where each line starts, in `x`.
    lines: Layout,
    count: usize,
    /// The length of a line, and from one element to the next in `x` and in the result.
    len: usize,
    stride: isize,
    inner: usize,
    per_task: usize,
}

impl CumSum {
    pub fn new(op: &ops::CumSum, x: &View, out: ValueId, dtype: DType) -> CumSum {
        let shape = x.shape.keeping(&[op.axis]);
        let len = x.shape[op.axis];
        CumSum {
            out,
            dtype,
            reverse: op.reverse,
            lines: Layout::new(&shape, &x.strides, 0),
            count: if len == 0 { 0 } else { shape.numel() },
            len,
            stride: x.strides[op.axis],
            inner: x.shape[op.axis + 1..].iter().product(),
            per_task: (TASK / (len.max(1) * 2 * dtype.size())).max(1),
            x: x.clone(),
        }
    }

    /// # Safety
    /// As for [`Kernel::run`]; `T` must be the type of the elements.
    unsafe fn lines<T: Addend>(&self, task: usize, memory: &Memory<'_>) {
        let start = task * self.per_task;
        let n = self.per_task.min(self.count - start);
        self.lines.runs(start, n, |run| {
            for i in 0..run.len {
                let line = start + run.done + i;
                let (outer, inner) = (line / self.inner, line % self.inner);
                let from = run.at + i as isize * run.stride;
                let x = memory.view::<T>(&self.x).wrapping_offset(from);
                let to = outer * self.len * self.inner + inner;
                let out = memory.at::<T>(self.out).wrapping_add(to);
                let mut sum: Option<T> = None;
                for k in 0..self.len {
                    let k = if self.reverse { self.len - 1 - k } else { k };
                    // SAFETY: the place is inside the line, and that of the result is this task's.
                    unsafe {
                        let x = *x.offset(k as isize * self.stride);
                        let next = sum.map_or(x, |sum| sum.plus(x));
                        out.add(k * self.inner).write(next);
                        sum = Some(next);
                    }
                }
            }
        });
    }
}

impl Kernel for CumSum {
    fn tasks(&self) -> usize {
        self.count.div_ceil(self.per_task)
    }

    fn cost(&self) -> usize {
        self.count * self.len * 2 * self.dtype.size()
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.dtype {
                DType::Bool => self.lines::<Any>(task, memory),
                DType::U8 => self.lines::<u8>(task, memory),
                DType::I32 => self.lines::<i32>(task, memory),
                DType::I64 => self.lines::<i64>(task, memory),
                DType::F32 => self.lines::<f32>(task, memory),
                DType::F64 => self.lines::<f64>(task, memory),
                DType::F16 | DType::BF16 => unreachable!("lowered to f32"),
            }
        }
    }
}
