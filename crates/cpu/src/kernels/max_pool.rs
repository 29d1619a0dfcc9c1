//! Greatest elements of windows.

mod grad;

use std::ops::Range;
use std::slice;

use gradus_ir::ops::PoolGeometry;
use gradus_ir::schedule::{ValueId, View};
use gradus_ir::{DType, Shape};
use pulp::{Simd, WithSimd};

use super::conv::Planes;
use super::{Kernel, Slice, TASK};
use crate::loops::register::{Class, Stored, with_stored};
use crate::memory::{Memory, with_strips};
use crate::tier::{has_fma, with_simd};
pub(super) use grad::MaxPoolGrad;

/// The greatest element of each window, its place in the plane, or both; a task owns some planes.
pub(super) struct MaxPool {
    x: View,
    value: Option<ValueId>,
    place: Option<ValueId>,
    dtype: DType,
    planes: usize,
    input: [usize; 2],
    output: [usize; 2],
    /// For each row and each column of the result, the rows and columns of the plane under its windows.
    under: [Vec<Vec<usize>>; 2],
    /// The plane with its padding spelled out, and its columns dealt out where windows are several apart.
    padded: Planes,
    /// For each column of a window, where its elements lie relative to the first's.
    columns: Vec<usize>,
    /// For each column of the result, and for a vector beyond the last, the first column under its windows.
    first: Vec<u32>,
    /// The elements of a window, if none reaches into padding.
    taps: Option<Vec<Tap>>,
    geometry: PoolGeometry,
    per_task: usize,
}

/// An element of a window, relative to the first: in the padded plane, and in the plane.
#[derive(Clone, Copy)]
struct Tap {
    at: usize,
    place: u32,
}

/// The most elements of a vector.
const LANES: usize = 16;

impl MaxPool {
    pub fn new(
        geometry: &PoolGeometry,
        x: &View,
        [value, place]: [Option<ValueId>; 2],
        shape: &Shape,
        dtype: DType,
    ) -> MaxPool {
        let (input, output) = ([x.shape[2], x.shape[3]], [shape[2], shape[3]]);
        let under = [0, 1].map(|axis| {
            let places = |at| geometry.places(axis, at, input[axis]).collect::<Vec<_>>();
            (0..output[axis]).map(places).collect::<Vec<_>>()
        });
        let first = under[1].iter().map(|columns| columns.first().map_or(0, |&c| c as u32));
        let first = first.chain([0; LANES]).collect();
        let stride = [1, geometry.stride[1]];
        let span = [0, 1].map(|i| (geometry.size[i] - 1) * geometry.dilation[i] + 1);
        // Rows are found by number; only their columns are laid out.
        let before = [0, geometry.padding[1][0]];
        let rows = [input[0], output[1]];
        let padded = Planes::new(1, input, before, stride, [1, span[1]], rows);
        let column = |k: usize| padded.offset(0, [0, k * geometry.dilation[1]]);
        let columns: Vec<usize> = (0..geometry.size[1]).map(column).collect();
        let inside =
            [0, 1].into_iter().all(|i| under[i].iter().all(|u| u.len() == geometry.size[i]));
        let taps = (0..geometry.size[0]).flat_map(|row| {
            let row = row * geometry.dilation[0];
            columns.iter().enumerate().map(move |(k, column)| (row, k, *column))
        });
        let taps = taps.map(|(row, k, column)| Tap {
            at: row * padded.pitch() + column,
            place: (row * input[1] + k * geometry.dilation[1]) as u32,
        });
        let work = output[0] * output[1] * geometry.size[0] * geometry.size[1] * dtype.size();
        MaxPool {
            x: x.clone(),
            value,
            place,
            dtype,
            planes: x.shape[0] * x.shape[1],
            input,
            output,
            under,
            taps: inside.then(|| taps.collect()),
            columns,
            padded,
            first,
            geometry: geometry.clone(),
            per_task: (TASK / work.max(1)).max(1),
        }
    }
}

impl Kernel for MaxPool {
    fn tasks(&self) -> usize {
        self.planes.div_ceil(self.per_task)
    }

    fn cost(&self) -> usize {
        let window = self.geometry.size[0] * self.geometry.size[1];
        self.planes * self.output[0] * self.output[1] * window * self.dtype.size()
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
        if self.dtype == DType::F32 && has_fma() {
            let elements = self.padded.len() + LANES;
            let windows = self.output[0] * self.output[1] + LANES;
            with_strips((elements + 2 * windows) * size_of::<f32>(), |scratch| {
                let padded = scratch.cast::<f32>();
                let best = padded.wrapping_add(elements);
                let places = best.wrapping_add(windows).cast::<u32>();
                // SAFETY: there is room for that.
                unsafe { (0..elements).for_each(|i| padded.add(i).write(f32::NEG_INFINITY)) };
                with_simd(Vectors { pool: self, planes, memory, padded, best, places });
            });
            return;
        }
        with_stored!(self.dtype, Class::of(self.dtype), S => {
            // SAFETY: `S` is how the elements are stored; the rest is passed on to the caller.
            planes.for_each(|plane| unsafe { self.plane::<S>(plane, memory) });
        });
    }

    /// One plane, window by window.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; `S` must be how the elements are stored, and the plane the caller's.
    unsafe fn plane<S: Stored<Register: PartialOrd>>(&self, plane: usize, memory: &Memory<'_>) {
        let ([h, w], [oh, ow]) = (self.input, self.output);
        // SAFETY: the plane is inside the view.
        let x = unsafe {
            slice::from_raw_parts(memory.view::<S::Raw>(&self.x).add(plane * h * w), h * w)
        };
        for (r, rows) in self.under[0].iter().enumerate() {
            for (c, columns) in self.under[1].iter().enumerate() {
                let mut places = rows.iter().flat_map(|y| columns.iter().map(move |x| y * w + x));
                let mut best = places.next().unwrap_or(0);
                for place in places {
                    if exceeds(S::load(x[place]), S::load(x[best])) {
                        best = place;
                    }
                }
                let to = (plane * oh + r) * ow + c;
                // SAFETY: the window's results are inside the buffers, and the caller's.
                unsafe {
                    if let Some(value) = self.value {
                        memory.at::<S::Raw>(value).add(to).write(x[best]);
                    }
                    if let Some(place) = self.place {
                        memory.at::<i64>(place).add(to).write(best as i64);
                    }
                }
            }
        }
    }
}

/// Whether `x`, which comes later, beats `best`: NaN is the greatest.
#[expect(clippy::eq_op, reason = "a NaN differs from itself")]
fn exceeds<T: PartialOrd + Copy>(x: T, best: T) -> bool {
    (x > best) | ((x != x) & (best == best))
}

/// Planes of float32, a vector of windows at a time.
struct Vectors<'a> {
    pool: &'a MaxPool,
    planes: Range<usize>,
    memory: &'a Memory<'a>,
    /// Room for the padded plane and a vector; negative infinity wherever there is padding.
    padded: *mut f32,
    /// The results of a plane, and room for a vector.
    best: *mut f32,
    places: *mut u32,
}

impl WithSimd for Vectors<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let p = self.pool;
        let [h, w] = p.input;
        for plane in self.planes.clone() {
            let x = self.memory.view::<f32>(&p.x).wrapping_add(plane * h * w);
            // SAFETY: the plane is inside the operand, and there is room for it.
            unsafe { p.padded.lay_out(x, self.padded) };
            for (row, under) in p.under[0].iter().enumerate() {
                for column in (0..p.output[1]).step_by(S::F32_LANES) {
                    // SAFETY: row and column are those of a window; taps are there if all windows are whole.
                    unsafe {
                        match p.taps.as_deref() {
                            Some(&[a, b, c, d]) => {
                                self.whole(simd, row, under[0], column, &[a, b, c, d]);
                            }
                            Some(taps) => self.whole(simd, row, under[0], column, taps),
                            None => self.windows(simd, row, under, column),
                        }
                    }
                }
            }
            let n = p.output[0] * p.output[1];
            // SAFETY: the plane's results are inside the buffers, and the caller's.
            unsafe {
                if let Some(value) = p.value {
                    let to = self.memory.at::<f32>(value).add(plane * n);
                    to.copy_from_nonoverlapping(self.best, n);
                }
                if let Some(place) = p.place {
                    let to = self.memory.at::<i64>(place).add(plane * n);
                    let to = slice::from_raw_parts_mut(to, n);
                    let places = slice::from_raw_parts(self.places, n);
                    to.iter_mut().zip(places).for_each(|(to, &place)| *to = i64::from(place));
                }
            }
        }
    }
}

impl Vectors<'_> {
    /// The windows of a row, which begins at row `top` of the plane, from `column` on.
    ///
    /// # Safety
    /// There must be such a window, the plane be laid out, and no window reach into padding.
    #[inline(always)]
    unsafe fn whole<S: Simd>(&self, simd: S, row: usize, top: usize, column: usize, taps: &[Tap]) {
        let p = self.pool;
        // SAFETY: the windows and a vector beyond are inside the padded plane and its slack.
        let (window, first) = unsafe {
            let first = p.first.as_ptr().add(column).cast::<S::u32s>().read_unaligned();
            (self.padded.add(top * p.padded.pitch() + column), first)
        };
        // SAFETY: as above.
        let tap = |at: usize| unsafe { window.add(at).cast::<S::f32s>().read_unaligned() };
        let mut best = tap(0);
        let mut place = simd.splat_u32s(0);
        for &Tap { at, place: here } in &taps[1..] {
            let x = tap(at);
            let wins = Self::wins(simd, x, best);
            best = simd.select_f32s(wins, x, best);
            place = simd.select_u32s(wins, simd.splat_u32s(here), place);
        }
        let start = simd.add_u32s(first, simd.splat_u32s((top * p.input[1]) as u32));
        // SAFETY: passed on to the caller.
        unsafe { self.keep(simd, row, column, best, simd.add_u32s(start, place)) };
    }

    /// [`exceeds`], lane by lane.
    #[inline(always)]
    fn wins<S: Simd>(simd: S, x: S::f32s, best: S::f32s) -> S::m32s {
        let at_most = simd.less_than_or_equal_f32s(x, best);
        let number = simd.equal_f32s(best, best);
        simd.and_m32s(simd.not_m32s(at_most), number)
    }

    /// Keeps a vector of results.
    ///
    /// # Safety
    /// Row and column must be those of a window.
    #[inline(always)]
    unsafe fn keep<S: Simd>(&self, _: S, row: usize, column: usize, best: S::f32s, place: S::u32s) {
        // Beyond the end of a row lies the next, which is yet to come.
        let to = row * self.pool.output[1] + column;
        // SAFETY: there is room for the plane's results and a vector.
        unsafe {
            self.best.add(to).cast::<S::f32s>().write_unaligned(best);
            self.places.add(to).cast::<S::u32s>().write_unaligned(place);
        }
    }

    /// The windows of a row from `column` on.
    ///
    /// # Safety
    /// There must be such a window, and the plane be laid out.
    #[inline(always)]
    unsafe fn windows<S: Simd>(&self, simd: S, row: usize, under: &[usize], column: usize) {
        let (p, w) = (self.pool, self.pool.input[1]);
        let [stride, dilation] = [p.geometry.stride[1], p.geometry.dilation[1]];
        // SAFETY: there is a vector beyond the last column.
        let first = unsafe { p.first.as_ptr().add(column).cast::<S::u32s>().read_unaligned() };
        let top = under.first().map_or(0, |y| y * w) as u32;
        let mut best = simd.splat_f32s(f32::NEG_INFINITY);
        let mut place = simd.add_u32s(first, simd.splat_u32s(top));
        let columns: S::u32s = {
            let mut columns = [0u32; LANES];
            (0..S::F32_LANES).for_each(|i| columns[i] = ((column + i) * stride) as u32);
            // SAFETY: a vector has at most as many elements.
            unsafe { columns.as_ptr().cast::<S::u32s>().read_unaligned() }
        };
        for &y in under {
            for (k, from) in p.columns.iter().enumerate() {
                let at = from + y * p.padded.pitch() + column;
                // SAFETY: the windows and a vector beyond are inside the padded plane and its slack.
                let x = unsafe { self.padded.add(at).cast::<S::f32s>().read_unaligned() };
                // Where the column is padding the place is wrong, but negative infinity never wins.
                let here = (y * w + k * dilation).wrapping_sub(p.geometry.padding[1][0]) as u32;
                let here = simd.add_u32s(columns, simd.splat_u32s(here));
                let wins = Self::wins(simd, x, best);
                best = simd.select_f32s(wins, x, best);
                place = simd.select_u32s(wins, here, place);
            }
        }
        // SAFETY: passed on to the caller.
        unsafe { self.keep(simd, row, column, best, place) };
    }
}
