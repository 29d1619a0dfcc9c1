//! What can be done with tensors, by family. Names and meaning are PyTorch's.

mod activation;
mod arithmetic;
mod attention;
mod conv;
mod create;
mod einsum;
mod extrema;
mod index;
mod interpolate;
mod join;
mod linear;
mod logic;
mod loss;
mod matrix;
mod norm;
mod normalization;
mod pool;
mod powers;
mod rearrange;
mod reduce;
mod rounding;
mod selection;
mod shape;
mod sort;
mod split;
mod statistics;
mod trigonometry;

pub use arithmetic::{IntoOperand, Operator};
pub use attention::AttentionOptions;
pub use conv::{ConvOptions, Padding, Pair};
pub use index::AxisRange;
pub use interpolate::Interpolation;
pub use pool::PoolOptions;
pub use rounding::Rounding;
pub use shape::Dims;

use std::panic::Location;

use gradus_ir::Axes;

use crate::error::{ErrorKind, Result};
use crate::record;
use crate::tensor::Tensor;

/// An axis counted from the front, or from the back if negative.
pub(crate) fn axis_of(
    op: &str,
    tensor: &Tensor,
    axis: isize,
    extra: usize,
    location: &'static Location<'static>,
) -> Result<usize, Tensor> {
    let rank = match tensor.try_shape() {
        Ok(shape) => shape.rank() + extra,
        Err(_) => return Err(tensor.clone()),
    };
    let at = if axis < 0 { axis + rank as isize } else { axis };
    if (0..rank as isize).contains(&at) {
        return Ok(at as usize);
    }
    let message = format!(
        "{op}: axis {axis} of a tensor of shape {}; it must lie between {} and {}",
        tensor.shape(),
        -(rank as isize),
        rank as isize - 1
    );
    Err(record::fail(ErrorKind::Shape, message, location))
}

/// Axes counted from either end, sorted; no axes mean all of them.
pub(crate) fn axes_of(
    op: &str,
    tensor: &Tensor,
    axes: &[isize],
    location: &'static Location<'static>,
) -> Result<Axes, Tensor> {
    if axes.is_empty() {
        return match tensor.try_shape() {
            Ok(shape) => Ok((0..shape.rank()).collect()),
            Err(_) => Err(tensor.clone()),
        };
    }
    let mut found = Axes::new();
    for &axis in axes {
        found.push(axis_of(op, tensor, axis, 0, location)?);
    }
    found.sort_unstable();
    if found.windows(2).any(|w| w[0] == w[1]) {
        let message = format!("{op}: axes {axes:?} name one axis twice, shape {}", tensor.shape());
        return Err(record::fail(ErrorKind::Shape, message, location));
    }
    Ok(found)
}
