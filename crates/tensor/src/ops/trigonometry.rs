//! Trigonometric and hyperbolic functions.
//!
//! Where a formula fails for some arguments, those are replaced before it and the result after it: a gradient
//! through the formula is then never the product of 0 and ∞.

use std::f64::consts::{LN_2, PI};

use gradus_ir::Scalar;
use gradus_ir::scalar::ScalarOp;

use super::arithmetic::binary;
use super::{IntoOperand, Operator};
use crate::tensor::Tensor;

/// From here on √(x² ± 1) is |x|, also in double precision.
const HUGE: f64 = (1_u64 << 28) as f64;

impl Tensor {
    /// tan x, in radians.
    #[track_caller]
    pub fn tan(&self) -> Tensor {
        self.sin() / self.cos()
    }

    /// The angle in [−π/2, π/2] whose tangent is x.
    #[track_caller]
    pub fn atan(&self) -> Tensor {
        binary(ScalarOp::Atan2, Operator::Borrowed(self), Operator::Number(Scalar::F64(1.0)))
    }

    /// (eˣ − e⁻ˣ) / 2, accurate near 0.
    #[track_caller]
    pub fn sinh(&self) -> Tensor {
        let x = self.floating();
        let small = x.abs().lt(1.0);
        let m = Tensor::where_(&small, &x, 0.0).expm1();
        let near = (&m + &m / (&m + 1.0)) * 0.5;
        let (up, down) = half_exponentials(&x);
        Tensor::where_(&small, near, &up * 0.5 * &up - &down * 0.5 * &down)
    }

    /// (eˣ + e⁻ˣ) / 2.
    #[track_caller]
    pub fn cosh(&self) -> Tensor {
        let (up, down) = half_exponentials(&self.floating());
        &up * 0.5 * &up + &down * 0.5 * &down
    }

    /// The inverse of [`sinh`](Tensor::sinh).
    #[track_caller]
    pub fn asinh(&self) -> Tensor {
        let x = self.floating();
        let negative = x.lt(0.0);
        // Not `abs`, whose gradient at 0 is 0.
        let a = Tensor::where_(&negative, -&x, &x);
        let huge = a.gt(HUGE);
        let b = Tensor::where_(&huge, 1.0, &a);
        let near = (&b + &b * &b / ((&b * &b + 1.0).sqrt() + 1.0)).log1p();
        let far = Tensor::where_(&huge, a, 1.0).log() + LN_2;
        let y = Tensor::where_(&huge, far, near);
        Tensor::where_(&negative, -&y, &y)
    }

    /// The inverse of [`cosh`](Tensor::cosh); NaN below 1.
    #[track_caller]
    pub fn acosh(&self) -> Tensor {
        let x = self.floating();
        let huge = x.gt(HUGE);
        let t = Tensor::where_(&huge, 2.0, &x) - 1.0;
        let near = (&t + t.sqrt() * (&t + 2.0).sqrt()).log1p();
        let far = Tensor::where_(&huge, &x, 2.0).log() + LN_2;
        Tensor::where_(&huge, far, near)
    }

    /// The inverse of [`tanh`](Tensor::tanh): ±∞ at ±1, NaN beyond.
    #[track_caller]
    pub fn atanh(&self) -> Tensor {
        let x = self.floating();
        (x.log1p() - x.neg().log1p()) * 0.5
    }

    /// √(x² + y²), without overflow; ∞ if either is infinite.
    #[track_caller]
    pub fn hypot(&self, other: impl IntoOperand) -> Tensor {
        let (x, y) = self.paired(&other.into_operand(), true);
        let infinite = x.isinf().bitwise_or(y.isinf());
        // A power of the result as scale: it takes no part in the gradient.
        let scale = x.abs().maximum(y.abs()).detach();
        let usable = scale.gt(0.0).bitwise_and(scale.isfinite());
        let scale = Tensor::where_(&usable, scale, 1.0);
        let (a, b) = (x / &scale, y / &scale);
        let root = (&a * &a + &b * &b).sqrt() * scale;
        Tensor::where_(&infinite, f64::INFINITY, root)
    }

    /// sin(πx) / (πx), and 1 at 0.
    #[track_caller]
    pub fn sinc(&self) -> Tensor {
        let x = self.floating();
        let zero = x.eq(0.0);
        let t = Tensor::where_(&zero, 1.0, x) * PI;
        Tensor::where_(&zero, 1.0, t.sin() / &t)
    }

    /// Degrees as radians.
    #[track_caller]
    pub fn deg2rad(&self) -> Tensor {
        self * (PI / 180.0)
    }

    /// Radians as degrees.
    #[track_caller]
    pub fn rad2deg(&self) -> Tensor {
        self * (180.0 / PI)
    }
}

/// e^(x/2) and e^(−x/2): their halved squares overflow where the result does, not before.
#[track_caller]
fn half_exponentials(x: &Tensor) -> (Tensor, Tensor) {
    ((x * 0.5).exp(), (x * -0.5).exp())
}
