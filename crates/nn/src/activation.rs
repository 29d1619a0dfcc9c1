//! Activations: element-wise layers, most of them without parameters.
//!
//! Formulas are those of the methods of [`Tensor`] that bear their names; layers print as PyTorch's.

mod gated;
mod smooth;
mod softmax;

use std::fmt;

use gradus_tensor::Tensor;

use crate::{Layer, Module};

pub use gated::{GLU, PReLU};
pub use smooth::{
    CELU, ELU, GELU, LogSigmoid, Mish, SELU, SiLU, Sigmoid, Softplus, Softsign, Tanh,
};
pub use softmax::{LogSoftmax, Softmax, Softmin};

/// An activation: its options with their defaults, how it prints, and its formula.
macro_rules! activation {
    (
        $(#[$doc:meta])*
        $name:ident => $forward:expr;
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Module)]
        #[module(crate = crate)]
        pub struct $name;

        activation!(@layer $name, |f, _layer| f.write_str(concat!(stringify!($name), "()")),
            |x, _layer| { let forward: fn(&Tensor) -> Tensor = $forward; forward(x) });
    };
    (
        $(#[$doc:meta])*
        $name:ident {
            $($(#[$field_doc:meta])* $field:ident = $default:literal,)*
        } print $format:literal, |$x:ident, $layer:ident| $forward:expr;
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Module)]
        #[module(crate = crate)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: f64,)*
        }

        impl $name {
            /// With other values than the defaults.
            pub fn new($($field: f64),*) -> $name {
                $name { $($field),* }
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default),* }
            }
        }

        activation!(@layer $name, |f, layer| {
            let $name { $($field),* } = *layer;
            write!(f, $format)
        }, |$x, $layer| $forward);
    };
    (@layer $name:ident, |$f:ident, $shown:ident| $print:expr, |$x:ident, $layer:ident| $forward:expr) => {
        impl Layer for $name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                let ($x, $layer) = (input, self);
                $forward.within(input, self)
            }

            fn describe(&self) -> String {
                self.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let ($f, $shown) = (f, self);
                $print
            }
        }
    };
}
use activation;

activation! {
    /// `max(x, 0)`, element by element; NaN stays NaN.
    ///
    /// ```
    /// use gradus_nn::{Layer, ReLU};
    /// use gradus_tensor::Tensor;
    /// let y = ReLU.forward(&Tensor::from_slice(&[-1.5f32, 0.0, 2.0], [3]));
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 2.0]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    ReLU => Tensor::relu;
}

activation! {
    /// `min(max(x, 0), 6)`.
    ReLU6 => Tensor::relu6;
}

activation! {
    /// `x` where positive, else `negative_slope · x`: [`Tensor::leaky_relu`].
    ///
    /// ```
    /// use gradus_nn::{Layer, LeakyReLU};
    /// use gradus_tensor::Tensor;
    /// let layer = LeakyReLU::new(0.5);
    /// let y = layer.forward(&Tensor::from_slice(&[-2.0f32, 2.0], [2]));
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 2.0]);
    /// assert_eq!(LeakyReLU::default().to_string(), "LeakyReLU(negative_slope=0.01)");
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    LeakyReLU {
        /// The slope where the input is negative; 0.01 unless given.
        negative_slope = 0.01,
    } print "LeakyReLU(negative_slope={negative_slope:?})",
    |x, layer| x.leaky_relu(layer.negative_slope);
}

activation! {
    /// Bounded by two numbers: [`Tensor::hardtanh`].
    Hardtanh {
        /// The least value; −1 unless given.
        min_val = -1.0,
        /// The greatest value; 1 unless given.
        max_val = 1.0,
    } print "Hardtanh(min_val={min_val:?}, max_val={max_val:?})",
    |x, layer| x.hardtanh(layer.min_val, layer.max_val);
}

activation! {
    /// `relu6(x + 3) / 6`: [`Tensor::hardsigmoid`].
    Hardsigmoid => Tensor::hardsigmoid;
}

activation! {
    /// `x · relu6(x + 3) / 6`: [`Tensor::hardswish`].
    Hardswish => Tensor::hardswish;
}

activation! {
    /// `x` moved towards 0 by `lambd`, and 0 within it: [`Tensor::softshrink`].
    Softshrink {
        /// How far; 0.5 unless given.
        lambd = 0.5,
    } print "Softshrink({lambd:?})",
    |x, layer| x.softshrink(layer.lambd);
}

activation! {
    /// `x`, and 0 where `|x| ≤ lambd`: [`Tensor::hardshrink`].
    Hardshrink {
        /// How much is too little; 0.5 unless given.
        lambd = 0.5,
    } print "Hardshrink({lambd:?})",
    |x, layer| x.hardshrink(layer.lambd);
}

activation! {
    /// `x − tanh(x)`.
    Tanhshrink => Tensor::tanhshrink;
}

/// `x` where above a threshold, else a value: [`Tensor::threshold`].
#[derive(Clone, Copy, Debug, PartialEq, Module)]
#[module(crate = crate)]
pub struct Threshold {
    /// What inputs must exceed.
    pub threshold: f64,
    /// What takes the place of those that do not.
    pub value: f64,
}

impl Threshold {
    /// A threshold and the value that replaces what does not exceed it.
    pub fn new(threshold: f64, value: f64) -> Threshold {
        Threshold { threshold, value }
    }
}

activation!(@layer Threshold,
    |f, layer| write!(f, "Threshold(threshold={:?}, value={:?})", layer.threshold, layer.value),
    |x, layer| x.threshold(layer.threshold, layer.value));
