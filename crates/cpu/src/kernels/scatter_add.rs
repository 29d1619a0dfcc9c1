//! Additions at indexed places.
//!
//! Seen as `outer axes × axis × middle axes × row`; where the indexed axis is the last, a row is one element. A
//! task owns some outer indices and a piece of the row, so that all additions to an element happen in one task,
//! in the order of the index.

use std::ops::Range;

use gradus_ir::DType;
use gradus_ir::schedule::{ValueId, View};
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
    /// Whether an index is that of a whole row, as in the gradient of an embedding.
    by_row: bool,
    /// The product of the outer extents, and how many outer indices a task owns.
    outer: usize,
    outer_per_task: usize,
    /// The length of a row, and of the piece that a task owns.
    row: usize,
    piece: usize,
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
        let [x, index, source] = [x, index, source].map(|view| with_row(view, axis));
        let last = x.shape.rank() - 1;
        let row = x.shape[last];
        let middle: usize = x.shape[axis + 1..last].iter().product();
        // What a task does for one outer index and one column.
        let column = (middle * (x.shape[axis] + index.shape[axis]) * (8 + dtype.size())).max(1);
        // Whole cache lines.
        let piece = (TASK / column).next_multiple_of(64).clamp(1, row.max(1));
        ScatterAdd {
            by_row: index.strides[last] == 0 && source.strides[last] == 1,
            outer: x.shape[..axis].iter().product(),
            outer_per_task: (TASK / (column * piece)).max(1),
            x,
            index,
            source,
            out,
            dtype,
            axis,
            row,
            piece,
        }
    }

    /// # Safety
    /// As for [`Kernel::run`]; `T` must be the type of the elements.
    unsafe fn run_typed<T: Addend>(&self, task: usize, memory: &Memory<'_>) {
        let pieces = self.row.div_ceil(self.piece);
        let (block, piece) = (task / pieces, task % pieces);
        let columns = piece * self.piece..((piece + 1) * self.piece).min(self.row);
        let first = block * self.outer_per_task;
        for outer in first..(first + self.outer_per_task).min(self.outer) {
            // SAFETY: passed on to the caller; outer indices and columns belong to one task each.
            unsafe {
                self.copy::<T>(outer, columns.clone(), memory);
                self.add::<T>(outer, columns.clone(), memory);
            }
        }
    }

    /// # Safety
    /// As for [`ScatterAdd::run_typed`].
    unsafe fn copy<T: Addend>(&self, outer: usize, columns: Range<usize>, memory: &Memory<'_>) {
        let at = unravel(&self.x.shape[..self.axis], outer);
        for middle in 0..self.middles(&self.x) {
            let within = unravel(self.middle_shape(&self.x), middle);
            for i in 0..self.x.shape[self.axis] {
                let from = position(&self.x, &at, i, &within);
                let out = self.out_row::<T>(outer, i, middle, memory);
                for j in columns.clone() {
                    // SAFETY: the position is inside the view, and that in the result is this task's.
                    unsafe { *out.add(j) = *element(memory, &self.x, from, j) };
                }
            }
        }
    }

    /// # Safety
    /// As for [`ScatterAdd::run_typed`].
    unsafe fn add<T: Addend>(&self, outer: usize, columns: Range<usize>, memory: &Memory<'_>) {
        // The index may be smaller than the result along every axis but the indexed one.
        let at = unravel(&self.x.shape[..self.axis], outer);
        let shape = &self.index.shape;
        if at.iter().zip(&shape[..]).any(|(i, extent)| i >= extent) {
            return;
        }
        let columns = columns.start..columns.end.min(shape[shape.rank() - 1]);
        for middle in 0..self.middles(&self.index) {
            let within = unravel(self.middle_shape(&self.index), middle);
            let middle = ravel(self.middle_shape(&self.x), &within);
            for i in 0..shape[self.axis] {
                let index = position(&self.index, &at, i, &within);
                let source = position(&self.source, &at, i, &within);
                if self.by_row {
                    // SAFETY: as below; rows are contiguous, and not the same.
                    unsafe {
                        let to: i64 = *element(memory, &self.index, index, 0);
                        if (0..self.x.shape[self.axis] as i64).contains(&to) {
                            let out = self.out_row::<T>(outer, to as usize, middle, memory);
                            let first = columns.start;
                            let source = element::<T>(memory, &self.source, source, first);
                            let out = std::slice::from_raw_parts_mut(out.add(first), columns.len());
                            let source = std::slice::from_raw_parts(source, columns.len());
                            out.iter_mut().zip(source).for_each(|(a, &b)| *a = a.plus(b));
                        }
                    }
                    continue;
                }
                for j in columns.clone() {
                    // SAFETY: positions are inside their views; those in the result are this task's, and
                    // not followed where out of range.
                    unsafe {
                        let to: i64 = *element(memory, &self.index, index, j);
                        if (0..self.x.shape[self.axis] as i64).contains(&to) {
                            let out = self.out_row::<T>(outer, to as usize, middle, memory).add(j);
                            *out = (*out).plus(*element(memory, &self.source, source, j));
                        }
                    }
                }
            }
        }
    }

    fn out_row<T>(&self, outer: usize, i: usize, middle: usize, memory: &Memory<'_>) -> *mut T {
        let row = (outer * self.x.shape[self.axis] + i) * self.middles(&self.x) + middle;
        memory.at::<T>(self.out).wrapping_add(row * self.row)
    }

    fn middle_shape<'a>(&self, view: &'a View) -> &'a [usize] {
        &view.shape[self.axis + 1..view.shape.rank() - 1]
    }

    fn middles(&self, view: &View) -> usize {
        self.middle_shape(view).iter().product()
    }
}

impl Kernel for ScatterAdd {
    fn tasks(&self) -> usize {
        self.outer.div_ceil(self.outer_per_task) * self.row.div_ceil(self.piece)
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
pub(super) trait Addend: Copy {
    fn plus(self, other: Self) -> Self;
}

/// A `bool`: adding is "any".
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Any(u8);

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

/// A view with a row after the indexed axis: one more axis of one element, if that is the last.
fn with_row(view: &View, axis: usize) -> View {
    let mut view = view.clone();
    if axis + 1 == view.shape.rank() {
        view.shape = view.shape.iter().copied().chain([1]).collect();
        view.strides.push(0);
    }
    view
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

/// Where a row of a view starts, from its first element on.
fn position(view: &View, outer: &[usize], i: usize, middle: &[usize]) -> isize {
    let index = outer.iter().chain([&i]).chain(middle);
    index.zip(&view.strides).map(|(&i, &stride)| i as isize * stride).sum()
}

/// The `j`-th element of a row.
#[inline(always)]
fn element<T>(memory: &Memory<'_>, view: &View, row: isize, j: usize) -> *const T {
    let stride = view.strides[view.strides.len() - 1];
    memory.view::<T>(view).wrapping_offset(row + j as isize * stride)
}
