//! How a weight is transformed.

use std::ops::Range;

use pulp::Simd;

use super::super::panel::PANEL;
use super::transform::{Filter, SIDE, both};
use crate::gemm::transpose;

/// A weight `[filters, channels, 3, 3]` as a convolution or its gradient sees it.
#[derive(Clone, Copy)]
pub(super) struct Weight {
    pub at: *const f32,
    /// Channels that are summed up, and those that come out.
    pub inputs: usize,
    pub outputs: usize,
    /// Whether it is read the other way round: from filters to channels, and with its taps reversed.
    pub transposed: bool,
}

/// Inputs whose weights are transformed at a time.
pub(super) const WEIGHTS: usize = 32;
const TAPS: usize = 9;

impl Weight {
    /// Transforms the weight of a panel for at most [`WEIGHTS`] inputs: `[point][input][output]`, `point` numbers
    /// from one point to the next.
    ///
    /// # Safety
    /// The weight must be valid for reads; the result must have room for those inputs at each point.
    #[inline(always)]
    pub unsafe fn transform<S: Simd>(
        self,
        simd: S,
        panel: usize,
        inputs: Range<usize>,
        to: *mut f32,
        point: usize,
    ) {
        let first = panel * PANEL;
        let outputs = PANEL.min(self.outputs - first);
        // The taps of an input in rows of outputs.
        let mut rows = [0.0; WEIGHTS * TAPS * PANEL];
        // SAFETY: the parts of the weight are inside it; the result has room for a panel.
        unsafe {
            if self.transposed {
                for (i, input) in inputs.clone().enumerate() {
                    let from = self.at.add((input * self.outputs + first) * TAPS);
                    let to = rows.as_mut_ptr().add(i * TAPS * PANEL);
                    transpose(from, TAPS, to, PANEL, TAPS, outputs);
                }
            } else {
                let from = self.at.add((first * self.inputs + inputs.start) * TAPS);
                let taps = inputs.len() * TAPS;
                transpose(from, self.inputs * TAPS, rows.as_mut_ptr(), PANEL, taps, outputs);
            }
            for i in 0..inputs.len() {
                for lane in (0..PANEL).step_by(S::F32_LANES) {
                    let from = rows.as_ptr().add(i * TAPS * PANEL + lane);
                    let to = to.add(i * PANEL + lane);
                    both::<S, Filter, 3, SIDE>(
                        simd,
                        |i, j| {
                            let tap = i * 3 + j;
                            let tap = if self.transposed { TAPS - 1 - tap } else { tap };
                            from.add(tap * PANEL).cast::<S::f32s>().read_unaligned()
                        },
                        |i, j, y| {
                            let to = to.add((i * SIDE + j) * point);
                            to.cast::<S::f32s>().write_unaligned(y);
                        },
                    );
                }
            }
        }
    }
}
