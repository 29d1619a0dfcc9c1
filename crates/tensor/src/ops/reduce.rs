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

    /// Whether any element over axes (none: all) is not zero, as `bool`; `false` for no elements.
    #[track_caller]
    pub fn any(&self, axes: &[isize], keepdim: bool) -> Tensor {
        self.count_nonzero(axes, keepdim).ne(0)
    }

    /// Whether all elements over axes (none: all) are not zero, as `bool`; `true` for no elements.
    #[track_caller]
    pub fn all(&self, axes: &[isize], keepdim: bool) -> Tensor {
        self.logical_not().count_nonzero(axes, keepdim).eq(0)
    }

    /// How many elements over axes (none: all) are not zero, as int64.
    #[track_caller]
    pub fn count_nonzero(&self, axes: &[isize], keepdim: bool) -> Tensor {
        self.cast(DType::Bool).sum_axes(axes, keepdim)
    }

    /// The product over axes (none: all). Integers and `bool` multiply in int64.
    ///
    /// Factors are multiplied in pairs, then the products in pairs, and so on: the gradient of each factor is the
    /// product of the others, also where factors are zero.
    #[track_caller]
    pub fn prod(&self, axes: &[isize], keepdim: bool) -> Tensor {
        let reduced = match axes_of("prod", self, axes, Location::caller()) {
            Ok(axes) => axes,
            Err(failed) => return failed,
        };
        let wide = if self.dtype().is_float() { self.clone() } else { self.cast(DType::I64) };
        let shape = self.shape();
        let rest = shape.without(&reduced);
        let count: usize = reduced.iter().map(|&a| shape[a]).product();
        let result = if keepdim { shape.keeping(&reduced) } else { rest.clone() };
        if count == 0 {
            return Tensor::ones(result, wide.dtype()).to(self.device());
        }
        let kept = (0..shape.rank()).filter(|a| !reduced.contains(a));
        let order: Vec<isize> = kept.chain(reduced.iter().copied()).map(|a| a as isize).collect();
        let mut left = count;
        let mut factors = wide.permute(&order).reshape([rest.numel() as isize, count as isize]);
        // The last factor of an odd number waits.
        let mut waiting: Option<Tensor> = None;
        while left > 1 {
            let half = left / 2;
            if left % 2 == 1 {
                let last = factors.slice(1, left - 1..left);
                waiting = Some(waiting.map_or(last.clone(), |w| w * &last));
            }
            factors = factors.slice(1, ..half) * factors.slice(1, half..2 * half);
            left = half;
        }
        let product = waiting.map_or(factors.clone(), |w| w * &factors);
        product.reshape(&result)
    }

    /// log Σ eˣ over axes (none: all), without overflow.
    #[track_caller]
    pub fn logsumexp(&self, axes: &[isize], keepdim: bool) -> Tensor {
        let x = self.floating();
        let max = x.amax(axes, true).detach();
        // An infinite maximum is left to the sum.
        let shift = Tensor::where_(&max.isfinite(), &max, 0.0);
        let sum = (&x - &shift).exp().sum_axes(axes, true).log() + shift;
        if keepdim { sum } else { sum.without(axes) }
    }

    /// Without axes (none: all) that a reduction has kept with size 1.
    #[track_caller]
    fn without(&self, axes: &[isize]) -> Tensor {
        match axes_of("logsumexp", self, axes, Location::caller()) {
            Ok(axes) => self.reshape(self.shape().without(&axes)),
            Err(failed) => failed,
        }
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
