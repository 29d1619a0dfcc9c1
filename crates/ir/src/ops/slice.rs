//! A part of one axis.

use smallvec::smallvec;

use super::{Grads, Pad, Primitive, Sample, Vjp, check_axes, one};
use crate::array::ravel;
use crate::{Array, Type};

/// Takes every `step`-th element of an axis, `len` of them from `start` on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The axis.
    pub axis: usize,
    /// The first element.
    pub start: usize,
    /// How many.
    pub len: usize,
    /// The distance from one to the next, at least 1.
    pub step: usize,
}

impl Slice {
    fn span(&self) -> usize {
        if self.len == 0 { 0 } else { (self.len - 1) * self.step + 1 }
    }
}

impl Primitive for Slice {
    const NAME: &'static str = "slice";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        check_axes(Self::NAME, &[self.axis], &x.shape)?;
        if self.step == 0 {
            return Err("slice: the step must be at least 1".into());
        }
        if self.start + self.span() > x.shape[self.axis] {
            return Err(format!(
                "slice: elements {}..{} of axis {}, which has {}: shape {}",
                self.start,
                self.start + self.span(),
                self.axis,
                x.shape[self.axis],
                x.shape
            ));
        }
        Ok(Type { shape: x.shape.with_dim(self.axis, self.len), dtype: x.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let after = v.x[0].shape()[self.axis] - self.start - self.span();
        let (axis, before, step) = (self.axis, self.start, self.step);
        Some(smallvec![Some(v.dy.pad(Pad { axis, before, after, step }))])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        Ok(x[0].gathered(ty.shape.clone(), |index| {
            let mut source = index.to_vec();
            source[self.axis] = self.start + index[self.axis] * self.step;
            ravel(x[0].shape(), &source)
        }))
    }

    fn attributes(&self) -> String {
        let Slice { axis, start, len, step } = self;
        format!("axis={axis} start={start} len={len} step={step}")
    }

    fn samples() -> Vec<Sample> {
        let of = |axis, start, len, step| Slice { axis, start, len, step };
        vec![
            Sample::unary(of(0, 2, 3, 1), [7]),
            Sample::unary(of(1, 1, 3, 2), [2, 7]),
            Sample::unary(of(0, 0, 4, 1), [4, 2]),
            Sample::unary(of(1, 3, 0, 1), [2, 3]),
            Sample::unary(of(1, 2, 1, 5), [2, 3, 2]),
        ]
    }
}
