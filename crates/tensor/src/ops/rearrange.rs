//! Axes moved, elements shifted and repeated.

use std::panic::Location;

use gradus_ir::{Axes, Shape};

use super::{axes_of, axis_of};
use crate::error::ErrorKind;
use crate::record::fail;
use crate::tensor::Tensor;

impl Tensor {
    /// Axes moved to other places; those left keep their order.
    #[track_caller]
    pub fn movedim(&self, from: &[isize], to: &[isize]) -> Tensor {
        let location = Location::caller();
        let axes = |list: &[isize]| -> Result<Axes, Tensor> {
            list.iter().map(|&a| axis_of("movedim", self, a, 0, location)).collect()
        };
        let (source, target) = match (axes(from), axes(to)) {
            (Ok(source), Ok(target)) => (source, target),
            (Err(failed), _) | (_, Err(failed)) => return failed,
        };
        let repeats = |list: &Axes| (1..list.len()).any(|i| list[..i].contains(&list[i]));
        if source.len() != target.len() || repeats(&source) || repeats(&target) {
            let message = format!(
                "movedim: {from:?} to {to:?}: needs as many places as axes, and none twice, shape {}",
                self.shape()
            );
            return fail(ErrorKind::Shape, message, location);
        }
        let mut rest = (0..self.rank()).filter(|a| !source.contains(a));
        let place = |at: usize| match target.iter().position(|&t| t == at) {
            Some(i) => source[i],
            None => rest.next().unwrap_or_default(),
        };
        let order: Vec<isize> = (0..self.rank()).map(place).map(|a| a as isize).collect();
        self.permute(&order)
    }

    /// Two axes exchanged: [`transpose`](Tensor::transpose).
    #[track_caller]
    pub fn swapaxes(&self, a: isize, b: isize) -> Tensor {
        self.transpose(a, b)
    }

    /// Without all axes of size 1.
    #[track_caller]
    pub fn squeeze_all(&self) -> Tensor {
        match self.try_shape() {
            Ok(shape) => self.reshape(shape.iter().copied().filter(|&d| d != 1).collect::<Shape>()),
            Err(_) => self.clone(),
        }
    }

    /// Without those of these axes that have size 1.
    #[track_caller]
    pub fn squeeze_axes(&self, axes: &[isize]) -> Tensor {
        if axes.is_empty() {
            return self.clone();
        }
        match axes_of("squeeze_axes", self, axes, Location::caller()) {
            Ok(axes) => {
                let gone: Axes = axes.into_iter().filter(|&a| self.shape()[a] == 1).collect();
                self.reshape(self.shape().without(&gone))
            }
            Err(failed) => failed,
        }
    }

    /// An axis taken apart into several, one of whose sizes may be −1.
    #[track_caller]
    pub fn unflatten(&self, axis: isize, sizes: &[isize]) -> Tensor {
        match axis_of("unflatten", self, axis, 0, Location::caller()) {
            Ok(at) => {
                let shape = self.shape();
                let known: isize = sizes.iter().filter(|&&d| d != -1).product();
                let whole = shape[at] as isize;
                // Before the whole is reshaped: −1 stands for what is left of this axis.
                let free = if known == 0 { 0 } else { whole / known };
                let inner = sizes.iter().map(|&d| if d == -1 { free } else { d });
                let outer = |s: &[usize]| s.iter().map(|&d| d as isize).collect::<Vec<_>>();
                let dims: Vec<isize> = outer(&shape[..at])
                    .into_iter()
                    .chain(inner)
                    .chain(outer(&shape[at + 1..]))
                    .collect();
                self.reshape(dims.as_slice())
            }
            Err(failed) => failed,
        }
    }

    /// Shifted along axes; what leaves at the end comes in at the start. Without axes, the elements are shifted as if in
    /// one row.
    ///
    /// # Errors
    /// If there are not as many shifts as axes.
    #[track_caller]
    pub fn roll(&self, shifts: &[isize], axes: &[isize]) -> Tensor {
        let location = Location::caller();
        let Ok(shape) = self.try_shape() else { return self.clone() };
        if axes.is_empty() && shifts.len() == 1 {
            return self.reshape([-1]).roll(shifts, &[0]).reshape(shape);
        }
        if shifts.len() != axes.len() {
            let message = format!("roll: {} shifts for {} axes", shifts.len(), axes.len());
            return fail(ErrorKind::Shape, message, location);
        }
        let mut rolled = self.clone();
        for (&shift, &axis) in shifts.iter().zip(axes) {
            let at = match axis_of("roll", self, axis, 0, location) {
                Ok(at) => at,
                Err(failed) => return failed,
            };
            let len = shape[at];
            let first = if len == 0 { 0 } else { (-shift).rem_euclid(len as isize) as usize };
            if first > 0 {
                rolled = Tensor::cat(
                    &[&rolled.slice(axis, first..), &rolled.slice(axis, ..first)],
                    axis,
                );
            }
        }
        rolled
    }

    /// Repeated so many times along each axis; additional counts make new leading axes.
    ///
    /// # Errors
    /// If there are fewer counts than axes.
    #[track_caller]
    pub fn repeat(&self, counts: &[usize]) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        if counts.len() < shape.rank() {
            let message =
                format!("repeat: {counts:?} has fewer counts than shape {shape} has axes");
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        let new = counts.len() - shape.rank();
        let size = |i: usize| if i < new { 1 } else { shape[i - new] };
        let (mut split, mut wide, mut joined) = (vec![], vec![], vec![]);
        for (i, &count) in counts.iter().enumerate() {
            split.extend([1, size(i) as isize]);
            wide.extend([count, size(i)]);
            joined.push((count * size(i)) as isize);
        }
        self.reshape(split.as_slice()).expand(wide).reshape(joined.as_slice())
    }

    /// As [`repeat`](Tensor::repeat); missing leading counts are 1.
    #[track_caller]
    pub fn tile(&self, counts: &[usize]) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let missing = shape.rank().saturating_sub(counts.len());
        let counts: Vec<usize> = [vec![1; missing], counts.to_vec()].concat();
        self.repeat(&counts)
    }

    /// Each element of an axis repeated so many times, side by side.
    #[track_caller]
    pub fn repeat_interleave(&self, count: usize, axis: isize) -> Tensor {
        match axis_of("repeat_interleave", self, axis, 0, Location::caller()) {
            Ok(at) => {
                let shape = self.shape();
                let mut wide = shape.to_vec();
                wide.insert(at + 1, count);
                let joined = shape.with_dim(at, shape[at] * count);
                self.unsqueeze(at as isize + 1).expand(wide).reshape(joined)
            }
            Err(failed) => failed,
        }
    }

    /// Expanded to the shape of another tensor.
    ///
    /// ```
    /// use gradus_tensor::{DType, Tensor};
    /// let rows = Tensor::arange(3, DType::I64).expand_as(&Tensor::zeros([2, 3], DType::F32));
    /// assert_eq!(rows.to_vec::<i64>()?, [0, 1, 2, 0, 1, 2]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn expand_as(&self, other: &Tensor) -> Tensor {
        match other.try_shape() {
            Ok(shape) => self.expand(shape),
            Err(_) => other.clone(),
        }
    }

    /// Broadcast to a shape: [`expand`](Tensor::expand).
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Tensor {
        self.expand(shape)
    }
}
