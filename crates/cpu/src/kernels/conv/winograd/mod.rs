//! Convolutions of 3 × 3, stride 1 and many channels, by Winograd's method: a quarter of the multiplications.
//!
//! ```text
//! input tiles  V[p][tile][channel]  = Bᵀ d B        6 × 6 pixels, 4 apart
//! weight       U[p][channel][filter] = G g Gᵀ
//! products     M[p][tile][filter]   = Σ V[p][tile][channel] · U[p][channel][filter]      for the 36 points p
//! output tiles y                    = Aᵀ M A        4 × 4 pixels
//! ```
//!
//! [`transform`] has the matrices and what is known of the accuracy. The gradient with respect to the input is the
//! same convolution with flipped weights, whose filters and channels trade places; [`weight_grad`] is that with
//! respect to the weight.
//!
//! Vectors run along the channels, or along the filters. Planes are therefore transposed on their way in and out,
//! [`PANEL`] channels at a time, which costs little beside 36 products over as many channels.
//!
//! Tasks are units of tiles times groups of panels of filters. The weight is transformed by tasks that come before
//! all of those; so are the tiles where several groups need them, else each task transforms its own. All of
//! that follows from the sizes.
//!
//! Invariant: an output is not finite wherever the direct sum is not, though it may be NaN where that is infinite. An
//! input that is not finite reaches all 16 outputs of each tile that contains it, and so may one above 1/20 of the
//! largest number, because the transform adds up to 20 times an input.

mod convolution;
mod tiles;
mod transform;
mod weight;
mod weight_grad;

pub(super) use self::convolution::Winograd;
pub(super) use self::weight_grad::WeightGrad;

use gradus_ir::ops::{ConvGeometry, ConvSize};

use self::transform::{POINTS, STEP};

/// Fewer channels are not worth the transforms.
const CHANNELS: usize = 48;
/// Numbers between matrices that would otherwise start on the same cache set.
pub(super) const SKEW: usize = 16;

/// Whether the method applies to a convolution, and saves much.
fn applies(geometry: &ConvGeometry, size: &ConvSize, tiled: [usize; 2]) -> bool {
    let ConvGeometry { stride, dilation, groups, padding } = geometry;
    let small = padding.iter().flatten().all(|&p| p <= 2);
    let plain = [*stride, *dilation] == [[1; 2]; 2] && *groups == 1 && size.kernel == [3, 3];
    let wide = size.channels.min(size.filters) >= CHANNELS;
    let [tiles, pixels] = [tiled.map(|n| n.div_ceil(STEP)), tiled].map(|[h, w]| h * w);
    plain && small && wide && POINTS * tiles * 5 <= 9 * pixels * 3 && size.batch > 0
}
