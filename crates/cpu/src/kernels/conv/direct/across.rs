//! Vectors across the outputs: where output rows are so short, or outputs so near to whole vectors of them, that
//! vectors along a row would compute more places that are dropped.
//!
//! A tile is some neighbouring places by a few vectors of outputs; each tap's weights are read as vectors, and its
//! elements repeated. No place is computed that is not an output; the result is transposed on the way out.

use pulp::Simd;

use super::{Direct, LANES, Tap, Work};
use crate::gemm::transpose;

/// The most vectors and the most places of a tile. Four of NEON's are as long as two of AVX2's, and it has registers
/// for 24 sums.
const VECTORS: usize = if cfg!(target_arch = "aarch64") { 4 } else { 2 };
const PLACES: usize = 6;

impl Direct {
    /// Whether vectors across the outputs compute less, by a margin that pays for the transposition.
    pub(super) fn goes_across(&self, lanes: usize) -> bool {
        let [rows, columns] = self.plane;
        let along = self.outputs * self.places().div_ceil(lanes);
        let across = self.outputs.div_ceil(lanes) * rows * columns;
        across * 6 < along * 5
    }

    /// Elements of the weights, and of the rows, when laid out for whole vectors.
    pub(super) fn across_scratch(&self) -> [usize; 2] {
        let outputs = self.outputs.next_multiple_of(LANES);
        [outputs * self.taps.len(), self.plane[0] * self.plane[1] * VECTORS * LANES]
    }
}

impl Work<'_> {
    /// Packs the weights of a group: `[block of outputs][tap][output]`, 0 where there are no more outputs.
    ///
    /// # Safety
    /// The weight must be valid.
    #[inline(always)]
    pub(super) unsafe fn pack_across(&self, group: usize, lanes: usize) {
        let d = self.direct;
        let weight = self.memory.view::<f32>(&d.weight).wrapping_add(group * d.weight_group);
        let mut to = self.at.weights;
        for first in (0..d.outputs).step_by(VECTORS * lanes) {
            let vectors = (d.outputs - first).div_ceil(lanes).min(VECTORS);
            for tap in &d.taps {
                for output in first..first + vectors * lanes {
                    // SAFETY: inside the weight, and the room for it.
                    unsafe {
                        *to = match output < d.outputs {
                            true => *weight.add(output * d.weight_step + tap.weight),
                            false => 0.0,
                        };
                        to = to.add(1);
                    }
                }
            }
        }
    }

    /// An image whose planes are laid out; `out` is where its result begins.
    ///
    /// # Safety
    /// The weights must be packed for that, and `out` be this task's.
    #[inline(always)]
    pub(super) unsafe fn image_across<S: Simd>(&self, simd: S, group: usize, out: *mut f32) {
        let d = self.direct;
        let [rows, columns] = d.plane;
        let (places, parts) = (rows * columns, columns.div_ceil(PLACES));
        let mut weights = self.at.weights.cast_const();
        for first in (0..d.outputs).step_by(VECTORS * S::F32_LANES) {
            let outputs = (d.outputs - first).min(VECTORS * S::F32_LANES);
            let vectors = outputs.div_ceil(S::F32_LANES);
            let width = vectors * S::F32_LANES;
            let bias = self.biases::<S>(simd, group, first, outputs);
            for row in 0..rows {
                for part in 0..parts {
                    let at = part * columns / parts;
                    let n = (part + 1) * columns / parts - at;
                    let x = self.at.planes.wrapping_add(row * d.planes.pitch() + at);
                    let to = self.at.rows.wrapping_add((row * columns + at) * width);
                    macro_rules! places {
                        ($($n:literal)*) => {
                            // SAFETY: places and outputs are inside the planes, the weights and the rows.
                            unsafe {
                                match (n, vectors) {
                                    $(($n, 1) => self.across::<S, $n, 1>(simd, x, weights, &bias, to),
                                    ($n, 2) => self.across::<S, $n, 2>(simd, x, weights, &bias, to),
                                    ($n, 3) if VECTORS > 2 => {
                                        self.across::<S, $n, 3>(simd, x, weights, &bias, to);
                                    }
                                    ($n, 4) if VECTORS > 2 => {
                                        self.across::<S, $n, 4>(simd, x, weights, &bias, to);
                                    })*
                                    _ => {}
                                }
                            }
                        };
                    }
                    places!(1 2 3 4 5 6);
                }
            }
            // SAFETY: the rows hold the outputs of every place, and `out` has as many places of each.
            unsafe {
                transpose(self.at.rows, width, out.add(first * places), places, outputs, places);
                weights = weights.add(width * d.taps.len());
            }
        }
    }

    /// What is added to each of some outputs.
    #[inline(always)]
    fn biases<S: Simd>(
        &self,
        simd: S,
        group: usize,
        first: usize,
        outputs: usize,
    ) -> [S::f32s; VECTORS] {
        let mut bias = [simd.splat_f32s(0.0); VECTORS];
        if let Some(view) = &self.direct.bias {
            let at =
                self.memory.view::<f32>(view).wrapping_add(group * self.direct.outputs + first);
            for (v, bias) in bias.iter_mut().enumerate().take(outputs.div_ceil(S::F32_LANES)) {
                let n = (outputs - v * S::F32_LANES).min(S::F32_LANES);
                // SAFETY: these outputs have biases.
                let some = unsafe { std::slice::from_raw_parts(at.add(v * S::F32_LANES), n) };
                *bias = simd.partial_load_f32s(some);
            }
        }
        bias
    }

    /// `P` places by `V` vectors of outputs.
    ///
    /// # Safety
    /// Places, weights and the room for the result must exist.
    #[inline(always)]
    unsafe fn across<S: Simd, const P: usize, const V: usize>(
        &self,
        simd: S,
        x: *const f32,
        weights: *const f32,
        bias: &[S::f32s; VECTORS],
        to: *mut f32,
    ) {
        let mut sums = [[simd.splat_f32s(0.0); V]; P];
        for (k, &Tap { offset, .. }) in self.direct.taps.iter().enumerate() {
            let weight = |v: usize| {
                let at = weights.wrapping_add((k * V + v) * S::F32_LANES).cast::<S::f32s>();
                // SAFETY: passed on to the caller.
                unsafe { at.read_unaligned() }
            };
            let weights: [S::f32s; V] = std::array::from_fn(weight);
            for (p, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let x = simd.splat_f32s(unsafe { *x.add(offset + p) });
                let products = sums.iter_mut().zip(&weights);
                products.for_each(|(sum, &w)| *sum = simd.mul_add_e_f32s(w, x, *sum));
            }
        }
        for (p, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let to = to.wrapping_add((p * V + v) * S::F32_LANES).cast::<S::f32s>();
                // SAFETY: as above.
                unsafe { to.write_unaligned(self.finished(simd, sum, bias[v])) };
            }
        }
    }
}
