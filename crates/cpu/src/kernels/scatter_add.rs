//! Additions at indexed places.
//!
//! Seen as `outer axes × axis × middle axes × row`, where the row is the last axis, or one element if that is
//! the indexed axis. A task owns some outer indices and a piece of the row, so that all additions to an
//! element happen in one task, in the order of the index.

use gradus_ir::schedule::{ValueId, View};
use gradus_ir::{DType, Shape};
use smallvec::SmallVec;

use super::{Kernel, TASK};
use crate::memory::Memory;

/// `out = x`, then `out[…, index[…, i, …], …] += source[…, i, …]`.
pub(super) struct ScatterAdd {
    x: View,
    index: View,
    source: View,
    out: ValueId,
    dtype: DType,
    axis: usize,
    /// The products of the outer and of the middle extents of the result.
    outer: usize,
    middle: usize,
    /// The row of the result, and how it is cut.
    row: usize,
    piece: usize,
    outer_per_task: usize,
}

impl ScatterAdd {
    pub fn new(
        x: &View,
        index: &View,
        source: &View,
        axis: usize,
        out: ValueId,
        dtype: DType,
    ) -> ScatterAdd {
        let last = x.shape.rank() - 1;
        let row = if axis == last { 1 } else { x.shape[last] };
        let outer: usize = x.shape[..axis].iter().product();
        let middle: usize = x.shape[axis + 1..last.max(axis + 1)].iter().product();
        let line = middle * (x.shape[axis] + index.shape[axis]) * dtype.size();
        // Whole cache lines.
        let piece = (TASK / line.max(1)).clamp(64 / dtype.size(), row.max(64)).next_multiple_of(16);
        let piece = piece.min(row).max(1);
        ScatterAdd {
            x: x.clone(),
            index: index.clone(),
            source: source.clone(),
            out,
            dtype,
            axis,
            outer,
            middle,
            row,
            piece,
            outer_per_task: (TASK / (line * piece).max(1)).clamp(1, outer.max(1)),
        }
    }

    fn pieces(&self) -> usize {
        self.row.div_ceil(self.piece)
    }

    /// The axes between the indexed one and the row.
    fn middle_axes(&self) -> std::ops::Range<usize> {
        let last = self.x.shape.rank() - 1;
        self.axis + 1..last.max(self.axis + 1)
    }

    /// # Safety
    /// As for [`Kernel::run`]; `T` must be the type of the elements.
    unsafe fn run_typed<T: Addend>(&self, task: usize, memory: &Memory<'_>) {
        let (block, piece) = (task / self.pieces(), task % self.pieces());
        let columns = piece * self.piece..((piece + 1) * self.piece).min(self.row);
        let first = block * self.outer_per_task;
        for outer in first..(first + self.outer_per_task).min(self.outer) {
            let at = unravel(&self.x.shape[..self.axis], outer);
            // SAFETY: passed on to the caller; outer indices and columns belong to one task each.
            unsafe {
                self.copy::<T>(outer, &at, columns.clone(), memory);
                self.add::<T>(outer, &at, columns.clone(), memory);
            }
        }
    }

    /// # Safety
    /// As for [`ScatterAdd::run_typed`].
    unsafe fn copy<T: Addend>(
        &self,
        outer: usize,
        at: &[usize],
        columns: std::ops::Range<usize>,
        memory: &Memory<'_>,
    ) {
        let (extent, pitch) = (self.x.shape[self.axis], self.x.strides[self.axis]);
        let step = self.row_stride(&self.x);
        let x = memory.view::<T>(&self.x).wrapping_offset(offset(&self.x, 0, at));
        for m in 0..self.middle {
            let middle = unravel(&self.x.shape[self.middle_axes()], m);
            let x = x.wrapping_offset(offset(&self.x, self.axis + 1, &middle));
            for i in 0..extent {
                let row = ((outer * extent + i) * self.middle + m) * self.row;
                for j in columns.clone() {
                    // SAFETY: the position is inside the view, and that in the result is this task's.
                    unsafe {
                        let from = x.wrapping_offset(i as isize * pitch + j as isize * step);
                        memory.at::<T>(self.out).add(row + j).write(*from);
                    }
                }
            }
        }
    }

    /// # Safety
    /// As for [`ScatterAdd::run_typed`].
    unsafe fn add<T: Addend>(
        &self,
        outer: usize,
        at: &[usize],
        columns: std::ops::Range<usize>,
        memory: &Memory<'_>,
    ) {
        // The index may be smaller than the result along every other axis.
        let shape: &Shape = &self.index.shape;
        if at.iter().zip(&shape[..self.axis]).any(|(i, extent)| i >= extent) {
            return;
        }
        let row = if self.row == 1 && self.middle_axes().end == self.axis + 1 && self.is_last() {
            1
        } else {
            shape[shape.rank() - 1]
        };
        let columns = columns.start..columns.end.min(row);
        let extent = self.x.shape[self.axis];
        let index = memory.view::<i64>(&self.index).wrapping_offset(offset(&self.index, 0, at));
        let source = memory.view::<T>(&self.source).wrapping_offset(offset(&self.source, 0, at));
        let (index_step, source_step) =
            (self.row_stride(&self.index), self.row_stride(&self.source));
        let middles: usize = shape[self.middle_axes()].iter().product();
        for m in 0..middles {
            let middle = unravel(&shape[self.middle_axes()], m);
            let to = ravel(&self.x.shape[self.middle_axes()], &middle);
            let index = index.wrapping_offset(offset(&self.index, self.axis + 1, &middle));
            let source = source.wrapping_offset(offset(&self.source, self.axis + 1, &middle));
            for i in 0..shape[self.axis] as isize {
                for j in columns.clone() {
                    // SAFETY: positions are inside their views; those in the result are this task's, and
                    // not followed where out of range.
                    unsafe {
                        let j_ = j as isize;
                        let k = *index
                            .wrapping_offset(i * self.index.strides[self.axis] + j_ * index_step);
                        if (0..extent as i64).contains(&k) {
                            let x = *source.wrapping_offset(
                                i * self.source.strides[self.axis] + j_ * source_step,
                            );
                            let row = (outer * extent + k as usize) * self.middle + to;
                            let out = memory.at::<T>(self.out).add(row * self.row + j);
                            *out = (*out).plus(x);
                        }
                    }
                }
            }
        }
    }

    fn is_last(&self) -> bool {
        self.axis + 1 == self.x.shape.rank()
    }

    fn row_stride(&self, view: &View) -> isize {
        if self.is_last() { 0 } else { view.strides[view.shape.rank() - 1] }
    }
}

impl Kernel for ScatterAdd {
    fn tasks(&self) -> usize {
        self.outer.div_ceil(self.outer_per_task) * self.pieces()
    }

    fn cost(&self) -> usize {
        (self.x.shape.numel() + self.index.shape.numel()) * (8 + self.dtype.size())
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.dtype {
                DType::Bool => self.run_typed::<Any>(task, memory),
                DType::U8 => self.run_typed::<u8>(task, memory),
                DType::I32 => self.run_typed::<i32>(task, memory),
                DType::I64 => self.run_typed::<i64>(task, memory),
                DType::F32 => self.run_typed::<f32>(task, memory),
                DType::F64 => self.run_typed::<f64>(task, memory),
                DType::F16 | DType::BF16 => unreachable!("lowered to f32"),
            }
        }
    }
}

/// What can be added.
trait Addend: Copy {
    fn plus(self, other: Self) -> Self;
}

/// A `bool`: adding is "any".
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Any(u8);

macro_rules! addend {
    ($($t:ty: |$a:ident, $b:ident| $f:expr;)*) => {$(
        impl Addend for $t {
            #[inline(always)]
            fn plus(self, other: $t) -> $t { let ($a, $b) = (self, other); $f }
        }
    )*};
}
addend! {
    Any: |a, b| Any(a.0 | b.0);
    u8: |a, b| a.wrapping_add(b);
    i32: |a, b| a.wrapping_add(b);
    i64: |a, b| a.wrapping_add(b);
    f32: |a, b| a + b;
    f64: |a, b| a + b;
}

/// The index of the `i`-th element of a shape.
fn unravel(shape: &[usize], mut i: usize) -> SmallVec<[usize; 6]> {
    let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, shape.len());
    for (at, &extent) in index.iter_mut().zip(shape).rev() {
        *at = i % extent;
        i /= extent;
    }
    index
}

/// The number of the element at an index.
fn ravel(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |at, (&extent, &i)| at * extent + i)
}

/// How far an index of the axes from `first` on moves in a view.
fn offset(view: &View, first: usize, index: &[usize]) -> isize {
    index.iter().zip(&view.strides[first..]).map(|(&i, &stride)| i as isize * stride).sum()
}
