//! Gradients of a convolution by the winners of the max-pooling behind it.
//!
//! A winner of filter `f` at output place `q` with gradient `g` takes part in all of the filter's taps, and in
//! nothing else: `dw[f] += g · window(q)` and `window(q) of dx += g · w[f]`. With the channels innermost, a window
//! is a few runs of neighbours (kernel columns × channels), whatever the padding and stride; vectors run along
//! them. For the weights all taps stay in registers while the winners of an image go by; for the input, winners
//! that follow each other lie apart, as what has just been written partly is slow to read again. Winners without
//! a gradient, because ReLU was shut, are skipped; a gradient that is not finite may spread to neighbouring
//! places of `dx`.

mod windows;

use std::ops::Range;

use super::parts::Parts;
use crate::kernels::{Kernel, Slice};
use crate::memory::{Memory, Scratch, with_strips};
use crate::tier::{has_fma, with_simd};
use gradus_ir::ops::{ConvGeometry, ConvSize, Op};
use gradus_ir::schedule::{ValueId, View};
use gradus_ir::{DType, Type};
use pulp::{Simd, WithSimd};
use windows::{NOWHERE, Part, Windows, scattered};

/// The most elements of a vector.
const LANES: usize = 16;
/// The most elements of a filter, which is laid out in whole vectors, and of all filters.
const TAPS: usize = 1024;
const WEIGHTS: usize = 64 << 10;

/// Whether there is a kernel for the gradient.
pub(in crate::kernels) fn fits(op: &Op, types: &[&Type]) -> bool {
    let [a, b, c] = types else { return false };
    let (geometry, size) = match op {
        Op::ConvInputGradPooled(c_) => (&c_.conv.geometry, c_.size(&b.shape, &c.shape)),
        Op::ConvWeightGradPooled(c_) => (&c_.conv.geometry, c_.size(&a.shape, &c.shape)),
        _ => return false,
    };
    let Ok(size) = size else { return false };
    let windows = Windows::new(geometry, &size);
    let taps = windows.runs() * windows.run.next_multiple_of(LANES);
    let dtype = types.iter().all(|t| matches!(t.dtype, DType::F32 | DType::I64));
    dtype && has_fma() && (1..=TAPS).contains(&taps) && taps * size.filters <= WEIGHTS
}

/// A gradient with respect to the weight or to the input.
pub(super) struct Pooled {
    geometry: ConvGeometry,
    size: ConvSize,
    windows: Windows,
    /// Winners per filter and image.
    winners: usize,
    places: View,
    dy: View,
    /// The input, or the weight.
    other: View,
    out: ValueId,
    of: Of,
}

enum Of {
    Weight(Parts),
    /// With the order of the winners of a plane.
    Input(Vec<u32>),
}

impl Pooled {
    pub fn new(op: &Op, x: &[View], out: ValueId, scratch: &mut Scratch) -> Pooled {
        let (geometry, size, places, dy, other) = match op {
            Op::ConvInputGradPooled(c) => {
                (&c.conv.geometry, c.size(&x[1].shape, &x[2].shape), &x[0], &x[1], &x[2])
            }
            Op::ConvWeightGradPooled(c) => {
                (&c.conv.geometry, c.size(&x[0].shape, &x[2].shape), &x[1], &x[2], &x[0])
            }
            op => unreachable!("{op} is no gradient by winners"),
        };
        let size = size.unwrap_or_else(|e| unreachable!("inference has checked it: {e}"));
        let taps = size.channels / geometry.groups * size.kernel[0] * size.kernel[1];
        let of = match op {
            Op::ConvWeightGradPooled(_) => {
                Of::Weight(Parts::new(size.batch, size.filters * taps, scratch))
            }
            _ => Of::Input(scattered(dy.shape[2] * dy.shape[3])),
        };
        Pooled {
            geometry: geometry.clone(),
            size,
            windows: Windows::new(geometry, &size),
            winners: dy.shape[2] * dy.shape[3],
            places: places.clone(),
            dy: dy.clone(),
            other: other.clone(),
            out,
            of,
        }
    }

    fn channels(&self) -> usize {
        self.size.channels / self.geometry.groups
    }

    /// Filters of a group.
    fn filters(&self) -> usize {
        self.size.filters / self.geometry.groups
    }
}

impl Kernel for Pooled {
    fn tasks(&self) -> usize {
        match &self.of {
            Of::Weight(parts) => parts.count(),
            Of::Input(_) => Slice::count(self.size.batch),
        }
    }

    fn cost(&self) -> usize {
        let taps = self.windows.runs() * self.windows.run;
        self.size.batch * (self.size.filters * self.winners * taps / 4 + self.windows.len() * 8)
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let of = self.tasks();
        // SAFETY: passed on to the caller.
        unsafe { self.run_slice(Slice { slice: task, of }, memory) };
    }

    unsafe fn run_slice(&self, slice: Slice, memory: &Memory<'_>) {
        let (task, images) = (slice.slice, slice.images(self.size.batch));
        let image = self.windows.len() + 2 * LANES;
        let filter = self.windows.runs() * self.windows.run.next_multiple_of(LANES);
        let filters = self.size.filters * filter;
        let elements = image + filters + 2 * self.winners;
        with_strips(elements * size_of::<f32>(), |scratch| {
            let image_at = scratch.cast::<f32>();
            let filters_at = image_at.wrapping_add(image);
            let values = filters_at.wrapping_add(filters);
            let starts = values.wrapping_add(self.winners).cast::<u32>();
            // SAFETY: there is room for all; all bits 0 are the number 0.
            unsafe { image_at.write_bytes(0, image + filters) };
            let work = Work {
                pooled: self,
                task,
                images,
                image: image_at,
                filters: filters_at,
                values,
                starts,
                memory,
            };
            with_simd(work);
        });
    }
}

/// One task.
struct Work<'a> {
    pooled: &'a Pooled,
    task: usize,
    images: Range<usize>,
    /// The image, its channels innermost, and slack behind it.
    image: *mut f32,
    /// The filters in whole vectors: the weight, or its gradient so far.
    filters: *mut f32,
    /// The winners of a filter that have a gradient: it, and where the window starts.
    values: *mut f32,
    starts: *mut u32,
    memory: &'a Memory<'a>,
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let p = self.pooled;
        let parts = p.windows.parts(S::F32_LANES);
        // SAFETY: `Kernel::run` passes on that operands and result are valid; the images are this task's.
        unsafe {
            match &p.of {
                Of::Weight(sums) => {
                    for image in self.images.clone() {
                        for group in 0..p.geometry.groups {
                            self.fetch(image, group);
                            self.filters(simd, &parts, image, group, None);
                        }
                    }
                    self.unpack(S::F32_LANES, sums.sum(self.task, p.out, self.memory));
                    sums.done(p.out, self.memory);
                }
                Of::Input(order) => {
                    self.pack(S::F32_LANES);
                    for image in self.images.clone() {
                        for group in 0..p.geometry.groups {
                            self.image.write_bytes(0, p.windows.len());
                            self.filters(simd, &parts, image, group, Some(order));
                            self.hand_in(image, group);
                        }
                    }
                }
            }
        }
    }
}

impl Work<'_> {
    /// Lays an image out with the channels innermost.
    ///
    /// # Safety
    /// The image must exist.
    #[inline(always)]
    unsafe fn fetch(&self, image: usize, group: usize) {
        let x = self.memory.view::<f32>(&self.pooled.other).cast_mut();
        // SAFETY: passed on to the caller; the buffer has room for the image.
        unsafe { self.for_each_row(image, group, x, innermost::<true>) };
    }

    /// Writes the image's gradient to where it belongs.
    ///
    /// # Safety
    /// The image must be this task's.
    #[inline(always)]
    unsafe fn hand_in(&self, image: usize, group: usize) {
        let dx = self.memory.at::<f32>(self.pooled.out);
        // SAFETY: as in `fetch`.
        unsafe { self.for_each_row(image, group, dx, innermost::<false>) };
    }

    /// Calls `f(planes, distance, buffer, [channels, width])` for the rows of a group of an image: where the row of
    /// the first channel lies, how far it is to the next channel's, and the same elements in the buffer.
    ///
    /// # Safety
    /// `x` must be valid for the image, as `f` uses it.
    #[inline(always)]
    unsafe fn for_each_row(
        &self,
        image: usize,
        group: usize,
        x: *mut f32,
        f: unsafe fn(*mut f32, usize, *mut f32, [usize; 2]),
    ) {
        let p = self.pooled;
        let (channels, [h, w]) = (p.channels(), p.size.input);
        let [top, left] = [p.geometry.padding[0][0], p.geometry.padding[1][0]];
        let x = x.wrapping_add((image * p.geometry.groups + group) * channels * h * w);
        for y in 0..h {
            let at = ((y + top) * p.windows.plane[1] + left) * channels;
            // SAFETY: passed on to the caller.
            unsafe { f(x.wrapping_add(y * w), h * w, self.image.wrapping_add(at), [channels, w]) };
        }
    }

    /// Lays the weight out in whole vectors.
    ///
    /// # Safety
    /// The weight must be valid.
    #[inline(always)]
    unsafe fn pack(&self, lanes: usize) {
        let p = self.pooled;
        let weight = self.memory.view::<f32>(&p.other);
        let (taps, pitch) = (p.windows.taps(lanes), self.pitch(lanes));
        for filter in 0..p.size.filters {
            for (tap, &at) in taps.iter().enumerate() {
                let weight = weight.wrapping_add(filter * taps.len() + tap);
                // SAFETY: inside the weight and the room for the filters.
                unsafe { *self.filters.add(filter * pitch + at as usize) = *weight };
            }
        }
    }

    /// The opposite of [`Work::pack`].
    ///
    /// # Safety
    /// `to` must be valid for the weight's gradient.
    #[inline(always)]
    unsafe fn unpack(&self, lanes: usize, to: *mut f32) {
        let p = self.pooled;
        let (taps, pitch) = (p.windows.taps(lanes), self.pitch(lanes));
        for filter in 0..p.size.filters {
            for (tap, &at) in taps.iter().enumerate() {
                let to = to.wrapping_add(filter * taps.len() + tap);
                // SAFETY: inside the gradient and the room for the filters.
                unsafe { *to = *self.filters.add(filter * pitch + at as usize) };
            }
        }
    }

    fn pitch(&self, lanes: usize) -> usize {
        self.pooled.windows.runs() * self.pooled.windows.run.next_multiple_of(lanes)
    }

    /// All filters of a group over an image: the winners' windows into the filters, or, where the winners have an
    /// order, the other way round.
    ///
    /// # Safety
    /// The image must be laid out.
    #[inline(always)]
    unsafe fn filters<S: Simd>(
        &self,
        simd: S,
        parts: &[Part],
        image: usize,
        group: usize,
        order: Option<&[u32]>,
    ) {
        let p = self.pooled;
        let pitch = self.pitch(S::F32_LANES);
        for f in 0..p.filters() {
            let filter = group * p.filters() + f;
            let plane = image * p.size.filters + filter;
            // SAFETY: passed on to the caller.
            let n = unsafe {
                match order {
                    None => self.winners(plane, 0..p.winners),
                    Some(order) => self.winners(plane, order.iter().map(|&w| w as usize)),
                }
            };
            for part in parts {
                let filter = self.filters.wrapping_add(filter * pitch + part.filter);
                macro_rules! with_registers {
                    ($($vectors:literal: $($runs:literal)*;)*) => {
                        // SAFETY: the winners' windows are inside the image and its slack.
                        unsafe {
                            match (part.size, order) {
                                $($(([$runs, $vectors], None) => {
                                    self.gather::<S, $runs, $vectors>(simd, n, part, filter)
                                }
                                ([$runs, $vectors], Some(_)) => {
                                    self.scatter::<S, $runs, $vectors>(simd, n, part, filter)
                                })*)*
                                (size, _) => unreachable!("{size:?} vectors at a time"),
                            }
                        }
                    };
                }
                with_registers!(1: 1 2 3 4 5 6 7; 2: 1 2 3 4 5 6; 3: 1 2 3 4; 4: 1 2 3;);
            }
        }
    }

    /// Lists the winners of a plane that have a gradient; returns how many.
    ///
    /// # Safety
    /// The plane must exist, and the winners be its.
    #[inline(always)]
    unsafe fn winners(&self, plane: usize, winners: impl Iterator<Item = usize>) -> usize {
        let p = self.pooled;
        let (first, mut n) = (plane * p.winners, 0);
        let places = self.memory.view::<i64>(&p.places).wrapping_add(first);
        let dy = self.memory.view::<f32>(&p.dy).wrapping_add(first);
        let starts = &p.windows.starts[..];
        for winner in winners {
            // SAFETY: the winner is inside the operands, and there is room for all of a plane.
            unsafe {
                let (place, value) = (*places.add(winner), *dy.add(winner));
                // A place that does not exist is the one behind the last.
                let start = starts[(place as usize).min(starts.len() - 1)];
                *self.starts.add(n) = start;
                *self.values.add(n) = value;
                // Without a branch, which nobody could predict.
                n += usize::from((value != 0.0) & (start != NOWHERE));
            }
        }
        n
    }

    /// `filter += Σ value · window`, `R` runs of `V` vectors of it.
    ///
    /// # Safety
    /// The first `n` winners must be listed.
    #[inline(always)]
    unsafe fn gather<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        n: usize,
        part: &Part,
        filter: *mut f32,
    ) {
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for winner in 0..n {
            // SAFETY: passed on to the caller.
            unsafe {
                let mut run = self.image.add(*self.starts.add(winner) as usize + part.start);
                let value = simd.splat_f32s(*self.values.add(winner));
                for sums in &mut sums {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        let x = run.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                        *sum = simd.mul_add_e_f32s(value, x, *sum);
                    }
                    run = run.wrapping_add(part.pitch);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let at = filter.wrapping_add(r * part.filter_pitch + v * S::F32_LANES);
                let at = at.cast::<S::f32s>();
                // SAFETY: the filters have room.
                unsafe { at.write_unaligned(simd.add_f32s(at.read_unaligned(), sum)) };
            }
        }
    }

    /// `window += value · filter` for all winners, `R` runs of `V` vectors of it.
    ///
    /// # Safety
    /// The first `n` winners must be listed.
    #[inline(always)]
    unsafe fn scatter<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        n: usize,
        part: &Part,
        filter: *mut f32,
    ) {
        let mut weights = [[simd.splat_f32s(0.0); V]; R];
        for (r, weights) in weights.iter_mut().enumerate() {
            for (v, weight) in weights.iter_mut().enumerate() {
                let at = filter.wrapping_add(r * part.filter_pitch + v * S::F32_LANES);
                // SAFETY: the filters have room.
                *weight = unsafe { at.cast::<S::f32s>().read_unaligned() };
            }
        }
        for winner in 0..n {
            // SAFETY: passed on to the caller.
            unsafe {
                let mut run = self.image.add(*self.starts.add(winner) as usize + part.start);
                let value = simd.splat_f32s(*self.values.add(winner));
                for weights in &weights {
                    for (v, &weight) in weights.iter().enumerate() {
                        let x = run.add(v * S::F32_LANES).cast::<S::f32s>();
                        x.write_unaligned(simd.mul_add_e_f32s(value, weight, x.read_unaligned()));
                    }
                    run = run.wrapping_add(part.pitch);
                }
            }
        }
    }
}

/// Brings a row of planes that are `distance` apart into a buffer, its channels innermost, or back.
///
/// # Safety
/// The planes and the buffer must be valid for the row, what is written for writing.
#[inline(always)]
unsafe fn innermost<const IN: bool>(
    planes: *mut f32,
    distance: usize,
    buffer: *mut f32,
    [channels, width]: [usize; 2],
) {
    macro_rules! with_channels {
        ($($n:literal)*) => {
            match channels {
                // SAFETY: passed on to the caller.
                $($n => unsafe { chunks::<IN, $n>(planes, distance, buffer, width) },)*
                _ => 0,
            }
        };
    }
    let done = with_channels!(1 2 3 4 6 8 16);
    for column in done..width {
        for channel in 0..channels {
            // SAFETY: as above.
            unsafe {
                let plane = planes.add(channel * distance + column);
                let buffer = buffer.add(column * channels + channel);
                if IN { *buffer = *plane } else { *plane = *buffer }
            }
        }
    }
}

/// As [`innermost`], eight columns at a time, which the compiler turns into shuffles; returns how many columns are
/// done.
///
/// # Safety
/// As for [`innermost`], of `C` channels.
#[inline(always)]
unsafe fn chunks<const IN: bool, const C: usize>(
    planes: *mut f32,
    distance: usize,
    buffer: *mut f32,
    width: usize,
) -> usize {
    const CHUNK: usize = 8;
    let whole = width / CHUNK * CHUNK;
    for column in (0..whole).step_by(CHUNK) {
        // SAFETY: passed on to the caller.
        unsafe {
            let buffer = buffer.add(column * C).cast::<[[f32; C]; CHUNK]>();
            let plane = |c: usize| planes.add(c * distance + column).cast::<[f32; CHUNK]>();
            if IN {
                let rows: [_; C] = std::array::from_fn(|c| plane(c).read_unaligned());
                let turned = std::array::from_fn(|i| std::array::from_fn(|c| rows[c][i]));
                buffer.write_unaligned(turned);
            } else {
                let turned = buffer.read_unaligned();
                for c in 0..C {
                    plane(c).write_unaligned(turned.map(|column| column[c]));
                }
            }
        }
    }
    whole
}
