//! Convolution layers.

use std::fmt;

use gradus_tensor::{ConvOptions, Padding, Pair, Parameter, Tensor};

use crate::{Layer, Module, init};

macro_rules! convolution {
    ($(#[$doc:meta])* $Name:ident, $function:ident, size: $Size:ty, axes: $axes:literal, transposed: $transposed:literal) => {
        $(#[$doc])*
        #[derive(Debug, Module)]
        #[module(crate = crate)]
        pub struct $Name {
            /// The kernels.
            pub weight: Parameter,
            /// A number for each output channel.
            pub bias: Option<Parameter>,
            #[module(skip)]
            options: ConvOptions,
        }

        impl $Name {
            /// A layer with PyTorch's initial values: weight and bias uniform in ±1/√fan_in, drawn in this
            /// order from the thread's generator.
            #[track_caller]
            pub fn new(in_channels: usize, out_channels: usize, kernel_size: $Size) -> $Name {
                $Name::with_options(in_channels, out_channels, kernel_size, ConvOptions::default())
            }

            /// A layer with all options given at once.
            #[track_caller]
            pub fn with_options(
                in_channels: usize,
                out_channels: usize,
                kernel_size: $Size,
                options: ConvOptions,
            ) -> $Name {
                let Pair(kernel) = kernel_size.into();
                $Name::initialized([in_channels, out_channels], &kernel[2 - $axes..], options)
            }

            #[track_caller]
            fn initialized(channels: [usize; 2], kernel: &[usize], options: ConvOptions) -> $Name {
                let [inputs, outputs] = channels;
                let (first, second) = if $transposed { (inputs, outputs) } else { (outputs, inputs) };
                let mut shape = vec![first, second / options.groups.max(1)];
                shape.extend(kernel);
                let bound = init::bound(1.0, shape[1..].iter().product());
                let weight = Parameter::new(init::uniform(shape, bound));
                let bias = Some(Parameter::new(init::uniform([outputs], bound)));
                $Name { weight, bias, options }
            }

            /// From one position of the kernel to the next (1).
            #[must_use]
            pub fn stride(mut self, stride: $Size) -> $Name {
                self.options = self.options.stride(stride);
                self
            }

            /// From one element of the kernel to the next (1).
            #[must_use]
            pub fn dilation(mut self, dilation: $Size) -> $Name {
                self.options = self.options.dilation(dilation);
                self
            }

            /// Into how many independent groups the channels are divided (1). The shape of the weight follows
            /// from it, so that initial values are drawn again.
            #[must_use]
            #[track_caller]
            pub fn groups(self, groups: usize) -> $Name {
                let channels = [self.in_channels(), self.out_channels()];
                let kernel = self.kernel_size();
                $Name::initialized(channels, &kernel, self.options.groups(groups)).bias(self.bias.is_some())
            }

            /// With a bias, as it starts, or without.
            #[must_use]
            pub fn bias(mut self, bias: bool) -> $Name {
                if !bias {
                    self.bias = None;
                }
                self
            }

            /// The channels of inputs.
            pub fn in_channels(&self) -> usize {
                if $transposed { size(&self.weight, 0) } else { size(&self.weight, 1) * self.options.groups }
            }

            /// The channels of outputs.
            pub fn out_channels(&self) -> usize {
                if $transposed { size(&self.weight, 1) * self.options.groups } else { size(&self.weight, 0) }
            }

            /// The sizes of the kernel.
            pub fn kernel_size(&self) -> Vec<usize> {
                (2..2 + $axes).map(|axis| size(&self.weight, axis)).collect()
            }

            /// How the kernel moves.
            pub fn options(&self) -> &ConvOptions {
                &self.options
            }
        }

        impl Layer for $Name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                let bias = self.bias.as_ref().map(Parameter::value);
                input.$function(&self.weight.value(), bias.as_ref(), self.options).within(input, self)
            }

            fn describe(&self) -> String {
                self.to_string()
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (inputs, outputs) = (self.in_channels(), self.out_channels());
                write!(f, "{}({inputs}, {outputs}, kernel_size={}", stringify!($Name), tuple(&self.kernel_size()))?;
                write_options(f, &self.options, $axes)?;
                f.write_str(if self.bias.is_some() { ")" } else { ", bias=False)" })
            }
        }
    };
}

convolution! {
    /// 2-D convolution: `[n, in_channels, h, w]` → `[n, out_channels, oh, ow]`; see
    /// [`Tensor::conv2d`] for the sizes and errors. The weight is `[out_channels, in_channels / groups, kh, kw]`.
    ///
    /// ```
    /// use gradus_nn::{Conv2d, Layer};
    /// use gradus_tensor::{DType, Tensor};
    /// let layer = Conv2d::new(3, 6, 5).stride(2).padding((1, 2));
    /// let name = "Conv2d(3, 6, kernel_size=(5, 5), stride=(2, 2), padding=(1, 2))";
    /// assert_eq!(layer.to_string(), name);
    /// let y = layer.forward(&Tensor::zeros([8, 3, 32, 32], DType::F32));
    /// assert_eq!(y.shape().dims(), [8, 6, 15, 16]);
    ///
    /// let error = layer.forward(&Tensor::zeros([8, 1, 32, 32], DType::F32)).error().unwrap();
    /// assert!(error.to_string().contains("has 1 channels, the weight [6, 3, 5, 5] is for 3"));
    /// ```
    Conv2d, conv2d, size: impl Into<Pair>, axes: 2, transposed: false
}

impl Conv2d {
    /// Zeros around the image (none), or [`Padding::Same`].
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Padding>) -> Conv2d {
        self.options = self.options.padding(padding);
        self
    }
}

convolution! {
    /// 1-D convolution: `[n, in_channels, l]` → `[n, out_channels, ol]`; see [`Tensor::conv1d`]. The weight is
    /// `[out_channels, in_channels / groups, k]`.
    ///
    /// ```
    /// use gradus_nn::{Conv1d, Layer};
    /// use gradus_tensor::{DType, Tensor};
    /// let layer = Conv1d::new(4, 8, 3).padding(1);
    /// assert_eq!(layer.to_string(), "Conv1d(4, 8, kernel_size=(3,), stride=(1,), padding=(1,))");
    /// let y = layer.forward(&Tensor::zeros([2, 4, 20], DType::F32));
    /// assert_eq!(y.shape().dims(), [2, 8, 20]);
    /// ```
    Conv1d, conv1d, size: usize, axes: 1, transposed: false
}

impl Conv1d {
    /// Zeros before and after (none), or [`Padding::Same`].
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Padding>) -> Conv1d {
        self.options = self.options.padding(padding);
        self
    }
}

convolution! {
    /// Transposed 2-D convolution: `[n, in_channels, h, w]` → `[n, out_channels, oh, ow]`; see
    /// [`Tensor::conv_transpose2d`]. The weight is `[in_channels, out_channels / groups, kh, kw]`.
    ///
    /// ```
    /// use gradus_nn::{ConvTranspose2d, Layer};
    /// use gradus_tensor::{DType, Tensor};
    /// let layer = ConvTranspose2d::new(16, 8, 4).stride(2).padding(1);
    /// let y = layer.forward(&Tensor::zeros([1, 16, 7, 7], DType::F32));
    /// assert_eq!(y.shape().dims(), [1, 8, 14, 14]);
    /// ```
    ConvTranspose2d, conv_transpose2d, size: impl Into<Pair>, axes: 2, transposed: true
}

impl ConvTranspose2d {
    /// What is left out around the result (none).
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Pair>) -> ConvTranspose2d {
        self.options = self.options.padding(padding.into());
        self
    }

    /// Rows and columns added to the result, below and right (none).
    #[must_use]
    pub fn output_padding(mut self, added: impl Into<Pair>) -> ConvTranspose2d {
        self.options = self.options.output_padding(added);
        self
    }
}

/// A size of a weight; 0 if there is none, as when its initial value has failed.
pub(crate) fn size(weight: &Parameter, axis: usize) -> usize {
    let weight = weight.variable().get();
    weight.try_shape().ok().and_then(|shape| shape.get(axis).copied()).unwrap_or(0)
}

/// Sizes as Python writes a tuple.
pub(crate) fn tuple(sizes: &[usize]) -> String {
    match sizes {
        [one] => format!("({one},)"),
        _ => {
            let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
            format!("({})", sizes.join(", "))
        }
    }
}

/// The options that a layer's description mentions, as in PyTorch.
fn write_options(f: &mut fmt::Formatter<'_>, options: &ConvOptions, axes: usize) -> fmt::Result {
    let list = |sizes: [usize; 2]| tuple(&sizes[2 - axes..]);
    write!(f, ", stride={}", list(options.stride))?;
    match options.padding {
        Padding::Same => write!(f, ", padding=same")?,
        Padding::Zeros([0, 0]) => {}
        Padding::Zeros(zeros) => write!(f, ", padding={}", list(zeros))?,
    }
    if options.output_padding != [0, 0] {
        write!(f, ", output_padding={}", list(options.output_padding))?;
    }
    if options.dilation != [1, 1] {
        write!(f, ", dilation={}", list(options.dilation))?;
    }
    if options.groups != 1 {
        write!(f, ", groups={}", options.groups)?;
    }
    Ok(())
}
