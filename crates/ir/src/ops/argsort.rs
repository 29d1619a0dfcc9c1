//! The order of the elements along an axis.

use std::cmp::Ordering;

use super::{Primitive, Sample, SampleInput, check_axes, one};
use crate::array::{for_each_index, ravel};
use crate::{Array, DType, Type, Values};

/// The positions of an axis' elements in ascending or descending order. Equal elements keep their order; NaN is
/// greater than everything, as in PyTorch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgSort {
    /// The axis.
    pub axis: usize,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// The order of floats in which NaN is the greatest.
pub fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl Primitive for ArgSort {
    const NAME: &'static str = "argsort";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        check_axes(Self::NAME, &[self.axis], &x.shape)?;
        Ok(Type { shape: x.shape.clone(), dtype: DType::I64 })
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let n = ty.shape[self.axis];
        let mut y = vec![0; ty.shape.numel()];
        for_each_index(&ty.shape.with_dim(self.axis, usize::from(n > 0)), |start| {
            let at = |i: usize| {
                let mut at = start.to_vec();
                at[self.axis] = i;
                ravel(&ty.shape, &at)
            };
            let compare = |&i: &usize, &j: &usize| {
                let order = match x[0].values() {
                    Values::Float(v) => compare_floats(v[at(i)], v[at(j)]),
                    Values::Int(v) => v[at(i)].cmp(&v[at(j)]),
                };
                if self.descending { order.reverse() } else { order }
            };
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(compare);
            for (i, &from) in order.iter().enumerate() {
                y[at(i)] = from as i64;
            }
        });
        Ok(Array::int(ty.clone(), y))
    }

    fn attributes(&self) -> String {
        format!("axis={}{}", self.axis, if self.descending { " descending" } else { "" })
    }

    fn samples() -> Vec<Sample> {
        let of = |axis, descending| ArgSort { axis, descending };
        vec![
            Sample::unary(of(0, false), [9]),
            Sample::unary(of(1, true), [3, 70]),
            Sample::unary(of(0, true), [5, 3]),
            Sample::unary(of(1, false), [2, 0]),
            Sample::unary(of(0, false), [1, 3]),
            Sample::new(of(1, false), vec![SampleInput::index([4, 20], 3)]),
            Sample::new(of(1, true), vec![SampleInput::index([4, 20], 3)]),
        ]
    }
}
