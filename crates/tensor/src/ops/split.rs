//! Tensors taken apart.

use std::panic::Location;

use super::axis_of;
use crate::error::ErrorKind;
use crate::record::fail;
use crate::tensor::Tensor;

impl Tensor {
    /// Parts of `size` elements of an axis; the last may be smaller. What cannot be split, here and below, is one failed
    /// tensor.
    ///
    /// ```
    /// use gradus_tensor::{DType, Tensor};
    /// let parts = Tensor::arange(5, DType::I64).split(2, 0);
    /// assert_eq!(parts.len(), 3);
    /// assert_eq!(parts[2].to_vec::<i64>()?, [4]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn split(&self, size: usize, axis: isize) -> Vec<Tensor> {
        let location = Location::caller();
        let at = match axis_of("split", self, axis, 0, location) {
            Ok(at) => at,
            Err(failed) => return vec![failed],
        };
        let len = self.shape()[at];
        if size == 0 && len > 0 {
            let message =
                format!("split: parts of 0 elements never fill axis {at}, which has {len}");
            return vec![fail(ErrorKind::Shape, message, location)];
        }
        let parts = if size == 0 { 1 } else { len.div_ceil(size).max(1) };
        (0..parts).map(|i| self.slice(axis, i * size..((i + 1) * size).min(len))).collect()
    }

    /// Parts of these sizes of an axis, which must add up to its size.
    #[track_caller]
    pub fn split_sizes(&self, sizes: &[usize], axis: isize) -> Vec<Tensor> {
        let location = Location::caller();
        let at = match axis_of("split_sizes", self, axis, 0, location) {
            Ok(at) => at,
            Err(failed) => return vec![failed],
        };
        let len = self.shape()[at];
        if sizes.iter().sum::<usize>() != len {
            let message = format!(
                "split_sizes: {sizes:?} add up to {}, axis {at} has {len} elements",
                sizes.iter().sum::<usize>()
            );
            return vec![fail(ErrorKind::Shape, message, location)];
        }
        let mut start = 0;
        let mut parts = Vec::with_capacity(sizes.len());
        for &size in sizes {
            parts.push(self.slice(axis, start..start + size));
            start += size;
        }
        parts
    }

    /// At most `n` parts of equal size of an axis; the last may be smaller, and there may be fewer.
    #[track_caller]
    pub fn chunk(&self, n: usize, axis: isize) -> Vec<Tensor> {
        let location = Location::caller();
        match axis_of("chunk", self, axis, 0, location) {
            Ok(_) if n == 0 => {
                vec![fail(ErrorKind::Shape, "chunk: needs at least one part", location)]
            }
            // No elements come in n empty parts.
            Ok(at) if self.shape()[at] == 0 => (0..n).map(|_| self.clone()).collect(),
            Ok(at) => self.split(self.shape()[at].div_ceil(n), axis),
            Err(failed) => vec![failed],
        }
    }

    /// `n` parts of an axis whose sizes differ by at most 1, larger ones first.
    #[track_caller]
    pub fn tensor_split(&self, n: usize, axis: isize) -> Vec<Tensor> {
        let location = Location::caller();
        match axis_of("tensor_split", self, axis, 0, location) {
            Ok(_) if n == 0 => {
                vec![fail(ErrorKind::Shape, "tensor_split: needs at least one part", location)]
            }
            Ok(at) => {
                let len = self.shape()[at];
                let sizes: Vec<usize> =
                    (0..n).map(|i| len / n + usize::from(i < len % n)).collect();
                self.split_sizes(&sizes, axis)
            }
            Err(failed) => vec![failed],
        }
    }

    /// The elements of an axis, which goes.
    #[track_caller]
    pub fn unbind(&self, axis: isize) -> Vec<Tensor> {
        match axis_of("unbind", self, axis, 0, Location::caller()) {
            Ok(at) => (0..self.shape()[at]).map(|i| self.select(axis, i)).collect(),
            Err(failed) => vec![failed],
        }
    }
}
