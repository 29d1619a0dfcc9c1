//! The position of the maximum along an axis.

use super::{Primitive, Sample, check_axes, one};
use crate::array::{for_each_index, ravel};
use crate::{Array, DType, Type, Values};

/// The index of the first maximum along an axis; the first NaN, if there is one, counts as the maximum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgMax {
    /// The axis.
    pub axis: usize,
    /// Whether the axis stays, with size 1.
    pub keepdim: bool,
}

impl Primitive for ArgMax {
    const NAME: &'static str = "argmax";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        check_axes(Self::NAME, &[self.axis], &x.shape)?;
        if x.shape[self.axis] == 0 {
            return Err(format!("argmax over no elements has no value: shape {}", x.shape));
        }
        let axes = [self.axis];
        let shape = if self.keepdim { x.shape.keeping(&axes) } else { x.shape.without(&axes) };
        Ok(Type { shape, dtype: DType::I64 })
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let shape = x[0].shape();
        let kept = shape.keeping(&[self.axis]);
        // Whether the element at `i` takes the lead from the one at `j`.
        let leads = |i: usize, j: usize| match x[0].values() {
            Values::Float(v) => v[i] > v[j] || (v[i].is_nan() && !v[j].is_nan()),
            Values::Int(v) => v[i] > v[j],
        };
        let mut y = Vec::with_capacity(ty.shape.numel());
        for_each_index(&kept, |index| {
            let at = |k: usize| {
                let mut at = index.to_vec();
                at[self.axis] = k;
                ravel(shape, &at)
            };
            let best = (0..shape[self.axis])
                .fold(0, |best, k| if leads(at(k), at(best)) { k } else { best });
            y.push(best as i64);
        });
        Ok(Array::int(ty.clone(), y))
    }

    fn attributes(&self) -> String {
        format!("axis={}{}", self.axis, if self.keepdim { ", keepdim" } else { "" })
    }

    fn samples() -> Vec<Sample> {
        let of = |axis, keepdim| ArgMax { axis, keepdim };
        vec![
            Sample::unary(of(0, false), [9]),
            Sample::unary(of(1, false), [5, 10]),
            Sample::unary(of(0, true), [5, 10]),
            Sample::unary(of(1, false), [2, 1, 3]),
            Sample::unary(of(1, false), [0, 3]),
            Sample::new(of(1, false), vec![super::SampleInput::index([4, 6], 3)]),
        ]
    }
}
