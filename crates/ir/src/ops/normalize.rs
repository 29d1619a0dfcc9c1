//! Rows with mean 0 and variance 1: what layer, group and instance normalisation have in common.
//!
//! Both are fused ops: the body in ordinary ops is their meaning; a backend may go over each row once.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, SampleInput, Vjp, one};
use crate::graph::Expr;
use crate::scalar::ScalarOp;
use crate::{Scalar, Shape, Type};

/// `(x − mean) / √(variance + eps)` of each row: `[n, size]` → `[n, size]`. The variance is the biased one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Normalize {
    /// What is added to the variance.
    pub eps: Scalar,
}

/// The gradient of [`Normalize`]: its operand and the gradient of its result, both `[n, size]` → `[n, size]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NormalizeGrad {
    /// What is added to the variance.
    pub eps: Scalar,
}

/// The normal rows, and 1 / √(variance + eps) of each.
fn normal<'g>(x: Expr<'g>, eps: Scalar) -> [Expr<'g>; 2] {
    let centred = x - mean(x);
    let scale = 1.0 / (mean(centred * centred) + eps.to_f64()).op(ScalarOp::Sqrt);
    [centred * scale, scale]
}

/// The mean of each row, `[n, 1]`.
fn mean(x: Expr<'_>) -> Expr<'_> {
    x.sum(&[1], true) * (1.0 / x.shape()[1] as f64)
}

fn check(name: &str, x: &Type) -> Result<(), String> {
    if x.shape.rank() != 2 || x.shape[1] == 0 || !x.dtype.is_float() {
        return Err(format!(
            "{name}: expected floats [n, size] with a size of at least 1, not {x}"
        ));
    }
    Ok(())
}

impl Primitive for Normalize {
    const NAME: &'static str = "normalize";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        check(Self::NAME, x)?;
        Ok(x.clone())
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        Some(smallvec![Some(v.x[0].apply(NormalizeGrad { eps: self.eps }, &[v.dy]))])
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let [normal, _] = normal(x[0], self.eps);
        Some(normal)
    }

    fn attributes(&self) -> String {
        format!("eps={}", self.eps)
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        5 * x[0].numel()
    }

    fn samples() -> Vec<Sample> {
        cases().map(|(eps, x)| Sample::new(Normalize { eps }, vec![x])).collect()
    }
}

impl Primitive for NormalizeGrad {
    const NAME: &'static str = "normalize_grad";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let [x, dy] = x else {
            return Err(format!("{} takes two operands, not {}", Self::NAME, x.len()));
        };
        check(Self::NAME, x)?;
        if dy != x {
            return Err(format!("{}: gradient {dy} for rows {x}", Self::NAME));
        }
        Ok((*x).clone())
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let dy = x[1];
        let [normal, scale] = normal(x[0], self.eps);
        Some((dy - mean(dy) - normal * mean(dy * normal)) * scale)
    }

    fn attributes(&self) -> String {
        format!("eps={}", self.eps)
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        11 * x[0].numel()
    }

    fn samples() -> Vec<Sample> {
        cases().map(|(eps, x)| Sample::new(NormalizeGrad { eps }, vec![x.clone(), x])).collect()
    }
}

fn cases() -> impl Iterator<Item = (Scalar, SampleInput)> {
    [(0.1, [3, 5]), (0.2, [2, 70]), (0.5, [1, 33]), (0.3, [4, 1]), (0.1, [0, 3])]
        .into_iter()
        .map(|(eps, shape)| (Scalar::F64(eps), SampleInput::float(shape)))
}
