//! Questions about elements, bits and signs.

use gradus_ir::scalar::ScalarOp;
use gradus_ir::{DType, Scalar};

use super::IntoOperand;
use super::arithmetic::Operator;
use crate::error::Result;
use crate::tensor::Tensor;

impl Tensor {
    /// Whether each element is NaN.
    #[track_caller]
    pub fn isnan(&self) -> Tensor {
        self.ne(self)
    }

    /// Whether each element is finite.
    #[track_caller]
    pub fn isfinite(&self) -> Tensor {
        // NaN compares false with everything.
        self.abs().lt(f64::INFINITY)
    }

    /// Whether each element is zero or `false`, as `bool`.
    #[track_caller]
    pub fn logical_not(&self) -> Tensor {
        self.eq(0)
    }

    /// Whether both are not zero, as `bool`.
    #[track_caller]
    pub fn logical_and(&self, other: &Tensor) -> Tensor {
        self.cast(DType::Bool).bitwise_and(other.cast(DType::Bool))
    }

    /// Whether either is not zero, as `bool`.
    #[track_caller]
    pub fn logical_or(&self, other: &Tensor) -> Tensor {
        self.cast(DType::Bool).bitwise_or(other.cast(DType::Bool))
    }

    /// Whether one of the two is not zero and the other is, as `bool`.
    #[track_caller]
    pub fn logical_xor(&self, other: &Tensor) -> Tensor {
        self.cast(DType::Bool).bitwise_xor(other.cast(DType::Bool))
    }

    /// Whether each element is ∞ or −∞.
    #[track_caller]
    pub fn isinf(&self) -> Tensor {
        self.abs().eq(f64::INFINITY)
    }

    /// Whether each element is ∞.
    #[track_caller]
    pub fn isposinf(&self) -> Tensor {
        self.eq(f64::INFINITY)
    }

    /// Whether each element is −∞.
    #[track_caller]
    pub fn isneginf(&self) -> Tensor {
        self.eq(f64::NEG_INFINITY)
    }

    /// Whether |a − b| ≤ atol + rtol · |b|, element by element. Equal infinities are close; NaN is close to NaN if
    /// `equal_nan`. PyTorch's defaults are rtol = 1e-5, atol = 1e-8.
    #[track_caller]
    pub fn isclose(&self, other: &Tensor, rtol: f64, atol: f64, equal_nan: bool) -> Tensor {
        let (a, b) = self.paired(&Operator::Borrowed(other), false);
        let mut close = a.eq(&b);
        if !a.dtype().is_float() && rtol == 0.0 && atol == 0.0 {
            return close;
        }
        let (x, y) = (a.floating(), b.floating());
        let distance = (&x - &y).abs();
        let near = distance.le((y * rtol).abs() + atol).bitwise_and(distance.isfinite());
        close = close.bitwise_or(near);
        if equal_nan { close.bitwise_or(a.isnan().bitwise_and(b.isnan())) } else { close }
    }

    /// Whether all elements are close (see [`isclose`](Tensor::isclose)). Evaluates.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let a = Tensor::from_slice(&[1.0f32, 2.0], [2]);
    /// assert!(a.allclose(&(&a + 1e-6), 1e-5, 1e-8, false)?);
    /// assert!(!a.allclose(&(&a + 1e-3), 1e-5, 1e-8, false)?);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn allclose(&self, other: &Tensor, rtol: f64, atol: f64, equal_nan: bool) -> Result<bool> {
        self.isclose(other, rtol, atol, equal_nan).all(&[], false).item()
    }

    /// Whether shapes and all elements are equal. Evaluates.
    ///
    /// ```
    /// use gradus_tensor::{DType, Tensor};
    /// let a = Tensor::arange(4, DType::I64);
    /// assert!(a.equal(&Tensor::from_slice(&[0i64, 1, 2, 3], [4]))?);
    /// assert!(!a.equal(&a.reshape([2, 2]))?);
    /// assert!(!a.equal(&(&a + 1))?);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn equal(&self, other: &Tensor) -> Result<bool> {
        if self.try_shape()? != other.try_shape()? {
            return Ok(false);
        }
        self.eq(other).all(&[], false).item()
    }

    /// Whether the sign is set: of negative numbers and of −0. NaN counts as positive.
    #[track_caller]
    pub fn signbit(&self) -> Tensor {
        let negative = self.lt(0);
        if !self.dtype().is_float() {
            return negative;
        }
        // 1 / −0 is −∞.
        negative.bitwise_or(self.eq(0).bitwise_and(self.reciprocal().lt(0)))
    }

    /// |x| with the sign of `other`, whose gradient is 0. The gradient at x = 0 is 0.
    #[track_caller]
    pub fn copysign(&self, other: impl IntoOperand) -> Tensor {
        let (x, sign) = self.paired(&other.into_operand(), true);
        let x = x.abs();
        Tensor::where_(&sign.signbit(), -&x, &x)
    }

    /// 0 for negative x, 1 for positive, `values` at 0; 0 for NaN.
    #[track_caller]
    pub fn heaviside(&self, values: &Tensor) -> Tensor {
        Tensor::where_(&self.eq(0), values, self.gt(0).cast(self.dtype()))
    }

    /// The greater of each pair; if one is NaN, the other. Ties share the gradient.
    #[track_caller]
    pub fn fmax(&self, other: impl IntoOperand) -> Tensor {
        let (a, b) = self.paired(&other.into_operand(), false);
        Tensor::where_(&b.isnan(), &a, Tensor::where_(&a.isnan(), &b, a.maximum(&b)))
    }

    /// The lesser of each pair; if one is NaN, the other. Ties share the gradient.
    #[track_caller]
    pub fn fmin(&self, other: impl IntoOperand) -> Tensor {
        let (a, b) = self.paired(&other.into_operand(), false);
        Tensor::where_(&b.isnan(), &a, Tensor::where_(&a.isnan(), &b, a.minimum(&b)))
    }

    /// x · 2ⁿ on integers, wrapping; 0 where n is negative or not below the width.
    #[track_caller]
    pub fn bitwise_left_shift(&self, n: impl IntoOperand) -> Tensor {
        self.shifted(ScalarOp::Shl, n)
    }

    /// x / 2ⁿ on integers, rounded down; the sign alone (0 or −1) where n is negative or not below the width.
    #[track_caller]
    pub fn bitwise_right_shift(&self, n: impl IntoOperand) -> Tensor {
        self.shifted(ScalarOp::Shr, n)
    }

    #[track_caller]
    fn shifted(&self, op: ScalarOp, n: impl IntoOperand) -> Tensor {
        // `bool` has no bits to shift: it counts as an integer.
        let n = n.into_operand();
        let both_bool = self.dtype() == DType::Bool
            && match n.get() {
                Ok(t) => t.dtype() == DType::Bool,
                Err(x) => matches!(x, Scalar::Bool(_)),
            };
        if both_bool { self.cast(DType::I64).with(op, &n) } else { self.with(op, &n) }
    }
}
