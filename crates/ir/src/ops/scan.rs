//! Running sums along an axis.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, SampleInput, Vjp, check_axes, one};
use crate::array::{for_each_index, ravel};
use crate::{Array, Shape, Type, Values};

/// `y[…, i, …] = Σⱼ≤ᵢ x[…, j, …]` along an axis, added one after the other; from the end if `reverse`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CumSum {
    /// The axis.
    pub axis: usize,
    /// Whether the last element comes first.
    pub reverse: bool,
}

impl Primitive for CumSum {
    const NAME: &'static str = "cumsum";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        check_axes(Self::NAME, &[self.axis], &x.shape)?;
        Ok(x.clone())
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let back = CumSum { axis: self.axis, reverse: !self.reverse };
        Some(smallvec![Some(v.dy.apply(back, &[]))])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let n = ty.shape[self.axis];
        let mut lines = Vec::new();
        for_each_index(&ty.shape.with_dim(self.axis, usize::from(n > 0)), |start| {
            let mut line: Vec<usize> = Vec::with_capacity(n);
            for i in 0..n {
                let mut at = start.to_vec();
                at[self.axis] = if self.reverse { n - 1 - i } else { i };
                line.push(ravel(&ty.shape, &at));
            }
            lines.push(line);
        });
        Ok(match x[0].values() {
            Values::Float(v) => {
                let mut y = v.clone();
                for line in &lines {
                    line.windows(2).for_each(|w| y[w[1]] += y[w[0]]);
                }
                Array::float(ty.clone(), y)
            }
            Values::Int(v) => {
                let mut y = v.clone();
                for line in &lines {
                    line.windows(2).for_each(|w| y[w[1]] = y[w[1]].wrapping_add(y[w[0]]));
                }
                Array::int(ty.clone(), y)
            }
        })
    }

    fn attributes(&self) -> String {
        format!("axis={}{}", self.axis, if self.reverse { " reverse" } else { "" })
    }

    fn flops(&self, _: &[&Shape], y: &Shape) -> usize {
        y.numel()
    }

    fn samples() -> Vec<Sample> {
        let of = |axis, reverse| CumSum { axis, reverse };
        vec![
            Sample::unary(of(0, false), [9]),
            Sample::unary(of(1, false), [3, 70]),
            Sample::unary(of(0, true), [5, 33]),
            Sample::unary(of(1, true), [2, 3, 4]),
            Sample::unary(of(0, false), [1, 3]),
            Sample::unary(of(1, false), [2, 0]),
            Sample::new(of(1, false), vec![SampleInput::index([2, 7], 100)]),
        ]
    }
}
