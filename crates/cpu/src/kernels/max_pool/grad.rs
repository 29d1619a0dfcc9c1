//! Gradients of greatest elements.

use std::ops::Range;
use std::slice;

use gradus_ir::schedule::{ValueId, View};
use gradus_ir::{DType, Shape};

use crate::kernels::scatter_add::{Addend, Any};
use crate::kernels::{Kernel, Slice, TASK};
use crate::memory::Memory;

/// Gradients added where the greatest elements were, plane by plane; a task owns some planes.
pub(in crate::kernels) struct MaxPoolGrad {
    places: View,
    dy: View,
    out: ValueId,
    dtype: DType,
    planes: usize,
    /// Elements of a plane of the result and of the gradient.
    plane: usize,
    windows: usize,
    per_task: usize,
}

impl MaxPoolGrad {
    pub fn new(places: &View, dy: &View, out: ValueId, shape: &Shape, dtype: DType) -> MaxPoolGrad {
        let (plane, windows) = (shape[2] * shape[3], dy.shape[2] * dy.shape[3]);
        MaxPoolGrad {
            places: places.clone(),
            dy: dy.clone(),
            out,
            dtype,
            planes: shape[0] * shape[1],
            plane,
            windows,
            per_task: (TASK / work(plane, windows, dtype).max(1)).max(1),
        }
    }

    /// # Safety
    /// As for [`Kernel::run`]; `T` must be the type of the elements.
    unsafe fn add<T: Addend>(&self, plane: usize, memory: &Memory<'_>) {
        let start = plane * self.windows;
        // SAFETY: the operands are contiguous, and the plane of the result is this task's.
        let (places, dy, out) = unsafe {
            let places = memory.view::<i64>(&self.places).add(start);
            let dy = memory.view::<T>(&self.dy).add(start);
            let out = memory.at::<T>(self.out).add(plane * self.plane);
            out.write_bytes(0, self.plane);
            (
                slice::from_raw_parts(places, self.windows),
                slice::from_raw_parts(dy, self.windows),
                slice::from_raw_parts_mut(out, self.plane),
            )
        };
        for (&place, &dy) in places.iter().zip(dy) {
            if let Some(out) = usize::try_from(place).ok().and_then(|place| out.get_mut(place)) {
                *out = out.plus(dy);
            }
        }
    }
}

/// What a plane costs, in bytes moved.
fn work(plane: usize, windows: usize, dtype: DType) -> usize {
    plane * dtype.size() + windows * (8 + 2 * dtype.size())
}

impl Kernel for MaxPoolGrad {
    fn tasks(&self) -> usize {
        self.planes.div_ceil(self.per_task)
    }

    fn cost(&self) -> usize {
        self.planes * work(self.plane, self.windows, self.dtype)
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let first = task * self.per_task;
        let planes = first..(first + self.per_task).min(self.planes);
        // SAFETY: passed on to the caller.
        unsafe { self.run_planes(planes, memory) };
    }

    unsafe fn run_slice(&self, slice: Slice, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe { self.run_planes(slice.planes(self.dy.shape[0], self.planes), memory) };
    }
}

impl MaxPoolGrad {
    /// # Safety
    /// As for [`Kernel::run`]; the planes must be the caller's.
    unsafe fn run_planes(&self, planes: Range<usize>, memory: &Memory<'_>) {
        for plane in planes {
            // SAFETY: passed on to the caller; all bits 0 are the number 0.
            unsafe {
                match self.dtype {
                    DType::F32 => self.add::<f32>(plane, memory),
                    DType::F64 => self.add::<f64>(plane, memory),
                    DType::I64 => self.add::<i64>(plane, memory),
                    DType::I32 => self.add::<i32>(plane, memory),
                    DType::U8 => self.add::<u8>(plane, memory),
                    DType::Bool => self.add::<Any>(plane, memory),
                    DType::F16 | DType::BF16 => unreachable!("lowered to f32"),
                }
            }
        }
    }
}
