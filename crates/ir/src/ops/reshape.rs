//! The same elements in the same order under another shape.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, Vjp, one};
use crate::{Array, Shape, Type};

/// Gives a tensor another shape of equal size.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// The new shape.
    pub shape: Shape,
}

impl Primitive for Reshape {
    const NAME: &'static str = "reshape";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        if x.shape.numel() != self.shape.numel() {
            return Err(format!(
                "reshape: {} has {} elements, {} would have {}",
                x.shape,
                x.shape.numel(),
                self.shape,
                self.shape.numel()
            ));
        }
        Ok(Type { shape: self.shape.clone(), dtype: x.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        Some(smallvec![Some(v.dy.reshape(v.x[0].shape()))])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        Ok(x[0].reshaped(ty.shape.clone()))
    }

    fn attributes(&self) -> String {
        self.shape.to_string()
    }

    fn samples() -> Vec<Sample> {
        let to = |shape: &[usize]| Reshape { shape: shape.into() };
        vec![
            Sample::unary(to(&[3, 4]), [12]),
            Sample::unary(to(&[4, 1, 3]), [2, 6]),
            Sample::unary(to(&[]), [1, 1]),
            Sample::unary(to(&[2, 0]), [0]),
        ]
    }
}
