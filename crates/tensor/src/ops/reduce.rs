//! Sums, means, extrema and what is made of them.

use std::panic::Location;

use gradus_ir::ops::{ArgMax, Reduce, ReduceKind};
use gradus_ir::{DType, Scalar};
use smallvec::smallvec;

use super::{axes_of, axis_of};
use crate::error::ErrorKind;
use crate::node::Operand;
use crate::record::{fail, record};
use crate::tensor::Tensor;

impl Tensor {
    /// The sum of all elements. Integers and `bool` sum in int64.
    #[track_caller]
    pub fn sum(&self) -> Tensor {
        self.sum_axes(&[], false)
    }

    /// The sum over axes (none: all); they stay with size 1 if `keepdim`.
    #[track_caller]
    pub fn sum_axes(&self, axes: &[isize], keepdim: bool) -> Tensor {
        let wide = if self.dtype().is_float() { self.clone() } else { self.cast(DType::I64) };
        wide.reduced(ReduceKind::Sum, axes, keepdim)
    }

    /// The mean of all elements.
    #[track_caller]
    pub fn mean(&self) -> Tensor {
        self.mean_axes(&[], false)
    }

    /// The mean over axes (none: all); they stay with size 1 if `keepdim`.
    ///
    /// # Errors
    /// Integers have no mean in their own dtype: cast first.
    #[track_caller]
    pub fn mean_axes(&self, axes: &[isize], keepdim: bool) -> Tensor {
        let location = Location::caller();
        if !self.dtype().is_float() {
            let message = format!("mean: of {} is no {0}; cast to a float first", self.dtype());
            return fail(ErrorKind::Shape, message, location);
        }
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let sum = self.sum_axes(axes, keepdim);
        if sum.try_shape().is_err() {
            return sum;
        }
        let n: usize = match axes_of("mean", self, axes, location) {
            Ok(axes) => axes.iter().map(|&a| shape[a]).product(),
            Err(failed) => return failed,
        };
        // The count follows from the shape: it is part of the computation, not a number in the code.
        let count = Operand::Const(Scalar::F64(n as f64), self.dtype());
        record(gradus_ir::scalar::ScalarOp::Div, smallvec![sum.operand(), count])
    }

    /// The maximum over axes (none: all); NaN if any element is. Ties share the gradient.
    #[track_caller]
    pub fn amax(&self, axes: &[isize], keepdim: bool) -> Tensor {
        self.reduced(ReduceKind::Max, axes, keepdim)
    }

    /// The minimum over axes (none: all); NaN if any element is. Ties share the gradient.
    #[track_caller]
    pub fn amin(&self, axes: &[isize], keepdim: bool) -> Tensor {
        self.reduced(ReduceKind::Min, axes, keepdim)
    }

    #[track_caller]
    fn reduced(&self, kind: ReduceKind, axes: &[isize], keepdim: bool) -> Tensor {
        match axes_of(kind.name(), self, axes, Location::caller()) {
            Ok(axes) => record(Reduce { kind, axes, keepdim }, smallvec![self.operand()]),
            Err(failed) => failed,
        }
    }

    /// The position of the first maximum along an axis (int64); the first NaN counts as the maximum.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Tensor {
        match axis_of("argmax", self, axis, 0, Location::caller()) {
            Ok(axis) => record(ArgMax { axis, keepdim: false }, smallvec![self.operand()]),
            Err(failed) => failed,
        }
    }

    /// eˣ normalised to sum 1 along an axis.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        let exp = (self - self.amax(&[axis], true).detach()).exp();
        let sum = exp.sum_axes(&[axis], true);
        exp / sum
    }

    /// The logarithm of [`softmax`](Tensor::softmax), computed without overflow.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        let shifted = self - self.amax(&[axis], true).detach();
        let log_sum = shifted.exp().sum_axes(&[axis], true).log();
        shifted - log_sum
    }
}
