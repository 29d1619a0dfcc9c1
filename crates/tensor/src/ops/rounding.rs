//! Rounding, bounds, quotients and remainders.

use std::panic::Location;

use gradus_ir::ops::{Check, CheckKind};
use gradus_ir::scalar::ScalarOp;
use gradus_ir::{DType, Scalar, bf16, f16};
use smallvec::smallvec;

use super::arithmetic::result_type;
use super::{IntoOperand, Operator};
use crate::error::ErrorKind;
use crate::node::Operand;
use crate::record::{fail, record};
use crate::tensor::Tensor;

/// How a quotient becomes an integer: PyTorch's `rounding_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// Towards 0, as integers divide in Rust and C.
    Trunc,
    /// Downwards, as integers divide in Python.
    Floor,
}

impl Tensor {
    /// Without its fraction: rounded towards 0.
    #[track_caller]
    pub fn trunc(&self) -> Tensor {
        let one = Operand::Const(Scalar::I64(1), self.dtype());
        record(ScalarOp::DivTrunc, smallvec![self.operand(), one])
    }

    /// x − [`trunc`](Tensor::trunc)(x).
    #[track_caller]
    pub fn frac(&self) -> Tensor {
        self - self.trunc()
    }

    /// Rounded to so many digits after the point (before it if negative), halves to even.
    ///
    /// # Errors
    /// Integers have no digits after the point.
    #[track_caller]
    pub fn round_decimals(&self, decimals: i32) -> Tensor {
        if !self.dtype().is_float() {
            let message = format!(
                "round_decimals: {} has no digits after the point; cast first",
                self.dtype()
            );
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        let power = 10.0_f64.powi(decimals.abs());
        if decimals < 0 { (self / power).round() * power } else { (self * power).round() / power }
    }

    /// The quotient as an integer of the operands' dtype, floats included. No gradient flows through `Floor`; that of
    /// `Trunc` is 0.
    ///
    /// ```
    /// use gradus_tensor::{Rounding, Tensor};
    /// let x = Tensor::from_slice(&[7i64, -7], [2]);
    /// assert_eq!(x.div_rounded(2, Rounding::Trunc).to_vec::<i64>()?, [3, -3]);
    /// assert_eq!(x.div_rounded(2, Rounding::Floor).to_vec::<i64>()?, [3, -4]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// An integer divisor 0 fails the evaluation and is named with its position. Floats give ±∞ or NaN.
    #[track_caller]
    pub fn div_rounded(&self, other: impl IntoOperand, rounding: Rounding) -> Tensor {
        self.quotient("div_rounded", &other.into_operand(), rounding)
    }

    #[track_caller]
    fn quotient(&self, op: &str, other: &Operator<'_>, rounding: Rounding) -> Tensor {
        let (a, b) = match self.divided(op, other) {
            Ok(pair) => pair,
            Err(failed) => return failed,
        };
        if rounding == Rounding::Trunc {
            return record(ScalarOp::DivTrunc, smallvec![a.operand(), b.operand()]);
        }
        let (a, b) = (a.detach(), b.detach());
        let remainder = fmod(&a, &b);
        let below = remainder.ne(0).bitwise_and(remainder.lt(0).bitwise_xor(b.lt(0)));
        if !a.dtype().is_float() {
            let quotient = record(ScalarOp::DivTrunc, smallvec![a.operand(), b.operand()]);
            return quotient - below.cast(a.dtype());
        }
        // As Python divides floats: exact up to the last rounding, unlike floor(a / b).
        let quotient = (&a - &remainder) / &b - below.cast(a.dtype());
        let floor = quotient.floor();
        let floor = Tensor::where_(&(&quotient - &floor).gt(0.5), &floor + 1.0, &floor);
        let ratio = &a / &b;
        let zero = quotient.eq(0.0);
        let signed = Tensor::where_(&zero, quotient.zeros_like().copysign(&ratio), floor);
        Tensor::where_(&b.eq(0.0), ratio, signed)
    }

    /// The quotient rounded down: [`div_rounded`](Tensor::div_rounded) with [`Rounding::Floor`].
    #[track_caller]
    pub fn floor_divide(&self, other: impl IntoOperand) -> Tensor {
        self.quotient("floor_divide", &other.into_operand(), Rounding::Floor)
    }

    /// x − y · trunc(x / y), exactly: the remainder with the sign of x.
    ///
    /// # Errors
    /// An integer divisor 0 fails the evaluation and is named with its position. Floats give NaN.
    #[track_caller]
    pub fn fmod(&self, other: impl IntoOperand) -> Tensor {
        match self.divided("fmod", &other.into_operand()) {
            Ok((a, b)) => fmod(&a, &b),
            Err(failed) => failed,
        }
    }

    /// x − y · floor(x / y): the remainder with the sign of y, as Python's `%`.
    ///
    /// # Errors
    /// An integer divisor 0 fails the evaluation and is named with its position. Floats give NaN.
    #[track_caller]
    pub fn remainder(&self, other: impl IntoOperand) -> Tensor {
        let (a, b) = match self.divided("remainder", &other.into_operand()) {
            Ok(pair) => pair,
            Err(failed) => return failed,
        };
        let r = fmod(&a, &b);
        let other_sign = r.ne(0).bitwise_and(r.lt(0).bitwise_xor(b.lt(0)));
        Tensor::where_(&other_sign, &r + &b, &r)
    }

    /// Dividend and divisor in a common dtype; an integer divisor is checked.
    #[track_caller]
    fn divided(&self, op: &str, other: &Operator<'_>) -> Result<(Tensor, Tensor), Tensor> {
        let location = Location::caller();
        if result_type(&Operator::Borrowed(self), other) == DType::Bool {
            let message = format!("{op}: bool has no quotients; cast to an integer first");
            return Err(fail(ErrorKind::Shape, message, location));
        }
        let (a, b) = self.paired(other, false);
        if a.dtype().is_float() {
            return Ok((a, b));
        }
        let check = Check { kind: CheckKind::NonZero, what: "divisor" };
        Ok((a, record(check, smallvec![b.operand()])))
    }

    /// Bounded below and above: `max` where `min` exceeds it. NaN stays NaN, and so does one in a tensor of bounds.
    ///
    /// As in PyTorch, the gradient passes strictly between bounds that are numbers; with a tensor of bounds, ties share
    /// it.
    #[track_caller]
    pub fn clamp(&self, min: impl IntoOperand, max: impl IntoOperand) -> Tensor {
        self.clamp_min(min).clamp_max(max)
    }

    /// As [`clamp`](Tensor::clamp).
    #[track_caller]
    pub fn clip(&self, min: impl IntoOperand, max: impl IntoOperand) -> Tensor {
        self.clamp(min, max)
    }

    /// Bounded below, as [`clamp`](Tensor::clamp).
    #[track_caller]
    pub fn clamp_min(&self, min: impl IntoOperand) -> Tensor {
        match min.into_operand() {
            Operator::Number(min) => {
                let min = Operator::Number(min);
                Tensor::where_(&self.le(&min), &min, self)
            }
            min => self.maximum(&min),
        }
    }

    /// Bounded above, as [`clamp`](Tensor::clamp).
    #[track_caller]
    pub fn clamp_max(&self, max: impl IntoOperand) -> Tensor {
        match max.into_operand() {
            Operator::Number(max) => {
                let max = Operator::Number(max);
                Tensor::where_(&self.ge(&max), &max, self)
            }
            max => self.minimum(&max),
        }
    }

    /// NaN replaced by `nan`, ∞ by `posinf` and −∞ by `neginf`, or by the greatest and the lowest finite number of
    /// the dtype. The gradient of what was replaced is 0.
    #[track_caller]
    pub fn nan_to_num(&self, nan: f64, posinf: Option<f64>, neginf: Option<f64>) -> Tensor {
        let greatest = match self.dtype() {
            DType::F64 => f64::MAX,
            DType::F32 => f64::from(f32::MAX),
            DType::F16 => f16::MAX.to_f64(),
            DType::BF16 => bf16::MAX.to_f64(),
            _ => return self.clone(),
        };
        let x = Tensor::where_(&self.isnan(), nan, self);
        let x = Tensor::where_(&self.isposinf(), posinf.unwrap_or(greatest), x);
        Tensor::where_(&self.isneginf(), neginf.unwrap_or(-greatest), x)
    }
}

/// The remainder of two tensors of one dtype, with the sign of the first.
#[track_caller]
fn fmod(a: &Tensor, b: &Tensor) -> Tensor {
    if a.dtype().is_float() {
        return record(ScalarOp::Fmod, smallvec![a.operand(), b.operand()]);
    }
    a - record(ScalarOp::DivTrunc, smallvec![a.operand(), b.operand()]) * b
}
