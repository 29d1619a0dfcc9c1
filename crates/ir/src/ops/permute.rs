//! Axes in another order.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, Vjp, one};
use crate::array::ravel;
use crate::{Array, Axes, Type};

/// Reorders axes: axis `i` of the result is axis `axes[i]` of the operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permute {
    /// The operand's axes in the result's order.
    pub axes: Axes,
}

impl Permute {
    fn inverse(&self) -> Axes {
        let mut inverse = self.axes.clone();
        for (i, &a) in self.axes.iter().enumerate() {
            inverse[a] = i;
        }
        inverse
    }
}

impl Primitive for Permute {
    const NAME: &'static str = "permute";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        let mut seen = self.axes.clone();
        seen.sort_unstable();
        if !seen.iter().copied().eq(0..x.shape.rank()) {
            return Err(format!(
                "permute: {:?} must name each of the {} axes of {} once",
                self.axes.as_slice(),
                x.shape.rank(),
                x.shape
            ));
        }
        Ok(Type { shape: self.axes.iter().map(|&a| x.shape[a]).collect(), dtype: x.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        Some(smallvec![Some(v.dy.permute(&self.inverse()))])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let inverse = self.inverse();
        Ok(x[0].gathered(ty.shape.clone(), |index| {
            let source: Vec<usize> = inverse.iter().map(|&i| index[i]).collect();
            ravel(x[0].shape(), &source)
        }))
    }

    fn attributes(&self) -> String {
        format!("{:?}", self.axes.as_slice())
    }

    fn samples() -> Vec<Sample> {
        let by = |axes: &[usize]| Permute { axes: axes.into() };
        vec![
            Sample::unary(by(&[1, 0]), [3, 5]),
            Sample::unary(by(&[2, 0, 1]), [2, 3, 4]),
            Sample::unary(by(&[0, 2, 1]), [2, 1, 4]),
            Sample::unary(by(&[1, 0]), [0, 3]),
            Sample::unary(by(&[]), []),
        ]
    }
}
