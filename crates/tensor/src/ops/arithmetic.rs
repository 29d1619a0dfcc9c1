//! Element-wise operations: promotion, broadcasting, operators.

use std::ops::{Add, Div, Mul, Neg, Sub};

use gradus_ir::ops::Cast;
use gradus_ir::scalar::{ScalarOp, Signature};
use gradus_ir::{DType, Scalar};
use smallvec::smallvec;

use crate::node::Operand;
use crate::record::record;
use crate::tensor::Tensor;

/// A tensor or a number: what element-wise operations accept beside a tensor.
pub trait IntoOperand {
    /// What is operated with.
    fn into_operand<'a>(self) -> Operator<'a>
    where
        Self: 'a;
}

/// The second operand of an element-wise operation.
pub enum Operator<'a> {
    /// A tensor that is only looked at: recording counts no handle for it.
    Borrowed(&'a Tensor),
    /// A tensor.
    Owned(Tensor),
    /// A number in the code, which takes the tensor's width.
    Number(Scalar),
}

impl IntoOperand for &Tensor {
    fn into_operand<'a>(self) -> Operator<'a>
    where
        Self: 'a,
    {
        Operator::Borrowed(self)
    }
}
impl IntoOperand for Tensor {
    fn into_operand<'a>(self) -> Operator<'a> {
        Operator::Owned(self)
    }
}

macro_rules! numbers {
    ($($t:ty),*) => {$(
        impl IntoOperand for $t {
            fn into_operand<'a>(self) -> Operator<'a> {
                Operator::Number(self.into())
            }
        }
    )*};
}
numbers!(f32, f64, i32, i64, u8, usize, bool);

impl Operator<'_> {
    /// The tensor, or the number.
    fn get(&self) -> Result<&Tensor, Scalar> {
        match self {
            Operator::Borrowed(t) => Ok(t),
            Operator::Owned(t) => Ok(t),
            Operator::Number(x) => Err(*x),
        }
    }

    /// As an operand of dtype `dtype`.
    #[track_caller]
    fn cast(&self, dtype: DType) -> Operand {
        match self.get() {
            Ok(t) if t.dtype() == dtype => t.operand(),
            Ok(t) => t.cast(dtype).operand(),
            Err(x) => Operand::Slot(x, dtype),
        }
    }
}

/// The dtype of an operation on two operands: PyTorch's `torch.result_type`. A tensor without axes counts as a
/// number where the other has axes: it changes the class of the result, never the width.
fn result_type(a: &Operator<'_>, b: &Operator<'_>) -> DType {
    match (a.get(), b.get()) {
        (Ok(a), Ok(b)) => {
            let scalar = |t: &Tensor| t.try_shape().is_ok_and(|s| s.rank() == 0);
            match (scalar(a), scalar(b)) {
                (false, true) => widened(a.dtype(), b.dtype()),
                (true, false) => widened(b.dtype(), a.dtype()),
                _ => a.dtype().promote(b.dtype()),
            }
        }
        (Ok(t), Err(x)) | (Err(x), Ok(t)) => t.dtype().promote_scalar(x),
        (Err(a), Err(b)) => a.dtype().promote(b.dtype()),
    }
}

fn widened(tensor: DType, scalar: DType) -> DType {
    if tensor.is_float() || (tensor.is_int() && !scalar.is_float()) {
        tensor
    } else {
        tensor.promote(scalar)
    }
}

#[track_caller]
fn binary(op: ScalarOp, a: Operator<'_>, b: Operator<'_>) -> Tensor {
    let mut dtype = result_type(&a, &b);
    if op.signature() == Signature::Float && !dtype.is_float() {
        dtype = DType::F32;
    }
    record(op, smallvec![a.cast(dtype), b.cast(dtype)])
}

impl Tensor {
    #[track_caller]
    fn with(&self, op: ScalarOp, other: impl IntoOperand) -> Tensor {
        binary(op, Operator::Borrowed(self), other.into_operand())
    }

    #[track_caller]
    fn unary(&self, op: ScalarOp) -> Tensor {
        let float = op.signature() == Signature::Float && !self.dtype().is_float();
        let x = if float { self.cast(DType::F32).operand() } else { self.operand() };
        record(op, smallvec![x])
    }

    /// Converts every element to `dtype`; the tensor itself if it has it. Floats to integers truncate, anything to
    /// `bool` is "not zero".
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Tensor {
        if self.dtype() == dtype {
            return self.clone();
        }
        record(Cast { to: dtype }, smallvec![self.operand()])
    }

    /// `condition ? a : b`, element by element; the three broadcast, `a` and `b` promote.
    #[track_caller]
    pub fn where_(condition: &Tensor, a: impl IntoOperand, b: impl IntoOperand) -> Tensor {
        let (a, b) = (a.into_operand(), b.into_operand());
        let dtype = result_type(&a, &b);
        let operands = smallvec![condition.operand(), a.cast(dtype), b.cast(dtype)];
        record(ScalarOp::Where, operands)
    }

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

    /// Bounded below and above; NaN stays NaN.
    #[track_caller]
    pub fn clamp(&self, min: impl IntoOperand, max: impl IntoOperand) -> Tensor {
        self.maximum(min).minimum(max)
    }

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
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                self.unary(ScalarOp::$op)
            }
        )*}
    };
}

unary_methods! {
    /// |x|.
    abs => Abs;
    /// −1, 0 or 1; 0 for NaN.
    sign => Sign;
    /// max(x, 0); NaN stays NaN.
    relu => Relu;
    /// eˣ.
    exp => Exp;
    /// eˣ − 1, accurate near 0.
    expm1 => Expm1;
    /// The natural logarithm.
    log => Log;
    /// log(1 + x), accurate near 0.
    log1p => Log1p;
    /// √x.
    sqrt => Sqrt;
    /// sin x, in radians.
    sin => Sin;
    /// cos x, in radians.
    cos => Cos;
    /// The hyperbolic tangent.
    tanh => Tanh;
    /// 1 / (1 + e⁻ˣ).
    sigmoid => Sigmoid;
    /// The error function.
    erf => Erf;
    /// The largest integer not above x.
    floor => Floor;
    /// The smallest integer not below x.
    ceil => Ceil;
    /// The nearest integer, halves to even.
    round => Round;
}

macro_rules! binary_methods {
    ($($doc:literal $name:ident => $op:ident;)*) => {
        impl Tensor {$(
            #[doc = $doc]
            ///
            /// Operands broadcast and promote as in PyTorch.
            #[track_caller]
            pub fn $name(&self, other: impl IntoOperand) -> Tensor {
                self.with(ScalarOp::$op, other)
            }
        )*}
    };
}

binary_methods! {
    "The greater of each pair; NaN if either is." maximum => Maximum;
    "The lesser of each pair; NaN if either is." minimum => Minimum;
    "Whether equal, as `bool`." eq => Eq;
    "Whether not equal, as `bool`." ne => Ne;
    "Whether less, as `bool`." lt => Lt;
    "Whether less or equal, as `bool`." le => Le;
    "Whether greater, as `bool`." gt => Gt;
    "Whether greater or equal, as `bool`." ge => Ge;
    "And, bit by bit; on `bool` the logical and." bitwise_and => And;
    "Or, bit by bit; on `bool` the logical or." bitwise_or => Or;
    "Exclusive or, bit by bit; on `bool` the logical one." bitwise_xor => Xor;
}

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        self.unary(ScalarOp::Neg)
    }
}
impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        -&self
    }
}

macro_rules! operators {
    ($($Op:ident $f:ident),*) => {$(
        impl<T: IntoOperand> $Op<T> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $f(self, other: T) -> Tensor {
                self.with(ScalarOp::$Op, other)
            }
        }
        impl<T: IntoOperand> $Op<T> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $f(self, other: T) -> Tensor {
                self.with(ScalarOp::$Op, other)
            }
        }
        operators!(@number $Op $f: f32, f64, i32, i64);
    )*};
    (@number $Op:ident $f:ident: $($t:ty),*) => {$(
        impl $Op<&Tensor> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $f(self, other: &Tensor) -> Tensor {
                binary(ScalarOp::$Op, self.into_operand(), other.into_operand())
            }
        }
        impl $Op<Tensor> for $t {
            type Output = Tensor;
            #[track_caller]
            fn $f(self, other: Tensor) -> Tensor {
                binary(ScalarOp::$Op, self.into_operand(), other.into_operand())
            }
        }
    )*};
}
operators!(Add add, Sub sub, Mul mul, Div div);
