//! Extrema along one axis, with their positions.

use std::panic::Location;

use gradus_ir::ops::ArgMax;
use smallvec::smallvec;

use super::axis_of;
use crate::record::record;
use crate::tensor::Tensor;

impl Tensor {
    /// The maximum along an axis and its position (int64): the first of equals; the first NaN counts as the maximum.
    /// The gradient goes to that position alone, unlike that of [`amax`](Tensor::amax).
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let (values, at) = Tensor::from_slice(&[1.0f32, 5.0, 2.0, 7.0, 3.0, 7.0], [2, 3]).max(1, false);
    /// assert_eq!(values.to_vec::<f32>()?, [5.0, 7.0]);
    /// assert_eq!(at.to_vec::<i64>()?, [1, 0]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn max(&self, axis: isize, keepdim: bool) -> (Tensor, Tensor) {
        self.extremum(&self.detach(), axis, keepdim)
    }

    /// The minimum along an axis and its position, as [`max`](Tensor::max).
    #[track_caller]
    pub fn min(&self, axis: isize, keepdim: bool) -> (Tensor, Tensor) {
        self.extremum(&self.descending(), axis, keepdim)
    }

    /// The position of the first minimum along an axis (int64); the first NaN counts as the minimum.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Tensor {
        self.descending().argmax(axis)
    }

    /// The minimum and the maximum over axes (none: all).
    #[track_caller]
    pub fn aminmax(&self, axes: &[isize], keepdim: bool) -> (Tensor, Tensor) {
        (self.amin(axes, keepdim), self.amax(axes, keepdim))
    }

    /// Ordered the other way round. Not the negative of integers, as the lowest has none.
    #[track_caller]
    fn descending(&self) -> Tensor {
        let x = self.detach();
        if x.dtype().is_float() { x.neg() } else { x.bitwise_not() }
    }

    /// The element where `key` has its maximum, and where that is.
    #[track_caller]
    fn extremum(&self, key: &Tensor, axis: isize, keepdim: bool) -> (Tensor, Tensor) {
        let axis = match axis_of("max", self, axis, 0, Location::caller()) {
            Ok(axis) => axis,
            Err(failed) => return (failed.clone(), failed),
        };
        let at = record(ArgMax { axis, keepdim: true }, smallvec![key.operand()]);
        let value = self.gather(axis as isize, &at);
        if keepdim {
            (value, at)
        } else {
            (value.squeeze(axis as isize), at.squeeze(axis as isize))
        }
    }
}
