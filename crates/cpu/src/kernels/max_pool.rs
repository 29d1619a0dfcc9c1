//! Greatest elements of windows.

use std::ops::Range;

use gradus_ir::ops::PoolGeometry;
use gradus_ir::schedule::{ValueId, View};
use gradus_ir::{DType, Shape};

use super::{Kernel, TASK};
use crate::loops::register::{Class, Stored, with_stored};
use crate::memory::Memory;

/// What of the greatest element is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Its value.
    Value,
    /// Its place in the plane.
    Place,
}

/// The greatest element of each window, plane by plane; a task owns some planes.
pub(super) struct MaxPool {
    x: View,
    out: ValueId,
    dtype: DType,
    keep: Keep,
    planes: usize,
    input: [usize; 2],
    output: [usize; 2],
    /// The rows, and the columns, of the plane under each window: first, last + 1.
    rows: Vec<Range<usize>>,
    columns: Vec<Range<usize>>,
    dilation: [usize; 2],
    window: usize,
    per_task: usize,
}

impl MaxPool {
    pub fn new(
        geometry: &PoolGeometry,
        x: &View,
        out: ValueId,
        shape: &Shape,
        dtype: DType,
        keep: Keep,
    ) -> MaxPool {
        let (input, output) = ([x.shape[2], x.shape[3]], [shape[2], shape[3]]);
        let places = |axis: usize| {
            let range = |at| {
                let mut places = geometry.places(axis, at, input[axis]);
                let first = places.next().unwrap_or(0);
                first..places.last().unwrap_or(first) + 1
            };
            (0..output[axis]).map(range).collect()
        };
        let window = geometry.size[0] * geometry.size[1];
        let work = output[0] * output[1] * window * 2 * dtype.size();
        MaxPool {
            x: x.clone(),
            out,
            dtype,
            keep,
            planes: x.shape[0] * x.shape[1],
            input,
            output,
            rows: places(0),
            columns: places(1),
            dilation: geometry.dilation,
            window,
            per_task: (TASK / work.max(1)).max(1),
        }
    }

    /// # Safety
    /// As for [`Kernel::run`]; `S` must be how the elements are stored.
    unsafe fn plane<S: Stored<Register: PartialOrd>>(&self, plane: usize, memory: &Memory<'_>) {
        let [h, w] = self.input;
        let x = memory.view::<S::Raw>(&self.x).wrapping_add(plane * h * w);
        let mut to = plane * self.output[0] * self.output[1];
        for rows in &self.rows {
            for columns in &self.columns {
                let mut best = rows.start * w + columns.start;
                // SAFETY: rows and columns are in the plane, and the results are this task's.
                unsafe {
                    let mut leader = S::load(*x.add(best));
                    for row in rows.clone().step_by(self.dilation[0]) {
                        for column in columns.clone().step_by(self.dilation[1]) {
                            let candidate = S::load(*x.add(row * w + column));
                            #[expect(clippy::eq_op, reason = "a NaN differs from itself")]
                            let is_nan = candidate != candidate && leader == leader;
                            if candidate > leader || is_nan {
                                (best, leader) = (row * w + column, candidate);
                            }
                        }
                    }
                    match self.keep {
                        Keep::Value => memory.at::<S::Raw>(self.out).add(to).write(*x.add(best)),
                        Keep::Place => memory.at::<i64>(self.out).add(to).write(best as i64),
                    }
                }
                to += 1;
            }
        }
    }
}

impl Kernel for MaxPool {
    fn tasks(&self) -> usize {
        self.planes.div_ceil(self.per_task)
    }

    fn cost(&self) -> usize {
        self.planes * self.output[0] * self.output[1] * self.window * 2 * self.dtype.size()
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let first = task * self.per_task;
        for plane in first..(first + self.per_task).min(self.planes) {
            with_stored!(self.dtype, Class::of(self.dtype), S => {
                // SAFETY: passed on to the caller; the type is the dtype's.
                unsafe { self.plane::<S>(plane, memory) };
            });
        }
    }
}
