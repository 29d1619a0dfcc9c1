//! Sums, maxima and minima over axes.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, Vjp, check_axes, one};
use crate::array::{for_each_index, ravel};
use crate::{Array, Axes, Type, Values};

/// How elements are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// The sum; 0 over nothing.
    Sum,
    /// The maximum; NaN if any element is.
    Max,
    /// The minimum; NaN if any element is.
    Min,
}

/// Combines the elements along axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// How.
    pub kind: ReduceKind,
    /// Along which axes, ascending.
    pub axes: Axes,
    /// Whether the axes stay, with size 1.
    pub keepdim: bool,
}

impl ReduceKind {
    /// The name, as PyTorch spells it.
    pub const fn name(self) -> &'static str {
        match self {
            ReduceKind::Sum => "sum",
            ReduceKind::Max => "amax",
            ReduceKind::Min => "amin",
        }
    }
}

impl Primitive for Reduce {
    const NAME: &'static str = "reduce";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(self.kind.name(), x)?;
        check_axes(self.kind.name(), &self.axes, &x.shape)?;
        if self.kind != ReduceKind::Sum && self.axes.iter().any(|&a| x.shape[a] == 0) {
            let name = self.kind.name();
            return Err(format!("{name} over no elements has no value: shape {}", x.shape));
        }
        let shape =
            if self.keepdim { x.shape.keeping(&self.axes) } else { x.shape.without(&self.axes) };
        Ok(Type { shape, dtype: x.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let shape = v.x[0].shape();
        if !v.x[0].dtype().is_float() {
            return Some(v.none());
        }
        let kept = shape.keeping(&self.axes);
        let dy = v.dy.reshape(kept.clone());
        if self.kind == ReduceKind::Sum {
            return Some(smallvec![Some(dy.expand(shape))]);
        }
        // Ties share the gradient, as `torch.amax` does. A NaN result has no winner: it takes all, so that
        // the NaN reaches the gradient too.
        let y = v.y.reshape(kept);
        let wins = v.x[0].equals(y).cast(v.dy.dtype());
        let count = wins.sum(&self.axes, true);
        Some(smallvec![Some(wins * (dy / count))])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let kept = x[0].shape().keeping(&self.axes);
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); ty.shape.numel()];
        let mut at = 0;
        for_each_index(x[0].shape(), |index| {
            let out: Vec<usize> =
                index.iter().zip(&kept[..]).map(|(&i, &d)| i.min(d - 1)).collect();
            groups[ravel(&kept, &out)].push(at);
            at += 1;
        });
        Ok(match x[0].values() {
            Values::Float(v) => {
                let y = groups.iter().map(|g| {
                    let items = g.iter().map(|&i| v[i]);
                    match self.kind {
                        // Not `sum`, whose nothing is −0.
                        ReduceKind::Sum => items.fold(0.0, |a, b| a + b),
                        ReduceKind::Max => items.fold(f64::NEG_INFINITY, maximum),
                        ReduceKind::Min => -items.fold(f64::NEG_INFINITY, |a, b| maximum(a, -b)),
                    }
                });
                Array::float(ty.clone(), y.collect())
            }
            Values::Int(v) => {
                let y = groups.iter().map(|g| {
                    let items = g.iter().map(|&i| v[i]);
                    match self.kind {
                        ReduceKind::Sum => items.fold(0, i64::wrapping_add),
                        ReduceKind::Max => items.max().unwrap_or(0),
                        ReduceKind::Min => items.min().unwrap_or(0),
                    }
                });
                Array::int(ty.clone(), y.collect())
            }
        })
    }

    fn attributes(&self) -> String {
        let keepdim = if self.keepdim { ", keepdim" } else { "" };
        format!("{} axes={:?}{keepdim}", self.kind.name(), self.axes.as_slice())
    }

    fn samples() -> Vec<Sample> {
        let mut all = Vec::new();
        for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min] {
            let reduce = |axes: &[usize], keepdim| Reduce { kind, axes: axes.into(), keepdim };
            all.extend([
                Sample::unary(reduce(&[0], false), [7]),
                Sample::unary(reduce(&[0], false), [1]),
                Sample::unary(reduce(&[0], true), [5, 33]),
                Sample::unary(reduce(&[1], false), [5, 33]),
                Sample::unary(reduce(&[1], true), [2, 3, 4]),
                Sample::unary(reduce(&[0, 2], false), [3, 2, 5]),
                Sample::unary(reduce(&[0, 1, 2], false), [2, 3, 4]),
                Sample::unary(reduce(&[1], false), [0, 3]),
                Sample::unary(reduce(&[], false), [2, 2]),
            ]);
        }
        all.push(Sample::unary(
            Reduce { kind: ReduceKind::Sum, axes: [0].as_slice().into(), keepdim: false },
            [0, 3],
        ));
        all
    }
}

fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || a >= b { a } else { b }
}
