//! The order of elements.

use std::cmp::Ordering;

use gradus_ir::DType;
use gradus_ir::ops;
use gradus_ir::schedule::{ValueId, View};

use super::{Kernel, TASK};
use crate::layout::Layout;
use crate::loops::register::{Class, Stored, with_stored};
use crate::memory::{Memory, with_strips};

/// The positions of each line's elements in order; a task owns some lines.
pub(super) struct ArgSort {
    x: View,
    out: ValueId,
    dtype: DType,
    descending: bool,
    /// Where each line starts, in `x`.
    lines: Layout,
    count: usize,
    /// The length of a line, and from one element to the next in `x` and in the result.
    len: usize,
    stride: isize,
    inner: usize,
    per_task: usize,
}

impl ArgSort {
    pub fn new(op: &ops::ArgSort, x: &View, out: ValueId, dtype: DType) -> ArgSort {
        let shape = x.shape.keeping(&[op.axis]);
        let len = x.shape[op.axis];
        ArgSort {
            out,
            dtype,
            descending: op.descending,
            lines: Layout::new(&shape, &x.strides, 0),
            count: if len == 0 { 0 } else { shape.numel() },
            len,
            stride: x.strides[op.axis],
            inner: x.shape[op.axis + 1..].iter().product(),
            per_task: (TASK / (len.max(1) * COST)).max(1),
            x: x.clone(),
        }
    }

    /// # Safety
    /// As for [`Kernel::run`]; `S` must be how the elements are stored.
    unsafe fn sort<S: Stored<Register: PartialOrd>>(
        &self,
        line: usize,
        from: isize,
        memory: &Memory<'_>,
    ) {
        let x = memory.view::<S::Raw>(&self.x).wrapping_offset(from);
        // SAFETY: the position is inside the line.
        let key = |i: usize| S::load(unsafe { *x.offset(i as isize * self.stride) });
        #[expect(clippy::eq_op, reason = "a NaN differs from itself")]
        let rank = |a: S::Register, b: S::Register| {
            a.partial_cmp(&b).unwrap_or_else(|| (a != a).cmp(&(b != b)))
        };
        let compare = |&i: &u32, &j: &u32| {
            let order = rank(key(i as usize), key(j as usize));
            let order = if self.descending { order.reverse() } else { order };
            // Which makes the fast unstable sort a stable one.
            if order == Ordering::Equal { i.cmp(&j) } else { order }
        };
        with_strips(self.len * size_of::<u32>(), |scratch| {
            // SAFETY: the scratch memory holds `len` numbers, and the line of the result is this task's.
            unsafe {
                let order = scratch.cast::<u32>();
                (0..self.len).for_each(|i| order.add(i).write(i as u32));
                let order = std::slice::from_raw_parts_mut(order, self.len);
                order.sort_unstable_by(compare);
                let (outer, inner) = (line / self.inner, line % self.inner);
                let out = memory.at::<i64>(self.out).add(outer * self.len * self.inner + inner);
                for (i, &at) in order.iter().enumerate() {
                    out.add(i * self.inner).write(i64::from(at));
                }
            }
        });
    }
}

/// What an element costs, in bytes moved: about ten comparisons.
const COST: usize = 64;

impl Kernel for ArgSort {
    fn tasks(&self) -> usize {
        self.count.div_ceil(self.per_task)
    }

    fn cost(&self) -> usize {
        self.count * self.len * COST
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let start = task * self.per_task;
        let n = self.per_task.min(self.count - start);
        self.lines.runs(start, n, |run| {
            for i in 0..run.len {
                let (line, from) = (start + run.done + i, run.at + i as isize * run.stride);
                with_stored!(self.dtype, Class::of(self.dtype), S => {
                    // SAFETY: passed on to the caller; the type is the dtype's.
                    unsafe { self.sort::<S>(line, from, memory) };
                });
            }
        });
    }
}
