//! Element-wise operations: promotion, broadcasting, operators.

use std::ops::{Add, Div, Mul, Neg, Sub};

use gradus_ir::ops::{Cast, Expand};
use gradus_ir::scalar::{ScalarOp, Signature};
use gradus_ir::{DType, Scalar, Shape};
use smallvec::smallvec;

use crate::node::Operand;
use crate::record::{record, record_source, slot};
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

/// An operand that is used more than once.
impl IntoOperand for &Operator<'_> {
    fn into_operand<'a>(self) -> Operator<'a>
    where
        Self: 'a,
    {
        match self.get() {
            Ok(t) => Operator::Borrowed(t),
            Err(x) => Operator::Number(x),
        }
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
    pub(super) fn get(&self) -> Result<&Tensor, Scalar> {
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
pub(super) fn result_type(a: &Operator<'_>, b: &Operator<'_>) -> DType {
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
pub(super) fn binary(op: ScalarOp, a: Operator<'_>, b: Operator<'_>) -> Tensor {
    let mut dtype = result_type(&a, &b);
    if op.signature() == Signature::Float && !dtype.is_float() {
        dtype = DType::F32;
    }
    record(op, smallvec![a.cast(dtype), b.cast(dtype)])
}

impl Tensor {
    #[track_caller]
    pub(super) fn with(&self, op: ScalarOp, other: impl IntoOperand) -> Tensor {
        binary(op, Operator::Borrowed(self), other.into_operand())
    }

    #[track_caller]
    pub(super) fn unary(&self, op: ScalarOp) -> Tensor {
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

    /// This and another operand as tensors of the dtype that an operation on them has; integers become `float32`
    /// if `float`. A number becomes a tensor without axes.
    #[track_caller]
    pub(super) fn paired(&self, other: &Operator<'_>, float: bool) -> (Tensor, Tensor) {
        let mut dtype = result_type(&Operator::Borrowed(self), other);
        if float && !dtype.is_float() {
            dtype = DType::F32;
        }
        let other = match other.get() {
            Ok(t) => t.cast(dtype),
            Err(x) => self.number(x, dtype),
        };
        (self.cast(dtype), other)
    }

    /// A number in the code as a tensor without axes on this tensor's device.
    #[track_caller]
    pub(super) fn number(&self, x: Scalar, dtype: DType) -> Tensor {
        record_source(Expand { shape: Shape::scalar() }, smallvec![slot(x, dtype)], self.device())
    }

    /// This tensor, or as `float32` if it has no floats.
    #[track_caller]
    pub(super) fn floating(&self) -> Tensor {
        if self.dtype().is_float() { self.clone() } else { self.cast(DType::F32) }
    }

    /// Between this and `end`: x + w · (end − x). A tensor of weights broadcasts; so does `end`.
    #[track_caller]
    pub fn lerp(&self, end: &Tensor, weight: impl IntoOperand) -> Tensor {
        let distance = end - self;
        // From the nearer end, so that a weight of 1 gives `end` exactly.
        match weight.into_operand().get() {
            Err(w) if w.to_f64().abs() < 0.5 => self + distance * w.to_f64(),
            Err(w) => end - distance * (1.0 - w.to_f64()),
            Ok(w) => {
                let (near, far) = (self + &distance * w, end - &distance * (1.0 - w));
                Tensor::where_(&w.abs().lt(0.5), near, far)
            }
        }
    }

    /// x + value · a · b.
    #[track_caller]
    pub fn addcmul(&self, a: &Tensor, b: &Tensor, value: impl IntoOperand) -> Tensor {
        self + a * value * b
    }

    /// x + value · a / b.
    #[track_caller]
    pub fn addcdiv(&self, a: &Tensor, b: &Tensor, value: impl IntoOperand) -> Tensor {
        self + a * value / b
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
    /// 1 − [`erf`](Tensor::erf), accurate where that is near 1.
    erfc => Erfc;
    /// The inverse of [`erf`](Tensor::erf): ±∞ at ±1, NaN beyond.
    erfinv => Erfinv;
    /// The angle in [−π/2, π/2] whose sine is x; NaN beyond ±1.
    asin => Asin;
    /// The angle in [0, π] whose cosine is x; NaN beyond ±1.
    acos => Acos;
    /// log |Γ(x)|; ∞ at 0 and at negative integers.
    lgamma => Lgamma;
    /// The derivative of log Γ(x); NaN at negative integers, ∓∞ at ±0.
    digamma => Digamma;
    /// −x.
    neg => Neg;
    /// Not, bit by bit; on `bool` the logical not.
    bitwise_not => Not;
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
    "The angle of the point (other, x) in [−π, π]; at the origin its gradient is 0." atan2 => Atan2;
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
