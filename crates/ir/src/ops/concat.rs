//! Tensors one after the other along an axis.

use super::{Grads, Primitive, Sample, SampleInput, Slice, Vjp, check_axes};
use crate::{Array, Type};

/// Joins tensors along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Primitive for Concat {
    const NAME: &'static str = "cat";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let Some(first) = x.first() else {
            return Err("cat: needs at least one tensor".into());
        };
        check_axes(Self::NAME, &[self.axis], &first.shape)?;
        let mut size = 0;
        for (i, t) in x.iter().enumerate() {
            if t.dtype != first.dtype {
                return Err(format!("cat: tensor {i} is {}, tensor 0 is {}", t.dtype, first.dtype));
            }
            let fits = t.shape.rank() == first.shape.rank()
                && t.shape.with_dim(self.axis, 0) == first.shape.with_dim(self.axis, 0);
            if !fits {
                return Err(format!(
                    "cat: tensor {i} has shape {}, tensor 0 has {}: they may differ along axis {} only",
                    t.shape, first.shape, self.axis
                ));
            }
            size += t.shape[self.axis];
        }
        Ok(Type { shape: first.shape.with_dim(self.axis, size), dtype: first.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let mut start = 0;
        let parts = v.x.iter().zip(v.needs).map(|(x, &need)| {
            let slice = Slice { axis: self.axis, start, len: x.shape()[self.axis], step: 1 };
            start += slice.len;
            need.then(|| v.dy.slice(slice))
        });
        Some(parts.collect())
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let inner: usize = ty.shape[self.axis + 1..].iter().product();
        let outer: usize = ty.shape[..self.axis].iter().product();
        let part = |a: &Array, o: usize| {
            let run = a.shape()[self.axis] * inner;
            o * run..(o + 1) * run
        };
        Ok(if ty.dtype.is_float() {
            let rows = (0..outer).flat_map(|o| x.iter().map(move |a| &a.floats()[part(a, o)]));
            Array::float(ty.clone(), rows.flatten().copied().collect())
        } else {
            let rows = (0..outer).flat_map(|o| x.iter().map(move |a| &a.ints()[part(a, o)]));
            Array::int(ty.clone(), rows.flatten().copied().collect())
        })
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.axis)
    }

    fn samples() -> Vec<Sample> {
        let f = SampleInput::float::<2>;
        vec![
            Sample::new(Concat { axis: 0 }, vec![f([2, 3]), f([1, 3]), f([0, 3])]),
            Sample::new(Concat { axis: 1 }, vec![f([2, 3]), f([2, 1]), f([2, 4])]),
            Sample::new(Concat { axis: 0 }, vec![SampleInput::index([3], 9)]),
        ]
    }
}
