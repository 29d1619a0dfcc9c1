//! Additions at indexed places along one axis, as `torch.scatter_add`: the transpose of gathering.

use smallvec::smallvec;

use super::gather::check_index;
use super::{Grads, Primitive, Sample, SampleInput, Vjp};
use crate::array::{for_each_index, ravel};
use crate::{Array, Shape, Type, Values};

/// `y = x`, then `y[…, index[…, i, …], …] += source[…, i, …]` along an axis, in the order of `i`.
///
/// Indices must lie in the axis: a [`Check`](super::Check) before it says which does not; a kernel leaves it
/// out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScatterAdd {
    /// The axis.
    pub axis: usize,
}

impl Primitive for ScatterAdd {
    const NAME: &'static str = "scatter_add";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let [x, index, source] = x else {
            return Err(format!(
                "scatter_add takes a tensor, an index and a source, not {}",
                x.len()
            ));
        };
        check_index(Self::NAME, self.axis, x, index)?;
        if source.shape != index.shape || source.dtype != x.dtype {
            return Err(format!(
                "scatter_add: the source must have the index's shape {} and the tensor's dtype {}, not {source}",
                index.shape, x.dtype
            ));
        }
        Ok((*x).clone())
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let source = v.needs[2].then(|| v.dy.gather(self.axis, v.x[1]));
        Some(smallvec![Some(v.dy), None, source])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let index = x[1].ints();
        let bound = ty.shape[self.axis] as i64;
        let mut additions = Vec::new();
        let mut from = 0;
        for_each_index(x[1].shape(), |at| {
            if (0..bound).contains(&index[from]) {
                let mut to = at.to_vec();
                to[self.axis] = index[from] as usize;
                additions.push((ravel(&ty.shape, &to), from));
            }
            from += 1;
        });
        Ok(match x[0].values() {
            Values::Float(v) => {
                let mut y = v.clone();
                for (to, from) in additions {
                    y[to] += x[2].floats()[from];
                }
                Array::float(ty.clone(), y)
            }
            Values::Int(v) => {
                let mut y = v.clone();
                for (to, from) in additions {
                    y[to] = y[to].wrapping_add(x[2].ints()[from]);
                }
                Array::int(ty.clone(), y)
            }
        })
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.axis)
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        x[2].numel()
    }

    fn samples() -> Vec<Sample> {
        let f = SampleInput::float::<2>;
        let i = SampleInput::index::<2>;
        vec![
            Sample::new(ScatterAdd { axis: 0 }, vec![f([4, 3]), i([6, 3], 4), f([6, 3])]),
            Sample::new(ScatterAdd { axis: 1 }, vec![f([4, 3]), i([4, 5], 3), f([4, 5])]),
            Sample::new(ScatterAdd { axis: 1 }, vec![f([4, 3]), i([2, 1], 3), f([2, 1])]),
            Sample::new(ScatterAdd { axis: 0 }, vec![f([4, 3]), i([0, 3], 4), f([0, 3])]),
        ]
    }
}
