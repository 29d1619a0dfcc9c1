//! Flatten: several axes become one; unflatten: one becomes several.

use std::fmt;

use gradus_tensor::{Error, ErrorKind, Tensor};

use crate::{Layer, Module};

/// Joins the axes from `start_dim` to `end_dim`, both included; by default all but the first:
/// `[batch, …] → [batch, features]`. Negative axes count from the end.
///
/// ```
/// use gradus_nn::{Flatten, Layer};
/// use gradus_tensor::{DType, Tensor};
/// let images = Tensor::zeros([64, 1, 28, 28], DType::F32);
/// assert_eq!(Flatten::default().forward(&images).shape().dims(), [64, 784]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Module)]
#[module(crate = crate)]
pub struct Flatten {
    /// The first axis that is joined.
    pub start_dim: isize,
    /// The last one.
    pub end_dim: isize,
}

impl Default for Flatten {
    fn default() -> Flatten {
        Flatten { start_dim: 1, end_dim: -1 }
    }
}

impl Layer for Flatten {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.flatten(self.start_dim, self.end_dim).within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Flatten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flatten(start_dim={}, end_dim={})", self.start_dim, self.end_dim)
    }
}

/// Splits an axis into several: [`Flatten`] undone. One of the sizes may be −1: whatever is left.
///
/// # Errors
/// If the sizes do not multiply to that of the axis.
///
/// ```
/// use gradus_nn::{Layer, Unflatten};
/// use gradus_tensor::{DType, Tensor};
/// let layer = Unflatten::new(1, [1, 28, -1]);
/// assert_eq!(layer.forward(&Tensor::zeros([64, 784], DType::F32)).shape().dims(), [64, 1, 28, 28]);
/// assert_eq!(layer.to_string(), "Unflatten(dim=1, unflattened_size=(1, 28, -1))");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Module)]
#[module(crate = crate)]
pub struct Unflatten {
    /// The axis that is split; negative ones count from the end.
    pub dim: isize,
    /// Its new sizes.
    #[module(skip)]
    pub unflattened_size: Vec<isize>,
}

impl Unflatten {
    /// An axis and its new sizes.
    pub fn new(dim: isize, unflattened_size: impl Into<Vec<isize>>) -> Unflatten {
        Unflatten { dim, unflattened_size: unflattened_size.into() }
    }
}

impl Layer for Unflatten {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let Ok(shape) = input.try_shape() else { return input.clone() };
        let rank = shape.rank() as isize;
        let axis = if self.dim < 0 { self.dim + rank } else { self.dim };
        let sizes = &self.unflattened_size;
        let known: isize = sizes.iter().filter(|&&size| size != -1).product();
        let free = sizes.iter().filter(|&&size| size == -1).count();
        let size = usize::try_from(axis).ok().and_then(|axis| shape.get(axis)).copied();
        let fits = !sizes.is_empty()
            && sizes.iter().all(|&size| size >= -1)
            && size.is_some_and(|size| match free {
                0 => known == size as isize,
                1 => known != 0 && size as isize % known == 0,
                _ => false,
            });
        if !fits {
            let what = match size {
                Some(size) => format!("axis {} with {size} elements", self.dim),
                None => format!("axis {}, which is none,", self.dim),
            };
            let message =
                format!("unflatten: {what} of shape {shape} does not split into {sizes:?}");
            let error = Error::here(ErrorKind::Shape, message);
            return Tensor::from_error(error).within(input, self);
        }
        let axis = axis as usize;
        let left = size.unwrap_or(0) as isize / known.max(1);
        let dims: Vec<isize> = shape[..axis]
            .iter()
            .map(|&d| d as isize)
            .chain(sizes.iter().map(|&d| if d == -1 { left } else { d }))
            .chain(shape[axis + 1..].iter().map(|&d| d as isize))
            .collect();
        input.reshape(&dims[..]).within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Unflatten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.unflattened_size.iter().map(isize::to_string).collect();
        let comma = if sizes.len() == 1 { "," } else { "" };
        write!(f, "Unflatten(dim={}, unflattened_size=({}{comma}))", self.dim, sizes.join(", "))
    }
}
