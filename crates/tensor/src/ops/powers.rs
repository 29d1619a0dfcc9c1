//! Powers, exponentials and logarithms.

use std::f64::consts::{LN_2, LOG2_E, LOG10_E};

use gradus_ir::Scalar;
use gradus_ir::scalar::ScalarOp;

use super::arithmetic::binary;
use super::{IntoOperand, Operator};
use crate::tensor::Tensor;

impl Tensor {
    /// Raised to a power. Small exponents are multiplications, square roots and reciprocals: exact and
    /// faster, as in PyTorch. Integers take non-negative integer exponents and stay integers.
    #[track_caller]
    pub fn pow(&self, exponent: impl IntoOperand) -> Tensor {
        let exponent = exponent.into_operand();
        match exponent {
            Operator::Number(Scalar::I64(n @ 0..)) if self.dtype().is_int() => self.powi(n as u32),
            Operator::Number(x) if x.to_f64() == 1.0 => self.clone(),
            Operator::Number(x) if x.to_f64() == 2.0 => self * self,
            Operator::Number(x) if x.to_f64() == 3.0 => self * self * self,
            Operator::Number(x) if x.to_f64() == 0.5 => self.sqrt(),
            Operator::Number(x) if x.to_f64() == -1.0 => self.reciprocal(),
            exponent => binary(ScalarOp::Pow, Operator::Borrowed(self), exponent),
        }
    }

    /// Raised to a non-negative integer power by repeated squaring.
    #[track_caller]
    fn powi(&self, mut n: u32) -> Tensor {
        let mut result: Option<Tensor> = None;
        let mut square = self.clone();
        loop {
            if n & 1 == 1 {
                result = Some(result.map_or(square.clone(), |r| &r * &square));
            }
            n >>= 1;
            if n == 0 {
                break;
            }
            square = &square * &square;
        }
        result.unwrap_or_else(|| {
            Tensor::ones(self.try_shape().cloned().unwrap_or_default(), self.dtype())
                .to(self.device())
        })
    }

    /// 1 / x.
    #[track_caller]
    pub fn reciprocal(&self) -> Tensor {
        1.0 / self
    }

    /// x².
    #[track_caller]
    pub fn square(&self) -> Tensor {
        self * self
    }

    /// 1 / √x.
    #[track_caller]
    pub fn rsqrt(&self) -> Tensor {
        1.0 / self.sqrt()
    }

    /// 2ˣ.
    #[track_caller]
    pub fn exp2(&self) -> Tensor {
        binary(ScalarOp::Pow, Operator::Number(Scalar::F64(2.0)), Operator::Borrowed(self))
    }

    /// The logarithm to base 2.
    #[track_caller]
    pub fn log2(&self) -> Tensor {
        self.log() * LOG2_E
    }

    /// The logarithm to base 10.
    #[track_caller]
    pub fn log10(&self) -> Tensor {
        self.log() * LOG10_E
    }

    /// log(eᵃ + eᵇ), without overflow.
    #[track_caller]
    pub fn logaddexp(&self, other: impl IntoOperand) -> Tensor {
        let (a, b) = self.paired(&other.into_operand(), true);
        a.maximum(&b) + distance(&a, &b).neg().exp().log1p()
    }

    /// log₂(2ᵃ + 2ᵇ), without overflow.
    #[track_caller]
    pub fn logaddexp2(&self, other: impl IntoOperand) -> Tensor {
        let (a, b) = self.paired(&other.into_operand(), true);
        a.maximum(&b) + (distance(&a, &b) * -LN_2).exp().log1p() * LOG2_E
    }

    /// x · log y, and 0 where x is 0, unless y is NaN.
    #[track_caller]
    pub fn xlogy(&self, other: impl IntoOperand) -> Tensor {
        let (x, y) = self.paired(&other.into_operand(), true);
        // 0 times what the logarithm has at 0, below and at infinity would be NaN.
        let outside = y.le(0.0).bitwise_or(y.eq(f64::INFINITY));
        let nothing = x.eq(0.0).bitwise_and(outside);
        &x * Tensor::where_(&nothing, 1.0, &y).log()
    }

    /// log(p / (1 − p)), the inverse of [`sigmoid`](Tensor::sigmoid). With `eps`, p is first bounded to
    /// [eps, 1 − eps].
    #[track_caller]
    pub fn logit(&self, eps: Option<f64>) -> Tensor {
        let p = match eps {
            Some(eps) => self.clamp(eps, 1.0 - eps),
            None => self.floating(),
        };
        p.log() - p.neg().log1p()
    }
}

/// |a − b|, and 0 where both are the same infinity.
#[track_caller]
fn distance(a: &Tensor, b: &Tensor) -> Tensor {
    Tensor::where_(&a.eq(b), 0.0, a - b).abs()
}
