//! Normalisation of each sample by itself: the same in training and evaluation.

use std::fmt;

use gradus_tensor::{DType, Parameter, Tensor};

use crate::batch_norm::number;
use crate::{Layer, Module};

/// `(x − mean) / √(variance + eps) · weight + bias` over the last axes, whose sizes are
/// `normalized_shape` (Ba et al., "Layer normalization", 2016). The variance is the biased one.
///
/// # Errors
/// If the last sizes of the input are others.
///
/// ```
/// use gradus_nn::{Layer, LayerNorm};
/// use gradus_tensor::Tensor;
/// let layer = LayerNorm::new([2]);
/// let y = layer.forward(&Tensor::from_slice(&[1.0f32, 3.0], [1, 2])).to_vec::<f32>()?;
/// assert!((y[0] + 1.0).abs() < 1e-5 && (y[1] - 1.0).abs() < 1e-5);
/// assert_eq!(layer.to_string(), "LayerNorm((2,), eps=1e-05, elementwise_affine=True, bias=True)");
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct LayerNorm {
    /// The factors: `normalized_shape`, ones at the start.
    pub weight: Option<Parameter>,
    /// What is added: `normalized_shape`, zeros at the start.
    pub bias: Option<Parameter>,
    #[module(skip)]
    normalized_shape: Vec<usize>,
    eps: f64,
}

/// `x / √(mean(x²) + eps) · weight` over the last axes, whose sizes are `normalized_shape` (Zhang and
/// Sennrich, "Root mean square layer normalization", NeurIPS 2019). Unless given, `eps` is the
/// machine epsilon of the input's dtype.
///
/// # Errors
/// If the last sizes of the input are others.
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct RMSNorm {
    /// The factors: `normalized_shape`, ones at the start.
    pub weight: Option<Parameter>,
    #[module(skip)]
    normalized_shape: Vec<usize>,
    eps: Option<f64>,
}

/// Normalises each of `num_groups` groups of the `num_channels` channels, axis 1, of each sample; then
/// scales and shifts by channel (Wu and He, "Group normalization", ECCV 2018).
///
/// # Errors
/// If the groups do not divide the channels or the input has another number of them.
///
/// ```
/// use gradus_nn::{GroupNorm, Layer};
/// use gradus_tensor::{DType, Tensor};
/// let images = Tensor::zeros([8, 6, 4, 4], DType::F32);
/// assert_eq!(GroupNorm::new(3, 6).forward(&images).shape().dims(), [8, 6, 4, 4]);
/// let message = GroupNorm::new(4, 6).forward(&images).error().unwrap().to_string();
/// assert!(message.contains("6 channels (axis 1 of shape [8, 6, 4, 4]) cannot be divided into 4"));
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct GroupNorm {
    /// The factor of each channel: `[num_channels]`, ones at the start.
    pub weight: Option<Parameter>,
    /// What is added to each channel: `[num_channels]`, zeros at the start.
    pub bias: Option<Parameter>,
    num_groups: usize,
    num_channels: usize,
    eps: f64,
}

impl LayerNorm {
    /// For inputs that end in these sizes.
    #[track_caller]
    pub fn new(normalized_shape: impl Into<Vec<usize>>) -> LayerNorm {
        let normalized_shape = normalized_shape.into();
        LayerNorm {
            weight: Some(ones(&normalized_shape)),
            bias: Some(zeros(&normalized_shape)),
            normalized_shape,
            eps: 1e-5,
        }
    }

    /// What is added to the variance; 1e-5 unless given.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> LayerNorm {
        self.eps = eps;
        self
    }

    /// With weight and bias, as it starts, or without.
    #[must_use]
    pub fn elementwise_affine(mut self, affine: bool) -> LayerNorm {
        if !affine {
            self.weight = None;
            self.bias = None;
        }
        self
    }

    /// With a bias, as it starts, or with the weight alone.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> LayerNorm {
        if !bias {
            self.bias = None;
        }
        self
    }
}

impl RMSNorm {
    /// For inputs that end in these sizes.
    #[track_caller]
    pub fn new(normalized_shape: impl Into<Vec<usize>>) -> RMSNorm {
        let normalized_shape = normalized_shape.into();
        RMSNorm { weight: Some(ones(&normalized_shape)), normalized_shape, eps: None }
    }

    /// What is added to the mean square; the machine epsilon unless given.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> RMSNorm {
        self.eps = Some(eps);
        self
    }

    /// With a weight, as it starts, or without.
    #[must_use]
    pub fn elementwise_affine(mut self, affine: bool) -> RMSNorm {
        if !affine {
            self.weight = None;
        }
        self
    }
}

impl GroupNorm {
    /// For inputs of `num_channels` channels in `num_groups` groups.
    #[track_caller]
    pub fn new(num_groups: usize, num_channels: usize) -> GroupNorm {
        GroupNorm {
            weight: Some(ones(&[num_channels])),
            bias: Some(zeros(&[num_channels])),
            num_groups,
            num_channels,
            eps: 1e-5,
        }
    }

    /// What is added to the variance; 1e-5 unless given.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> GroupNorm {
        self.eps = eps;
        self
    }

    /// With weight and bias, as it starts, or without.
    #[must_use]
    pub fn affine(mut self, affine: bool) -> GroupNorm {
        if !affine {
            self.weight = None;
            self.bias = None;
        }
        self
    }

    /// With a bias, as it starts, or with the weight alone.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> GroupNorm {
        if !bias {
            self.bias = None;
        }
        self
    }
}

impl Layer for LayerNorm {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let (weight, bias) = (value(&self.weight), value(&self.bias));
        input
            .layer_norm(&self.normalized_shape, weight.as_ref(), bias.as_ref(), self.eps)
            .within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Layer for RMSNorm {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let weight = value(&self.weight);
        input.rms_norm(&self.normalized_shape, weight.as_ref(), self.eps).within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Layer for GroupNorm {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let (weight, bias) = (value(&self.weight), value(&self.bias));
        input
            .group_norm(self.num_groups, weight.as_ref(), bias.as_ref(), self.eps)
            .within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for LayerNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shape, eps) = (tuple(&self.normalized_shape), number(self.eps));
        let affine = python(self.weight.is_some());
        write!(f, "LayerNorm({shape}, eps={eps}, elementwise_affine={affine}")?;
        write!(f, ", bias={})", python(self.bias.is_some()))
    }
}

impl fmt::Display for RMSNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = tuple(&self.normalized_shape);
        let eps = self.eps.map_or_else(|| "None".to_owned(), number);
        let affine = python(self.weight.is_some());
        write!(f, "RMSNorm({shape}, eps={eps}, elementwise_affine={affine})")
    }
}

impl fmt::Display for GroupNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GroupNorm { num_groups, num_channels, .. } = self;
        let (eps, affine) = (number(self.eps), python(self.weight.is_some()));
        write!(
            f,
            "GroupNorm({num_groups}, {num_channels}, eps={eps}, affine={affine}, bias={})",
            python(self.bias.is_some())
        )
    }
}

#[track_caller]
fn ones(shape: &[usize]) -> Parameter {
    Parameter::new(Tensor::ones(shape, DType::F32))
}

#[track_caller]
fn zeros(shape: &[usize]) -> Parameter {
    Parameter::new(Tensor::zeros(shape, DType::F32))
}

#[track_caller]
fn value(parameter: &Option<Parameter>) -> Option<Tensor> {
    parameter.as_ref().map(Parameter::value)
}

/// Sizes as a Python tuple.
fn tuple(sizes: &[usize]) -> String {
    match sizes {
        [size] => format!("({size},)"),
        _ => format!("({})", sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn python(flag: bool) -> &'static str {
    if flag { "True" } else { "False" }
}
