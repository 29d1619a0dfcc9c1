//! Pooling layers.

use std::fmt;

use gradus_tensor::{Pair, PoolOptions, Tensor};

use crate::conv::tuple;
use crate::{Layer, Module};

macro_rules! pooling {
    ($(#[$doc:meta])* $Name:ident, $function:ident, size: $Size:ty, axes: $axes:literal, dilated: $dilated:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Module)]
        #[module(crate = crate)]
        pub struct $Name {
            #[module(skip)]
            options: PoolOptions,
        }

        impl $Name {
            /// Windows of a size that neither overlap nor leave gaps.
            pub fn new(kernel_size: $Size) -> $Name {
                $Name { options: PoolOptions::new(kernel_size) }
            }

            /// From one window to the next (the size of a window).
            #[must_use]
            pub fn stride(mut self, stride: $Size) -> $Name {
                self.options = self.options.stride(stride);
                self
            }

            /// Places around the image, at most half a window (none).
            #[must_use]
            pub fn padding(mut self, padding: $Size) -> $Name {
                self.options = self.options.padding(padding);
                self
            }

            /// Whether a window that reaches over the end counts (no).
            #[must_use]
            pub fn ceil_mode(mut self, yes: bool) -> $Name {
                self.options = self.options.ceil_mode(yes);
                self
            }
        }

        impl Layer for $Name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                input.$function(self.options).within(input, self)
            }

            fn describe(&self) -> String {
                self.to_string()
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let o = &self.options;
                let list = |sizes: [usize; 2]| match sizes {
                    [_, b] if $axes == 1 && !$dilated => tuple(&[b]),
                    [a, b] if $axes == 1 || a == b => b.to_string(),
                    pair => tuple(&pair),
                };
                write!(f, "{}(kernel_size={}", stringify!($Name), list(o.kernel_size))?;
                write!(f, ", stride={}, padding={}", list(o.stride), list(o.padding))?;
                if $dilated {
                    let ceil_mode = if o.ceil_mode { "True" } else { "False" };
                    write!(f, ", dilation={}, ceil_mode={ceil_mode}", list(o.dilation))?;
                }
                f.write_str(")")
            }
        }
    };
}

pooling! {
    /// The greatest element of each window: `[n, c, h, w]` → `[n, c, oh, ow]`; see [`Tensor::max_pool2d`].
    ///
    /// ```
    /// use gradus_nn::{Layer, MaxPool2d};
    /// use gradus_tensor::{DType, Tensor};
    /// let y = MaxPool2d::new(2).forward(&Tensor::zeros([1, 6, 28, 28], DType::F32));
    /// assert_eq!(y.shape().dims(), [1, 6, 14, 14]);
    /// let name = "MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)";
    /// assert_eq!(MaxPool2d::new(3).stride(2).to_string(), name);
    /// ```
    MaxPool2d, max_pool2d, size: impl Into<Pair>, axes: 2, dilated: true
}

impl MaxPool2d {
    /// From one element of a window to the next (1).
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> MaxPool2d {
        self.options = self.options.dilation(dilation);
        self
    }
}

pooling! {
    /// The greatest element of each window along the last axis: `[n, c, l]` → `[n, c, ol]`; see
    /// [`Tensor::max_pool1d`].
    MaxPool1d, max_pool1d, size: usize, axes: 1, dilated: true
}

impl MaxPool1d {
    /// From one element of a window to the next (1).
    #[must_use]
    pub fn dilation(mut self, dilation: usize) -> MaxPool1d {
        self.options = self.options.dilation(dilation);
        self
    }
}

pooling! {
    /// The average of each window: `[n, c, h, w]` → `[n, c, oh, ow]`; see [`Tensor::avg_pool2d`].
    AvgPool2d, avg_pool2d, size: impl Into<Pair>, axes: 2, dilated: false
}

impl AvgPool2d {
    /// Whether the average counts the padding (yes).
    #[must_use]
    pub fn count_include_pad(mut self, yes: bool) -> AvgPool2d {
        self.options = self.options.count_include_pad(yes);
        self
    }
}

pooling! {
    /// The average of each window along the last axis: `[n, c, l]` → `[n, c, ol]`; see [`Tensor::avg_pool1d`].
    AvgPool1d, avg_pool1d, size: usize, axes: 1, dilated: false
}

impl AvgPool1d {
    /// Whether the average counts the padding (yes).
    #[must_use]
    pub fn count_include_pad(mut self, yes: bool) -> AvgPool1d {
        self.options = self.options.count_include_pad(yes);
        self
    }
}

/// Averages over as many parts of the image as the result has places: `[…, h, w]` → `[…, oh, ow]`; see
/// [`Tensor::adaptive_avg_pool2d`].
///
/// ```
/// use gradus_nn::{AdaptiveAvgPool2d, Layer};
/// use gradus_tensor::{DType, Tensor};
/// let y = AdaptiveAvgPool2d::new(1).forward(&Tensor::zeros([2, 512, 7, 7], DType::F32));
/// assert_eq!(y.shape().dims(), [2, 512, 1, 1]);
/// ```
#[derive(Clone, Debug, Module)]
#[module(crate = crate)]
pub struct AdaptiveAvgPool2d {
    #[module(skip)]
    output_size: Pair,
}

impl AdaptiveAvgPool2d {
    /// To images of a size.
    pub fn new(output_size: impl Into<Pair>) -> AdaptiveAvgPool2d {
        AdaptiveAvgPool2d { output_size: output_size.into() }
    }
}

impl Layer for AdaptiveAvgPool2d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.adaptive_avg_pool2d(self.output_size).within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for AdaptiveAvgPool2d {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = match self.output_size.0 {
            [a, b] if a == b => a.to_string(),
            pair => tuple(&pair),
        };
        write!(f, "AdaptiveAvgPool2d(output_size={size})")
    }
}
