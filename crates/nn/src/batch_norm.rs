//! Batch normalisation (Ioffe and Szegedy, "Batch normalization: accelerating deep network training
//! by reducing internal covariate shift", ICML 2015).

use std::fmt;

use gradus_tensor::{DType, Error, ErrorKind, Tensor, no_grad};

use crate::{Layer, Mode, Module, Parameter, Variable};

macro_rules! batch_norm {
    ($($(#[$doc:meta])* $name:ident $ranks:pat, $expected:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// `(x − mean) / √(variance + eps) · weight + bias` for each channel, axis 1. In training, mean
        /// and (biased) variance are the batch's, and the running statistics move towards them, the
        /// variance towards the unbiased one: `running ← (1 − momentum) · running + momentum · batch`.
        /// In evaluation, they are the running ones.
        ///
        /// The running statistics are buffers. What a forward pass writes into them takes effect with
        /// the step that computes it: a step that fails leaves them as they were.
        ///
        /// # Errors
        /// If the input has another rank or another number of channels, or, in training, only one
        /// value for each channel.
        #[derive(Debug, Module)]
        #[module(crate = crate)]
        pub struct $name {
            /// The factor of each channel: `[num_features]`, ones at the start.
            pub weight: Option<Parameter>,
            /// What is added to each channel: `[num_features]`, zeros at the start.
            pub bias: Option<Parameter>,
            /// The running mean: `[num_features]`, zeros at the start.
            pub running_mean: Option<Variable>,
            /// The running variance: `[num_features]`, ones at the start.
            pub running_var: Option<Variable>,
            /// How many batches the running statistics have seen.
            pub num_batches_tracked: Option<Variable>,
            num_features: usize,
            eps: f64,
            momentum: Option<f64>,
            mode: Mode,
        }

        impl $name {
            /// For inputs of `num_features` channels.
            #[track_caller]
            pub fn new(num_features: usize) -> $name {
                let filled = |x: Tensor| Variable::new(x);
                $name {
                    weight: Some(Parameter::new(Tensor::ones([num_features], DType::F32))),
                    bias: Some(Parameter::new(Tensor::zeros([num_features], DType::F32))),
                    running_mean: Some(filled(Tensor::zeros([num_features], DType::F32))),
                    running_var: Some(filled(Tensor::ones([num_features], DType::F32))),
                    num_batches_tracked: Some(filled(Tensor::scalar(0))),
                    num_features,
                    eps: 1e-5,
                    momentum: Some(0.1),
                    mode: Mode::default(),
                }
            }

            /// What is added to the variance; 1e-5 unless given.
            #[must_use]
            pub fn eps(mut self, eps: f64) -> $name {
                self.eps = eps;
                self
            }

            /// The weight of a batch in the running statistics; 0.1 unless given. With `None` they
            /// are the averages over all batches.
            #[must_use]
            pub fn momentum(mut self, momentum: impl Into<Option<f64>>) -> $name {
                self.momentum = momentum.into();
                self
            }

            /// With weight and bias, as it starts, or without.
            #[must_use]
            pub fn affine(mut self, affine: bool) -> $name {
                if !affine {
                    self.weight = None;
                    self.bias = None;
                }
                self
            }

            /// With a bias, as it starts, or with the weight alone.
            #[must_use]
            pub fn bias(mut self, bias: bool) -> $name {
                if !bias {
                    self.bias = None;
                }
                self
            }

            /// With running statistics, as it starts, or without: then those of the batch serve in
            /// evaluation too.
            #[must_use]
            pub fn track_running_stats(mut self, track: bool) -> $name {
                if !track {
                    self.running_mean = None;
                    self.running_var = None;
                    self.num_batches_tracked = None;
                }
                self
            }

            /// The running statistics after a batch with this mean and variance.
            #[track_caller]
            fn track(&self, mean: &Tensor, variance: &Tensor) {
                let (Some(running_mean), Some(running_var), Some(count)) =
                    (&self.running_mean, &self.running_var, &self.num_batches_tracked)
                else {
                    return;
                };
                no_grad(|| {
                    let seen = count.get() + 1;
                    for (running, batch) in [(running_mean, mean), (running_var, variance)] {
                        let old = running.get();
                        let batch = batch.detach().cast(old.dtype());
                        running.set(&match self.momentum {
                            Some(momentum) => old * (1.0 - momentum) + batch * momentum,
                            None => {
                                let step = 1.0 / seen.cast(old.dtype());
                                &old + (batch - &old) * step
                            }
                        });
                    }
                    count.set(&seen);
                });
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                let Ok(shape) = input.try_shape() else { return input.clone() };
                if !matches!(shape.rank(), $ranks) || shape[1] != self.num_features {
                    let remedy = match shape.get(1) {
                        Some(channels) if matches!(shape.rank(), $ranks) => {
                            format!("make the layer for {channels} channels, or permute the input")
                        }
                        _ => "reshape the input, or take the layer for its rank".to_owned(),
                    };
                    let message = format!(
                        "batch_norm: expects {} with {} channels, not {shape}; {remedy}",
                        $expected, self.num_features
                    );
                    let error = Error::here(ErrorKind::Shape, message);
                    return Tensor::from_error(error).within(input, self);
                }
                let weight = self.weight.as_ref().map(Parameter::value);
                let bias = self.bias.as_ref().map(Parameter::value);
                let (weight, bias) = (weight.as_ref(), bias.as_ref());
                if !self.mode.is_training()
                    && let (Some(mean), Some(variance)) = (&self.running_mean, &self.running_var)
                {
                    let (mean, variance) = (mean.get(), variance.get());
                    let output = input.batch_norm(&mean, &variance, weight, bias, self.eps);
                    return output.within(input, self);
                }
                let (output, mean, variance) = input.batch_norm_training(weight, bias, self.eps);
                if self.mode.is_training() && output.error().is_none() {
                    self.track(&mean, &variance);
                }
                output.within(input, self)
            }

            fn describe(&self) -> String {
                self.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let python = |b: bool| if b { "True" } else { "False" };
                write!(f, concat!(stringify!($name), "({}, eps={}, "), self.num_features, number(self.eps))?;
                match self.momentum {
                    Some(momentum) => write!(f, "momentum={momentum:?}, ")?,
                    None => f.write_str("momentum=None, ")?,
                }
                let (affine, track) = (self.weight.is_some(), self.running_mean.is_some());
                write!(f, "affine={}, bias={}, ", python(affine), python(self.bias.is_some()))?;
                write!(f, "track_running_stats={})", python(track))
            }
        }
    )*};
}

batch_norm! {
    /// Batch normalisation of `[batch, channels]` or `[batch, channels, length]`.
    ///
    /// ```
    /// use gradus_nn::{BatchNorm1d, Layer, Module};
    /// use gradus_tensor::Tensor;
    /// let layer = BatchNorm1d::new(1).momentum(0.5);
    /// let y = layer.forward(&Tensor::from_slice(&[1.0f32, 3.0], [2, 1]));
    /// assert!((y.to_vec::<f32>()?[1] - 1.0).abs() < 1e-5);
    /// assert_eq!(layer.running_mean.as_ref().unwrap().get().to_vec::<f32>()?, [1.0]);
    /// let names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];
    /// assert_eq!(layer.state_dict().names(), names);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    BatchNorm1d 2 | 3, "[batch, channels] or [batch, channels, length]";
    /// Batch normalisation of images, `[batch, channels, height, width]`.
    ///
    /// ```
    /// use gradus_nn::{BatchNorm2d, Layer};
    /// use gradus_tensor::{DType, Tensor};
    /// let layer = BatchNorm2d::new(16);
    /// let images = Tensor::zeros([8, 3, 28, 28], DType::F32);
    /// let message = layer.forward(&images).error().unwrap().to_string();
    /// assert!(message.contains("with 16 channels, not [8, 3, 28, 28]"));
    /// ```
    BatchNorm2d 4, "[batch, channels, height, width]";
    /// Batch normalisation of volumes, `[batch, channels, depth, height, width]`.
    BatchNorm3d 5, "[batch, channels, depth, height, width]";
}

/// A number as Python prints it: `1e-05`, `0.1`.
pub(crate) fn number(x: f64) -> String {
    let plain = format!("{x:?}");
    match plain.split_once("e-") {
        Some((digits, exponent)) if exponent.len() == 1 => format!("{digits}e-0{exponent}"),
        _ => plain,
    }
}
