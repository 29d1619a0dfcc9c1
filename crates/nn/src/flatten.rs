//! Flatten: several axes become one.

use std::fmt;

use gradus_tensor::Tensor;

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
