//! Elements picked by an index along one axis, as `torch.gather`.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, SampleInput, Vjp, check_axes};
use crate::array::ravel;
use crate::{Array, DType, Type};

/// `y[…, i, …] = x[…, index[…, i, …], …]` along an axis.
///
/// Indices must lie in the axis: a [`Check`](super::Check) before it says which does not; a kernel reads 0
/// there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// The axis.
    pub axis: usize,
}

impl Primitive for Gather {
    const NAME: &'static str = "gather";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let [x, index] = x else {
            return Err(format!("gather takes a tensor and an index, not {} operands", x.len()));
        };
        check_index(Self::NAME, self.axis, x, index)?;
        Ok(Type { shape: index.shape.clone(), dtype: x.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let zeros = v.dy.constant(0.0).expand(v.x[0].shape());
        Some(smallvec![Some(zeros.scatter_add(self.axis, v.x[1], v.dy)), None])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let index = x[1].ints();
        let bound = x[0].shape()[self.axis] as i64;
        let padded = pad_with_zero(x[0]);
        let zero = x[0].shape().numel();
        let mut at = 0;
        let y = padded.gathered(ty.shape.clone(), |to| {
            let i = index[at];
            at += 1;
            let mut source = to.to_vec();
            source[self.axis] = i.max(0) as usize;
            if (0..bound).contains(&i) { ravel(x[0].shape(), &source) } else { zero }
        });
        Ok(y)
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.axis)
    }

    fn samples() -> Vec<Sample> {
        let f = SampleInput::float::<2>;
        let i = SampleInput::index::<2>;
        vec![
            Sample::new(Gather { axis: 0 }, vec![f([4, 3]), i([2, 3], 4)]),
            Sample::new(Gather { axis: 1 }, vec![f([4, 3]), i([4, 5], 3)]),
            Sample::new(Gather { axis: 1 }, vec![f([4, 3]), i([2, 1], 3)]),
            Sample::new(Gather { axis: 0 }, vec![f([4, 3]), i([0, 3], 4)]),
        ]
    }
}

/// The elements of `x` and one zero, as a vector.
fn pad_with_zero(x: &Array) -> Array {
    let ty = Type::new([x.shape().numel() + 1], x.ty().dtype);
    match x.values() {
        crate::Values::Float(v) => Array::float(ty, v.iter().copied().chain([0.0]).collect()),
        crate::Values::Int(v) => Array::int(ty, v.iter().copied().chain([0]).collect()),
    }
}

/// Checks that `index` can pick along `axis` of `x`: an integer tensor of the same rank, no larger on the
/// other axes.
pub(super) fn check_index(name: &str, axis: usize, x: &Type, index: &Type) -> Result<(), String> {
    check_axes(name, &[axis], &x.shape)?;
    if index.dtype != DType::I64 {
        return Err(format!("{name}: the index must be int64, not {}", index.dtype));
    }
    let fits = index.shape.rank() == x.shape.rank()
        && (0..x.shape.rank()).all(|a| a == axis || index.shape[a] <= x.shape[a]);
    if fits {
        Ok(())
    } else {
        Err(format!(
            "{name}: the index has shape {}, the tensor {}: it may be larger along axis {axis} only",
            index.shape, x.shape
        ))
    }
}
