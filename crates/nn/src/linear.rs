//! The fully connected layer.

use std::fmt;

use gradus_tensor::{Parameter, Tensor};

use crate::conv::size;
use crate::{Layer, Module, init};

/// `y = x·Wᵀ + b`: `[…, in_features] → […, out_features]`.
///
/// The weight is `[out_features, in_features]`. Weight and bias start uniform in ±1/√in_features,
/// drawn in this order from the thread's generator, as in PyTorch. A layer with other values is a
/// struct literal.
///
/// # Errors
/// If the last size of the input is not `in_features`, the output is a failed tensor that names
/// both.
///
/// ```
/// use gradus_nn::{Layer, Linear};
/// use gradus_tensor::{DType, Tensor};
/// let layer = Linear::new(784, 10);
/// assert_eq!(layer.to_string(), "Linear(in_features=784, out_features=10, bias=True)");
/// assert_eq!(layer.forward(&Tensor::zeros([64, 784], DType::F32)).shape().dims(), [64, 10]);
///
/// let error = layer.forward(&Tensor::zeros([64, 28], DType::F32)).error().unwrap();
/// assert!(error.to_string().contains("the left has 28 columns, the right 784 rows"));
/// assert!(error.to_string().contains("in Linear(in_features=784, out_features=10, bias=True)"));
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct Linear {
    /// W: `[out_features, in_features]`.
    pub weight: Parameter,
    /// b: `[out_features]`.
    pub bias: Option<Parameter>,
}

impl Linear {
    /// A layer with PyTorch's initial values.
    #[track_caller]
    pub fn new(in_features: usize, out_features: usize) -> Linear {
        let bound = init::bound(1.0, in_features);
        Linear {
            weight: Parameter::new(init::uniform([out_features, in_features], bound)),
            bias: Some(Parameter::new(init::uniform([out_features], bound))),
        }
    }

    /// With a bias, as it starts, or without.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Linear {
        if !bias {
            self.bias = None;
        }
        self
    }

    /// The last size of inputs.
    pub fn in_features(&self) -> usize {
        size(&self.weight, 1)
    }

    /// The last size of outputs.
    pub fn out_features(&self) -> usize {
        size(&self.weight, 0)
    }
}

impl Layer for Linear {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let product = input.matmul(&self.weight.value().t());
        let output = match &self.bias {
            Some(bias) => product + bias.value(),
            None => product,
        };
        output.within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bias = if self.bias.is_some() { "True" } else { "False" };
        let (inputs, outputs) = (self.in_features(), self.out_features());
        write!(f, "Linear(in_features={inputs}, out_features={outputs}, bias={bias})")
    }
}
