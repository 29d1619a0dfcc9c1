//! Activations with smooth curves.

use std::fmt;

use gradus_tensor::Tensor;

use super::activation;
use crate::{Layer, Module};

activation! {
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid => Tensor::sigmoid;
}

activation! {
    /// The hyperbolic tangent.
    Tanh => Tensor::tanh;
}

activation! {
    /// `x · sigmoid(x)`, also known as swish.
    SiLU => Tensor::silu;
}

activation! {
    /// `x · tanh(softplus(x))`: [`Tensor::mish`].
    Mish => Tensor::mish;
}

activation! {
    /// `log(sigmoid(x))`: [`Tensor::logsigmoid`].
    LogSigmoid => Tensor::logsigmoid;
}

activation! {
    /// `x / (1 + |x|)`.
    Softsign => Tensor::softsign;
}

activation! {
    /// The self-normalising ELU: [`Tensor::selu`].
    SELU => Tensor::selu;
}

activation! {
    /// `x` where positive, else `alpha · (eˣ − 1)`: [`Tensor::elu`].
    ELU {
        /// Where it ends far below 0, negated; 1 unless given.
        alpha = 1.0,
    } print "ELU(alpha={alpha:?})",
    |x, layer| x.elu(layer.alpha);
}

activation! {
    /// `x` where positive, else `alpha · (exp(x / alpha) − 1)`: [`Tensor::celu`].
    CELU {
        /// Where it ends far below 0, negated; 1 unless given.
        alpha = 1.0,
    } print "CELU(alpha={alpha:?})",
    |x, layer| x.celu(layer.alpha);
}

activation! {
    /// `log(1 + exp(beta·x)) / beta`: [`Tensor::softplus`].
    Softplus {
        /// How sharp the bend is; 1 unless given.
        beta = 1.0,
        /// Where `beta·x` is above this, the output is `x`; 20 unless given.
        threshold = 20.0,
    } print "Softplus(beta={beta:?}, threshold={threshold:?})",
    |x, layer| x.softplus(layer.beta, layer.threshold);
}

/// `x · Φ(x)`, exactly ([`Tensor::gelu`]) or approximated with tanh ([`Tensor::gelu_tanh`]).
///
/// ```
/// use gradus_nn::{GELU, Layer};
/// use gradus_tensor::Tensor;
/// let y = GELU::default().forward(&Tensor::from_slice(&[0.0f32, 100.0], [2]));
/// assert_eq!(y.to_vec::<f32>()?, [0.0, 100.0]);
/// assert_eq!(GELU::tanh().to_string(), "GELU(approximate='tanh')");
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Module)]
#[module(crate = crate)]
pub struct GELU {
    tanh: bool,
}

impl GELU {
    /// The approximation: PyTorch's `approximate="tanh"`.
    pub fn tanh() -> GELU {
        GELU { tanh: true }
    }
}

activation!(@layer GELU,
    |f, layer| write!(f, "GELU(approximate='{}')", if layer.tanh { "tanh" } else { "none" }),
    |x, layer| if layer.tanh { x.gelu_tanh() } else { x.gelu() });
