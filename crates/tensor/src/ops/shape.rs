//! The same elements in another arrangement. None of these copies anything by itself: plans read through views.

use std::panic::Location;

use gradus_ir::ops::{Concat, Expand, Pad, Permute, Reshape};
use gradus_ir::{Axes, Scalar, Shape};
use smallvec::{SmallVec, smallvec};

use super::axis_of;
use crate::error::{Error, ErrorKind};
use crate::node::Operand;
use crate::record::{fail, record, record_source};
use crate::tensor::Tensor;

/// Sizes for a reshape, one of which may be −1: whatever is left.
#[derive(Clone, Debug)]
pub struct Dims(SmallVec<[isize; 6]>);

impl<const N: usize> From<[isize; N]> for Dims {
    fn from(dims: [isize; N]) -> Dims {
        Dims(SmallVec::from_slice(&dims))
    }
}
impl From<&[isize]> for Dims {
    fn from(dims: &[isize]) -> Dims {
        Dims(SmallVec::from_slice(dims))
    }
}
impl From<Shape> for Dims {
    fn from(shape: Shape) -> Dims {
        Dims(shape.iter().map(|&d| d as isize).collect())
    }
}
impl From<&Shape> for Dims {
    fn from(shape: &Shape) -> Dims {
        Dims(shape.iter().map(|&d| d as isize).collect())
    }
}

impl Tensor {
    /// The same elements, in the same order, under another shape. One size may be −1.
    ///
    /// ```
    /// use gradus_tensor::{DType, Tensor};
    /// assert_eq!(Tensor::arange(12, DType::F32).reshape([3, -1]).shape().dims(), [3, 4]);
    /// ```
    #[track_caller]
    pub fn reshape(&self, dims: impl Into<Dims>) -> Tensor {
        let location = Location::caller();
        let Ok(from) = self.try_shape() else { return self.clone() };
        let Dims(dims) = dims.into();
        let known: isize = dims.iter().filter(|&&d| d != -1).product();
        let free = dims.iter().filter(|&&d| d == -1).count();
        let wrong = |why: &str| {
            let message = format!("reshape: {from} to {:?}: {why}", dims.as_slice());
            fail(ErrorKind::Shape, message, location)
        };
        if dims.iter().any(|&d| d < -1) {
            return wrong("sizes are not negative, but for one -1");
        }
        if free > 1 {
            return wrong("only one size can be -1");
        }
        let numel = from.numel() as isize;
        if free == 1 && (known == 0 || numel % known != 0) {
            return wrong(&format!("{numel} elements are no multiple of the other sizes"));
        }
        let shape: Shape =
            dims.iter().map(|&d| if d == -1 { numel / known } else { d } as usize).collect();
        record(Reshape { shape }, smallvec![self.operand()])
    }

    /// As [`reshape`](Tensor::reshape).
    #[track_caller]
    pub fn view(&self, dims: impl Into<Dims>) -> Tensor {
        self.reshape(dims)
    }

    /// Joins the axes from `start` to `end`, both included, into one.
    #[track_caller]
    pub fn flatten(&self, start: isize, end: isize) -> Tensor {
        let location = Location::caller();
        let Ok(shape) = self.try_shape() else { return self.clone() };
        if shape.rank() == 0 {
            return self.reshape([1]);
        }
        let bounds = axis_of("flatten", self, start, 0, location)
            .and_then(|s| Ok((s, axis_of("flatten", self, end, 0, location)?)));
        match bounds {
            Ok((s, e)) if s <= e => {
                let joined: usize = shape[s..=e].iter().product();
                let dims = shape[..s].iter().copied().chain([joined]);
                let shape: Shape = dims.chain(shape[e + 1..].iter().copied()).collect();
                record(Reshape { shape }, smallvec![self.operand()])
            }
            Ok((s, e)) => {
                let message = format!("flatten: axis {s} comes after axis {e}, shape {shape}");
                fail(ErrorKind::Shape, message, location)
            }
            Err(failed) => failed,
        }
    }

    /// Axes in another order: axis `i` of the result is axis `axes[i]` of this.
    #[track_caller]
    pub fn permute(&self, axes: &[isize]) -> Tensor {
        let location = Location::caller();
        let found: Result<Axes, Tensor> =
            axes.iter().map(|&a| axis_of("permute", self, a, 0, location)).collect();
        match found {
            Ok(axes) => record(Permute { axes }, smallvec![self.operand()]),
            Err(failed) => failed,
        }
    }

    /// Two axes exchanged.
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Tensor {
        let location = Location::caller();
        let pair = axis_of("transpose", self, a, 0, location)
            .and_then(|a| Ok((a, axis_of("transpose", self, b, 0, location)?)));
        match pair {
            Ok((a, b)) => {
                let mut axes: Axes = (0..self.rank()).collect();
                axes.swap(a, b);
                record(Permute { axes }, smallvec![self.operand()])
            }
            Err(failed) => failed,
        }
    }

    /// The transpose of a matrix.
    #[track_caller]
    pub fn t(&self) -> Tensor {
        match self.try_shape() {
            Ok(shape) if shape.rank() != 2 => {
                let message = format!("t: a matrix has two axes, this tensor has shape {shape}");
                fail(ErrorKind::Shape, message, Location::caller())
            }
            _ => self.transpose(0, 1),
        }
    }

    /// Repeated along axes of size 1 and along new leading axes.
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Tensor {
        record(Expand { shape: shape.into() }, smallvec![self.operand()])
    }

    /// With a new axis of size 1 at `axis`.
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        match axis_of("unsqueeze", self, axis, 1, Location::caller()) {
            Ok(at) => {
                let mut dims = shape.to_vec();
                dims.insert(at, 1);
                record(Reshape { shape: dims.into() }, smallvec![self.operand()])
            }
            Err(failed) => failed,
        }
    }

    /// Without the axis, if it has size 1; otherwise the tensor itself, as in PyTorch.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        match axis_of("squeeze", self, axis, 0, Location::caller()) {
            Ok(at) if shape[at] == 1 => {
                record(Reshape { shape: shape.without(&[at]) }, smallvec![self.operand()])
            }
            Ok(_) => self.clone(),
            Err(failed) => failed,
        }
    }

    /// Tensors one after the other along an axis. They promote to a common dtype.
    #[track_caller]
    pub fn cat(tensors: &[&Tensor], axis: isize) -> Tensor {
        let location = Location::caller();
        let Some(first) = tensors.first() else {
            let message = "cat: needs at least one tensor";
            return Tensor::from_error(Error::located(ErrorKind::Shape, message, location));
        };
        let dtype = tensors.iter().fold(first.dtype(), |d, t| d.promote(t.dtype()));
        match axis_of("cat", first, axis, 0, location) {
            Ok(axis) => {
                let parts = tensors.iter().map(|t| t.cast(dtype).operand()).collect();
                record(Concat { axis }, parts)
            }
            Err(failed) => failed,
        }
    }

    /// Tensors of one shape along a new axis.
    #[track_caller]
    pub fn stack(tensors: &[&Tensor], axis: isize) -> Tensor {
        let parts: Vec<Tensor> = tensors.iter().map(|t| t.unsqueeze(axis)).collect();
        Tensor::cat(&parts.iter().collect::<Vec<_>>(), axis)
    }

    /// Surrounded by zeros along an axis.
    #[track_caller]
    pub fn pad(&self, axis: isize, before: usize, after: usize) -> Tensor {
        match axis_of("pad", self, axis, 0, Location::caller()) {
            Ok(axis) => record(Pad { axis, before, after, step: 1 }, smallvec![self.operand()]),
            Err(failed) => failed,
        }
    }
    /// Surrounded by a number along an axis.
    #[track_caller]
    pub fn pad_with(
        &self,
        axis: isize,
        before: usize,
        after: usize,
        value: impl Into<Scalar>,
    ) -> Tensor {
        let at = match axis_of("pad", self, axis, 0, Location::caller()) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        let value = value.into();
        let side = |size| {
            let number = smallvec![Operand::Slot(value, self.dtype())];
            record_source(Expand { shape: self.shape().with_dim(at, size) }, number, self.device())
        };
        Tensor::cat(&[&side(before), self, &side(after)], axis)
    }
}
