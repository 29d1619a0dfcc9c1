//! Convolution and its two gradients, as matrix products over windows that are laid out piece by piece.
//!
//! For one image and group, with `taps` = channels · kh · kw of the group and `places` = oh · ow:
//!
//! ```text
//! output       [filters, places]  = weight  [filters, taps]  · windows [taps, places]
//! input grad   windows of it      = weightᵀ [taps, filters]  · dy      [filters, places], overlapping ones added
//! weight grad  [filters, taps]    = dy      [filters, places] · windowsᵀ, summed over the batch
//! ```
//!
//! A piece of the windows fits into the second-level cache, so that they never go to memory. Pieces, images per
//! task and the partial sums of the weight gradient follow from the sizes alone, never from the number of
//! threads.

use std::ops::Range;

use gradus_ir::DType;
use gradus_ir::ops::{ConvGeometry, ConvSize, Op};
use gradus_ir::schedule::{ValueId, View};

use super::Kernel;
use crate::gemm::{Matrix, Real, multiply};
use crate::memory::{Memory, Scratch, with_strips};

/// One of the three products.
pub(super) struct Conv {
    kind: Kind,
    a: View,
    b: View,
    out: ValueId,
    dtype: DType,
    geometry: ConvGeometry,
    size: ConvSize,
    /// Channels and filters of one group.
    channels: usize,
    filters: usize,
    /// Places of a piece.
    piece: usize,
    /// Forward and input gradient: units (an image and a group) per task.
    units_per_task: usize,
    /// Weight gradient: how the batch and the channels of a group are split.
    batch_parts: usize,
    channel_parts: usize,
    /// Where partial weight gradients go, and the first of the counters of those that are done.
    workspace: usize,
    counter: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Forward,
    InputGrad,
    WeightGrad,
}

/// Bytes of windows laid out at a time.
const PIECE: usize = 192 << 10;
/// Multiplications that one task should at least have.
const MACS: usize = 1 << 18;
/// Into how many parts a weight gradient is split at most, and how large their sum may be.
const PARTS: usize = 16;
const PARTIAL_BYTES: usize = 4 << 20;

impl Conv {
    pub fn new(
        op: &Op,
        a: &View,
        b: &View,
        out: ValueId,
        dtype: DType,
        scratch: &mut Scratch,
    ) -> Conv {
        let (kind, geometry, size) = match op {
            Op::Conv(c) => (Kind::Forward, &c.0, c.0.size(&a.shape, &b.shape)),
            Op::ConvInputGrad(c) => (Kind::InputGrad, &c.geometry, c.size(&a.shape, &b.shape)),
            Op::ConvWeightGrad(c) => (Kind::WeightGrad, &c.geometry, c.size(&a.shape, &b.shape)),
            op => unreachable!("{op} is no convolution"),
        };
        let size = size.unwrap_or_else(|e| unreachable!("inference has checked it: {e}"));
        let groups = geometry.groups;
        let (channels, filters) = (size.channels / groups, size.filters / groups);
        let [kh, kw] = size.kernel;
        let places = size.output[0] * size.output[1];
        let taps = channels * kh * kw;
        let batch_parts = {
            let fits = PARTIAL_BYTES / (size.filters * taps * dtype.size()).max(1);
            size.batch.min(PARTS).min(fits).max(1)
        };
        let channel_parts = PARTS.div_ceil(batch_parts * groups).clamp(1, channels.max(1));
        let channels_per_part = channels.div_ceil(channel_parts);
        let taps_at_once =
            if kind == Kind::WeightGrad { channels_per_part * kh * kw } else { taps };
        let piece = PIECE / (taps_at_once * dtype.size()).max(1);
        let piece = if piece >= places { places } else { (piece & !15).max(64).min(places) };
        let macs = filters * taps * places;
        let mut conv = Conv {
            kind,
            a: a.clone(),
            b: b.clone(),
            out,
            dtype,
            geometry: geometry.clone(),
            size,
            channels,
            filters,
            piece: piece.max(1),
            units_per_task: (MACS / macs.max(1)).max(1),
            batch_parts,
            channel_parts: channels.div_ceil(channels_per_part.max(1)).max(1),
            workspace: 0,
            counter: 0,
        };
        if kind == Kind::WeightGrad && batch_parts > 1 {
            let all = groups * filters * taps * dtype.size();
            conv.workspace = scratch.reserve(batch_parts * all);
            conv.counter = scratch.counters(groups * conv.channel_parts);
        }
        conv
    }

    fn taps(&self) -> usize {
        self.channels * self.kernel()
    }

    fn kernel(&self) -> usize {
        self.size.kernel[0] * self.size.kernel[1]
    }

    fn places(&self) -> usize {
        self.size.output[0] * self.size.output[1]
    }

    fn input_plane(&self) -> usize {
        self.size.input[0] * self.size.input[1]
    }

    /// # Safety
    /// As for [`Kernel::run`]; `T` must be the type of the elements.
    unsafe fn run_typed<T: Real>(&self, task: usize, memory: &Memory<'_>) {
        let taps = match self.kind {
            Kind::WeightGrad => self.channels.div_ceil(self.channel_parts) * self.kernel(),
            _ => self.taps(),
        };
        with_strips((taps * self.piece).max(1) * size_of::<T>(), |windows| {
            let windows = windows.cast::<T>();
            // SAFETY: passed on to the caller; there is room for the windows of a piece.
            unsafe {
                match self.kind {
                    Kind::Forward => self.units(task).for_each(|unit| {
                        self.forward::<T>(unit, windows, memory);
                    }),
                    Kind::InputGrad => self.units(task).for_each(|unit| {
                        self.input_grad::<T>(unit, windows, memory);
                    }),
                    Kind::WeightGrad => self.weight_grad::<T>(task, windows, memory),
                }
            }
        });
    }

    fn units(&self, task: usize) -> Range<usize> {
        let all = self.size.batch * self.geometry.groups;
        let start = task * self.units_per_task;
        start..(start + self.units_per_task).min(all)
    }

    fn pieces(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (places, piece) = (self.places(), self.piece);
        (0..places).step_by(piece).map(move |start| start..(start + piece).min(places))
    }

    /// # Safety
    /// As for [`Conv::run_typed`]; `windows` must have room for those of a piece.
    unsafe fn forward<T: Real>(&self, unit: usize, windows: *mut T, memory: &Memory<'_>) {
        let (taps, places) = (self.taps(), self.places());
        let group = unit % self.geometry.groups;
        let x = memory.view::<T>(&self.a).wrapping_add(unit * self.channels * self.input_plane());
        let w = memory.view::<T>(&self.b).wrapping_add(group * self.filters * taps);
        let y = memory.at::<T>(self.out).wrapping_add(unit * self.filters * places);
        let w = Matrix { at: w, row: taps, col: 1 };
        for piece in self.pieces() {
            let n = piece.len();
            // SAFETY: the unit's input, weight and output are inside the operands; windows have room.
            unsafe {
                if self.is_pointwise() {
                    let x = Matrix { at: x.add(piece.start), row: places, col: 1 };
                    multiply([self.filters, n, taps], w, x, y.add(piece.start), places, false);
                } else {
                    self.lay_out(x, 0..self.channels, piece.clone(), windows);
                    let x = Matrix { at: windows.cast_const(), row: n, col: 1 };
                    multiply([self.filters, n, taps], w, x, y.add(piece.start), places, false);
                }
            }
        }
    }

    /// # Safety
    /// As for [`Conv::forward`].
    unsafe fn input_grad<T: Real>(&self, unit: usize, windows: *mut T, memory: &Memory<'_>) {
        let (taps, places) = (self.taps(), self.places());
        let group = unit % self.geometry.groups;
        let dy = memory.view::<T>(&self.a).wrapping_add(unit * self.filters * places);
        let w = memory.view::<T>(&self.b).wrapping_add(group * self.filters * taps);
        let len = self.channels * self.input_plane();
        let dx = memory.at::<T>(self.out).wrapping_add(unit * len);
        let w = Matrix { at: w, row: 1, col: taps };
        // SAFETY: as in `forward`.
        unsafe {
            std::slice::from_raw_parts_mut(dx, len).fill(T::zeroed());
            for piece in self.pieces() {
                let n = piece.len();
                let dy = Matrix { at: dy.add(piece.start), row: places, col: 1 };
                if self.is_pointwise() {
                    let dx = dx.add(piece.start);
                    multiply([taps, n, self.filters], w, dy, dx, places, false);
                } else {
                    multiply([taps, n, self.filters], w, dy, windows, n, false);
                    self.add_up(windows, piece, dx);
                }
            }
        }
    }

    /// # Safety
    /// As for [`Conv::forward`].
    unsafe fn weight_grad<T: Real>(&self, task: usize, windows: *mut T, memory: &Memory<'_>) {
        let groups = self.geometry.groups;
        let (block, part) = (task / self.batch_parts, task % self.batch_parts);
        let (group, slice) = (block / self.channel_parts, block % self.channel_parts);
        let per_part = self.channels.div_ceil(self.channel_parts);
        let channels = slice * per_part..((slice + 1) * per_part).min(self.channels);
        let batch = self.size.batch;
        let images = part * batch / self.batch_parts..(part + 1) * batch / self.batch_parts;
        let (taps, places, kernel) = (self.taps(), self.places(), self.kernel());
        let all = groups * self.filters * taps;
        let columns = channels.start * kernel..channels.end * kernel;
        // Where this block of the gradient starts, in the result and in each partial one.
        let start = group * self.filters * taps + columns.start;
        let dw = memory.at::<T>(self.out).wrapping_add(start);
        let partials = memory.scratch::<T>(self.workspace).wrapping_add(start);
        let split = self.batch_parts > 1;
        let sum = if split { partials.wrapping_add(part * all) } else { dw };
        let mut begun = false;
        for image in images {
            let unit = image * groups + group;
            let x =
                memory.view::<T>(&self.a).wrapping_add(unit * self.channels * self.input_plane());
            let dy = memory.view::<T>(&self.b).wrapping_add(unit * self.filters * places);
            for piece in self.pieces() {
                let n = piece.len();
                // SAFETY: as in `forward`; the block of the (partial) result is this task's.
                unsafe {
                    let dy = Matrix { at: dy.add(piece.start), row: places, col: 1 };
                    let x = if self.is_pointwise() {
                        let x = x.add(channels.start * places + piece.start);
                        Matrix { at: x, row: 1, col: places }
                    } else {
                        self.lay_out(x, channels.clone(), piece, windows);
                        Matrix { at: windows.cast_const(), row: 1, col: n }
                    };
                    multiply([self.filters, columns.len(), n], dy, x, sum, taps, begun);
                }
                begun = true;
            }
        }
        let (filters, width) = (self.filters, columns.len());
        let rows = |from: *mut T| {
            // SAFETY: rows of the block, which is this task's alone.
            (0..filters)
                .map(move |f| unsafe { std::slice::from_raw_parts_mut(from.add(f * taps), width) })
        };
        if !begun {
            rows(sum).for_each(|row| row.fill(T::zeroed()));
        }
        if split && memory.is_last(self.counter + block, self.batch_parts) {
            rows(dw).zip(rows(partials)).for_each(|(dw, first)| dw.copy_from_slice(first));
            for part in 1..self.batch_parts {
                let partial = partials.wrapping_add(part * all);
                for (dw, row) in rows(dw).zip(rows(partial)) {
                    dw.iter_mut().zip(row.iter()).for_each(|(dw, &p)| *dw += p);
                }
            }
        }
    }

    /// Whether the windows are the input itself.
    fn is_pointwise(&self) -> bool {
        let ConvGeometry { stride, padding, .. } = &self.geometry;
        self.size.kernel == [1, 1] && *stride == [1, 1] && *padding == [[0; 2]; 2]
    }

    /// Calls `f(tap, place, run, from)` for the runs of a piece's windows, tap by tap: `run` neighbouring places, from
    /// `place` on within the piece; `from` is where the first lies in the channels' planes (the others follow
    /// a stride apart), or nothing where the run lies in the padding.
    #[inline(always)]
    fn for_each_run(
        &self,
        channels: Range<usize>,
        piece: Range<usize>,
        mut f: impl FnMut(usize, usize, usize, Option<usize>),
    ) {
        let ConvSize { input: [h, w], kernel: [kh, kw], output: [_, ow], .. } = self.size;
        let ConvGeometry { stride: [sh, sw], padding, dilation: [dh, dw], .. } = self.geometry;
        let mut tap = 0;
        for channel in channels {
            for i in 0..kh {
                for j in 0..kw {
                    // The output columns whose input column `column · sw + j · dw − padding` exists.
                    let shift = (j * dw) as isize - padding[1][0] as isize;
                    let first = (-shift).max(0) as usize;
                    let first = first.div_ceil(sw).min(ow);
                    let end = (w as isize - shift).max(0) as usize;
                    let end = end.div_ceil(sw).clamp(first, ow);
                    let mut place = piece.start;
                    while place < piece.end {
                        let (row, column) = (place / ow, place % ow);
                        let stop = ow.min(column + piece.end - place);
                        let at = place - piece.start;
                        let y = (row * sh + i * dh) as isize - padding[0][0] as isize;
                        if (0..h as isize).contains(&y) {
                            let (a, b) = (first.clamp(column, stop), end.clamp(column, stop));
                            let line = (channel * h + y as usize) * w;
                            if column < a {
                                f(tap, at, a - column, None);
                            }
                            if a < b {
                                let x = ((a * sw) as isize + shift) as usize;
                                f(tap, at + a - column, b - a, Some(line + x));
                            }
                            if b < stop {
                                f(tap, at + b - column, stop - b, None);
                            }
                        } else {
                            f(tap, at, stop - column, None);
                        }
                        place += stop - column;
                    }
                    tap += 1;
                }
            }
        }
    }

    /// Writes the windows of some channels and places, `[taps, places]`.
    ///
    /// # Safety
    /// `x` must be valid for the channels' planes, and `windows` for the windows.
    unsafe fn lay_out<T: Real>(
        &self,
        x: *const T,
        channels: Range<usize>,
        piece: Range<usize>,
        windows: *mut T,
    ) {
        let (n, stride) = (piece.len(), self.geometry.stride[1]);
        self.for_each_run(channels, piece, |tap, place, run, from| {
            // SAFETY: runs are inside the windows and the planes.
            unsafe {
                let to = std::slice::from_raw_parts_mut(windows.add(tap * n + place), run);
                match from {
                    None => to.fill(T::zeroed()),
                    Some(from) if stride == 1 => {
                        to.copy_from_slice(std::slice::from_raw_parts(x.add(from), run));
                    }
                    Some(from) => {
                        let x = x.add(from);
                        to.iter_mut().enumerate().for_each(|(k, to)| *to = *x.add(k * stride));
                    }
                }
            }
        });
    }

    /// Adds windows to the places that they came from.
    ///
    /// # Safety
    /// `dx` must be valid for the channels' planes, and `windows` for the windows of the piece.
    unsafe fn add_up<T: Real>(&self, windows: *const T, piece: Range<usize>, dx: *mut T) {
        let (n, stride) = (piece.len(), self.geometry.stride[1]);
        self.for_each_run(0..self.channels, piece, |tap, place, run, from| {
            let Some(from) = from else { return };
            // SAFETY: runs are inside the windows and the planes, and dx is this task's.
            unsafe {
                let of = std::slice::from_raw_parts(windows.add(tap * n + place), run);
                let dx = dx.add(from);
                if stride == 1 {
                    let dx = std::slice::from_raw_parts_mut(dx, run);
                    dx.iter_mut().zip(of).for_each(|(dx, &of)| *dx += of);
                } else {
                    of.iter().enumerate().for_each(|(k, &of)| *dx.add(k * stride) += of);
                }
            }
        });
    }
}

impl Kernel for Conv {
    fn tasks(&self) -> usize {
        match self.kind {
            Kind::WeightGrad => self.geometry.groups * self.channel_parts * self.batch_parts,
            _ => (self.size.batch * self.geometry.groups).div_ceil(self.units_per_task),
        }
    }

    fn cost(&self) -> usize {
        // A core multiplies about four times as many numbers as it moves bytes.
        let macs = self.size.batch * self.size.filters * self.taps() * self.places();
        (macs / 4).max(self.size.batch * self.size.filters * self.places() * self.dtype.size())
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.dtype {
                DType::F32 => self.run_typed::<f32>(task, memory),
                DType::F64 => self.run_typed::<f64>(task, memory),
                dtype => unreachable!("convolutions of {dtype} are lowered"),
            }
        }
    }
}
