//! Activations: element-wise functions between layers, as composites.
//!
//! Each is written so that its gradient is finite wherever PyTorch's is: what a branch does not take is replaced
//! before it enters a function that overflows, as `0 · ∞` is NaN. At kinks the gradient is the one PyTorch
//! chose. NaN stays NaN in all of them.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};
use std::panic::Location;

use gradus_ir::scalar::ScalarOp;

use super::axis_of;
use crate::error::ErrorKind;
use crate::record::fail;
use crate::tensor::Tensor;

/// The α of [`selu`](Tensor::selu), to which activations of mean 0 and variance 1 are a fixed point.
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
/// The scale of [`selu`](Tensor::selu).
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

impl Tensor {
    /// `x` where positive, else `negative_slope · x` (Maas et al., "Rectifier nonlinearities improve neural network
    /// acoustic models", 2013). PyTorch's default slope is 0.01.
    #[track_caller]
    pub fn leaky_relu(&self, negative_slope: f64) -> Tensor {
        Tensor::where_(&self.gt(0.0), self, self * negative_slope)
    }

    /// `x` where positive, else `weight · x` with a learned slope: one for all, or one for each channel, axis 1
    /// (He et al., "Delving deep into rectifiers", ICCV 2015).
    ///
    /// # Errors
    /// If the weight has neither one element nor one for each channel.
    #[track_caller]
    pub fn prelu(&self, weight: &Tensor) -> Tensor {
        let (Ok(shape), Ok(slopes)) = (self.try_shape(), weight.try_shape()) else {
            return if self.try_shape().is_err() { self.clone() } else { weight.clone() };
        };
        let channels = if shape.rank() < 2 { 1 } else { shape[1] };
        let n = slopes.numel();
        if slopes.rank() > 1 || (n != 1 && n != channels) {
            let message = format!(
                "prelu: a weight of shape {slopes} for an input of shape {shape}; it must have 1 \
                 element or {channels}, the size of axis 1"
            );
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        let mut dims = vec![1isize; shape.rank().max(1)];
        if n != 1 {
            dims[1] = n as isize;
        }
        let positive = self.gt(0.0);
        // No slope takes part where the input is positive: an infinite one must not make its gradient NaN.
        let slope = if shape.rank() == 0 { weight.reshape([]) } else { weight.reshape(&dims[..]) };
        let scaled = Tensor::where_(&positive, 0.0, self) * slope;
        Tensor::where_(&positive, self, scaled)
    }

    /// `x · Φ(x)`, Φ the distribution function of the normal distribution (Hendrycks and Gimpel, "Gaussian error
    /// linear units", 2016).
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        self * self.unary(ScalarOp::Ndtr)
    }

    /// [`gelu`](Tensor::gelu) approximated by `½x·(1 + tanh(√(2/π)·(x + 0.044715x³)))`, as GPT-2 has it: PyTorch's
    /// `approximate="tanh"`.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        let inner = (self + self * self * self * 0.044715) * (FRAC_2_SQRT_PI / SQRT_2);
        self * 0.5 * (inner.tanh() + 1.0)
    }

    /// `x · sigmoid(x)`, also known as swish.
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        self * self.sigmoid()
    }

    /// `x` where positive, else `alpha · (eˣ − 1)` (Clevert et al., "Fast and accurate deep network learning by
    /// exponential linear units", ICLR 2016). PyTorch's default `alpha` is 1.
    #[track_caller]
    pub fn elu(&self, alpha: f64) -> Tensor {
        self.exponential_below_zero(alpha, 1.0)
    }

    /// [`elu`](Tensor::elu) with the α and the scale that keep activations at mean 0 and variance 1 (Klambauer et
    /// al., "Self-normalizing neural networks", NeurIPS 2017).
    #[track_caller]
    pub fn selu(&self) -> Tensor {
        self.elu(SELU_ALPHA) * SELU_SCALE
    }

    /// `x` where positive, else `alpha · (exp(x / alpha) − 1)`: an ELU whose slope is continuous for any `alpha`
    /// (Barron, 2017). PyTorch's default `alpha` is 1.
    #[track_caller]
    pub fn celu(&self, alpha: f64) -> Tensor {
        self.exponential_below_zero(alpha, 1.0 / alpha)
    }

    #[track_caller]
    fn exponential_below_zero(&self, factor: f64, rate: f64) -> Tensor {
        let positive = self.gt(0.0);
        let below = (Tensor::where_(&positive, 0.0, self) * rate).expm1() * factor;
        Tensor::where_(&positive, self, below)
    }

    /// `log(1 + exp(beta·x)) / beta`, a smooth ReLU; `x` itself where `beta·x` is above `threshold`. PyTorch's
    /// defaults are 1 and 20.
    #[track_caller]
    pub fn softplus(&self, beta: f64, threshold: f64) -> Tensor {
        let scaled = self * beta;
        Tensor::where_(&scaled.gt(threshold), self, scaled.log1p_exp() / beta)
    }

    /// `log(sigmoid(x))`, accurate where the sigmoid rounds to 0 or 1.
    #[track_caller]
    pub fn logsigmoid(&self) -> Tensor {
        -(-self).log1p_exp()
    }

    /// `log(1 + eˣ)` for any x: `max(x, 0) + log1p(exp(−|x|))`, written with `where` so that the gradient at 0 is
    /// exactly ½.
    #[track_caller]
    fn log1p_exp(&self) -> Tensor {
        let positive = self.gt(0.0);
        let magnitude = Tensor::where_(&positive, self, -self);
        Tensor::where_(&positive, self, 0.0) + (-magnitude).exp().log1p()
    }

    /// Bounded by `min` and `max`; the gradient at the bounds is 0. PyTorch's defaults are −1 and 1.
    #[track_caller]
    pub fn hardtanh(&self, min: f64, max: f64) -> Tensor {
        let bounded = Tensor::where_(&self.ge(max), max, self);
        Tensor::where_(&self.le(min), min, bounded)
    }

    /// `min(max(x, 0), 6)`.
    #[track_caller]
    pub fn relu6(&self) -> Tensor {
        self.hardtanh(0.0, 6.0)
    }

    /// `relu6(x + 3) / 6`, a sigmoid of straight lines.
    #[track_caller]
    pub fn hardsigmoid(&self) -> Tensor {
        (self + 3.0).relu6() / 6.0
    }

    /// `x · relu6(x + 3) / 6` (Howard et al., "Searching for MobileNetV3", ICCV 2019).
    #[track_caller]
    pub fn hardswish(&self) -> Tensor {
        self * (self + 3.0).relu6() / 6.0
    }

    /// `x · tanh(softplus(x))` (Misra, "Mish", BMVC 2020).
    #[track_caller]
    pub fn mish(&self) -> Tensor {
        self * self.log1p_exp().tanh()
    }

    /// `x / (1 + |x|)`.
    #[track_caller]
    pub fn softsign(&self) -> Tensor {
        self / (self.abs() + 1.0)
    }

    /// `x − tanh(x)`.
    #[track_caller]
    pub fn tanhshrink(&self) -> Tensor {
        self - self.tanh()
    }

    /// `x` moved towards 0 by `lambda`, and 0 within it. PyTorch's default is 0.5.
    #[track_caller]
    pub fn softshrink(&self, lambda: f64) -> Tensor {
        let below = Tensor::where_(&self.lt(-lambda), self + lambda, self * 0.0);
        Tensor::where_(&self.gt(lambda), self - lambda, below)
    }

    /// `x`, and 0 where `|x| ≤ lambda`. PyTorch's default is 0.5.
    #[track_caller]
    pub fn hardshrink(&self, lambda: f64) -> Tensor {
        Tensor::where_(&self.abs().le(lambda), 0.0, self)
    }

    /// `x` where above `threshold`, else `value`.
    #[track_caller]
    pub fn threshold(&self, threshold: f64, value: f64) -> Tensor {
        Tensor::where_(&self.le(threshold), value, self)
    }

    /// `a · sigmoid(b)` of the two halves of an axis, which becomes half as long (Dauphin et al., "Language modeling
    /// with gated convolutional networks", ICML 2017).
    ///
    /// # Errors
    /// If the axis cannot be halved.
    #[track_caller]
    pub fn glu(&self, axis: isize) -> Tensor {
        let location = Location::caller();
        let at = match axis_of("glu", self, axis, 0, location) {
            Ok(at) => at,
            Err(failed) => return failed,
        };
        let size = self.shape()[at];
        if !size.is_multiple_of(2) {
            let message = format!(
                "glu: axis {axis} of shape {} has {size} elements; halves need an even number",
                self.shape()
            );
            return fail(ErrorKind::Shape, message, location);
        }
        let half = size / 2;
        self.slice(axis, ..half) * self.slice(axis, half..).sigmoid()
    }
}
