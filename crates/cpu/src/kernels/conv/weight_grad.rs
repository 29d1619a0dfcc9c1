//! The gradient with respect to the weight, tap by tap in registers.
//!
//! With the input as [`Planes`] and the output's gradient at their pitch, zeros between its rows, the gradient of
//! a tap is a dot product of the two at the tap's offset: `dw[f][k] = Σ_q dy[f][q] · x[q + offset(k)]`. Vectors run
//! along `q`; a tile of some filters by some taps stays in registers over a whole image, and every lane has a
//! sum of its own until the last image.

use std::ops::Range;

use gradus_ir::ops::{ConvGeometry, ConvSize};
use gradus_ir::schedule::{ValueId, View};
use pulp::{Simd, WithSimd};

use super::direct::each_tap;
use super::parts::Parts;
use super::planes::{Planes, copy_run};
use crate::kernels::{Kernel, Slice};
use crate::memory::{Memory, Scratch, with_strips};
use crate::tier::with_simd;

/// The gradient of a convolution with respect to its weight.
pub(super) struct WeightGrad {
    x: View,
    dy: View,
    out: ValueId,
    groups: usize,
    planes: Planes,
    /// Filters of one group, and their plane.
    filters: usize,
    plane: [usize; 2],
    /// How far from a place each tap's element lies.
    taps: Vec<usize>,
    parts: Parts,
    batch: usize,
}

/// The most elements of a vector.
const LANES: usize = 16;
/// The most filters and the most taps of a tile.
const FILTERS: usize = 6;
const TAPS: usize = 4;
/// Bytes of all lanes' sums: they stay in the second-level cache.
const SUMS: usize = 256 << 10;

impl WeightGrad {
    /// The gradient, unless it is too large to be summed lane by lane.
    pub fn new(
        geometry: &ConvGeometry,
        size: &ConvSize,
        x: &View,
        dy: &View,
        out: ValueId,
        scratch: &mut Scratch,
    ) -> Option<WeightGrad> {
        let ConvGeometry { stride, padding, dilation, groups } = *geometry;
        let [channels, filters] = [size.channels / groups, size.filters / groups];
        if !WeightGrad::applies(geometry, size) {
            return None;
        }
        let weights = WeightGrad::weights_of(geometry, size);
        let span = [0, 1].map(|i| (size.kernel[i] - 1) * dilation[i] + 1);
        let before = [padding[0][0], padding[1][0]];
        let planes = Planes::new(channels, size.input, before, stride, span, size.output);
        let offset = |c, i, j| planes.offset(c, [i * dilation[0], j * dilation[1]]);
        let taps = each_tap(channels, size.kernel).map(|(_, [c, i, j])| offset(c, i, j)).collect();
        Some(WeightGrad {
            x: x.clone(),
            dy: dy.clone(),
            out,
            groups,
            planes,
            filters,
            plane: size.output,
            taps,
            parts: Parts::new(size.batch, weights, scratch),
            batch: size.batch,
        })
    }

    /// Whether the gradient is small enough, and there is one.
    pub fn applies(geometry: &ConvGeometry, size: &ConvSize) -> bool {
        (1..=SUMS / (LANES * size_of::<f32>())).contains(&WeightGrad::weights_of(geometry, size))
    }

    /// Elements of the weight.
    pub fn weights_of(geometry: &ConvGeometry, size: &ConvSize) -> usize {
        size.filters * size.channels / geometry.groups * size.kernel[0] * size.kernel[1]
    }

    /// Places of an output plane at the pitch of the planes, in whole vectors.
    fn places(&self) -> usize {
        let [rows, _] = self.plane;
        (rows * self.planes.pitch()).next_multiple_of(LANES)
    }

    fn weights(&self) -> usize {
        self.groups * self.filters * self.taps.len()
    }
}

impl Kernel for WeightGrad {
    fn tasks(&self) -> usize {
        self.parts.count()
    }

    fn cost(&self) -> usize {
        // A core multiplies about four times as many numbers as it moves bytes.
        self.batch * self.weights() * self.places() / 4
    }

    unsafe fn run_slice(&self, slice: Slice, memory: &Memory<'_>) {
        debug_assert_eq!(slice.of, self.parts.count(), "runs by slice");
        // SAFETY: passed on to the caller.
        unsafe { self.run(slice.slice, memory) };
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let planes = self.planes.len() + self.places();
        let gradient = self.filters * self.places();
        let sums = self.weights() * LANES;
        with_strips((planes + gradient + sums) * size_of::<f32>(), |scratch| {
            let planes_at = scratch.cast::<f32>();
            let gradient_at = planes_at.wrapping_add(planes);
            let sums_at = gradient_at.wrapping_add(gradient);
            // SAFETY: there is room for all three; all bits 0 are the number 0.
            unsafe { planes_at.write_bytes(0, planes + gradient + sums) };
            let images = self.parts.images(task);
            let at = Scratched { planes: planes_at, gradient: gradient_at, sums: sums_at };
            with_simd(Work { grad: self, task, images, at, memory });
        });
    }
}

/// This thread's own memory.
struct Scratched {
    /// An image's planes, and slack behind them.
    planes: *mut f32,
    /// The gradient of the output, at the pitch of the planes.
    gradient: *mut f32,
    /// `[filter][tap][lane]`
    sums: *mut f32,
}

/// One part of the batch.
struct Work<'a> {
    grad: &'a WeightGrad,
    task: usize,
    images: Range<usize>,
    at: Scratched,
    memory: &'a Memory<'a>,
}

impl WithSimd for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let g = self.grad;
        let sum = g.parts.sum(self.task, g.out, self.memory);
        // SAFETY: `Kernel::run` passes on that operands and result are valid; the images are this task's.
        unsafe {
            for image in self.images.clone() {
                for group in 0..g.groups {
                    self.lay_out(image, group);
                    self.image(simd, group);
                }
            }
            for weight in 0..g.weights() {
                let lanes = self.at.sums.add(weight * S::F32_LANES).cast::<S::f32s>();
                *sum.add(weight) = simd.reduce_sum_f32s(lanes.read_unaligned());
            }
            g.parts.done(g.out, self.memory);
        }
    }
}

impl Work<'_> {
    /// Lays out the input's planes and the output's gradient.
    ///
    /// # Safety
    /// The image must exist.
    #[inline(always)]
    unsafe fn lay_out(&self, image: usize, group: usize) {
        let g = self.grad;
        let unit = image * g.groups + group;
        let [h, w] = g.planes.plane;
        let x = self.memory.view::<f32>(&g.x).wrapping_add(unit * g.planes.channels * h * w);
        let [rows, columns] = g.plane;
        let dy = self.memory.view::<f32>(&g.dy).wrapping_add(unit * g.filters * rows * columns);
        // SAFETY: image and gradient are inside the operands, and there is room for them.
        unsafe {
            g.planes.lay_out(x, self.at.planes);
            for filter in 0..g.filters {
                for row in 0..rows {
                    let from = dy.add((filter * rows + row) * columns);
                    let to = self.at.gradient.add(filter * g.places() + row * g.planes.pitch());
                    copy_run(from, to, columns);
                }
            }
        }
    }

    /// Adds an image to the sums of a group.
    ///
    /// # Safety
    /// It must be laid out.
    #[inline(always)]
    unsafe fn image<S: Simd>(&self, simd: S, group: usize) {
        let g = self.grad;
        // Taps as evenly as can be, and as many filters as registers are left for.
        let at_once = g.taps.len().div_ceil(g.taps.len().div_ceil(TAPS));
        let registers = if S::REGISTER_COUNT >= 32 { 24 } else { 12 };
        let most = (registers / at_once).min(FILTERS);
        let mut filter = 0;
        while filter < g.filters {
            let filters = (g.filters - filter).min(most);
            let first = (group * g.filters + filter) * g.taps.len();
            let sums = self.at.sums.wrapping_add(first * S::F32_LANES);
            let gradient = self.at.gradient.wrapping_add(filter * g.places());
            for (i, taps) in g.taps.chunks(at_once).enumerate() {
                let sums = sums.wrapping_add(i * at_once * S::F32_LANES);
                macro_rules! tile {
                    ($($r:literal)*) => {
                        // SAFETY: filters and taps are those of the group.
                        unsafe {
                            match (filters, taps.len()) {
                                $(($r, 4) => self.tile::<S, $r, 4>(simd, gradient, taps, sums),
                                ($r, 3) => self.tile::<S, $r, 3>(simd, gradient, taps, sums),
                                ($r, 2) => self.tile::<S, $r, 2>(simd, gradient, taps, sums),
                                ($r, _) => self.tile::<S, $r, 1>(simd, gradient, taps, sums),)*
                                (n, _) => unreachable!("{n} filters at a time"),
                            }
                        }
                    };
                }
                tile!(1 2 3 4 5 6);
            }
            filter += filters;
        }
    }

    /// Adds an image to the sums of `R` filters and `K` taps.
    ///
    /// # Safety
    /// The filters' gradients and sums and the taps must be those of the laid out image.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const K: usize>(
        &self,
        simd: S,
        gradient: *const f32,
        taps: &[usize],
        to: *mut f32,
    ) {
        let (places, lanes) = (self.grad.places(), S::F32_LANES);
        let offsets: [usize; K] = std::array::from_fn(|k| taps[k]);
        let at = |r: usize, k: usize| {
            to.wrapping_add((r * self.grad.taps.len() + k) * lanes).cast::<S::f32s>()
        };
        let mut sums = [[simd.splat_f32s(0.0); K]; R];
        for q in (0..places).step_by(lanes) {
            // SAFETY: places are whole vectors, and the planes have slack for as many beyond every tap.
            let dy = |r: usize| unsafe {
                gradient.add(r * places + q).cast::<S::f32s>().read_unaligned()
            };
            // SAFETY: as above.
            let x = |k: usize| unsafe {
                self.at.planes.add(q + offsets[k]).cast::<S::f32s>().read_unaligned()
            };
            // The fewer stay in registers.
            if R <= K {
                let dys: [S::f32s; R] = std::array::from_fn(dy);
                for (k, x) in std::array::from_fn::<_, K, _>(x).into_iter().enumerate() {
                    let products = sums.iter_mut().zip(&dys);
                    products.for_each(|(sums, &dy)| sums[k] = simd.mul_add_e_f32s(dy, x, sums[k]));
                }
            } else {
                let xs: [S::f32s; K] = std::array::from_fn(x);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let dy = dy(r);
                    (0..K).for_each(|k| sums[k] = simd.mul_add_e_f32s(dy, xs[k], sums[k]));
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (k, &sum) in sums.iter().enumerate() {
                // SAFETY: inside the sums.
                unsafe {
                    let at = at(r, k);
                    at.write_unaligned(simd.add_f32s(at.read_unaligned(), sum));
                }
            }
        }
    }
}
