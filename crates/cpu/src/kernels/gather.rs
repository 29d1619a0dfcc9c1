//! Elements picked by an index.

use gradus_ir::DType;
use gradus_ir::schedule::{ValueId, View};

use super::{Kernel, TASK};
use crate::layout::Layout;
use crate::memory::Memory;

/// `out[…, i, …] = x[…, index[…, i, …], …]`, row by row of the last axis.
pub(super) struct Gather {
    x: View,
    index: View,
    out: ValueId,
    size: usize,
    /// How many positions the indexed axis has, and how far apart they are.
    bound: i64,
    pitch: isize,
    /// Where the rows of the index start, and those of `x` at position 0 of the indexed axis.
    index_rows: Layout,
    x_rows: Layout,
    rows: usize,
    /// The length of a row, and the strides in it of the index and of `x`.
    len: usize,
    index_stride: isize,
    x_stride: isize,
    rows_per_task: usize,
}

impl Gather {
    pub fn new(x: &View, index: &View, axis: usize, out: ValueId, dtype: DType) -> Gather {
        let last = index.shape.rank() - 1;
        let outer = &index.shape[..last];
        let mut strides = x.strides.clone();
        strides[axis] = 0;
        let len = index.shape[last];
        Gather {
            out,
            size: dtype.size(),
            bound: x.shape[axis] as i64,
            pitch: x.strides[axis],
            index_rows: Layout::new(outer, &index.strides[..last], 0),
            x_rows: Layout::new(outer, &strides[..last], 0),
            rows: outer.iter().product(),
            len,
            index_stride: index.strides[last],
            x_stride: strides[last],
            rows_per_task: (TASK / (len.max(1) * (8 + dtype.size()))).max(1),
            x: x.clone(),
            index: index.clone(),
        }
    }

    /// # Safety
    /// As for [`Kernel::run`]; `T` must be as large as an element.
    unsafe fn row<T: Copy + Default>(&self, row: usize, memory: &Memory<'_>) {
        let (x, index) = (memory.view::<T>(&self.x), memory.view::<i64>(&self.index));
        let (mut x_at, mut index_at) = (0, 0);
        self.x_rows.runs(row, 1, |run| x_at = run.at);
        self.index_rows.runs(row, 1, |run| index_at = run.at);
        // SAFETY: rows are inside their views, and the output row is this task's. Positions out of range are
        // not followed.
        unsafe {
            let out = memory.at::<T>(self.out).add(row * self.len);
            let out = std::slice::from_raw_parts_mut(out, self.len);
            let (x, index) = (x.offset(x_at), index.offset(index_at));
            let one = (self.index_stride == 0 && self.len > 0).then(|| *index);
            if let Some(i) = one
                && self.x_stride == 1
                && (0..self.bound).contains(&i)
            {
                let row = x.offset(i as isize * self.pitch);
                out.copy_from_slice(std::slice::from_raw_parts(row, self.len));
                return;
            }
            for (j, out) in out.iter_mut().enumerate() {
                let j = j as isize;
                let i = *index.offset(j * self.index_stride);
                *out = if (0..self.bound).contains(&i) {
                    *x.offset(i as isize * self.pitch + j * self.x_stride)
                } else {
                    T::default()
                };
            }
        }
    }
}

impl Kernel for Gather {
    fn tasks(&self) -> usize {
        if self.len == 0 { 0 } else { self.rows.div_ceil(self.rows_per_task) }
    }

    fn cost(&self) -> usize {
        self.rows * self.len * (8 + self.size)
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let first = task * self.rows_per_task;
        for row in first..(first + self.rows_per_task).min(self.rows) {
            // SAFETY: passed on to the caller.
            unsafe {
                match self.size {
                    1 => self.row::<u8>(row, memory),
                    2 => self.row::<u16>(row, memory),
                    4 => self.row::<u32>(row, memory),
                    _ => self.row::<u64>(row, memory),
                }
            }
        }
    }
}
