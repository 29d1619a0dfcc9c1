//! Depthwise convolution, each filter over one channel, and its two gradients: a plane at a time.
//!
//! Vectors run along the rows. A plane of the input is laid out with its padding, and each row of it in as many
//! *phases* as the stride is wide: column `s · q + r` lies at place `q` of phase `r`. What a tap sees of the input, from
//! one output to the next, then are neighbours, whatever the stride:
//!
//! ```text
//! forward      y[row][·]          = Σ over taps  w[tap] · phase[tap][· + shift of tap]
//! input grad   phase[tap][· + shift] += w[tap] · dy[row][·]
//! weight grad  dw[tap]            = Σ over rows  dy[row][·] · phase[tap][· + shift]
//! ```
//!
//! Rows are filled up with zeros to whole vectors. A weight that is not finite therefore reaches a few more elements of
//! the input's gradient than it should.
//!
//! The weight gradient is summed in lanes over each image, then over the images in order, then across the lanes.

use gradus_ir::DType;
use gradus_ir::ops::{ConvGeometry, ConvSize, Op};
use gradus_ir::schedule::{ValueId, View};
use pulp::Simd;

use super::strips::{InStrips, run_in_strips};
use crate::kernels::{Kernel, TASK};
use crate::memory::Memory;

/// One of the three.
pub(super) struct Depthwise {
    kind: Kind,
    a: View,
    b: View,
    out: ValueId,
    geometry: ConvGeometry,
    size: ConvSize,
    /// Planes per task; of the weight gradient, filters.
    planes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Forward,
    InputGrad,
    WeightGrad,
}

/// The most taps of a kernel, and the most bytes of a plane that is laid out.
const TAPS: usize = 49;
const PLANE: usize = 1 << 20;
/// Lanes of the widest vectors: rows are filled up to as many, and so many more may be read behind them.
const LANES: usize = 16;
/// Vectors of a row that are computed at a time.
const ABREAST: usize = 4;

impl Depthwise {
    /// The kernel, if every filter is over one channel.
    pub fn new(op: &Op, a: &View, b: &View, out: ValueId, dtype: DType) -> Option<Depthwise> {
        let (kind, geometry, size) = match op {
            Op::Conv(c) => (Kind::Forward, &c.0, c.0.size(&a.shape, &b.shape).ok()?),
            Op::ConvInputGrad(c) => {
                (Kind::InputGrad, &c.geometry, c.size(&a.shape, &b.shape).ok()?)
            }
            Op::ConvWeightGrad(c) => {
                (Kind::WeightGrad, &c.geometry, c.size(&a.shape, &b.shape).ok()?)
            }
            _ => return None,
        };
        let taps = size.kernel[0] * size.kernel[1];
        let several = size.channels > 1 && size.filters == size.channels;
        if dtype != DType::F32 || geometry.groups != size.channels || !several || taps > TAPS {
            return None;
        }
        let mut kernel = Depthwise {
            kind,
            a: a.clone(),
            b: b.clone(),
            out,
            geometry: geometry.clone(),
            size,
            planes: 1,
        };
        let work = kernel.row() * kernel.size.output[0] * taps;
        let images = if kind == Kind::WeightGrad { kernel.size.batch } else { 1 };
        kernel.planes = (TASK / (work * images).max(1)).max(1);
        (kernel.strips().iter().sum::<usize>() * size_of::<f32>() <= PLANE).then_some(kernel)
    }

    /// Numbers of a row of the output, filled up.
    fn row(&self) -> usize {
        self.size.output[1].next_multiple_of(LANES)
    }

    /// Rows of a plane that is laid out, and numbers of a phase of one.
    fn window(&self) -> [usize; 2] {
        let ConvSize { output, kernel, .. } = self.size;
        let span = |i: usize| (kernel[i] - 1) * self.geometry.dilation[i];
        let stride = self.geometry.stride;
        let rows = (output[0].max(1) - 1) * stride[0] + span(0) + 1;
        [rows, self.row() + span(1) / stride[1] + LANES]
    }

    /// Numbers of a task's own memory: a plane that is laid out, and one of the output.
    fn strips(&self) -> [usize; 2] {
        let [rows, phase] = self.window();
        [rows * self.geometry.stride[1] * phase, self.size.output[0] * self.row()]
    }

    /// Where each tap's first element lies in a plane that is laid out, for the first row of the output.
    fn taps(&self) -> [usize; TAPS] {
        let [_, phase] = self.window();
        let (stride, dilation) = (self.geometry.stride[1], self.geometry.dilation);
        let mut taps = [0; TAPS];
        for (tap, at) in taps[..self.num_taps()].iter_mut().enumerate() {
            let (i, j) = (tap / self.size.kernel[1], tap % self.size.kernel[1]);
            let column = j * dilation[1];
            *at = (i * dilation[0] * stride + column % stride) * phase + column / stride;
        }
        taps
    }

    fn num_taps(&self) -> usize {
        self.size.kernel[0] * self.size.kernel[1]
    }

    /// Calls `f(row, first, n, from)` for the pieces of a plane's rows that lie in its laid-out copy: `n` columns, every
    /// `stride`-th from column `from` of the plane's row on, are the numbers from `first` on.
    fn for_each_piece(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        let [rows, phase] = self.window();
        let ([height, width], [down, right]) =
            (self.size.input, [0, 1].map(|i| self.geometry.padding[i][0]));
        let stride = self.geometry.stride[1];
        for y in 0..height.min(rows.saturating_sub(down)) {
            for r in 0..stride {
                // The first column of this phase that is no padding, and where it lies.
                let first = right.saturating_sub(r).div_ceil(stride);
                let column = first * stride + r - right;
                if column < width && first < phase {
                    let n = (width - column).div_ceil(stride).min(phase - first);
                    f(y, ((y + down) * stride + r) * phase + first, n, column);
                }
            }
        }
    }

    /// Lays out a plane of the input.
    ///
    /// # Safety
    /// `x` must be valid for the plane, and `to` for its copy.
    unsafe fn lay_out(&self, x: *const f32, to: *mut f32) {
        let (width, stride) = (self.size.input[1], self.geometry.stride[1]);
        let [numbers, _] = self.strips();
        // SAFETY: passed on to the caller: pieces are inside the plane and its copy.
        unsafe {
            std::slice::from_raw_parts_mut(to, numbers).fill(0.0);
            self.for_each_piece(|y, first, n, column| {
                let (from, to) = (x.add(y * width + column), to.add(first));
                if stride == 1 {
                    to.copy_from_nonoverlapping(from, n);
                } else {
                    (0..n).for_each(|i| *to.add(i) = *from.add(i * stride));
                }
            });
        }
    }

    /// # Safety
    /// `x` must be a plane that is laid out, `w` its taps, and `y` have room for rows that are filled up.
    #[inline(always)]
    unsafe fn forward<S: Simd>(
        &self,
        simd: S,
        taps: &[usize],
        x: *const f32,
        w: *const f32,
        y: *mut f32,
    ) {
        // SAFETY: passed on to the caller.
        unsafe {
            for row in 0..self.size.output[0] {
                let x = x.add(row * self.pitch());
                let (mut at, y) = (0, y.add(row * self.row()));
                while at + ABREAST * S::F32_LANES <= self.row() {
                    some_columns::<S, ABREAST>(simd, taps, x.add(at), w, y.add(at));
                    at += ABREAST * S::F32_LANES;
                }
                while at < self.row() {
                    some_columns::<S, 1>(simd, taps, x.add(at), w, y.add(at));
                    at += S::F32_LANES;
                }
            }
        }
    }

    /// # Safety
    /// `dy` must have rows that are filled up, `w` be the taps, and `dx` have room for a plane that is laid out.
    #[inline(always)]
    unsafe fn input_grad<S: Simd>(
        &self,
        simd: S,
        taps: &[usize],
        dy: *const f32,
        w: *const f32,
        dx: *mut f32,
    ) {
        let [numbers, _] = self.strips();
        // SAFETY: passed on to the caller.
        unsafe {
            std::slice::from_raw_parts_mut(dx, numbers).fill(0.0);
            for row in 0..self.size.output[0] {
                let dy = dy.add(row * self.row());
                for (tap, &tap_at) in taps.iter().enumerate() {
                    let dx = dx.add(row * self.pitch() + tap_at);
                    let weight = simd.splat_f32s(*w.add(tap));
                    for at in (0..self.row()).step_by(S::F32_LANES) {
                        let dx = dx.add(at).cast::<S::f32s>();
                        let dy = dy.add(at).cast::<S::f32s>().read_unaligned();
                        dx.write_unaligned(simd.mul_add_e_f32s(dy, weight, dx.read_unaligned()));
                    }
                }
            }
        }
    }

    /// # Safety
    /// `x` must be a plane that is laid out, and `dy` have rows that are filled up.
    #[inline(always)]
    unsafe fn weight_grad<S: Simd>(
        &self,
        simd: S,
        taps: &[usize],
        x: *const f32,
        dy: *const f32,
        sums: &mut [S::f32s; TAPS],
    ) {
        for (&tap, total) in taps.iter().zip(sums) {
            let mut sum = simd.splat_f32s(0.0);
            for row in 0..self.size.output[0] {
                // SAFETY: passed on to the caller.
                unsafe {
                    let x = x.add(row * self.pitch() + tap);
                    let dy = dy.add(row * self.row());
                    for at in (0..self.row()).step_by(S::F32_LANES) {
                        let x = x.add(at).cast::<S::f32s>().read_unaligned();
                        let dy = dy.add(at).cast::<S::f32s>().read_unaligned();
                        sum = simd.mul_add_e_f32s(x, dy, sum);
                    }
                }
            }
            *total = simd.add_f32s(*total, sum);
        }
    }

    /// Numbers of a laid-out plane from what the first tap sees of one row of the output to the next.
    fn pitch(&self) -> usize {
        self.geometry.stride[0] * self.geometry.stride[1] * self.window()[1]
    }

    /// Copies a plane of the output's gradient into rows that are filled up with zeros.
    ///
    /// # Safety
    /// `dy` must be valid for the plane, and `to` for its rows.
    unsafe fn copy_gradient(&self, dy: *const f32, to: *mut f32) {
        let [_, numbers] = self.strips();
        // SAFETY: passed on to the caller.
        unsafe {
            std::slice::from_raw_parts_mut(to, numbers).fill(0.0);
            self.copy_rows(dy, self.size.output[1], to, self.row());
        }
    }

    /// Copies the rows of an output plane.
    ///
    /// # Safety
    /// Both must be valid for the rows, which are `pitch` and `to_pitch` apart.
    unsafe fn copy_rows(&self, from: *const f32, pitch: usize, to: *mut f32, to_pitch: usize) {
        let [height, width] = self.size.output;
        for row in 0..height {
            // SAFETY: passed on to the caller.
            unsafe {
                to.add(row * to_pitch).copy_from_nonoverlapping(from.add(row * pitch), width);
            }
        }
    }

    /// Takes a plane of the input's gradient out of its laid-out copy; what no tap reaches is zero.
    ///
    /// # Safety
    /// `from` must be a plane that is laid out, and `dx` be valid for the plane.
    unsafe fn take_back(&self, from: *const f32, dx: *mut f32) {
        let ([height, width], stride) = (self.size.input, self.geometry.stride[1]);
        // SAFETY: passed on to the caller: pieces are inside the plane and its copy.
        unsafe {
            std::slice::from_raw_parts_mut(dx, height * width).fill(0.0);
            self.for_each_piece(|y, first, n, column| {
                let (from, to) = (from.add(first), dx.add(y * width + column));
                (0..n).for_each(|i| *to.add(i * stride) = *from.add(i));
            });
        }
    }
}

/// `N` vectors of a row of the output.
///
/// # Safety
/// As for [`Depthwise::forward`].
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn some_columns<S: Simd, const N: usize>(
    simd: S,
    taps: &[usize],
    x: *const f32,
    w: *const f32,
    y: *mut f32,
) {
    let mut sums = [simd.splat_f32s(0.0); N];
    for (tap, &at) in taps.iter().enumerate() {
        // SAFETY: passed on to the caller.
        unsafe {
            let weight = simd.splat_f32s(*w.add(tap));
            let x = x.add(at).cast::<S::f32s>();
            for i in 0..N {
                sums[i] = simd.mul_add_e_f32s(x.add(i).read_unaligned(), weight, sums[i]);
            }
        }
    }
    for i in 0..N {
        // SAFETY: as above.
        unsafe { y.cast::<S::f32s>().add(i).write_unaligned(sums[i]) };
    }
}

impl InStrips for Depthwise {
    fn numbers(&self) -> usize {
        self.strips().iter().sum()
    }

    #[inline(always)]
    unsafe fn run_with<S: Simd>(
        &self,
        simd: S,
        task: usize,
        strips: *mut f32,
        memory: &Memory<'_>,
    ) {
        let ConvSize { batch, channels, input, output, .. } = self.size;
        let (all_taps, taps) = (self.taps(), self.num_taps());
        let at = &all_taps[..taps];
        let plane = strips.wrapping_add(self.strips()[0]);
        let (pixels, outputs) = (input[0] * input[1], output[0] * output[1]);
        let of = |view: &View, at: usize| memory.view::<f32>(view).wrapping_add(at);
        let to = |at: usize| memory.at::<f32>(self.out).wrapping_add(at);
        let all = if self.kind == Kind::WeightGrad { channels } else { batch * channels };
        for index in task * self.planes..((task + 1) * self.planes).min(all) {
            let channel = index % channels;
            // SAFETY: passed on to the caller: each plane is inside its operand.
            unsafe {
                match self.kind {
                    Kind::Forward => {
                        self.lay_out(of(&self.a, index * pixels), strips);
                        self.forward(simd, at, strips, of(&self.b, channel * taps), plane);
                        self.copy_rows(plane, self.row(), to(index * outputs), output[1]);
                    }
                    Kind::InputGrad => {
                        self.copy_gradient(of(&self.a, index * outputs), plane);
                        self.input_grad(simd, at, plane, of(&self.b, channel * taps), strips);
                        self.take_back(strips, to(index * pixels));
                    }
                    Kind::WeightGrad => {
                        let mut sums = [simd.splat_f32s(0.0); TAPS];
                        for image in 0..batch {
                            let index = image * channels + channel;
                            self.lay_out(of(&self.a, index * pixels), strips);
                            self.copy_gradient(of(&self.b, index * outputs), plane);
                            self.weight_grad(simd, at, strips, plane, &mut sums);
                        }
                        for (tap, &sum) in sums[..taps].iter().enumerate() {
                            *to(channel * taps + tap) = simd.reduce_sum_f32s(sum);
                        }
                    }
                }
            }
        }
    }
}

impl Kernel for Depthwise {
    fn tasks(&self) -> usize {
        let images = if self.kind == Kind::WeightGrad { 1 } else { self.size.batch };
        (images * self.size.channels).div_ceil(self.planes)
    }

    fn cost(&self) -> usize {
        let taps = self.num_taps();
        self.size.batch * self.size.channels * self.row() * self.size.output[0] * taps
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe { run_in_strips(self, task, memory) };
    }
}
