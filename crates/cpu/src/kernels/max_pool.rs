//! Greatest elements of windows.

use std::ops::Range;

use gradus_ir::ops::PoolGeometry;
use gradus_ir::schedule::{ValueId, View};
use gradus_ir::{DType, Shape};

use super::scatter_add::{Addend, Any};
use super::{Kernel, TASK};
use crate::fold::{Join, Max};
use crate::loops::register::{Class, Stored, with_stored};
use crate::memory::{Memory, with_strips};
use crate::tier::{Vectorized, vectorize};

/// What of the greatest element is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Its value.
    Value,
    /// Its place in the plane.
    Place,
}

/// The greatest element of each window, plane by plane; a task owns some planes.
///
/// A row of the result is computed tap by tap, all its windows at once, so that the comparison vectorises.
pub(super) struct MaxPool {
    x: View,
    out: ValueId,
    dtype: DType,
    keep: Keep,
    planes: usize,
    input: [usize; 2],
    output: [usize; 2],
    /// For each row of the result, the rows of the plane under its windows.
    rows: Vec<Vec<usize>>,
    /// For each column of the window, the columns of the result whose windows reach the plane with it, and the
    /// column of the plane that the first of these looks at.
    taps: Vec<(Range<usize>, usize)>,
    /// For each column of the result, the first column of the plane under its windows.
    first: Vec<u32>,
    stride: usize,
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
        let rows = (0..output[0]).map(|at| geometry.places(0, at, input[0]).collect()).collect();
        let first = |at| geometry.places(1, at, input[1]).next().unwrap_or(0) as u32;
        let (stride, before) = (geometry.stride[1], geometry.padding[1][0]);
        let tap = |k: usize| {
            let shift = k * geometry.dilation[1];
            let start = before.saturating_sub(shift).div_ceil(stride).min(output[1]);
            let end = (input[1] + before).saturating_sub(shift).div_ceil(stride);
            let end = end.clamp(start, output[1]);
            (start..end, (start * stride + shift).saturating_sub(before))
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
            rows,
            taps: (0..geometry.size[1]).map(tap).collect(),
            first: (0..output[1]).map(first).collect(),
            stride,
            window,
            per_task: (TASK / work.max(1)).max(1),
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
        let planes = first..(first + self.per_task).min(self.planes);
        // The greatest so far of each window of a row, and where it lies.
        with_strips(self.output[1] * (8 + size_of::<u32>()), |scratch| {
            vectorize(Planes { pool: self, planes, memory, scratch });
        });
    }
}

struct Planes<'a> {
    pool: &'a MaxPool,
    planes: Range<usize>,
    memory: &'a Memory<'a>,
    scratch: *mut u8,
}

impl Vectorized for Planes<'_> {
    #[inline(always)]
    fn run(self) {
        let Planes { pool, planes, memory, scratch } = self;
        for plane in planes {
            with_stored!(pool.dtype, Class::of(pool.dtype), S => {
                // SAFETY: the planes are this task's; there is scratch memory for a row, aligned for any element.
                unsafe {
                    match pool.keep {
                        Keep::Value => pool.plane::<S, false>(plane, memory, scratch),
                        Keep::Place => pool.plane::<S, true>(plane, memory, scratch),
                    }
                }
            });
        }
    }
}

impl MaxPool {
    /// # Safety
    /// As for [`Kernel::run`]; `S` must be how the elements are stored, and `scratch` have room for a row.
    #[inline(always)]
    unsafe fn plane<S: Stored<Register: PartialOrd>, const PLACE: bool>(
        &self,
        plane: usize,
        memory: &Memory<'_>,
        scratch: *mut u8,
    ) where
        Max: Join<S::Register>,
    {
        let ([h, w], [oh, ow]) = (self.input, self.output);
        // SAFETY: the plane is inside the view, and its result this task's; see above for the scratch memory.
        let (x, best, place) = unsafe {
            let x = memory.view::<S::Raw>(&self.x).add(plane * h * w);
            let best = scratch.cast::<S::Register>();
            let place = scratch.add(8 * ow).cast::<u32>();
            for i in 0..ow {
                // Overwritten below; first written here so that there are slices.
                best.add(i).write(<Max as Join<S::Register>>::IDENTITY);
                place.add(i).write(0);
            }
            (
                std::slice::from_raw_parts(x, h * w),
                std::slice::from_raw_parts_mut(best, ow),
                std::slice::from_raw_parts_mut(place, ow),
            )
        };
        for (row, under) in self.rows.iter().enumerate() {
            best.fill(<Max as Join<S::Register>>::IDENTITY);
            if PLACE {
                let start = under.first().map_or(0, |&r| r * w) as u32;
                place.iter_mut().zip(&self.first).for_each(|(p, &column)| *p = start + column);
            }
            for &r in under {
                for (columns, from) in &self.taps {
                    let x = &x[r * w + from..(r + 1) * w];
                    let base = (r * w + from) as u32;
                    let (best, place) = (&mut best[columns.clone()], &mut place[columns.clone()]);
                    // Strides that the compiler knows become shuffles, the others gathers.
                    match self.stride {
                        1 => contest::<S, PLACE>(x, 1, base, best, place),
                        2 => contest::<S, PLACE>(x, 2, base, best, place),
                        stride => contest::<S, PLACE>(x, stride, base, best, place),
                    }
                }
            }
            let to = (plane * oh + row) * ow;
            if PLACE {
                let out = memory.at::<i64>(self.out);
                for (i, &place) in place.iter().enumerate() {
                    // SAFETY: as above.
                    unsafe { out.add(to + i).write(i64::from(place)) };
                }
            } else {
                let out = memory.at::<S::Raw>(self.out);
                for (i, &best) in best.iter().enumerate() {
                    // SAFETY: as above.
                    unsafe { out.add(to + i).write(S::store(best)) };
                }
            }
        }
    }
}

/// Lets the elements of `x`, a stride apart, contest the greatest so far of as many windows. The first lies at
/// `base` in the plane.
#[inline(always)]
fn contest<S: Stored<Register: PartialOrd>, const PLACE: bool>(
    x: &[S::Raw],
    stride: usize,
    base: u32,
    best: &mut [S::Register],
    place: &mut [u32],
) {
    assert!(best.is_empty() || (best.len() - 1) * stride < x.len(), "windows lie in the plane");
    for (i, (best, place)) in best.iter_mut().zip(place).enumerate() {
        // SAFETY: checked above, once for all, so that the loop vectorises.
        let candidate = S::load(unsafe { *x.get_unchecked(i * stride) });
        #[expect(clippy::eq_op, reason = "a NaN differs from itself")]
        let wins = (candidate > *best) | ((candidate != candidate) & (*best == *best));
        *best = if wins { candidate } else { *best };
        if PLACE {
            *place = if wins { base + (i * stride) as u32 } else { *place };
        }
    }
}

/// Gradients added where the greatest elements were, plane by plane; a task owns some planes.
pub(super) struct MaxPoolGrad {
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
                std::slice::from_raw_parts(places, self.windows),
                std::slice::from_raw_parts(dy, self.windows),
                std::slice::from_raw_parts_mut(out, self.plane),
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
        for plane in first..(first + self.per_task).min(self.planes) {
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
