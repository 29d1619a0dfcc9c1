//! Convolution and its two gradients. [`windows`] computes any of them; the others, which say when they apply, are
//! faster where they do: [`winograd`] for kernels of 3 × 3 over many channels, [`implicit`] for other kernels over many
//! channels, [`depthwise`] for filters over one channel each.

mod depthwise;
mod implicit;
mod panel;
mod parts;
mod windows;
mod winograd;

use gradus_ir::DType;
use gradus_ir::ops::Op;
use gradus_ir::schedule::{ValueId, View};

use super::Kernel;
use crate::memory::Scratch;
use crate::tier::has_fma;

/// The kernel of a convolution or of one of its gradients.
pub(super) fn kernel(
    op: &Op,
    a: &View,
    b: &View,
    out: ValueId,
    dtype: DType,
    scratch: &mut Scratch,
) -> Box<dyn Kernel> {
    if has_fma() {
        if let Some(kernel) = depthwise::Depthwise::new(op, a, b, out, dtype) {
            return Box::new(kernel);
        }
        if let Some(kernel) = winograd::Winograd::new(op, a, b, out, dtype, scratch) {
            return Box::new(kernel);
        }
        if let Some(kernel) = winograd::WeightGrad::new(op, a, b, out, dtype, scratch) {
            return Box::new(kernel);
        }
        if let Some(kernel) = implicit::Implicit::new(op, a, b, out, dtype, scratch) {
            return Box::new(kernel);
        }
        if let Some(kernel) = implicit::WeightGrad::new(op, a, b, out, dtype, scratch) {
            return Box::new(kernel);
        }
    }
    Box::new(windows::Windows::new(op, a, b, out, dtype, scratch))
}
