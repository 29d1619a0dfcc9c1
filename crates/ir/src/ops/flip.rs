//! An axis in reverse order.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, Vjp, check_axes, one};
use crate::array::ravel;
use crate::{Array, Type};

/// `y[…, i, …] = x[…, n − 1 − i, …]` along an axis of `n` elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flip {
    /// The axis.
    pub axis: usize,
}

impl Primitive for Flip {
    const NAME: &'static str = "flip";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        check_axes(Self::NAME, &[self.axis], &x.shape)?;
        Ok(x.clone())
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        Some(smallvec![Some(v.dy.apply(self.clone(), &[]))])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        Ok(x[0].gathered(ty.shape.clone(), |index| {
            let mut source = index.to_vec();
            source[self.axis] = ty.shape[self.axis] - 1 - index[self.axis];
            ravel(x[0].shape(), &source)
        }))
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.axis)
    }

    fn samples() -> Vec<Sample> {
        vec![
            Sample::unary(Flip { axis: 0 }, [5]),
            Sample::unary(Flip { axis: 1 }, [2, 67]),
            Sample::unary(Flip { axis: 0 }, [3, 1, 2]),
            Sample::unary(Flip { axis: 1 }, [2, 0]),
        ]
    }
}
