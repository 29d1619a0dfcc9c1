//! Sliding windows along one axis, as `torch.Tensor.unfold`: a view in which neighbours overlap.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, Vjp, check_axes, one};
use crate::array::ravel;
use crate::{Array, Type};

/// `y[…, i, …, k] = x[…, i · step + k · dilation, …]`: the axis counts windows, a new last axis the elements of
/// each. Elements after the last whole window are left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The axis.
    pub axis: usize,
    /// How many elements a window has.
    pub size: usize,
    /// From one window to the next, at least 1.
    pub step: usize,
    /// From one element of a window to the next, at least 1.
    pub dilation: usize,
}

impl Window {
    /// From the first element of a window to the last, both included.
    pub fn span(&self) -> usize {
        (self.size - 1) * self.dilation + 1
    }

    /// How many windows there are in `n` elements; `None` if not one fits.
    pub fn count(&self, n: usize) -> Option<usize> {
        n.checked_sub(self.span()).map(|rest| rest / self.step + 1)
    }
}

impl Primitive for Window {
    const NAME: &'static str = "window";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        check_axes(Self::NAME, &[self.axis], &x.shape)?;
        if self.size == 0 || self.step == 0 || self.dilation == 0 {
            return Err("window: size, step and dilation must be at least 1".into());
        }
        let n = x.shape[self.axis];
        let count = self.count(n).ok_or_else(|| {
            format!(
                "window: {} elements in a row, but axis {} of shape {} has {n}",
                self.span(),
                self.axis,
                x.shape
            )
        })?;
        let mut shape = x.shape.with_dim(self.axis, count).to_vec();
        shape.push(self.size);
        Ok(Type { shape: shape.into(), dtype: x.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        Some(smallvec![Some(v.dy.overlap_add(self, v.x[0].shape()[self.axis]))])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        Ok(x[0].gathered(ty.shape.clone(), |index| {
            let (&k, at) = index.split_last().expect("a window has an axis");
            let mut source = at.to_vec();
            source[self.axis] = at[self.axis] * self.step + k * self.dilation;
            ravel(x[0].shape(), &source)
        }))
    }

    fn attributes(&self) -> String {
        let Window { axis, size, step, dilation } = self;
        format!("axis={axis} size={size} step={step} dilation={dilation}")
    }

    fn samples() -> Vec<Sample> {
        let of = |axis, size, step, dilation| Window { axis, size, step, dilation };
        vec![
            Sample::unary(of(0, 3, 1, 1), [7]),
            Sample::unary(of(1, 2, 2, 1), [2, 7]),
            Sample::unary(of(1, 3, 2, 2), [2, 9, 3]),
            Sample::unary(of(0, 1, 3, 1), [5, 2]),
            Sample::unary(of(0, 5, 1, 1), [5]),
            Sample::unary(of(1, 2, 1, 1), [0, 4]),
        ]
    }
}
