//! Direct convolution: sums of shifted planes, in registers.
//!
//! Vectors run along the columns of the output, [`Planes`] laid out so that a vector may begin anywhere. A tile of
//! some filters by some vectors stays in registers while all taps are added up, as in a matrix product whose
//! right side is read where it lies, at an offset per tap. There is no copy of the windows.
//!
//! Where rows are short, vectors run [`across`] the outputs instead.
//!
//! The gradient with respect to the input, for a stride of one, is the same sum: of the output's gradient,
//! padded to the kernel's reach, with the kernel turned round and filters and channels exchanged.

mod across;

use std::ops::Range;

use gradus_ir::ops::{ConvGeometry, ConvSize};
use gradus_ir::schedule::{ValueId, View};
use pulp::{Simd, WithSimd};

use super::planes::Planes;
use crate::kernels::{Kernel, Slice};
use crate::memory::{Memory, with_strips};
use crate::tier::with_simd;

/// A convolution, or the gradient with respect to its input.
pub(super) struct Direct {
    x: View,
    weight: View,
    out: ValueId,
    batch: usize,
    groups: usize,
    planes: Planes,
    /// Outputs of one group, and their plane.
    outputs: usize,
    plane: [usize; 2],
    /// How far from a place each tap's element lies, and, relative to that of the first output, where in the
    /// weight the tap's is.
    taps: Vec<Tap>,
    /// In the weight, from one output to the next, and from one group to the next.
    weight_step: usize,
    weight_group: usize,
    images_per_task: usize,
    /// What is added to each output of all groups, and whether ReLU follows.
    bias: Option<View>,
    relu: bool,
}

#[derive(Clone, Copy, Debug)]
struct Tap {
    offset: usize,
    weight: usize,
}

/// The most outputs of a tile.
const TILE: usize = 6;
/// The most vectors of a tile: those of one output alone.
const VECTORS: usize = 16;
/// The most elements of a vector.
const LANES: usize = 16;
/// Multiplications that one task should at least have.
const MACS: usize = 1 << 18;

impl Direct {
    /// The convolution.
    pub fn forward(
        geometry: &ConvGeometry,
        size: &ConvSize,
        x: &View,
        weight: &View,
        out: ValueId,
    ) -> Direct {
        let ConvGeometry { stride, padding, dilation, groups } = *geometry;
        let [channels, outputs] = [size.channels / groups, size.filters / groups];
        let span = [0, 1].map(|i| (size.kernel[i] - 1) * dilation[i] + 1);
        let before = [padding[0][0], padding[1][0]];
        let planes = Planes::new(channels, size.input, before, stride, span, size.output);
        let [kh, kw] = size.kernel;
        let taps = each_tap(channels, size.kernel).map(|(tap, [c, i, j])| Tap {
            offset: planes.offset(c, [i * dilation[0], j * dilation[1]]),
            weight: tap,
        });
        let taps = taps.collect();
        let weight_step = channels * kh * kw;
        Direct {
            x: x.clone(),
            weight: weight.clone(),
            out,
            batch: size.batch,
            groups,
            planes,
            outputs,
            plane: size.output,
            taps,
            weight_step,
            weight_group: outputs * weight_step,
            images_per_task: 0,
            bias: None,
            relu: false,
        }
        .split()
    }

    /// With a bias, and with ReLU behind that.
    pub fn biased(self, bias: &View, relu: bool) -> Direct {
        Direct { bias: Some(bias.clone()), relu, ..self }
    }

    /// The gradient with respect to the input, unless the stride or the padding needs another kernel.
    pub fn input_grad(
        geometry: &ConvGeometry,
        size: &ConvSize,
        dy: &View,
        weight: &View,
        out: ValueId,
    ) -> Option<Direct> {
        let ConvGeometry { stride, padding, dilation, groups } = *geometry;
        let [channels, filters] = [size.channels / groups, size.filters / groups];
        let [kh, kw] = size.kernel;
        let reach = [0, 1].map(|i| (size.kernel[i] - 1) * dilation[i]);
        let fits = (0..2).all(|i| padding[i].iter().all(|&p| p <= reach[i]));
        if stride != [1, 1] || !fits {
            return None;
        }
        let before = [0, 1].map(|i| reach[i] - padding[i][0]);
        let span = reach.map(|r| r + 1);
        let planes = Planes::new(filters, size.output, before, [1, 1], span, size.input);
        let taps = each_tap(filters, size.kernel).map(|(_, [f, i, j])| Tap {
            offset: planes.offset(f, [i * dilation[0], j * dilation[1]]),
            weight: f * channels * kh * kw + (kh - 1 - i) * kw + (kw - 1 - j),
        });
        let taps = taps.collect();
        let direct = Direct {
            x: dy.clone(),
            weight: weight.clone(),
            out,
            batch: size.batch,
            groups,
            planes,
            outputs: channels,
            plane: size.input,
            taps,
            weight_step: kh * kw,
            weight_group: filters * channels * kh * kw,
            images_per_task: 0,
            bias: None,
            relu: false,
        };
        Some(direct.split())
    }

    fn split(mut self) -> Direct {
        let macs = self.macs() / self.batch.max(1);
        // Enough work for a task, and enough tasks for many threads.
        let enough = (MACS / macs.max(1)).max(1);
        self.images_per_task = enough.min(self.batch.div_ceil(16).max(1));
        self
    }

    fn macs(&self) -> usize {
        self.batch * self.groups * self.outputs * self.taps.len() * self.plane[0] * self.plane[1]
    }

    /// Places of an output plane at the pitch of the planes.
    fn places(&self) -> usize {
        match self.plane {
            [0, _] | [_, 0] => 0,
            [rows, columns] => (rows - 1) * self.planes.pitch() + columns,
        }
    }

    /// The outputs of each tile, as equal as can be.
    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (outputs, tiles) = (self.outputs, self.outputs.div_ceil(TILE));
        (0..tiles).map(move |t| t * outputs / tiles..(t + 1) * outputs / tiles)
    }
}

/// Every element of a kernel over some channels: its number, and its channel, row and column.
pub(super) fn each_tap(
    channels: usize,
    [kh, kw]: [usize; 2],
) -> impl Iterator<Item = (usize, [usize; 3])> + use<> {
    (0..channels * kh * kw).map(move |tap| (tap, [tap / (kh * kw), tap / kw % kh, tap % kw]))
}

impl Kernel for Direct {
    fn tasks(&self) -> usize {
        self.batch.div_ceil(self.images_per_task)
    }

    fn cost(&self) -> usize {
        // A core multiplies about four times as many numbers as it moves bytes.
        (self.macs() / 4).max(self.batch * self.groups * self.outputs * self.places() * 4)
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let first = task * self.images_per_task;
        let images = first..(first + self.images_per_task).min(self.batch);
        // SAFETY: passed on to the caller.
        unsafe { self.run_images(images, memory) };
    }

    unsafe fn run_slice(&self, slice: Slice, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe { self.run_images(slice.images(self.batch), memory) };
    }
}

impl Direct {
    /// # Safety
    /// As for [`Kernel::run`]; the images must be the caller's.
    unsafe fn run_images(&self, images: Range<usize>, memory: &Memory<'_>) {
        let slack = VECTORS * LANES;
        let planes = self.planes.len() + slack;
        let row = self.places() + slack;
        let [weights, rows] = self.across_scratch();
        let rows = rows.max(TILE * row);
        with_strips((planes + rows + weights) * size_of::<f32>(), |scratch| {
            let planes_at = scratch.cast::<f32>();
            let rows_at = planes_at.wrapping_add(planes);
            let weights_at = rows_at.wrapping_add(rows);
            // SAFETY: there is room for all three; all bits 0 are the number 0.
            unsafe { planes_at.write_bytes(0, planes) };
            let at = Scratch { planes: planes_at, rows: rows_at, row, weights: weights_at };
            with_simd(Work { direct: self, images, at, memory });
        });
    }
}

/// This thread's own memory.
struct Scratch {
    /// An image's planes, and slack behind them.
    planes: *mut f32,
    /// Rows of the outputs of a tile, at the pitch of the planes.
    rows: *mut f32,
    row: usize,
    /// The weights, tile by tile: `[tap][output]`.
    weights: *mut f32,
}

/// The images of one task.
struct Work<'a> {
    direct: &'a Direct,
    images: Range<usize>,
    at: Scratch,
    memory: &'a Memory<'a>,
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for group in 0..self.direct.groups {
            // SAFETY: `Kernel::run` passes on that operands and result are valid; the images are this task's.
            unsafe {
                match self.direct.goes_across(S::F32_LANES) {
                    true => self.pack_across(group, S::F32_LANES),
                    false => self.pack(group),
                }
                for image in self.images.clone() {
                    self.image(simd, image, group);
                }
            }
        }
    }
}

impl Work<'_> {
    /// Packs the weights of a group.
    ///
    /// # Safety
    /// The weight must be valid.
    #[inline(always)]
    unsafe fn pack(&self, group: usize) {
        let d = self.direct;
        let weight = self.memory.view::<f32>(&d.weight).wrapping_add(group * d.weight_group);
        let mut to = self.at.weights;
        for tile in d.tiles() {
            for tap in &d.taps {
                for output in tile.clone() {
                    // SAFETY: inside the weight, and the room for it.
                    unsafe {
                        *to = *weight.add(output * d.weight_step + tap.weight);
                        to = to.add(1);
                    }
                }
            }
        }
    }

    /// # Safety
    /// The operands must be valid and the image this task's.
    #[inline(always)]
    unsafe fn image<S: Simd>(&self, simd: S, image: usize, group: usize) {
        let d = self.direct;
        let unit = image * d.groups + group;
        let [h, w] = d.planes.plane;
        let given = self.memory.view::<f32>(&d.x).wrapping_add(unit * d.planes.channels * h * w);
        // SAFETY: the image is inside the operand, and `planes` has room for it.
        unsafe { d.planes.lay_out(given, self.at.planes) };
        let [rows, columns] = d.plane;
        let out = self.memory.at::<f32>(d.out).wrapping_add(unit * d.outputs * rows * columns);
        if d.goes_across(S::F32_LANES) {
            // SAFETY: the planes are laid out and the weights packed.
            return unsafe { self.image_across(simd, group, out) };
        }
        let mut weights = self.at.weights.cast_const();
        for tile in d.tiles() {
            // SAFETY: rows of the output are inside it, and were computed by `tile`.
            unsafe {
                match tile.len() {
                    1 => self.tile::<S, 1>(simd, weights),
                    2 => self.tile::<S, 2>(simd, weights),
                    3 => self.tile::<S, 3>(simd, weights),
                    4 => self.tile::<S, 4>(simd, weights),
                    5 => self.tile::<S, 5>(simd, weights),
                    _ => self.tile::<S, 6>(simd, weights),
                }
                for (r, output) in tile.clone().enumerate() {
                    let bias = d.bias.as_ref().map_or(0.0, |bias| {
                        *self.memory.view::<f32>(bias).add(group * d.outputs + output)
                    });
                    for row in 0..rows {
                        let from = self.at.rows.add(r * self.at.row + row * d.planes.pitch());
                        let to = out.add((output * rows + row) * columns);
                        let bias = simd.splat_f32s(bias);
                        store_row(simd, from, to, columns, |x| self.finished(simd, x, bias));
                    }
                }
                weights = weights.add(tile.len() * d.taps.len());
            }
        }
    }

    /// A sum with its bias, through ReLU if that follows.
    #[inline(always)]
    fn finished<S: Simd>(&self, simd: S, sum: S::f32s, bias: S::f32s) -> S::f32s {
        let d = self.direct;
        let sum = if d.bias.is_some() { simd.add_f32s(sum, bias) } else { sum };
        if !d.relu {
            return sum;
        }
        // As the op: NaN is not at most 0 and goes through.
        let zero = simd.splat_f32s(0.0);
        simd.select_f32s(simd.less_than_or_equal_f32s(sum, zero), zero, sum)
    }

    /// `R` outputs over the whole plane.
    ///
    /// # Safety
    /// `weights` must be those of the tile.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize>(&self, simd: S, weights: *const f32) {
        let places = self.direct.places();
        let mut q = 0;
        // As many vectors at a time as there are registers for.
        macro_rules! strips {
            ($v:literal) => {
                while q + ($v - 1) * S::F32_LANES < places {
                    // SAFETY: planes and rows have slack for a tile beyond the last place.
                    unsafe { self.strip::<S, R, $v>(simd, weights, q) };
                    q += $v * S::F32_LANES;
                }
            };
        }
        match (S::REGISTER_COUNT >= 32, R) {
            (true, 1) => strips!(16),
            (true, 2) => strips!(8),
            (true, 3) => strips!(6),
            (true, _) => strips!(4),
            (false, 1) => strips!(8),
            (false, 2) => strips!(5),
            (false, 3) => strips!(3),
            (false, _) => strips!(2),
        }
        strips!(1);
    }

    /// `R` outputs at `V` vectors of places from `q` on.
    ///
    /// # Safety
    /// As for [`Work::tile`]; `q` must be a place.
    #[inline(always)]
    unsafe fn strip<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        weights: *const f32,
        q: usize,
    ) {
        let x = self.at.planes.wrapping_add(q);
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for (k, tap) in self.direct.taps.iter().enumerate() {
            // SAFETY: the tap's elements are inside the planes and their slack.
            unsafe {
                let x = x.add(tap.offset);
                let mut xs = [simd.splat_f32s(0.0); V];
                for (v, xs) in xs.iter_mut().enumerate() {
                    *xs = x.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let w = simd.splat_f32s(*weights.add(k * R + r));
                    for (sum, &x) in sums.iter_mut().zip(&xs) {
                        *sum = simd.mul_add_e_f32s(w, x, *sum);
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let to = self.at.rows.wrapping_add(r * self.at.row + q + v * S::F32_LANES);
                // SAFETY: inside the rows and their slack.
                unsafe { to.cast::<S::f32s>().write_unaligned(sum) };
            }
        }
    }
}

/// Writes a row, which is short as a rule, through `f`: whole vectors, the last of which may overlap the one before.
///
/// # Safety
/// `from` must be valid for `n` elements and a vector beyond, and `to` for `n`.
#[inline(always)]
unsafe fn store_row<S: Simd>(
    simd: S,
    from: *const f32,
    to: *mut f32,
    n: usize,
    f: impl Fn(S::f32s) -> S::f32s,
) {
    // SAFETY: vectors end at most with the row, but for what is read of a short one.
    unsafe {
        if n < S::F32_LANES {
            let row = f(from.cast::<S::f32s>().read_unaligned());
            simd.partial_store_f32s(std::slice::from_raw_parts_mut(to, n), row);
            return;
        }
        let mut i = 0;
        loop {
            let row = f(from.add(i).cast::<S::f32s>().read_unaligned());
            to.add(i).cast::<S::f32s>().write_unaligned(row);
            if i + S::F32_LANES >= n {
                return;
            }
            i = (i + S::F32_LANES).min(n - S::F32_LANES);
        }
    }
}
