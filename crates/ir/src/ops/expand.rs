//! Broadcasting made explicit.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, Vjp, one};
use crate::array::ravel;
use crate::{Array, Shape, Type};

/// Repeats a tensor along axes of size 1 and along new leading axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expand {
    /// The new shape.
    pub shape: Shape,
}

impl Primitive for Expand {
    const NAME: &'static str = "expand";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        if !x.shape.broadcasts_to(&self.shape) {
            return Err(format!(
                "expand: {} does not broadcast to {}: only axes of size 1 and new leading axes can grow",
                x.shape, self.shape
            ));
        }
        Ok(Type { shape: self.shape.clone(), dtype: x.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        Some(smallvec![Some(v.dy.sum_to(&v.x[0].shape()))])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        Ok(broadcast(x[0], &ty.shape))
    }

    fn attributes(&self) -> String {
        self.shape.to_string()
    }

    fn samples() -> Vec<Sample> {
        let to = |shape: &[usize]| Expand { shape: shape.into() };
        vec![
            Sample::unary(to(&[3, 4]), [4]),
            Sample::unary(to(&[2, 3, 4]), [3, 1]),
            Sample::unary(to(&[5]), []),
            Sample::unary(to(&[0, 4]), [1, 4]),
            Sample::unary(to(&[4]), [4]),
        ]
    }
}

pub(super) fn broadcast(x: &Array, shape: &Shape) -> Array {
    if x.shape() == shape {
        return x.clone();
    }
    let skip = shape.rank() - x.shape().rank();
    x.gathered(shape.clone(), |index| {
        let source: Vec<usize> =
            index[skip..].iter().zip(&x.shape()[..]).map(|(&i, &d)| i.min(d - 1)).collect();
        ravel(x.shape(), &source)
    })
}
