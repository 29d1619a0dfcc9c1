//! Greatest elements of windows.

use std::ops::Range;
use std::slice;

use gradus_ir::ops::PoolGeometry;
use gradus_ir::schedule::{ValueId, View};
use gradus_ir::{DType, Shape};

use super::scatter_add::{Addend, Any};
use super::{Kernel, Slice, TASK};
use crate::fold::{Join, Max};
use crate::loops::register::{Class, Stored, with_stored};
use crate::memory::{Memory, with_strips};
use crate::tier::{Vectorized, vectorize};

/// The greatest element of each window, its place in the plane, or both; a task owns some planes.
///
/// A plane is computed in two sweeps without gathers or short loops: first the rows of each window are compared,
/// column by column; then, over all windows of the plane at once, the columns. Of equal elements the one with
/// the smaller place wins, which is the first.
pub(super) struct MaxPool {
    x: View,
    value: Option<ValueId>,
    place: Option<ValueId>,
    dtype: DType,
    planes: usize,
    input: [usize; 2],
    output: [usize; 2],
    /// For each row of the result, the rows of the plane under its windows.
    rows: Vec<Vec<usize>>,
    /// Between the sweeps: columns of padding before a row, and a row's length, a multiple of the stride.
    before: usize,
    pitch: usize,
    stride: usize,
    dilation: usize,
    /// Columns of a window.
    columns: usize,
    window: usize,
    per_task: usize,
}

impl MaxPool {
    pub fn new(
        geometry: &PoolGeometry,
        x: &View,
        [value, place]: [Option<ValueId>; 2],
        shape: &Shape,
        dtype: DType,
    ) -> MaxPool {
        let (input, output) = ([x.shape[2], x.shape[3]], [shape[2], shape[3]]);
        let rows = (0..output[0]).map(|at| geometry.places(0, at, input[0]).collect()).collect();
        let (columns, stride, dilation) =
            (geometry.size[1], geometry.stride[1], geometry.dilation[1]);
        let reach = output[1].saturating_sub(1) * stride + (columns - 1) * dilation + 1;
        let window = geometry.size[0] * columns;
        let work = output[0] * output[1] * window * 2 * dtype.size();
        MaxPool {
            x: x.clone(),
            value,
            place,
            dtype,
            planes: x.shape[0] * x.shape[1],
            input,
            output,
            rows,
            before: geometry.padding[1][0],
            pitch: reach.next_multiple_of(stride).max(output[1] * stride),
            stride,
            dilation,
            columns,
            window,
            per_task: (TASK / work.max(1)).max(1),
        }
    }

    /// Elements between the sweeps, and windows after the second, the needless ones at the end of rows included.
    fn between(&self) -> [usize; 2] {
        // The last windows look beyond the last row.
        let slack = self.columns * self.dilation + self.stride;
        [self.output[0] * self.pitch + slack, self.output[0] * (self.pitch / self.stride)]
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
        // SAFETY: passed on to the caller.
        unsafe { self.run_planes(planes, memory) };
    }

    unsafe fn run_slice(&self, slice: Slice, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe { self.run_planes(slice.planes(self.x.shape[0], self.planes), memory) };
    }
}

impl MaxPool {
    /// # Safety
    /// As for [`Kernel::run`]; the planes must be the caller's.
    unsafe fn run_planes(&self, planes: Range<usize>, memory: &Memory<'_>) {
        let [elements, windows] = self.between();
        // What is greatest so far, and where it lies.
        with_strips((elements + windows) * (8 + size_of::<u32>()), |scratch| {
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
        with_stored!(pool.dtype, Class::of(pool.dtype), S => {
            // SAFETY: the planes are this task's; there is scratch memory for both sweeps, aligned for any element.
            unsafe {
                match (pool.value, pool.place) {
                    (Some(value), None) => pool.run::<S, false>(planes, memory, scratch, Some(value), None),
                    (value, place) => pool.run::<S, true>(planes, memory, scratch, value, place),
                }
            }
        });
    }
}

impl MaxPool {
    /// # Safety
    /// As for [`Kernel::run`]; `S` must be how the elements are stored, and `scratch` have room for both sweeps.
    #[inline(always)]
    unsafe fn run<S: Stored<Register: PartialOrd>, const PLACE: bool>(
        &self,
        planes: Range<usize>,
        memory: &Memory<'_>,
        scratch: *mut u8,
        value: Option<ValueId>,
        place: Option<ValueId>,
    ) where
        Max: Join<S::Register>,
    {
        let ([h, w], [oh, ow]) = (self.input, self.output);
        let [elements, windows] = self.between();
        let all = elements + windows;
        // SAFETY: the scratch memory has room for that; it is written here first so that there are slices.
        let (best, places) = unsafe {
            let best = scratch.cast::<S::Register>();
            let place = scratch.add(8 * all).cast::<u32>();
            for i in 0..all {
                best.add(i).write(<Max as Join<S::Register>>::IDENTITY);
                place.add(i).write(u32::MAX);
            }
            (slice::from_raw_parts_mut(best, all), slice::from_raw_parts_mut(place, all))
        };
        let (best, greatest) = best.split_at_mut(elements);
        let (at, places) = places.split_at_mut(elements);
        let row = self.before..(self.before + w).min(self.pitch);
        let width = row.len();
        for plane in planes {
            // SAFETY: the plane is inside the view.
            let x = unsafe {
                slice::from_raw_parts(memory.view::<S::Raw>(&self.x).add(plane * h * w), h * w)
            };
            for (r, under) in self.rows.iter().enumerate() {
                let row = r * self.pitch + row.start..r * self.pitch + row.end;
                let (best, at) = (&mut best[row.clone()], &mut at[row]);
                for (k, &y) in under.iter().enumerate() {
                    let x = &x[y * w..y * w + width];
                    let first = (y * w) as u32;
                    if k == 0 {
                        best.iter_mut().zip(x).for_each(|(best, &x)| *best = S::load(x));
                        if PLACE {
                            at.iter_mut().enumerate().for_each(|(i, at)| *at = first + i as u32);
                        }
                        continue;
                    }
                    for (i, ((best, at), &x)) in best.iter_mut().zip(&mut *at).zip(x).enumerate() {
                        let x = S::load(x);
                        let wins = exceeds(x, *best);
                        *best = if wins { x } else { *best };
                        if PLACE {
                            *at = if wins { first + i as u32 } else { *at };
                        }
                    }
                }
            }
            for k in 0..self.columns {
                let from = k * self.dilation;
                let (best, at) = (&best[from..], &at[from..]);
                // Strides that the compiler knows become shuffles, the others gathers.
                match self.stride {
                    1 => contest::<S, PLACE>(k == 0, 1, best, at, greatest, places),
                    2 => contest::<S, PLACE>(k == 0, 2, best, at, greatest, places),
                    stride => contest::<S, PLACE>(k == 0, stride, best, at, greatest, places),
                }
            }
            let per_row = self.pitch / self.stride;
            for r in 0..oh {
                let to = (plane * oh + r) * ow;
                let row = r * per_row..r * per_row + ow;
                if let Some(value) = value {
                    // SAFETY: the row is inside the result, and this task's.
                    let out = unsafe {
                        slice::from_raw_parts_mut(memory.at::<S::Raw>(value).add(to), ow)
                    };
                    out.iter_mut().zip(&greatest[row.clone()]).for_each(|(o, &x)| *o = S::store(x));
                }
                if let Some(place) = place {
                    // SAFETY: as above.
                    let out =
                        unsafe { slice::from_raw_parts_mut(memory.at::<i64>(place).add(to), ow) };
                    out.iter_mut().zip(&places[row]).for_each(|(o, &place)| *o = i64::from(place));
                }
            }
        }
    }
}

/// Whether `x`, which comes later, beats `best`: NaN is the greatest.
#[inline(always)]
#[expect(clippy::eq_op, reason = "a NaN differs from itself")]
fn exceeds<T: PartialOrd + Copy>(x: T, best: T) -> bool {
    (x > best) | ((x != x) & (best == best))
}

/// Lets one column of all windows, a stride apart, contest what is greatest so far; the first sets it.
#[inline(always)]
fn contest<S: Stored<Register: PartialOrd>, const PLACE: bool>(
    first: bool,
    stride: usize,
    best: &[S::Register],
    at: &[u32],
    greatest: &mut [S::Register],
    places: &mut [u32],
) {
    let n = greatest.len();
    assert!(places.len() == n && best.len() == at.len(), "as many places as elements");
    assert!(n == 0 || (n - 1) * stride < best.len(), "windows lie in the plane");
    for (i, (greatest, place)) in greatest.iter_mut().zip(places).enumerate() {
        // SAFETY: checked above, once for all, so that the loop vectorises.
        let (x, at) = unsafe { (*best.get_unchecked(i * stride), *at.get_unchecked(i * stride)) };
        if PLACE {
            // Columns are met out of order: of equal elements, one further right may lie further up.
            let equal = !exceeds(x, *greatest) & !exceeds(*greatest, x);
            let wins = first | exceeds(x, *greatest) | (equal & (at < *place));
            *greatest = if wins { x } else { *greatest };
            *place = if wins { at } else { *place };
        } else {
            *greatest = if first | exceeds(x, *greatest) { x } else { *greatest };
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
