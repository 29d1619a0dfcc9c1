//! Tensors put into places along an axis: concatenation, and zeros around and between elements.

use std::ops::Range;

use gradus_ir::ops::Pad;
use gradus_ir::schedule::{ValueId, View};
use gradus_ir::{DType, Shape};

use super::{Kernel, TASK};
use crate::layout::Layout;
use crate::memory::Memory;

/// Parts at places along an axis of the result, which is `outer × axis × inner`.
pub(super) struct Join {
    parts: Vec<Part>,
    /// Whether there are places without a part, which are zero.
    gaps: bool,
    out: ValueId,
    size: usize,
    outer: usize,
    axis: usize,
    inner: usize,
    /// Rows of `inner` elements per task.
    rows_per_task: usize,
}

struct Part {
    view: View,
    layout: Layout,
    /// Its length along the axis.
    len: usize,
    /// Where its elements go: the first, and from one to the next.
    at: usize,
    step: usize,
}

impl Join {
    pub fn concat(parts: &[View], axis: usize, out: ValueId, shape: &Shape, dtype: DType) -> Join {
        let mut next = 0;
        let place = |view: &View| {
            let at = next;
            next += view.shape[axis];
            Part::new(view, axis, at, 1)
        };
        Join::new(parts.iter().map(place).collect(), false, axis, out, shape, dtype)
    }

    pub fn pad(x: &View, pad: &Pad, out: ValueId, shape: &Shape, dtype: DType) -> Join {
        let part = Part::new(x, pad.axis, pad.before, pad.step);
        Join::new(vec![part], true, pad.axis, out, shape, dtype)
    }

    fn new(
        parts: Vec<Part>,
        gaps: bool,
        axis: usize,
        out: ValueId,
        shape: &Shape,
        dtype: DType,
    ) -> Join {
        let inner: usize = shape[axis + 1..].iter().product();
        Join {
            parts,
            gaps,
            out,
            size: dtype.size(),
            outer: shape[..axis].iter().product(),
            axis: shape[axis],
            inner,
            rows_per_task: (TASK / (2 * inner * dtype.size()).max(1)).max(1),
        }
    }

    /// Fills the places `rows` along the axis at one outer index.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; `T` must be as large as an element.
    unsafe fn fill<T: Copy + Default>(
        &self,
        outer: usize,
        rows: Range<usize>,
        memory: &Memory<'_>,
    ) {
        let out = memory.at::<T>(self.out).wrapping_add(outer * self.axis * self.inner);
        if self.gaps {
            let len = rows.len() * self.inner;
            // SAFETY: the rows are this task's.
            let gap = unsafe {
                std::slice::from_raw_parts_mut(out.wrapping_add(rows.start * self.inner), len)
            };
            gap.fill(T::default());
        }
        for part in &self.parts {
            // SAFETY: as above.
            unsafe { self.place(part, outer, &rows, out, memory) };
        }
    }

    /// Copies what falls into `rows` of one part.
    ///
    /// # Safety
    /// As for [`Join::fill`].
    unsafe fn place<T: Copy>(
        &self,
        part: &Part,
        outer: usize,
        rows: &Range<usize>,
        out: *mut T,
        memory: &Memory<'_>,
    ) {
        let index_from = |row: usize| row.saturating_sub(part.at).div_ceil(part.step).min(part.len);
        let (first, last) = (index_from(rows.start), index_from(rows.end));
        // Without gaps between them, all rows are one piece.
        let rows_at_once = if part.step == 1 { (last - first).max(1) } else { 1 };
        for i in (first..last).step_by(rows_at_once) {
            let (start, len) = ((outer * part.len + i) * self.inner, rows_at_once * self.inner);
            if len == 0 {
                return;
            }
            let out = out.wrapping_add((part.at + i * part.step) * self.inner);
            let from = memory.view::<T>(&part.view);
            part.layout.runs(start, len, |run| {
                // SAFETY: the run is inside the view, and its place among this task's rows.
                unsafe {
                    let (from, out) = (from.offset(run.at), out.add(run.done));
                    if run.stride == 1 {
                        out.copy_from_nonoverlapping(from, run.len);
                    } else {
                        for i in 0..run.len {
                            out.add(i).write(*from.offset(i as isize * run.stride));
                        }
                    }
                }
            });
        }
    }
}

impl Part {
    fn new(view: &View, axis: usize, at: usize, step: usize) -> Part {
        let layout = Layout::new(&view.shape, &view.strides, 0);
        Part { layout, len: view.shape[axis], at, step, view: view.clone() }
    }
}

impl Kernel for Join {
    fn tasks(&self) -> usize {
        if self.inner == 0 { 0 } else { (self.outer * self.axis).div_ceil(self.rows_per_task) }
    }

    fn cost(&self) -> usize {
        2 * self.outer * self.axis * self.inner * self.size
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let mut row = task * self.rows_per_task;
        let end = (row + self.rows_per_task).min(self.outer * self.axis);
        while row < end {
            let (outer, at) = (row / self.axis, row % self.axis);
            let rows = at..self.axis.min(at + end - row);
            row += rows.len();
            // SAFETY: passed on to the caller.
            unsafe {
                match self.size {
                    1 => self.fill::<u8>(outer, rows, memory),
                    2 => self.fill::<u16>(outer, rows, memory),
                    4 => self.fill::<u32>(outer, rows, memory),
                    _ => self.fill::<u64>(outer, rows, memory),
                }
            }
        }
    }
}
