//! Parts of tensors, by position and by index.

use std::ops::{Bound, RangeBounds};
use std::panic::Location;

use gradus_ir::DType;
use gradus_ir::ops::{Check, CheckKind, Gather, OneHot, ScatterAdd, Slice};
use smallvec::smallvec;

use super::axis_of;
use crate::error::ErrorKind;
use crate::record::{fail, record};
use crate::tensor::Tensor;

/// A range of positions along an axis: `2..5`, `..3`, `1..` and so on.
pub trait AxisRange: RangeBounds<usize> {}
impl<R: RangeBounds<usize>> AxisRange for R {}

impl Tensor {
    /// The part of an axis that lies in `range`.
    ///
    /// ```
    /// use gradus_tensor::{DType, Tensor};
    /// let x = Tensor::arange(6, DType::I64).reshape([2, 3]);
    /// assert_eq!(x.slice(1, 1..).to_vec::<i64>()?, [1, 2, 4, 5]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the range leaves the axis.
    #[track_caller]
    pub fn slice(&self, axis: isize, range: impl AxisRange) -> Tensor {
        self.slice_step(axis, range, 1)
    }

    /// Every `step`-th element of the part of an axis that lies in `range`.
    #[track_caller]
    pub fn slice_step(&self, axis: isize, range: impl AxisRange, step: usize) -> Tensor {
        let location = Location::caller();
        let axis = match axis_of("slice", self, axis, 0, location) {
            Ok(axis) => axis,
            Err(failed) => return failed,
        };
        let size = self.shape()[axis];
        let start = match range.start_bound() {
            Bound::Included(&s) => s,
            Bound::Excluded(&s) => s + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&e) => e + 1,
            Bound::Excluded(&e) => e,
            Bound::Unbounded => size,
        };
        if start > end || end > size || step == 0 {
            let message = format!(
                "slice: {start}..{end} with step {step} of axis {axis}, which has {size} elements, shape {}",
                self.shape()
            );
            return fail(ErrorKind::Shape, message, location);
        }
        let len = (end - start).div_ceil(step);
        record(Slice { axis, start, len, step }, smallvec![self.operand()])
    }

    /// `len` elements of an axis from `start` on.
    #[track_caller]
    pub fn narrow(&self, axis: isize, start: usize, len: usize) -> Tensor {
        self.slice(axis, start..start + len)
    }

    /// One element of an axis, which goes.
    #[track_caller]
    pub fn select(&self, axis: isize, index: usize) -> Tensor {
        self.slice(axis, index..index + 1).squeeze(axis)
    }

    /// The elements that `index` (int64) picks along an axis: `y[i][j] = x[index[i][j]][j]` for axis 0.
    ///
    /// # Errors
    /// An index out of range fails the evaluation and is named with its position.
    #[track_caller]
    pub fn gather(&self, axis: isize, index: &Tensor) -> Tensor {
        match axis_of("gather", self, axis, 0, Location::caller()) {
            Ok(axis) => {
                let index = index.checked_below(self.shape()[axis], "index");
                record(Gather { axis }, smallvec![self.operand(), index.operand()])
            }
            Err(failed) => failed,
        }
    }

    /// This tensor with `source` added at the places that `index` names along an axis; places named twice
    /// receive both, in order.
    ///
    /// # Errors
    /// An index out of range fails the evaluation and is named with its position.
    #[track_caller]
    pub fn scatter_add(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        match axis_of("scatter_add", self, axis, 0, Location::caller()) {
            Ok(axis) => {
                let index = index.checked_below(self.shape()[axis], "index");
                let operands = smallvec![self.operand(), index.operand(), source.operand()];
                record(ScatterAdd { axis }, operands)
            }
            Err(failed) => failed,
        }
    }

    /// Classes (int64) as vectors of one 1 among zeros, along a new last axis.
    ///
    /// # Errors
    /// A class out of range fails the evaluation and is named with its position.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        let labels = self.checked_below(classes, "label");
        record(OneHot { classes }, smallvec![labels.operand()])
    }

    /// This tensor of integers, if all of them lie in `0..bound`; otherwise its evaluation fails with an error
    /// that names the first one that does not. Runs even if nobody uses the result.
    #[track_caller]
    pub fn checked_below(&self, bound: usize, what: &'static str) -> Tensor {
        let index = if self.dtype().is_int() { self.cast(DType::I64) } else { self.clone() };
        record(Check { kind: CheckKind::Below(bound), what }, smallvec![index.operand()])
    }

    /// This tensor of floats, if all of them are finite; otherwise its evaluation fails with an error that names
    /// the first one that is not.
    #[track_caller]
    pub fn checked_finite(&self, what: &'static str) -> Tensor {
        record(Check { kind: CheckKind::Finite, what }, smallvec![self.operand()])
    }
}
