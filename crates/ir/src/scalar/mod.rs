//! The scalar ops: every element-wise op there is, one row each.
//!
//! A row states the op's name, the types it accepts, its meaning in f64 (the oracle of the reference
//! interpreter), its f32 arithmetic (which vectorises and gives the same bits on every system), its integer
//! meaning and its gradient. Broadcasting, shape inference, fusion, printing and the generic tests come from
//! this table; no other list of element-wise ops exists.

pub mod math;

use std::borrow::Cow;

use crate::graph::Expr;
use crate::{DType, Type};

/// Which types an op accepts and what it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Floats, to the same float.
    Float,
    /// Any type, to the same type.
    Number,
    /// `bool` and integers, to the same type.
    Logic,
    /// Two of any type, to `bool`.
    Compare,
    /// `bool`, then two of any type, to that type.
    Select,
}

/// What a gradient rule may use: operands, result, and the gradient arriving at the result.
pub struct Rule<'g> {
    /// The operands.
    pub x: [Expr<'g>; 3],
    /// The result.
    pub y: Expr<'g>,
    /// The gradient of the loss with respect to the result.
    pub dy: Expr<'g>,
}

type GradFn = for<'g> fn(&Rule<'g>) -> Expr<'g>;

macro_rules! scalar_ops {
    (
        unary { $($(#[$ud:meta])* $u:ident = $uname:literal ($usig:ident)
            f64 $uf64:expr, f32 $uf32:expr, int $uint:expr, grad [$($ugrad:expr)?];)* }
        binary { $($(#[$bd:meta])* $b:ident = $bname:literal ($bsig:ident)
            f64 $bf64:expr, f32 $bf32:expr, int $bint:expr, grad [$($bga:expr, $bgb:expr)?];)* }
        compare { $($(#[$cd:meta])* $c:ident = $cname:literal $op:tt;)* }
    ) => {
        /// An element-wise op.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ScalarOp {
            $($(#[$ud])* $u,)*
            $($(#[$bd])* $b,)*
            $($(#[$cd])* $c,)*
            /// `where(c, a, b)`: `a` where `c` holds, else `b`.
            Where,
        }

        impl ScalarOp {
            /// Every op of the table.
            pub const ALL: &'static [ScalarOp] = &[
                $(ScalarOp::$u,)* $(ScalarOp::$b,)* $(ScalarOp::$c,)* ScalarOp::Where,
            ];

            /// The name, as PyTorch spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ScalarOp::$u => $uname,)*
                    $(ScalarOp::$b => $bname,)*
                    $(ScalarOp::$c => $cname,)*
                    ScalarOp::Where => "where",
                }
            }

            /// The number of operands.
            pub const fn arity(self) -> usize {
                match self {
                    $(ScalarOp::$u => 1,)*
                    $(ScalarOp::$b => 2,)*
                    $(ScalarOp::$c => 2,)*
                    ScalarOp::Where => 3,
                }
            }

            /// The types it accepts and returns.
            pub const fn signature(self) -> Signature {
                match self {
                    $(ScalarOp::$u => Signature::$usig,)*
                    $(ScalarOp::$b => Signature::$bsig,)*
                    $(ScalarOp::$c => Signature::Compare,)*
                    ScalarOp::Where => Signature::Select,
                }
            }

            /// The gradient with respect to operand `i`, or `None` where it is zero everywhere.
            pub fn gradient(self, i: usize) -> Option<GradFn> {
                let rules: [Option<GradFn>; 3] = match self {
                    $(ScalarOp::$u => { let mut _r = [None; 3]; $(_r[0] = Some($ugrad as GradFn);)? _r })*
                    $(ScalarOp::$b => {
                        let mut _r = [None; 3];
                        $(_r[0] = Some($bga as GradFn); _r[1] = Some($bgb as GradFn);)?
                        _r
                    })*
                    $(ScalarOp::$c => [None; 3],)*
                    ScalarOp::Where => [
                        None,
                        Some(|r| r.x[0].select(r.dy, r.dy.constant(0.0))),
                        Some(|r| r.x[0].select(r.dy.constant(0.0), r.dy)),
                    ],
                };
                rules[i]
            }

            /// The meaning on floats, in f64. Comparisons give 0 or 1.
            pub fn eval_f64(self, x: &[f64]) -> f64 {
                match self {
                    $(ScalarOp::$u => { let f: fn(f64) -> f64 = $uf64; f(x[0]) })*
                    $(ScalarOp::$b => { let f: fn(f64, f64) -> f64 = $bf64; f(x[0], x[1]) })*
                    $(ScalarOp::$c => f64::from(u8::from(x[0] $op x[1])),)*
                    ScalarOp::Where => if x[0] != 0.0 { x[1] } else { x[2] },
                }
            }

            /// The meaning on integers and `bool` (0 or 1), before wrapping to the result's type.
            pub fn eval_i64(self, x: &[i64]) -> i64 {
                match self {
                    $(ScalarOp::$u => { let f: fn(i64) -> i64 = $uint; f(x[0]) })*
                    $(ScalarOp::$b => { let f: fn(i64, i64) -> i64 = $bint; f(x[0], x[1]) })*
                    $(ScalarOp::$c => i64::from(x[0] $op x[1]),)*
                    ScalarOp::Where => if x[0] != 0 { x[1] } else { x[2] },
                }
            }
        }

        /// Loops over slices, one per type that registers are held in: what a backend runs on a strip.
        /// Inlined into the caller, so that they are compiled for the caller's instruction set.
        pub mod strip {
            use super::*;

            scalar_ops!(@unary unary_f32, f32, [$($u $uf32;)*]);
            scalar_ops!(@unary unary_f64, f64, [$($u $uf64;)*]);
            scalar_ops!(@unary unary_i64, i64, [$($u $uint;)*]);
            scalar_ops!(@binary binary_f32, f32, [$($b $bf32;)*]);
            scalar_ops!(@binary binary_f64, f64, [$($b $bf64;)*]);
            scalar_ops!(@binary binary_i64, i64, [$($b $bint;)*]);

            /// A comparison, to `bool` bytes.
            #[inline(always)]
            pub fn compare<T: PartialOrd + Copy>(op: ScalarOp, a: &[T], b: &[T], out: &mut [u8]) {
                match op {
                    $(ScalarOp::$c => for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
                        *o = u8::from(a $op b);
                    },)*
                    _ => unreachable!("{op:?} is not a comparison"),
                }
            }

            /// `where`, with a condition of `bool` bytes.
            #[inline(always)]
            pub fn select<T: Copy>(c: &[u8], a: &[T], b: &[T], out: &mut [T]) {
                for (((o, &c), &a), &b) in out.iter_mut().zip(c).zip(a).zip(b) {
                    *o = if c != 0 { a } else { b };
                }
            }
        }
    };
    (@unary $name:ident, $t:ty, [$($op:ident $f:expr;)*]) => {
        /// A unary op over a strip.
        #[inline(always)]
        pub fn $name(op: ScalarOp, a: &[$t], out: &mut [$t]) {
            match op {
                $(ScalarOp::$op => {
                    // A constant pointer: the call is direct, and a large function is inlined too. Through a
                    // generic closure it would be called, once per element.
                    let f: fn($t) -> $t = $f;
                    for (o, &a) in out.iter_mut().zip(a) { *o = f(a); }
                })*
                _ => unreachable!("{op:?} is not unary"),
            }
        }
    };
    (@binary $name:ident, $t:ty, [$($op:ident $f:expr;)*]) => {
        /// A binary op over a strip.
        #[inline(always)]
        pub fn $name(op: ScalarOp, a: &[$t], b: &[$t], out: &mut [$t]) {
            match op {
                $(ScalarOp::$op => {
                    let f: fn($t, $t) -> $t = $f;
                    for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) { *o = f(a, b); }
                })*
                _ => unreachable!("{op:?} is not binary"),
            }
        }
    };
}

/// Stands in the integer column of ops that integers do not have; inference refuses them first.
fn no_int(_: i64) -> i64 {
    unreachable!("a float op on integers")
}
fn no_int2(_: i64, _: i64) -> i64 {
    unreachable!("a float op on integers")
}
/// Stands in the float columns of ops that floats do not have.
fn no_float<T>(_: T) -> T {
    unreachable!("a logic op on floats")
}
fn no_float2<T>(_: T, _: T) -> T {
    unreachable!("a logic op on floats")
}

/// 1 / (a² + b²); 0 at the origin.
fn inverse_square<'g>(r: &Rule<'g>) -> Expr<'g> {
    let square = r.x[0] * r.x[0] + r.x[1] * r.x[1];
    let origin = square.equals(square.constant(0.0));
    origin.select(square.constant(0.0), 1.0 / square)
}

/// The derivative of digamma, in ordinary ops: eight steps of ψ′(x) = ψ′(x + 1) + 1/x², the asymptotic series
/// (Abramowitz and Stegun 6.4.12), and ψ′(x) = π²/sin²(πx) − ψ′(1 − x) for small and negative x.
fn trigamma(x: Expr<'_>) -> Expr<'_> {
    const PI: f64 = std::f64::consts::PI;
    let half = x.constant(0.5);
    let reflected = x.apply(ScalarOp::Lt, &[half]);
    let z = reflected.select(1.0 - x, x);
    let shifted = z + 8.0;
    let w = 1.0 / shifted;
    let s = w * w;
    // Bernoulli numbers B₁₄ … B₂.
    let numbers = [7.0 / 6.0, -691.0 / 2730.0, 5.0 / 66.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0];
    let series = numbers
        .into_iter()
        .fold(None, |sum: Option<Expr<'_>>, b| Some(sum.map_or(s * b, |sum| (sum + b) * s)));
    let series = series.map_or(s, |sum| (sum + 1.0 / 6.0) * w * s);
    let mut y = w + s * 0.5 + series;
    for k in 0..8 {
        let step = z + f64::from(k);
        y = y + 1.0 / (step * step);
    }
    // Where it is not used, the sine is that of ½: no infinite slope gets into further derivatives.
    let sine = (reflected.select(x, half) * PI).op(ScalarOp::Sin);
    reflected.select(PI * PI / (sine * sine) - y, y)
}

scalar_ops! {
    unary {
        /// −x.
        Neg = "neg" (Number) f64 |x| -x, f32 |x| -x, int |x| x.wrapping_neg(), grad [|r| -r.dy];
        /// |x|; the gradient at 0 is 0.
        Abs = "abs" (Number) f64 |x| x.abs(), f32 |x| x.abs(), int |x| x.wrapping_abs(),
            grad [|r| r.dy * r.x[0].sign()];
        /// −1, 0 or 1; 0 for NaN, as PyTorch has it.
        Sign = "sign" (Number)
            f64 |x| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { 0.0 },
            f32 |x| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { 0.0 },
            int |x| x.signum(), grad [|r| r.dy.constant(0.0)];
        /// max(x, 0); NaN stays NaN.
        Relu = "relu" (Number) f64 |x| if x <= 0.0 { 0.0 } else { x }, f32 |x| if x <= 0.0 { 0.0 } else { x },
            int |x| x.max(0), grad [|r| r.y.relu_grad(r.dy)];
        /// eˣ.
        Exp = "exp" (Float) f64 libm::exp, f32 math::exp, int no_int, grad [|r| r.dy * r.y];
        /// eˣ − 1, accurate near 0.
        Expm1 = "expm1" (Float) f64 libm::expm1, f32 math::expm1, int no_int,
            grad [|r| r.dy * (r.y + 1.0)];
        /// The natural logarithm.
        Log = "log" (Float) f64 libm::log, f32 math::ln, int no_int, grad [|r| r.dy / r.x[0]];
        /// log(1 + x), accurate near 0.
        Log1p = "log1p" (Float) f64 libm::log1p, f32 math::log1p, int no_int,
            grad [|r| r.dy / (r.x[0] + 1.0)];
        /// √x.
        Sqrt = "sqrt" (Float) f64 |x| x.sqrt(), f32 |x| x.sqrt(), int no_int, grad [|r| r.dy / (r.y * 2.0)];
        /// sin x, x in radians.
        Sin = "sin" (Float) f64 libm::sin, f32 math::sin, int no_int,
            grad [|r| r.dy * r.x[0].op(ScalarOp::Cos)];
        /// cos x, x in radians.
        Cos = "cos" (Float) f64 libm::cos, f32 math::cos, int no_int,
            grad [|r| -(r.dy * r.x[0].op(ScalarOp::Sin))];
        /// The hyperbolic tangent.
        Tanh = "tanh" (Float) f64 libm::tanh, f32 math::tanh, int no_int,
            grad [|r| r.dy * (1.0 - r.y * r.y)];
        /// 1 / (1 + e⁻ˣ).
        Sigmoid = "sigmoid" (Float) f64 |x| 1.0 / (1.0 + libm::exp(-x)), f32 math::sigmoid, int no_int,
            grad [|r| r.dy * (r.y * (1.0 - r.y))];
        /// The error function.
        Erf = "erf" (Float) f64 libm::erf, f32 math::erf, int no_int,
            grad [|r| r.dy * ((-(r.x[0] * r.x[0])).op(ScalarOp::Exp) * std::f64::consts::FRAC_2_SQRT_PI)];
        /// The distribution function of the normal distribution.
        Ndtr = "ndtr" (Float) f64 math::ndtr_f64, f32 math::ndtr, int no_int,
            grad [|r| r.dy * ((r.x[0] * r.x[0] * -0.5).op(ScalarOp::Exp) * math::NORMAL_PEAK)];
        /// The complementary error function 1 − erf x, accurate where erf x is near 1.
        Erfc = "erfc" (Float) f64 libm::erfc, f32 math::erfc, int no_int,
            grad [|r| r.dy * ((-(r.x[0] * r.x[0])).op(ScalarOp::Exp) * -std::f64::consts::FRAC_2_SQRT_PI)];
        /// The inverse of the error function; ±∞ at ±1, NaN beyond.
        Erfinv = "erfinv" (Float) f64 math::erfinv_f64, f32 math::erfinv, int no_int,
            grad [|r| r.dy * ((r.y * r.y).op(ScalarOp::Exp) * (1.0 / std::f64::consts::FRAC_2_SQRT_PI))];
        /// The angle in [−π/2, π/2] whose sine is x; NaN beyond ±1.
        Asin = "asin" (Float) f64 libm::asin, f32 math::asin, int no_int,
            grad [|r| r.dy / (1.0 - r.x[0] * r.x[0]).op(ScalarOp::Sqrt)];
        /// The angle in [0, π] whose cosine is x; NaN beyond ±1.
        Acos = "acos" (Float) f64 libm::acos, f32 math::acos, int no_int,
            grad [|r| -(r.dy / (1.0 - r.x[0] * r.x[0]).op(ScalarOp::Sqrt))];
        /// log |Γ(x)|; ∞ at 0 and at negative integers.
        Lgamma = "lgamma" (Float) f64 libm::lgamma, f32 math::lgamma, int no_int,
            grad [|r| r.dy * r.x[0].op(ScalarOp::Digamma)];
        /// The derivative of log Γ(x); NaN at negative integers, ∓∞ at ±0.
        Digamma = "digamma" (Float) f64 math::digamma_f64, f32 math::digamma, int no_int,
            grad [|r| r.dy * trigamma(r.x[0])];
        /// The largest integer not above x.
        Floor = "floor" (Number) f64 |x| x.floor(), f32 |x| x.floor(), int |x| x, grad [|r| r.dy.constant(0.0)];
        /// The smallest integer not below x.
        Ceil = "ceil" (Number) f64 |x| x.ceil(), f32 |x| x.ceil(), int |x| x, grad [|r| r.dy.constant(0.0)];
        /// The nearest integer, halves to even.
        Round = "round" (Number) f64 |x| x.round_ties_even(), f32 |x| x.round_ties_even(), int |x| x, grad [|r| r.dy.constant(0.0)];
        /// Not, bit by bit; on `bool` the logical not.
        Not = "bitwise_not" (Logic) f64 no_float, f32 no_float, int |x| !x, grad [];
    }
    binary {
        /// a + b.
        Add = "add" (Number) f64 |a, b| a + b, f32 |a, b| a + b, int |a, b| a.wrapping_add(b),
            grad [|r| r.dy, |r| r.dy];
        /// a − b.
        Sub = "sub" (Number) f64 |a, b| a - b, f32 |a, b| a - b, int |a, b| a.wrapping_sub(b),
            grad [|r| r.dy, |r| -r.dy];
        /// a · b.
        Mul = "mul" (Number) f64 |a, b| a * b, f32 |a, b| a * b, int |a, b| a.wrapping_mul(b),
            grad [|r| r.dy * r.x[1], |r| r.dy * r.x[0]];
        /// a / b; integers are cast to floats before they get here, as in PyTorch.
        Div = "div" (Float) f64 |a, b| a / b, f32 |a, b| a / b, int no_int2,
            grad [|r| r.dy / r.x[1], |r| -(r.dy * r.y) / r.x[1]];
        /// aᵇ. The gradient with respect to `a` is 0 where `b` is 0. Integers wrap; a negative exponent truncates.
        Pow = "pow" (Number) f64 libm::pow, f32 math::pow, int math::pow_i64,
            grad [
                |r| {
                    let slope = r.dy * (r.x[1] * r.x[0].pow(r.x[1] - 1.0));
                    r.x[1].equals(r.x[1].constant(0.0)).select(slope.constant(0.0), slope)
                },
                |r| {
                    // 0^b is flat in b for b > 0: log 0 must not make it NaN.
                    let flat = r.x[0].equals(r.x[0].constant(0.0)).and(r.x[1].at_least(r.x[1].constant(0.0)));
                    flat.select(r.dy.constant(0.0), r.dy * (r.y * r.x[0].op(ScalarOp::Log)))
                }
            ];
        /// The greater; NaN if either is. Ties share the gradient.
        Maximum = "maximum" (Number)
            f64 |a, b| if a.is_nan() || a >= b { a } else { b },
            f32 |a, b| if a.is_nan() || a >= b { a } else { b },
            int |a, b| a.max(b),
            grad [|r| r.x[0].winner(r.y, r.x[1], r.dy), |r| r.x[1].winner(r.y, r.x[0], r.dy)];
        /// The lesser; NaN if either is. Ties share the gradient.
        Minimum = "minimum" (Number)
            f64 |a, b| if a.is_nan() || a <= b { a } else { b },
            f32 |a, b| if a.is_nan() || a <= b { a } else { b },
            int |a, b| a.min(b),
            grad [|r| r.x[0].winner(r.y, r.x[1], r.dy), |r| r.x[1].winner(r.y, r.x[0], r.dy)];
        /// The angle of the point (b, a) in [−π, π], C's `atan2`. At the origin the gradient is 0.
        Atan2 = "atan2" (Float) f64 libm::atan2, f32 math::atan2, int no_int2,
            grad [|r| r.dy * (r.x[1] * inverse_square(r)), |r| -(r.dy * (r.x[0] * inverse_square(r)))];
        /// a − b · trunc(a / b), exactly: the remainder with the sign of a.
        Fmod = "fmod" (Float) f64 |a, b| a % b, f32 math::fmod, int no_int2,
            grad [|r| r.dy, |r| -(r.dy * r.x[0].apply(ScalarOp::DivTrunc, &[r.x[1]]))];
        /// a / b without its fraction; the quotient rounds to the dtype first. For integers, a / 0 is 0: whoever records it checks the divisor.
        DivTrunc = "div_trunc" (Number) f64 |a, b| (a / b).trunc(), f32 |a, b| (a / b).trunc(),
            int |a, b| if b == 0 { 0 } else { a.wrapping_div(b) },
            grad [|r| r.dy.constant(0.0), |r| r.dy.constant(0.0)];
        /// `dy` where the ReLU that gave `y` was open, else 0.
        ReluGrad = "relu_grad" (Float)
            f64 |y, dy| if y <= 0.0 { 0.0 } else { dy }, f32 |y, dy| if y <= 0.0 { 0.0 } else { dy }, int no_int2,
            grad [|r| r.dy.constant(0.0), |r| r.x[0].relu_grad(r.dy)];
        /// And, bit by bit; on `bool` the logical and.
        And = "bitwise_and" (Logic) f64 no_float2, f32 no_float2, int |a, b| a & b, grad [];
        /// Or, bit by bit; on `bool` the logical or.
        Or = "bitwise_or" (Logic) f64 no_float2, f32 no_float2, int |a, b| a | b, grad [];
        /// Exclusive or, bit by bit; on `bool` the logical one.
        Xor = "bitwise_xor" (Logic) f64 no_float2, f32 no_float2, int |a, b| a ^ b, grad [];
        /// a · 2ᵇ, wrapping; 0 where b is negative or not below the width.
        Shl = "bitwise_left_shift" (Logic) f64 no_float2, f32 no_float2, int math::shift_left, grad [];
        /// a / 2ᵇ, rounded down; the sign alone where b is negative or not below the width.
        Shr = "bitwise_right_shift" (Logic) f64 no_float2, f32 no_float2, int math::shift_right, grad [];
    }
    compare {
        /// a = b.
        Eq = "eq" ==;
        /// a ≠ b; true for NaN.
        Ne = "ne" !=;
        /// a < b.
        Lt = "lt" <;
        /// a ≤ b.
        Le = "le" <=;
        /// a > b.
        Gt = "gt" >;
        /// a ≥ b.
        Ge = "ge" >=;
    }
}

impl ScalarOp {
    /// The meaning on `bool`: logic ops work on the one bit, the others on 0 and 1 with "not zero" as true.
    pub fn eval_bool(self, x: &[bool]) -> bool {
        let x: Vec<i64> = x.iter().map(|&b| i64::from(b)).collect();
        let y = self.eval_i64(&x);
        if self.signature() == Signature::Logic { y & 1 == 1 } else { y != 0 }
    }

    /// The result type: operands of one dtype (for `where`, after the condition), broadcast together.
    pub fn infer(self, inputs: &[&Type]) -> Result<Type, String> {
        let name = self.name();
        if inputs.len() != self.arity() {
            return Err(format!("{name} takes {} operands, not {}", self.arity(), inputs.len()));
        }
        let skip = usize::from(self == ScalarOp::Where);
        let dtype = inputs[skip].dtype;
        if inputs[skip..].iter().any(|t| t.dtype != dtype) {
            return Err(format!("{name}: operands of different dtypes: {}", list(inputs)));
        }
        let result = match self.signature() {
            Signature::Float if !dtype.is_float() => {
                return Err(format!("{name} needs floats, not {dtype}; cast first"));
            }
            Signature::Logic if dtype.is_float() => {
                return Err(format!(
                    "{name} needs bool or integers, not {dtype}; compare or cast first"
                ));
            }
            Signature::Select if inputs[0].dtype != DType::Bool => {
                return Err(format!("where: the condition must be bool, not {}", inputs[0].dtype));
            }
            Signature::Compare => DType::Bool,
            _ => dtype,
        };
        let mut shape = Cow::Borrowed(&inputs[0].shape);
        for t in &inputs[1..] {
            if *shape == t.shape {
                continue;
            }
            let broadcast = shape.broadcast(&t.shape).ok_or_else(|| {
                format!(
                    "{name}: shapes {} do not broadcast: from the last axis backwards, sizes must be equal or 1",
                    list_shapes(inputs)
                )
            })?;
            shape = Cow::Owned(broadcast);
        }
        Ok(Type { shape: shape.into_owned(), dtype: result })
    }
}

fn list(inputs: &[&Type]) -> String {
    inputs.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(", ")
}
fn list_shapes(inputs: &[&Type]) -> String {
    inputs.iter().map(|t| t.shape.to_string()).collect::<Vec<_>>().join(" and ")
}
