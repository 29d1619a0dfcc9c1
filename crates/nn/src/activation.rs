//! Activations: element-wise layers without parameters.

use std::fmt;

use gradus_tensor::Tensor;

use crate::{Layer, Module};

/// `max(x, 0)`, element by element; NaN stays NaN.
///
/// ```
/// use gradus_nn::{Layer, ReLU};
/// use gradus_tensor::Tensor;
/// let y = ReLU.forward(&Tensor::from_slice(&[-1.5f32, 0.0, 2.0], [3]));
/// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 2.0]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Module)]
#[module(crate = crate)]
pub struct ReLU;

impl Layer for ReLU {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.relu().within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for ReLU {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReLU()")
    }
}
