//! Convolution and its two gradients. [`windows`] computes any of them; the others, which say when they apply, are
//! faster where they do: [`winograd`] for kernels of 3 × 3 over many channels, [`implicit`] for other kernels over many
//! channels, [`depthwise`] for filters over one channel each; [`direct`] and [`weight_grad`] for few channels, and
//! [`pooled`] behind max-pooling.

mod blocks;
mod depthwise;
mod direct;
mod implicit;
mod panel;
mod parts;
mod planes;
mod pooled;
mod strips;
mod weight_grad;
mod windows;
mod winograd;

use gradus_ir::ops::{ConvBias, ConvSize, Op};
use gradus_ir::schedule::{ValueId, View};
use gradus_ir::{DType, Type};

use self::direct::Direct;
use self::parts::Parts;
pub(super) use self::planes::Planes;
pub(super) use self::pooled::fits as pooled_fits;
use self::weight_grad::WeightGrad;
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
    if let Some(kernel) = of_many_channels(op, a, b, out, dtype, scratch) {
        return kernel;
    }
    let size = size(op, a, b);
    if dtype == DType::F32 && has_fma() {
        let direct: Option<Box<dyn Kernel>> = match op {
            Op::Conv(c) => Some(boxed(Direct::forward(&c.0, &size, a, b, out))),
            Op::ConvInputGrad(c) => Direct::input_grad(&c.geometry, &size, a, b, out).map(boxed),
            Op::ConvWeightGrad(c) => {
                WeightGrad::new(&c.geometry, &size, a, b, out, scratch).map(boxed)
            }
            _ => None,
        };
        if let Some(kernel) = direct {
            return kernel;
        }
    }
    boxed(Windows::new(op, a, b, out, dtype, scratch))
}

/// The kernel for many channels, or for one channel each, where there is one.
fn of_many_channels(
    op: &Op,
    a: &View,
    b: &View,
    out: ValueId,
    dtype: DType,
    scratch: &mut Scratch,
) -> Option<Box<dyn Kernel>> {
    if !has_fma() {
        return None;
    }
    None.or_else(|| depthwise::Depthwise::new(op, a, b, out, dtype).map(boxed))
        .or_else(|| winograd::Winograd::new(op, a, b, out, dtype, scratch).map(boxed))
        .or_else(|| winograd::WeightGrad::new(op, a, b, out, dtype, scratch).map(boxed))
        .or_else(|| implicit::Implicit::new(op, a, b, out, dtype, scratch).map(boxed))
        .or_else(|| implicit::WeightGrad::new(op, a, b, out, dtype, scratch).map(boxed))
}

/// Whether [`of_many_channels`] would find one.
fn has_many_channels(op: &Op, a: &View, b: &View, dtype: DType) -> bool {
    let nowhere = ValueId(0);
    of_many_channels(op, a, b, nowhere, dtype, &mut Scratch::default()).is_some()
}

/// The kernel of a convolution with its bias.
pub(super) fn biased_kernel(op: &ConvBias, x: &[View], out: ValueId) -> Box<dyn Kernel> {
    let size = op.conv.0.size(&x[0].shape, &x[1].shape);
    let size = size.unwrap_or_else(|e| unreachable!("inference has checked it: {e}"));
    let direct = Direct::forward(&op.conv.0, &size, &x[0], &x[1], out);
    boxed(direct.biased(&x[2], op.relu))
}

/// Whether there is one.
pub(super) fn biased_fits(op: &ConvBias, types: &[&Type]) -> bool {
    let [x, w] = [0, 1].map(|i| View::whole(ValueId(0), types[i]));
    let conv = Op::from(op.conv.clone());
    types[0].dtype == DType::F32 && has_fma() && !has_many_channels(&conv, &x, &w, DType::F32)
}

/// The kernel of a gradient by the winners of a max-pooling.
pub(super) fn pooled_kernel(
    op: &Op,
    x: &[View],
    out: ValueId,
    scratch: &mut Scratch,
) -> Box<dyn Kernel> {
    Box::new(pooled::Pooled::new(op, x, out, scratch))
}

/// Whether the kernel that [`kernel`] makes can run slice by slice.
pub(super) fn runs_by_slice(op: &Op, x: &[View], dtype: DType) -> bool {
    match op {
        Op::ConvBias(_) | Op::ConvInputGradPooled(_) => true,
        Op::Conv(_) | Op::ConvInputGrad(_) => !has_many_channels(op, &x[0], &x[1], dtype),
        Op::ConvWeightGrad(c) if !has_many_channels(op, &x[0], &x[1], dtype) => {
            let size = size(op, &x[0], &x[1]);
            let whole = Parts::fits(size.batch, WeightGrad::weights_of(&c.geometry, &size));
            dtype == DType::F32 && has_fma() && WeightGrad::applies(&c.geometry, &size) && whole
        }
        Op::ConvWeightGradPooled(c) => {
            let size = c.size(&x[0].shape, &x[2].shape);
            size.is_ok_and(|size| {
                Parts::fits(size.batch, WeightGrad::weights_of(&c.conv.geometry, &size))
            })
        }
        _ => false,
    }
}

fn boxed(kernel: impl Kernel + 'static) -> Box<dyn Kernel> {
    Box::new(kernel)
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
