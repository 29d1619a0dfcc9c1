//! Convolution and its two gradients. [`windows`] computes any of them; the others, which say when they apply, are
//! faster where they do.

mod direct;
mod planes;
mod windows;

use gradus_ir::DType;
use gradus_ir::ops::{ConvSize, Op};
use gradus_ir::schedule::{ValueId, View};

use self::direct::Direct;
use self::windows::Windows;
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
    let size = size(op, a, b);
    if dtype == DType::F32 && has_fma() {
        let direct = match op {
            Op::Conv(c) => Some(Direct::forward(&c.0, &size, a, b, out)),
            Op::ConvInputGrad(c) => Direct::input_grad(&c.geometry, &size, a, b, out),
            _ => None,
        };
        if let Some(direct) = direct {
            return Box::new(direct);
        }
    }
    Box::new(Windows::new(op, a, b, out, dtype, scratch))
}

fn size(op: &Op, a: &View, b: &View) -> ConvSize {
    let size = match op {
        Op::Conv(c) => c.0.size(&a.shape, &b.shape),
        Op::ConvInputGrad(c) => c.size(&a.shape, &b.shape),
        Op::ConvWeightGrad(c) => c.size(&a.shape, &b.shape),
        op => unreachable!("{op} is no convolution"),
    };
    size.unwrap_or_else(|e| unreachable!("inference has checked it: {e}"))
}
