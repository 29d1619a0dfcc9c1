//! Tensors put together.

use std::panic::Location;

use crate::error::{Error, ErrorKind};
use crate::tensor::Tensor;

impl Tensor {
    /// Tensors one after the other along axis 1, vectors along axis 0.
    #[track_caller]
    pub fn hstack(tensors: &[&Tensor]) -> Tensor {
        let tensors = with_axes(tensors, 1);
        let vectors =
            tensors.first().and_then(|t| t.try_shape().ok()).is_some_and(|s| s.rank() == 1);
        Tensor::cat(&tensors.iter().collect::<Vec<_>>(), if vectors { 0 } else { 1 })
    }

    /// Tensors one above the other, along axis 0; vectors become rows.
    #[track_caller]
    pub fn vstack(tensors: &[&Tensor]) -> Tensor {
        Tensor::cat(&with_axes(tensors, 2).iter().collect::<Vec<_>>(), 0)
    }

    /// Tensors one behind the other, along axis 2; vectors become rows, and matrices get a third axis.
    #[track_caller]
    pub fn dstack(tensors: &[&Tensor]) -> Tensor {
        Tensor::cat(&with_axes(tensors, 3).iter().collect::<Vec<_>>(), 2)
    }

    /// Vectors as coordinates of a grid: the i-th result varies along axis i alone (`indexing="ij"`). The results are
    /// views and take no memory.
    ///
    /// # Errors
    /// If a tensor has more than one axis.
    #[track_caller]
    pub fn meshgrid(tensors: &[&Tensor]) -> Vec<Tensor> {
        let location = Location::caller();
        let mut sizes = Vec::new();
        for t in tensors {
            match t.try_shape() {
                Ok(shape) if shape.rank() <= 1 => sizes.push(shape.numel()),
                Ok(shape) => {
                    let message =
                        format!("meshgrid: coordinates are vectors, not of shape {shape}");
                    let error = Error::located(ErrorKind::Shape, message, location);
                    return vec![Tensor::from_error(error); tensors.len()];
                }
                Err(_) => return vec![(*t).clone(); tensors.len()],
            }
        }
        let along = |i: usize| {
            let mut shape = vec![1; sizes.len()];
            shape[i] = sizes[i] as isize;
            tensors[i].reshape(shape.as_slice()).expand(sizes.as_slice())
        };
        (0..tensors.len()).map(along).collect()
    }
}

/// With at least so many axes: a vector is a row, a matrix one layer.
#[track_caller]
fn with_axes(tensors: &[&Tensor], rank: usize) -> Vec<Tensor> {
    let widen = |t: &&Tensor| {
        let Ok(shape) = t.try_shape() else { return (*t).clone() };
        let mut dims: Vec<isize> = shape.iter().map(|&d| d as isize).collect();
        if dims.is_empty() {
            dims.push(1);
        }
        if dims.len() == 1 && rank >= 2 {
            dims.insert(0, 1);
        }
        if dims.len() == 2 && rank >= 3 {
            dims.push(1);
        }
        t.reshape(dims.as_slice())
    };
    tensors.iter().map(widen).collect()
}
