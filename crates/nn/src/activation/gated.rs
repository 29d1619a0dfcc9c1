//! Activations that are learned or that open and close one another.

use std::fmt;

use gradus_tensor::{DType, Parameter, Tensor};

use super::activation;
use crate::{Layer, Module};

/// `x` where positive, else `weight · x` with a learned slope: [`Tensor::prelu`].
///
/// ```
/// use gradus_nn::{Layer, Module, PReLU};
/// use gradus_tensor::Tensor;
/// let layer = PReLU::default();
/// let y = layer.forward(&Tensor::from_slice(&[-2.0f32, 2.0], [2]));
/// assert_eq!(y.to_vec::<f32>()?, [-0.5, 2.0]);
/// assert_eq!(layer.state_dict().names(), ["weight"]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct PReLU {
    /// The slopes: `[1]` or `[channels]`.
    pub weight: Parameter,
}

impl PReLU {
    /// One slope, or one for each channel, with an initial value (PyTorch's is 0.25).
    #[track_caller]
    pub fn new(num_parameters: usize, init: f64) -> PReLU {
        let weight = Tensor::full([num_parameters], init, DType::F32);
        PReLU { weight: Parameter::new(weight) }
    }
}

impl Default for PReLU {
    #[track_caller]
    fn default() -> PReLU {
        PReLU::new(1, 0.25)
    }
}

activation!(@layer PReLU,
    |f, layer| {
        // 0 if the weight's initial value has failed.
        let weight = layer.weight.variable().get();
        let count = weight.try_shape().map_or(0, |shape| shape.numel());
        write!(f, "PReLU(num_parameters={count})")
    },
    |x, layer| x.prelu(&layer.weight.value()));

/// `a · sigmoid(b)` of the two halves of an axis: [`Tensor::glu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Module)]
#[module(crate = crate)]
pub struct GLU {
    /// The axis; the last unless given.
    pub dim: isize,
}

impl GLU {
    /// Along an axis.
    pub fn new(dim: isize) -> GLU {
        GLU { dim }
    }
}

impl Default for GLU {
    fn default() -> GLU {
        GLU { dim: -1 }
    }
}

activation!(@layer GLU, |f, layer| write!(f, "GLU(dim={})", layer.dim), |x, layer| x.glu(layer.dim));
