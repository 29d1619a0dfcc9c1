//! Formulas over graph nodes: how gradient rules and the bodies of fused ops are written.

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::autograd::pull_back;
use crate::graph::{Graph, NodeId};
use crate::ops::{
    Cast, Concat, Expand, Gather, Grads, MatMul, Op, Pad, Permute, Reduce, ReduceKind, Reshape,
    ScatterAdd, Slice, Window,
};
use crate::scalar::ScalarOp;
use crate::{Axes, DType, Scalar, Shape, Type};

/// A node of a graph under construction. Operators append nodes; types must fit, so a rule that builds an
/// ill-typed formula is a defect and panics with the inference error.
#[derive(Clone, Copy)]
pub struct Expr<'g> {
    graph: &'g RefCell<Graph>,
    id: NodeId,
}

/// Runs `f` with formulas over `inputs` that append to `graph`.
pub fn build<R>(
    graph: &mut Graph,
    inputs: &[NodeId],
    f: impl for<'g> FnOnce(&[Expr<'g>]) -> R,
) -> R {
    let cell = RefCell::new(std::mem::take(graph));
    let exprs: Vec<Expr<'_>> = inputs.iter().map(|&id| Expr { graph: &cell, id }).collect();
    let result = f(&exprs);
    *graph = cell.into_inner();
    result
}

impl<'g> Expr<'g> {
    /// The node.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// The node's type.
    pub fn ty(self) -> Type {
        self.graph.borrow().ty(self.id).clone()
    }

    /// The node's shape.
    pub fn shape(self) -> Shape {
        self.ty().shape
    }

    /// The node's dtype.
    pub fn dtype(self) -> DType {
        self.graph.borrow().ty(self.id).dtype
    }

    /// An op on this and other operands.
    pub fn apply(self, op: impl Into<Op>, others: &[Expr<'g>]) -> Expr<'g> {
        let mut inputs = vec![self.id];
        inputs.extend(others.iter().map(|e| e.id));
        let added = self.graph.borrow_mut().add(op, &inputs);
        let id = added.unwrap_or_else(|e| panic!("ill-typed formula: {e}"));
        Expr { graph: self.graph, id }
    }

    /// A unary scalar op.
    pub fn op(self, op: ScalarOp) -> Expr<'g> {
        self.apply(op, &[])
    }

    /// A 0-d constant of this node's dtype.
    pub fn constant(self, value: impl Into<Scalar>) -> Expr<'g> {
        let dtype = self.dtype();
        Expr { graph: self.graph, id: self.graph.borrow_mut().constant(value, dtype) }
    }

    /// Zeros of this node's type.
    pub fn zeros_like(self) -> Expr<'g> {
        self.constant(0.0).expand(self.shape())
    }

    /// An op without operands, such as iota.
    pub fn source(self, op: impl Into<Op>) -> Expr<'g> {
        let added = self.graph.borrow_mut().add(op, &[]);
        let id = added.unwrap_or_else(|e| panic!("ill-typed formula: {e}"));
        Expr { graph: self.graph, id }
    }

    /// Its sign.
    pub fn sign(self) -> Expr<'g> {
        self.op(ScalarOp::Sign)
    }

    /// `self` raised to `b`.
    pub fn pow(self, b: Expr<'g>) -> Expr<'g> {
        self.apply(ScalarOp::Pow, &[b])
    }

    /// `dy` where the ReLU that gave `self` was open.
    pub fn relu_grad(self, dy: Expr<'g>) -> Expr<'g> {
        self.apply(ScalarOp::ReluGrad, &[dy])
    }

    /// Whether equal to `b`.
    pub fn equals(self, b: Expr<'g>) -> Expr<'g> {
        self.apply(ScalarOp::Eq, &[b])
    }

    /// Whether not below `b`.
    pub fn at_least(self, b: Expr<'g>) -> Expr<'g> {
        self.apply(ScalarOp::Ge, &[b])
    }

    /// Logical and.
    pub fn and(self, b: Expr<'g>) -> Expr<'g> {
        self.apply(ScalarOp::And, &[b])
    }

    /// `a` where this condition holds, else `b`.
    pub fn select(self, a: Expr<'g>, b: Expr<'g>) -> Expr<'g> {
        self.apply(ScalarOp::Where, &[a, b])
    }

    /// The share of `dy` that goes to this operand of a maximum or minimum whose result is `y`: all of it to
    /// the winner, half where `other` ties.
    pub fn winner(self, y: Expr<'g>, other: Expr<'g>, dy: Expr<'g>) -> Expr<'g> {
        let share = self.equals(other).select(dy * 0.5, dy);
        // A NaN operand equals nothing: it takes the gradient, as the result is its own.
        let lost = self.equals(self).and(self.apply(ScalarOp::Ne, &[y]));
        lost.select(share.constant(0.0), share)
    }

    /// Converted to `dtype`; itself if it has it.
    pub fn cast(self, dtype: DType) -> Expr<'g> {
        if self.dtype() == dtype { self } else { self.apply(Cast { to: dtype }, &[]) }
    }

    /// Summed over `axes`, which stay with size 1 if `keepdim`.
    pub fn sum(self, axes: &[usize], keepdim: bool) -> Expr<'g> {
        self.reduce(ReduceKind::Sum, axes, keepdim)
    }

    /// The maximum over `axes`.
    pub fn max(self, axes: &[usize], keepdim: bool) -> Expr<'g> {
        self.reduce(ReduceKind::Max, axes, keepdim)
    }

    fn reduce(self, kind: ReduceKind, axes: &[usize], keepdim: bool) -> Expr<'g> {
        if axes.is_empty() {
            return self;
        }
        self.apply(Reduce { kind, axes: Axes::from_slice(axes), keepdim }, &[])
    }

    /// Under another shape of equal size.
    pub fn reshape(self, shape: Shape) -> Expr<'g> {
        if self.shape() == shape { self } else { self.apply(Reshape { shape }, &[]) }
    }

    /// With its axes reordered: axis `i` of the result is axis `axes[i]` of this.
    pub fn permute(self, axes: &[usize]) -> Expr<'g> {
        self.apply(Permute { axes: Axes::from_slice(axes) }, &[])
    }

    /// With the last two axes exchanged.
    pub fn transposed(self) -> Expr<'g> {
        self.permute(&transposition(self.shape().rank()))
    }

    /// Whether this is made as the transpose of another matrix.
    pub fn is_transpose(self) -> bool {
        match &self.graph.borrow().node(self.id).op {
            Op::Permute(p) => p.axes.len() >= 2 && p.axes == transposition(p.axes.len()),
            _ => false,
        }
    }

    /// Broadcast to `shape`.
    pub fn expand(self, shape: Shape) -> Expr<'g> {
        if self.shape() == shape { self } else { self.apply(Expand { shape }, &[]) }
    }

    /// Every `step`-th element of `start..` along `axis`, `len` of them.
    pub fn slice(self, slice: Slice) -> Expr<'g> {
        self.apply(slice, &[])
    }

    /// Surrounded by zeros along one axis.
    pub fn pad(self, pad: Pad) -> Expr<'g> {
        self.apply(pad, &[])
    }

    /// The sum of this and `other` where both are padded, to lie beside each other along one axis: the two as one,
    /// padded. The gradients of a tensor's parts meet like this.
    pub(crate) fn beside(self, other: Expr<'g>) -> Option<Expr<'g>> {
        let padded = |x: Expr<'g>| match &self.graph.borrow().node(x.id).op {
            Op::Pad(pad) if pad.step == 1 => Some(pad.clone()),
            _ => None,
        };
        let inside = |x: Expr<'g>| {
            let id = self.graph.borrow().node(x.id).inputs[0];
            Expr { graph: self.graph, id }
        };
        let (a, b) = (padded(self)?, padded(other)?);
        let axis = a.axis;
        let size = self.shape()[axis];
        let (before, after, first, second) = if axis != b.axis {
            return None;
        } else if size - a.after == b.before {
            (a.before, b.after, self, other)
        } else if size - b.after == a.before {
            (b.before, a.after, other, self)
        } else {
            return None;
        };
        let whole = inside(first).apply(Concat { axis }, &[inside(second)]);
        Some(whole.pad(Pad { axis, before, after, step: 1 }))
    }

    /// The sum of this and `other` where both are one expression times others: that times the sum of the others.
    /// The adjoints of the two ways through x · Φ(x) meet like this; what they are multiplied with does not depend
    /// on them, and can be computed and kept as one.
    pub(crate) fn factored(self, other: Expr<'g>) -> Option<Expr<'g>> {
        if self.dtype() == DType::F16 {
            // Of so small a range, the others may leave it without what brings them back.
            return None;
        }
        let (ours, theirs) = (self.factors(), other.factors());
        let at = |(i, (base, _)): (usize, &(Expr<'g>, Expr<'g>))| {
            theirs.iter().position(|(other, _)| other.id == base.id).map(|j| (i, j))
        };
        let (i, j) = ours.iter().enumerate().find_map(at)?;
        let (base, ours, theirs) = (ours[i].0, &ours[..=i], &theirs[..=j]);
        if ours.iter().map(|(_, x)| x.id).eq(theirs.iter().map(|(_, x)| x.id)) {
            // Of x · x: x is at hand, and 2 · x would be one more to keep.
            return None;
        }
        let product = |factors: &[(Expr<'g>, Expr<'g>)]| {
            factors.iter().rev().map(|&(_, factor)| factor).reduce(|a, b| a * b)
        };
        Some(base * (product(ours)? + product(theirs)?))
    }

    /// The factors `d`, `c`, `b` of a product `((a · b) · c) · d`, each with what it multiplies.
    fn factors(self) -> Vec<(Expr<'g>, Expr<'g>)> {
        const MOST: usize = 4;
        let split = |&(product, _): &(Expr<'g>, Expr<'g>)| product.multiplied();
        std::iter::successors(self.multiplied(), split).take(MOST).collect()
    }

    /// What it is the product of, if it is one of two of its own shape.
    fn multiplied(self) -> Option<(Expr<'g>, Expr<'g>)> {
        let graph = self.graph.borrow();
        let node = graph.node(self.id);
        let whole = |x: &NodeId| graph.ty(*x) == &node.ty;
        match (&node.op, &node.inputs[..]) {
            (Op::Scalar(ScalarOp::Mul), &[a, b]) if whole(&a) && whole(&b) => {
                let [a, b] = [a, b].map(|id| Expr { graph: self.graph, id });
                Some((a, b))
            }
            _ => None,
        }
    }

    /// The transpose of taking windows: every element of a window, along the last axis, is added to the place
    /// of an axis of `n` elements that it came from.
    pub fn overlap_add(self, window: &Window, n: usize) -> Expr<'g> {
        let &Window { axis, size, step, dilation } = window;
        let shape = self.shape();
        let last = shape.rank() - 1;
        let apart = shape.without(&[last]);
        if size == step && dilation == 1 && shape[axis] * size == n {
            // Windows that tile the axis.
            let mut order: Axes = (0..last).collect();
            order.insert(axis + 1, last);
            return self.permute(&order).reshape(apart.with_dim(axis, n));
        }
        let span = (shape[axis].max(1) - 1) * step + 1;
        let place = |k: usize| {
            let part = self.slice(Slice { axis: last, start: k, len: 1, step: 1 });
            let (before, after) = (k * dilation, n - span - k * dilation);
            part.reshape(apart.clone()).pad(Pad { axis, before, after, step })
        };
        (1..size).fold(place(0), |sum, k| sum + place(k))
    }

    /// The matrix product.
    pub fn matmul(self, b: Expr<'g>) -> Expr<'g> {
        self.apply(MatMul, &[b])
    }

    /// Elements picked by `index` along `axis`.
    pub fn gather(self, axis: usize, index: Expr<'g>) -> Expr<'g> {
        self.apply(Gather { axis }, &[index])
    }

    /// This plus `source` added at `index` along `axis`.
    pub fn scatter_add(self, axis: usize, index: Expr<'g>, source: Expr<'g>) -> Expr<'g> {
        self.apply(ScatterAdd { axis }, &[index, source])
    }

    /// The gradients of a formula, appended by `body`, with respect to the operands it was made of, given the
    /// gradient `self` of its result.
    pub(crate) fn pull_through<'a>(
        self,
        body: impl FnOnce() -> (Expr<'g>, &'a [Expr<'g>]),
    ) -> Grads<'g>
    where
        'g: 'a,
    {
        let first = self.graph.borrow().len();
        let (result, operands) = body();
        let wrt: Vec<NodeId> = operands.iter().map(|e| e.id).collect();
        let grads = pull_back(&mut self.graph.borrow_mut(), result.id, self.id, &wrt, first);
        grads.into_iter().map(|id| id.map(|id| Expr { graph: self.graph, id })).collect()
    }

    /// Summed down to `shape`, which broadcasts to this node's shape: the gradient of broadcasting.
    pub fn sum_to(self, shape: &Shape) -> Expr<'g> {
        let from = self.shape();
        if from == *shape {
            return self;
        }
        let extra = from.rank() - shape.rank();
        let axes: Axes = (0..from.rank())
            .filter(|&i| i < extra || (shape[i - extra] == 1 && from[i] != 1))
            .collect();
        self.sum(&axes, false).reshape(shape.clone())
    }
}

/// The axes in order, but the last two exchanged.
fn transposition(rank: usize) -> Axes {
    let mut axes: Axes = (0..rank).collect();
    axes.swap(rank - 1, rank - 2);
    axes
}

impl<'g> Neg for Expr<'g> {
    type Output = Expr<'g>;
    fn neg(self) -> Expr<'g> {
        self.op(ScalarOp::Neg)
    }
}

macro_rules! operators {
    ($($Op:ident, $f:ident);*) => {$(
        impl<'g> $Op for Expr<'g> {
            type Output = Expr<'g>;
            fn $f(self, b: Expr<'g>) -> Expr<'g> {
                self.apply(ScalarOp::$Op, &[b])
            }
        }
        impl<'g> $Op<f64> for Expr<'g> {
            type Output = Expr<'g>;
            fn $f(self, b: f64) -> Expr<'g> {
                self.apply(ScalarOp::$Op, &[self.constant(b)])
            }
        }
        impl<'g> $Op<Expr<'g>> for f64 {
            type Output = Expr<'g>;
            fn $f(self, b: Expr<'g>) -> Expr<'g> {
                b.constant(self).apply(ScalarOp::$Op, &[b])
            }
        }
    )*};
}
operators!(Add, add; Sub, sub; Mul, mul; Div, div);
