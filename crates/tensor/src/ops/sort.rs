//! Orders and running sums along an axis.

use std::panic::Location;

use gradus_ir::DType;
use gradus_ir::ops::{ArgSort, CumSum, Flip};
use smallvec::smallvec;

use super::{axes_of, axis_of};
use crate::error::ErrorKind;
use crate::record::{fail, record};
use crate::tensor::Tensor;

impl Tensor {
    /// The sums of all elements up to and including each, along an axis. Integers and `bool` give int64.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3]);
    /// assert_eq!(x.cumsum(0).to_vec::<f32>()?, [1.0, 3.0, 6.0]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn cumsum(&self, axis: isize) -> Tensor {
        let location = Location::caller();
        if self.is_number() {
            return self.unsqueeze(0).cumsum(axis).squeeze(0);
        }
        let axis = match axis_of("cumsum", self, axis, 0, location) {
            Ok(axis) => axis,
            Err(failed) => return failed,
        };
        let x = if self.dtype().is_float() { self.clone() } else { self.cast(DType::I64) };
        record(CumSum { axis, reverse: false }, smallvec![x.operand()])
    }

    /// The positions of the elements along an axis in ascending order, or descending: int64. Equal elements keep
    /// their order, and NaN is the greatest.
    #[track_caller]
    pub fn argsort(&self, axis: isize, descending: bool) -> Tensor {
        if self.is_number() {
            return self.unsqueeze(0).argsort(axis, descending).squeeze(0);
        }
        match axis_of("argsort", self, axis, 0, Location::caller()) {
            Ok(axis) => record(ArgSort { axis, descending }, smallvec![self.operand()]),
            Err(failed) => failed,
        }
    }

    /// The elements along an axis in ascending order, or descending, and their positions. Equal elements keep
    /// their order, and NaN is the greatest.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let (sorted, positions) = Tensor::from_slice(&[3.0f32, 1.0, 2.0], [3]).sort(0, false);
    /// assert_eq!(sorted.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
    /// assert_eq!(positions.to_vec::<i64>()?, [1, 2, 0]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn sort(&self, axis: isize, descending: bool) -> (Tensor, Tensor) {
        if self.is_number() {
            return (self.clone(), self.argsort(axis, descending));
        }
        let positions = self.argsort(axis, descending);
        (self.gather(axis, &positions), positions)
    }

    /// The `k` greatest elements along an axis, or the least, in order, and their positions.
    ///
    /// # Errors
    /// If the axis has fewer than `k` elements.
    #[track_caller]
    pub fn topk(&self, k: usize, axis: isize, largest: bool) -> (Tensor, Tensor) {
        let location = Location::caller();
        if self.is_number() && k <= 1 {
            let (values, positions) = self.unsqueeze(0).topk(k, axis, largest);
            let one = |t: Tensor| if k == 1 { t.squeeze(0) } else { t };
            return (one(values), one(positions));
        }
        let at = match axis_of("topk", self, axis, 0, location) {
            Ok(at) => at,
            Err(failed) => return (failed.clone(), failed),
        };
        if k > self.shape()[at] {
            let message = format!(
                "topk: {k} elements of axis {at}, which has {}, shape {}",
                self.shape()[at],
                self.shape()
            );
            let failed = fail(ErrorKind::Shape, message, location);
            return (failed.clone(), failed);
        }
        let positions = self.argsort(axis, largest).slice(axis, ..k);
        (self.gather(axis, &positions), positions)
    }

    /// With the order of the elements reversed along axes.
    #[track_caller]
    pub fn flip(&self, axes: &[isize]) -> Tensor {
        if axes.is_empty() {
            return self.clone();
        }
        match axes_of("flip", self, axes, Location::caller()) {
            Ok(axes) => axes
                .into_iter()
                .fold(self.clone(), |x, axis| record(Flip { axis }, smallvec![x.operand()])),
            Err(failed) => failed,
        }
    }

    /// Whether it has no axes; such a tensor is sorted and summed as a vector of one element.
    fn is_number(&self) -> bool {
        self.try_shape().is_ok_and(|shape| shape.rank() == 0)
    }
}
