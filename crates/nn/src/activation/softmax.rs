//! Softmax and its relatives as layers.

use std::fmt;

use gradus_tensor::Tensor;

use super::activation;
use crate::{Layer, Module};

macro_rules! along_an_axis {
    ($($(#[$doc:meta])* $name:ident |$x:ident, $dim:ident| $forward:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Module)]
        #[module(crate = crate)]
        pub struct $name {
            /// The axis; negative ones count from the end.
            pub dim: isize,
        }

        impl $name {
            /// Along an axis.
            pub fn new(dim: isize) -> $name {
                $name { dim }
            }
        }

        activation!(@layer $name,
            |f, layer| write!(f, concat!(stringify!($name), "(dim={})"), layer.dim),
            |$x, layer| { let $dim = layer.dim; $forward });
    )*};
}

along_an_axis! {
    /// `eˣ` normalised to sum 1 along an axis: [`Tensor::softmax`]. Not before
    /// [`CrossEntropyLoss`](crate::CrossEntropyLoss), which contains it.
    Softmax |x, dim| x.softmax(dim);
    /// The logarithm of the softmax: [`Tensor::log_softmax`].
    LogSoftmax |x, dim| x.log_softmax(dim);
    /// The softmax of `−x`.
    Softmin |x, dim| (-x).softmax(dim);
}
