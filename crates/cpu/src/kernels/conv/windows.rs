//! Convolution and its two gradients, as matrix products over windows that are laid out piece by piece.
//!
//! For one group, with `taps` = channels · kh · kw of the group and `columns` = images · oh · ow:
//!
//! ```text
//! output       [filters, columns] = weight  [filters, taps]    · windows [taps, columns]
//! input grad   windows of it      = weightᵀ [taps, filters]    · dy      [filters, columns], overlapping ones added
//! weight grad  [filters, taps]    = dy      [filters, columns] · windowsᵀ
//! ```
//!
//! A piece is some columns, of a part of an image or of several small ones; its windows are laid out for a block of
//! the channels at a time, so that they fit into the second-level cache and never go to memory. Pieces, blocks,
//! tasks and the partial sums of the weight gradient follow from the sizes alone, never from the number of
//! threads.

use std::ops::Range;

use gradus_ir::DType;
use gradus_ir::ops::{ConvGeometry, ConvSize, Op};
use gradus_ir::schedule::{ValueId, View};

use super::planes::copy_run;
use crate::fold::add_parts;
use crate::gemm::{Matrix, Real, multiply};
use crate::kernels::{Kernel, Slice};
use crate::memory::{Memory, Scratch, with_strips};

/// What is computed in one go.
enum Part {
    /// A task.
    Task(usize),
    /// All of some images, but for the weight's gradient.
    Images(Range<usize>),
}

/// One of the three products.
pub(super) struct Windows {
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
    /// Channels whose windows are laid out at a time.
    block: usize,
    /// Columns of a piece: some places of an image, or all of several images.
    piece: usize,
    /// Forward and input gradient: units (an image, or a piece's images, and a group) per task.
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

/// Bytes of windows laid out at a time, and how many taps they have at most: what one product sums up.
const PIECE: usize = 256 << 10;
const TAPS: usize = 512;
/// Multiplications that one task should at least have.
const MACS: usize = 1 << 18;
/// Into how many parts a weight gradient is split at most, and how large their sum may be.
const PARTS: usize = 16;
const PARTIAL_BYTES: usize = 4 << 20;

impl Windows {
    pub fn new(
        op: &Op,
        a: &View,
        b: &View,
        out: ValueId,
        dtype: DType,
        scratch: &mut Scratch,
    ) -> Windows {
        let (kind, geometry, size) = match op {
            Op::Conv(c) => (Kind::Forward, &c.0, c.0.size(&a.shape, &b.shape)),
            Op::ConvInputGrad(c) => (Kind::InputGrad, &c.geometry, c.size(&a.shape, &b.shape)),
            Op::ConvWeightGrad(c) => (Kind::WeightGrad, &c.geometry, c.size(&a.shape, &b.shape)),
            op => unreachable!("{op} is no convolution"),
        };
        let size = size.unwrap_or_else(|e| unreachable!("inference has checked it: {e}"));
        let groups = geometry.groups;
        let (channels, filters) = (size.channels / groups, size.filters / groups);
        let kernel = size.kernel[0] * size.kernel[1];
        let places = size.output[0] * size.output[1];
        let taps = channels * kernel;
        let batch_parts = {
            let fits = PARTIAL_BYTES / (size.filters * taps * dtype.size()).max(1);
            size.batch.min(PARTS).min(fits).max(1)
        };
        let channel_parts = PARTS.div_ceil(batch_parts * groups).clamp(1, channels.max(1));
        let channels_per_part = channels.div_ceil(channel_parts).max(1);
        let channels_at_once =
            if kind == Kind::WeightGrad { channels_per_part } else { channels.max(1) };
        let block = (TAPS / kernel).clamp(1, channels_at_once);
        let most = (PIECE / (block * kernel * dtype.size())).max(64);
        let piece = if places > most {
            // Equal parts of an image, in whole vectors.
            places.div_ceil(places.div_ceil(most)).next_multiple_of(16)
        } else {
            // Whole images, but no fewer pieces than there may be threads.
            let images = (most / places.max(1)).min(size.batch.div_ceil(4));
            places.max(1) * images.max(1)
        };
        let macs = filters * taps * places.max(piece);
        let mut conv = Windows {
            kind,
            a: a.clone(),
            b: b.clone(),
            out,
            dtype,
            geometry: geometry.clone(),
            size,
            channels,
            filters,
            block,
            piece,
            units_per_task: (MACS / macs.max(1)).max(1),
            batch_parts,
            channel_parts: channels.div_ceil(channels_per_part).max(1),
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

    /// # Safety
    /// As for [`Kernel::run`]; the images must be the caller's.
    unsafe fn run_part(&self, part: Part, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.dtype {
                DType::F32 => self.run_typed::<f32>(part, memory),
                DType::F64 => self.run_typed::<f64>(part, memory),
                dtype => unreachable!("convolutions of {dtype} are lowered"),
            }
        }
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

    /// How many images a unit has.
    fn images(&self) -> usize {
        (self.piece / self.places().max(1)).max(1)
    }

    /// Units of the batch, in one group.
    fn units(&self) -> usize {
        self.size.batch.div_ceil(self.images())
    }

    /// # Safety
    /// As for [`Kernel::run`]; `T` must be the type of the elements.
    unsafe fn run_typed<T: Real>(&self, work: Part, memory: &Memory<'_>) {
        // The windows of a block, and a piece of the output or of its gradient.
        let windows = self.block * self.kernel() * self.piece;
        let rows = self.filters * self.piece;
        with_strips((windows + rows) * size_of::<T>(), |scratch| {
            let windows_at = scratch.cast::<T>();
            let rows_at = windows_at.wrapping_add(windows);
            // SAFETY: passed on to the caller; there is room for the windows and the rows of a piece.
            unsafe {
                let all = match work {
                    Part::Task(task) if self.kind == Kind::WeightGrad => {
                        return self.weight_grad::<T>(task, windows_at, rows_at, memory);
                    }
                    Part::Task(task) => {
                        let all = self.units() * self.geometry.groups;
                        let first = task * self.units_per_task;
                        let units = first..(first + self.units_per_task).min(all);
                        units
                            .map(|unit| (unit / self.geometry.groups, unit % self.geometry.groups))
                            .for_each(|(unit, group)| {
                                let images = unit * self.images()..(unit + 1) * self.images();
                                let images = images.start..images.end.min(self.size.batch);
                                self.images_of::<T>(images, group, windows_at, rows_at, memory);
                            });
                        return;
                    }
                    Part::Images(images) => images,
                };
                for group in 0..self.geometry.groups {
                    self.images_of::<T>(all.clone(), group, windows_at, rows_at, memory);
                }
            }
        });
    }

    /// The output or the input's gradient of some images, for one group.
    ///
    /// # Safety
    /// As for [`Windows::forward`].
    unsafe fn images_of<T: Real>(
        &self,
        images: Range<usize>,
        group: usize,
        windows: *mut T,
        rows: *mut T,
        memory: &Memory<'_>,
    ) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.kind {
                Kind::Forward => self.forward::<T>(images, group, windows, rows, memory),
                _ => self.input_grad::<T>(images, group, windows, rows, memory),
            }
        }
    }

    /// The pieces of some images: parts of one, or groups of whole ones.
    fn pieces(&self, images: Range<usize>) -> impl Iterator<Item = Piece> + use<> {
        let (places, piece, many) = (self.places(), self.piece, self.images());
        images.clone().step_by(many).flat_map(move |first| {
            let images = first..(first + many).min(images.end);
            let starts = if images.len() > 1 { 0..1 } else { 0..places.div_ceil(piece) };
            starts.map(move |start| Piece {
                images: images.clone(),
                places: start * piece..((start + 1) * piece).min(places),
            })
        })
    }

    /// Blocks of channels.
    fn blocks(&self, channels: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let block = self.block;
        channels.clone().step_by(block).map(move |c| c..(c + block).min(channels.end))
    }

    /// # Safety
    /// As for [`Windows::run_typed`]; `windows` and `rows` must have room for those of a piece.
    unsafe fn forward<T: Real>(
        &self,
        images: Range<usize>,
        group: usize,
        windows: *mut T,
        rows: *mut T,
        memory: &Memory<'_>,
    ) {
        let (taps, places, kernel) = (self.taps(), self.places(), self.kernel());
        let x = memory.view::<T>(&self.a);
        let w = memory.view::<T>(&self.b).wrapping_add(group * self.filters * taps);
        for piece in self.pieces(images) {
            let n = piece.columns();
            let y =
                memory.at::<T>(self.out).wrapping_add(self.output_at(piece.images.start, group));
            // One image is written where it belongs, several are copied there.
            let (to, row) = match piece.images.len() {
                1 => (y.wrapping_add(piece.places.start), places),
                _ => (rows, n),
            };
            for block in self.blocks(0..self.channels) {
                // SAFETY: the piece's input, weight and output are inside the operands; windows have room.
                unsafe {
                    let w = Matrix { at: w.add(block.start * kernel), row: taps, col: 1 };
                    let m = [self.filters, n, block.len() * kernel];
                    let v = self.windows(x, group, &block, &piece, windows);
                    multiply(m, w, v, to, row, block.start > 0);
                }
            }
            if piece.images.len() > 1 {
                for (i, image) in piece.images.clone().enumerate() {
                    let y = memory.at::<T>(self.out).wrapping_add(self.output_at(image, group));
                    for f in 0..self.filters {
                        // SAFETY: rows of the piece, and of this unit's output.
                        unsafe {
                            let from = rows.add(f * n + i * places);
                            y.add(f * places).copy_from_nonoverlapping(from, places);
                        }
                    }
                }
            }
        }
    }

    /// # Safety
    /// As for [`Windows::forward`].
    unsafe fn input_grad<T: Real>(
        &self,
        images: Range<usize>,
        group: usize,
        windows: *mut T,
        rows: *mut T,
        memory: &Memory<'_>,
    ) {
        let (taps, kernel) = (self.taps(), self.kernel());
        let len = self.channels * self.input_plane();
        let w = memory.view::<T>(&self.b).wrapping_add(group * self.filters * taps);
        let dx = memory.at::<T>(self.out);
        // SAFETY: as in `forward`.
        unsafe {
            for image in images.clone() {
                let dx = dx.add(self.input_at(image, group));
                std::slice::from_raw_parts_mut(dx, len).fill(T::zeroed());
            }
            for piece in self.pieces(images) {
                let n = piece.columns();
                let dy = self.output_rows(memory.view::<T>(&self.a), group, &piece, rows);
                for block in self.blocks(0..self.channels) {
                    let m = [block.len() * kernel, n, self.filters];
                    let w = Matrix { at: w.add(block.start * kernel), row: 1, col: taps };
                    if self.is_pointwise() && piece.images.len() == 1 {
                        let at = self.input_at(piece.images.start, group);
                        let at = at + block.start * self.input_plane() + piece.places.start;
                        multiply(m, w, dy, dx.add(at), self.input_plane(), false);
                    } else {
                        multiply(m, w, dy, windows, n, false);
                        self.add_up(windows, group, &block, &piece, dx);
                    }
                }
            }
        }
    }

    /// # Safety
    /// As for [`Windows::forward`].
    unsafe fn weight_grad<T: Real>(
        &self,
        task: usize,
        windows: *mut T,
        rows: *mut T,
        memory: &Memory<'_>,
    ) {
        let groups = self.geometry.groups;
        let (part_of, part) = (task / self.batch_parts, task % self.batch_parts);
        let (group, slice) = (part_of / self.channel_parts, part_of % self.channel_parts);
        let per_part = self.channels.div_ceil(self.channel_parts);
        let channels = slice * per_part..((slice + 1) * per_part).min(self.channels);
        let batch = self.size.batch;
        let images = part * batch / self.batch_parts..(part + 1) * batch / self.batch_parts;
        let (taps, kernel) = (self.taps(), self.kernel());
        let all = groups * self.filters * taps;
        let columns = channels.start * kernel..channels.end * kernel;
        // Where this part of the gradient starts, in the result and in each partial one.
        let start = group * self.filters * taps + columns.start;
        let dw = memory.at::<T>(self.out).wrapping_add(start);
        let partials = memory.scratch::<T>(self.workspace).wrapping_add(start);
        let split = self.batch_parts > 1;
        let sum = if split { partials.wrapping_add(part * all) } else { dw };
        let x = memory.view::<T>(&self.a);
        let mut begun = false;
        for piece in self.pieces(images) {
            let n = piece.columns();
            // SAFETY: as in `forward`; the part of the (partial) result is this task's.
            unsafe {
                let dy = self.output_rows(memory.view::<T>(&self.b), group, &piece, rows);
                for block in self.blocks(channels.clone()) {
                    let v = self.windows(x, group, &block, &piece, windows);
                    let v = Matrix { at: v.at, row: v.col, col: v.row };
                    let to = sum.add((block.start - channels.start) * kernel);
                    multiply([self.filters, block.len() * kernel, n], dy, v, to, taps, begun);
                }
            }
            begun = true;
        }
        let (filters, width) = (self.filters, columns.len());
        let rows = |from: *mut T| {
            // SAFETY: rows of the part, which is this task's alone.
            (0..filters)
                .map(move |f| unsafe { std::slice::from_raw_parts_mut(from.add(f * taps), width) })
        };
        if !begun {
            rows(sum).for_each(|row| row.fill(T::zeroed()));
        }
        if split && memory.is_last(self.counter + part_of, self.batch_parts) {
            let add = |mut a: T, b: T| {
                a += b;
                a
            };
            for (dw, first) in rows(dw).zip(rows(partials)) {
                // SAFETY: all parts are written, one after the other.
                unsafe { add_parts(dw, first.as_ptr(), all, self.batch_parts, add) };
            }
        }
    }

    /// Whether the windows are the input itself.
    fn is_pointwise(&self) -> bool {
        let ConvGeometry { stride, padding, .. } = &self.geometry;
        self.size.kernel == [1, 1] && *stride == [1, 1] && *padding == [[0; 2]; 2]
    }

    /// Where a group's channels of an image start.
    fn input_at(&self, image: usize, group: usize) -> usize {
        (image * self.geometry.groups + group) * self.channels * self.input_plane()
    }

    /// Where a group's filters of an image start.
    fn output_at(&self, image: usize, group: usize) -> usize {
        (image * self.geometry.groups + group) * self.filters * self.places()
    }

    /// The windows of a block of channels over a piece, `[taps, columns]`: the input itself or a copy.
    ///
    /// # Safety
    /// `x` must be valid for the input, and `windows` have room for the windows.
    unsafe fn windows<T: Real>(
        &self,
        x: *const T,
        group: usize,
        block: &Range<usize>,
        piece: &Piece,
        windows: *mut T,
    ) -> Matrix<T> {
        let n = piece.columns();
        if self.is_pointwise() && piece.images.len() == 1 {
            let at = self.input_at(piece.images.start, group) + block.start * self.input_plane();
            return Matrix {
                at: x.wrapping_add(at + piece.places.start),
                row: self.input_plane(),
                col: 1,
            };
        }
        let stride = self.geometry.stride[1];
        for (i, image) in piece.images.clone().enumerate() {
            // SAFETY: runs are inside the windows and the planes.
            unsafe {
                let x = x.add(self.input_at(image, group));
                let windows = windows.add(i * self.places());
                self.for_each_run(block.clone(), piece.places.clone(), |tap, place, run, from| {
                    let to = std::slice::from_raw_parts_mut(windows.add(tap * n + place), run);
                    match from {
                        None => to.fill(T::zeroed()),
                        Some(from) if stride == 1 => copy_run(x.add(from), to.as_mut_ptr(), run),
                        Some(from) => {
                            let x = x.add(from);
                            to.iter_mut().enumerate().for_each(|(k, to)| *to = *x.add(k * stride));
                        }
                    }
                });
            }
        }
        Matrix { at: windows, row: n, col: 1 }
    }

    /// A piece of the output's gradient, `[filters, columns]`: itself or, of several images, a copy.
    ///
    /// # Safety
    /// `dy` must be valid for the gradient, and `rows` have room for the piece.
    unsafe fn output_rows<T: Real>(
        &self,
        dy: *const T,
        group: usize,
        piece: &Piece,
        rows: *mut T,
    ) -> Matrix<T> {
        let (n, places) = (piece.columns(), self.places());
        if piece.images.len() == 1 {
            let at = self.output_at(piece.images.start, group) + piece.places.start;
            return Matrix { at: dy.wrapping_add(at), row: places, col: 1 };
        }
        for (i, image) in piece.images.clone().enumerate() {
            for f in 0..self.filters {
                // SAFETY: rows of the gradient, and of the room for them.
                unsafe {
                    let from = dy.add(self.output_at(image, group) + f * places);
                    rows.add(f * n + i * places).copy_from_nonoverlapping(from, places);
                }
            }
        }
        Matrix { at: rows, row: n, col: 1 }
    }

    /// Adds windows to the places that they came from.
    ///
    /// # Safety
    /// `dx` must be valid for the input's gradient, and `windows` for the windows of the piece.
    unsafe fn add_up<T: Real>(
        &self,
        windows: *const T,
        group: usize,
        block: &Range<usize>,
        piece: &Piece,
        dx: *mut T,
    ) {
        let (n, stride) = (piece.columns(), self.geometry.stride[1]);
        for (i, image) in piece.images.clone().enumerate() {
            // SAFETY: runs are inside the windows and the planes, and the image's gradient is this task's.
            unsafe {
                let dx = dx.add(self.input_at(image, group));
                let windows = windows.add(i * self.places());
                self.for_each_run(block.clone(), piece.places.clone(), |tap, place, run, from| {
                    let Some(from) = from else { return };
                    let of = std::slice::from_raw_parts(windows.add(tap * n + place), run);
                    let dx = dx.add(from);
                    if stride == 1 {
                        let dx = std::slice::from_raw_parts_mut(dx, run);
                        dx.iter_mut().zip(of).for_each(|(dx, &of)| *dx += of);
                    } else {
                        of.iter().enumerate().for_each(|(k, &of)| *dx.add(k * stride) += of);
                    }
                });
            }
        }
    }

    /// Calls `f(tap, place, run, from)` for the runs of an image's windows, tap by tap: `run` neighbouring places, from
    /// `place` on within the piece; `from` is where the first lies in the channels' planes (the others follow
    /// a stride apart), or nothing where the run lies in the padding.
    #[inline(always)]
    fn for_each_run(
        &self,
        channels: Range<usize>,
        places: Range<usize>,
        mut f: impl FnMut(usize, usize, usize, Option<usize>),
    ) {
        let ConvSize { input: [h, w], kernel: [kh, kw], output: [_, ow], .. } = self.size;
        let ConvGeometry { stride: [sh, sw], padding, dilation: [dh, dw], .. } = self.geometry;
        let (first_row, first_column) = (places.start / ow, places.start % ow);
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
                    let (mut place, mut row, mut column) = (places.start, first_row, first_column);
                    while place < places.end {
                        let stop = ow.min(column + places.end - place);
                        let at = place - places.start;
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
                        (row, column) = (row + 1, 0);
                    }
                    tap += 1;
                }
            }
        }
    }
}

/// Some columns: some places of one image, or all of several images.
struct Piece {
    images: Range<usize>,
    places: Range<usize>,
}

impl Piece {
    fn columns(&self) -> usize {
        self.images.len() * self.places.len()
    }
}

impl Kernel for Windows {
    fn tasks(&self) -> usize {
        match self.kind {
            Kind::WeightGrad => self.geometry.groups * self.channel_parts * self.batch_parts,
            _ => (self.units() * self.geometry.groups).div_ceil(self.units_per_task),
        }
    }

    fn cost(&self) -> usize {
        // A core multiplies about four times as many numbers as it moves bytes.
        let macs = self.size.batch * self.size.filters * self.taps() * self.places();
        (macs / 4).max(self.size.batch * self.size.filters * self.places() * self.dtype.size())
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe { self.run_part(Part::Task(task), memory) };
    }

    unsafe fn run_slice(&self, slice: Slice, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe { self.run_part(Part::Images(slice.images(self.size.batch)), memory) };
    }
}
