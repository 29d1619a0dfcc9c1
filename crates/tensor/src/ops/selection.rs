//! Elements chosen by masks and by indices.

use std::panic::Location;

use gradus_ir::{DType, Shape};

use super::{IntoOperand, axis_of};
use crate::error::ErrorKind;
use crate::record::fail;
use crate::tensor::Tensor;

impl Tensor {
    /// With `value` where the mask holds. The mask broadcasts; the dtype stays.
    ///
    /// # Errors
    /// If the dtype cannot hold the value: a float in a tensor of integers.
    #[track_caller]
    pub fn masked_fill(&self, mask: &Tensor, value: impl IntoOperand) -> Tensor {
        let filled = Tensor::where_(mask, value, self);
        if filled.error().is_none() && self.error().is_none() && filled.dtype() != self.dtype() {
            let message = format!(
                "masked_fill: a tensor of {} does not hold a {}; cast it first",
                self.dtype(),
                filled.dtype()
            );
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        filled
    }

    /// The elements where the mask holds, in one row; tensor and mask broadcast. How many there are is part of the
    /// shape, so this evaluates the mask. The gradient flows back to the elements chosen.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let x = Tensor::from_slice(&[3.0f32, -1.0, 2.0], [3]);
    /// assert_eq!(x.masked_select(&x.gt(0.0)).to_vec::<f32>()?, [3.0, 2.0]);
    /// assert_eq!(x.gt(0.0).nonzero().to_vec::<i64>()?, [0, 2]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn masked_select(&self, mask: &Tensor) -> Tensor {
        let location = Location::caller();
        let (Ok(a), Ok(b)) = (self.try_shape(), mask.try_shape()) else {
            return if self.try_shape().is_err() { self.clone() } else { mask.clone() };
        };
        let Some(shape) = a.broadcast(b) else {
            let message = format!("masked_select: shape {a} and mask {b} do not broadcast");
            return fail(ErrorKind::Shape, message, location);
        };
        if mask.dtype() != DType::Bool {
            let message = format!("masked_select: the mask must be bool, not {}", mask.dtype());
            return fail(ErrorKind::Shape, message, location);
        }
        let chosen = match mask.expand(&shape).to_vec::<bool>() {
            Ok(chosen) => chosen,
            Err(error) => return Tensor::failed(error, location),
        };
        let at: Vec<i64> = (0..).zip(&chosen).filter(|(_, c)| **c).map(|(i, _)| i).collect();
        let n = at.len();
        let index = Tensor::from_vec(at, [n]).to(self.device());
        self.expand(&shape).reshape([-1]).gather(0, &index)
    }

    /// The positions of elements that are not zero, one row each: int64 of shape `[count, axes]`. How many there are is
    /// part of the shape, so this evaluates the tensor.
    #[track_caller]
    pub fn nonzero(&self) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let found = match self.ne(0).to_vec::<bool>() {
            Ok(found) => found,
            Err(error) => return Tensor::failed(error, Location::caller()),
        };
        let mut rows: Vec<i64> = Vec::new();
        let mut count = 0;
        for i in (0..found.len()).filter(|&i| found[i]) {
            count += 1;
            let row = shape.dims().iter().zip(shape.strides()).map(|(&d, s)| i / s as usize % d);
            rows.extend(row.map(|x| x as i64));
        }
        Tensor::from_vec(rows, [count, shape.rank()]).to(self.device())
    }

    /// The parts of an axis that a vector of indices (int64) names, in its order.
    ///
    /// # Errors
    /// An index out of range fails the evaluation and is named with its position.
    #[track_caller]
    pub fn index_select(&self, axis: isize, index: &Tensor) -> Tensor {
        let at = match axis_of("index_select", self, axis, 0, Location::caller()) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        let Ok(n) = index.try_shape().map(|s| s.numel()) else { return index.clone() };
        let result = self.shape().with_dim(at, n);
        match along("index_select", index, at, &result, Location::caller()) {
            Ok(index) => self.gather(at as isize, &index),
            Err(failed) => failed,
        }
    }

    /// The elements at these positions, counted as if all were in one row. The result has the index's shape.
    ///
    /// # Errors
    /// An index out of range fails the evaluation and is named with its position.
    #[track_caller]
    pub fn take(&self, index: &Tensor) -> Tensor {
        let Ok(shape) = index.try_shape() else { return index.clone() };
        self.reshape([-1]).gather(0, &index.reshape([-1])).reshape(shape)
    }

    /// As [`gather`](Tensor::gather), where tensor and index broadcast along the other axes.
    #[track_caller]
    pub fn take_along_dim(&self, index: &Tensor, axis: isize) -> Tensor {
        let location = Location::caller();
        let at = match axis_of("take_along_dim", self, axis, 0, location) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        let Ok(picks) = index.try_shape() else { return index.clone() };
        let shape = self.shape();
        let common = (picks.rank() == shape.rank())
            .then(|| shape.with_dim(at, 1).broadcast(&picks.with_dim(at, 1)))
            .flatten();
        let Some(common) = common else {
            let message = format!(
                "take_along_dim: shape {shape} and index {picks} do not broadcast beside axis {at}"
            );
            return fail(ErrorKind::Shape, message, location);
        };
        let index = index.expand(common.with_dim(at, picks[at]));
        self.expand(common.with_dim(at, shape[at])).gather(at as isize, &index)
    }

    /// With the parts of `source` along an axis added where a vector of indices (int64) names; places named twice
    /// receive both.
    ///
    /// # Errors
    /// An index out of range fails the evaluation and is named with its position.
    #[track_caller]
    pub fn index_add(&self, axis: isize, index: &Tensor, source: &Tensor) -> Tensor {
        let location = Location::caller();
        let at = match axis_of("index_add", self, axis, 0, location) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        let Ok(shape) = source.try_shape() else { return source.clone() };
        if shape.rank() != self.rank() {
            let message = format!("index_add: {shape} added to {}: as many axes", self.shape());
            return fail(ErrorKind::Shape, message, location);
        }
        match along("index_add", index, at, shape, location) {
            Ok(index) => self.scatter_add(at as isize, &index, source),
            Err(failed) => failed,
        }
    }

    /// With the elements of `source`, or one number, at the places that `index` (int64) names along an axis.
    ///
    /// # Errors
    /// An index out of range, or a place named twice, fails the evaluation: which value would win is left open by
    /// PyTorch. Use [`scatter_add`](Tensor::scatter_add) to add them up.
    #[track_caller]
    pub fn scatter(&self, axis: isize, index: &Tensor, source: impl IntoOperand) -> Tensor {
        let Ok(shape) = index.try_shape() else { return index.clone() };
        if self.try_shape().is_err() {
            return self.clone();
        }
        let source = match source.into_operand().get() {
            Ok(source) => source.clone(),
            Err(x) => self.number(x, self.dtype()).expand(shape),
        };
        let one = index.ones_like().cast(DType::I64);
        let zeros = self.zeros_like();
        let count = zeros.cast(DType::I64).scatter_add(axis, index, &one);
        let count = count.checked_below(2, "scatter: the number of values for one place");
        let placed = zeros.scatter_add(axis, index, &source);
        Tensor::where_(&count.eq(1), placed, self)
    }
}

/// A vector of indices laid along an axis of `shape` and repeated along the others.
fn along(
    op: &str,
    index: &Tensor,
    axis: usize,
    shape: &Shape,
    location: &'static Location<'static>,
) -> Result<Tensor, Tensor> {
    let n = match index.try_shape() {
        Ok(s) if s.rank() <= 1 && s.numel() == shape[axis] => s.numel(),
        Ok(s) => {
            let message = format!(
                "{op}: the index must be a vector of {} positions for axis {axis}, not of shape {s}",
                shape[axis]
            );
            return Err(fail(ErrorKind::Shape, message, location));
        }
        Err(_) => return Err(index.clone()),
    };
    let mut dims = vec![1; shape.rank()];
    dims[axis] = n as isize;
    Ok(index.reshape(dims.as_slice()).expand(shape))
}
