//! Convolution and its two gradients. [`windows`] computes any of them; the others, which say when they apply, are
//! faster where they do.

mod windows;

use gradus_ir::DType;
use gradus_ir::ops::Op;
use gradus_ir::schedule::{ValueId, View};

use super::Kernel;
use crate::memory::Scratch;

/// The kernel of a convolution or of one of its gradients.
pub(super) fn kernel(
    op: &Op,
    a: &View,
    b: &View,
    out: ValueId,
    dtype: DType,
    scratch: &mut Scratch,
) -> Box<dyn Kernel> {
    Box::new(windows::Windows::new(op, a, b, out, dtype, scratch))
}
