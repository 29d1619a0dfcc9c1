//! Zeros around, and between, the elements of one axis: the transpose of slicing.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, Slice, Vjp, check_axes, one};
use crate::array::{for_each_index, ravel};
use crate::{Array, Type, Values};

/// Surrounds an axis with zeros, and with `step > 1` spreads its elements `step` apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// The axis.
    pub axis: usize,
    /// Zeros before the first element.
    pub before: usize,
    /// Zeros after the last element.
    pub after: usize,
    /// The distance between elements, at least 1.
    pub step: usize,
}

impl Primitive for Pad {
    const NAME: &'static str = "pad";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        check_axes(Self::NAME, &[self.axis], &x.shape)?;
        if self.step == 0 {
            return Err("pad: the step must be at least 1".into());
        }
        let n = x.shape[self.axis];
        let span = if n == 0 { 0 } else { (n - 1) * self.step + 1 };
        let size = self.before + span + self.after;
        Ok(Type { shape: x.shape.with_dim(self.axis, size), dtype: x.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let len = v.x[0].shape()[self.axis];
        let slice = Slice { axis: self.axis, start: self.before, len, step: self.step };
        Some(smallvec![Some(v.dy.slice(slice))])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let mut picks: Vec<Option<usize>> = vec![None; ty.shape.numel()];
        let mut from = 0;
        for_each_index(x[0].shape(), |index| {
            let mut to = index.to_vec();
            to[self.axis] = self.before + index[self.axis] * self.step;
            picks[ravel(&ty.shape, &to)] = Some(from);
            from += 1;
        });
        Ok(match x[0].values() {
            Values::Float(v) => {
                Array::float(ty.clone(), picks.iter().map(|p| p.map_or(0.0, |i| v[i])).collect())
            }
            Values::Int(v) => {
                Array::int(ty.clone(), picks.iter().map(|p| p.map_or(0, |i| v[i])).collect())
            }
        })
    }

    fn attributes(&self) -> String {
        let Pad { axis, before, after, step } = self;
        format!("axis={axis} before={before} after={after} step={step}")
    }

    fn samples() -> Vec<Sample> {
        let of = |axis, before, after, step| Pad { axis, before, after, step };
        vec![
            Sample::unary(of(0, 2, 1, 1), [3]),
            Sample::unary(of(1, 0, 3, 2), [2, 4]),
            Sample::unary(of(0, 1, 1, 3), [2, 3]),
            Sample::unary(of(0, 2, 0, 1), [0, 2]),
            Sample::unary(of(1, 0, 0, 1), [2, 1]),
        ]
    }
}
