//! Scaled dot-product attention: `softmax(q·kᵀ · scale + mask) · v` (Vaswani et al., 2017, arXiv:1706.03762).

use smallvec::smallvec;

use super::{Grads, Iota, MatMul, Primitive, Sample, SampleInput, Vjp};
use crate::graph::Expr;
use crate::scalar::ScalarOp;
use crate::{DType, Scalar, Shape, Type};

/// `softmax(q·kᵀ · scale + mask) · v`: q `[…, l, e]`, k `[…, s, e]`, v `[…, s, f]` and, if there is one, an additive
/// mask `[…, l, s]` of the same dtype → `[…, l, f]`. A query that may look at nothing gets zeros.
///
/// The body is the meaning; a backend may run it as one kernel that never holds all scores.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Whether query `i` may look at keys `0..=i` only.
    pub causal: bool,
    /// By what the products are multiplied, usually 1 / √e.
    pub scale: Scalar,
}

impl Attention {
    /// The softmax of the scores, `[…, l, s]`.
    fn weights<'g>(&self, x: &[Expr<'g>]) -> Expr<'g> {
        let (q, k) = (x[0], x[1]);
        let mut scores = (q * self.scale.to_f64()).matmul(k.transposed());
        if let Some(mask) = x.get(3) {
            scores = scores + *mask;
        }
        let rank = scores.shape().rank();
        let (l, s) = (scores.shape()[rank - 2], scores.shape()[rank - 1]);
        let nothing = scores.constant(f64::NEG_INFINITY);
        if self.causal {
            let row = q.source(Iota { len: l, dtype: DType::I64 }).reshape([l, 1].into());
            let column = q.source(Iota { len: s, dtype: DType::I64 });
            scores = row.at_least(column).select(scores, nothing);
        }
        // A row of −∞ would make NaN of ∞ − ∞: it is shifted by 0, and its sum of 0 counts as 1.
        let top = scores.max(&[rank - 1], true);
        let top = top.equals(nothing).select(top.constant(0.0), top);
        let exp = (scores - top).op(ScalarOp::Exp);
        let sum = exp.sum(&[rank - 1], true);
        exp / sum.equals(sum.constant(0.0)).select(sum.constant(1.0), sum)
    }
}

impl Primitive for Attention {
    const NAME: &'static str = "scaled_dot_product_attention";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let (q, k, v) = match x {
            [q, k, v] | [q, k, v, _] => (q, k, v),
            _ => {
                return Err(format!(
                    "attention takes q, k, v and perhaps a mask, not {} operands",
                    x.len()
                ));
            }
        };
        let rank = q.shape.rank();
        let describe = || format!("attention: q {}, k {}, v {}", q.shape, k.shape, v.shape);
        if rank < 2 || k.shape.rank() != rank || v.shape.rank() != rank {
            return Err(format!("{}: expected […, length, features], all of one rank", describe()));
        }
        if !q.dtype.is_float() || x.iter().any(|t| t.dtype != q.dtype) {
            return Err(format!("{}: expected floats of one dtype", describe()));
        }
        let batch = &q.shape[..rank - 2];
        if k.shape[..rank - 2] != *batch || v.shape[..rank - 2] != *batch {
            return Err(format!("{}: the axes before the last two must be equal", describe()));
        }
        if q.shape[rank - 1] != k.shape[rank - 1] || k.shape[rank - 2] != v.shape[rank - 2] {
            return Err(format!(
                "{}: q and k need the same number of features, k and v the same length",
                describe()
            ));
        }
        let scores = q.shape.with_dim(rank - 1, k.shape[rank - 2]);
        if let Some(mask) = x.get(3)
            && mask.shape != scores
        {
            return Err(format!(
                "{}: the mask has shape {}, expected {scores}",
                describe(),
                mask.shape
            ));
        }
        if k.shape[rank - 2] == 0 {
            return Err(format!("{}: there is nothing to look at", describe()));
        }
        Ok(Type { shape: q.shape.with_dim(rank - 1, v.shape[rank - 1]), dtype: q.dtype })
    }

    /// In terms of the weights, which forward has computed anyway: equal nodes are merged.
    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let (query, key, value) = (v.x[0], v.x[1], v.x[2]);
        let weights = self.weights(v.x);
        let last = weights.shape().rank() - 1;
        let scale = self.scale.to_f64();
        let slope = v.dy.matmul(value.transposed());
        let scores = weights * (slope - (slope * weights).sum(&[last], true));
        let mut grads: Grads<'g> = smallvec![
            Some(scores.matmul(key) * scale),
            Some(scores.transposed().matmul(query * scale)),
            Some(weights.transposed().matmul(v.dy)),
        ];
        if v.x.len() > 3 {
            grads.push(Some(scores));
        }
        Some(grads)
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        Some(self.weights(x).apply(MatMul, &[x[2]]))
    }

    fn attributes(&self) -> String {
        format!("scale={}{}", self.scale, if self.causal { " causal" } else { "" })
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        let rank = x[0].rank();
        let (l, s) = (x[0][rank - 2], x[1][rank - 2]);
        let batch: usize = x[0][..rank - 2].iter().product();
        batch * l * s * (2 * x[0][rank - 1] + 2 * x[2][rank - 1] + 4)
    }

    fn samples() -> Vec<Sample> {
        let f = SampleInput::float::<3>;
        let of = |causal| Attention { causal, scale: Scalar::F64(0.5) };
        vec![
            Sample::new(of(false), vec![f([2, 5, 4]), f([2, 3, 4]), f([2, 3, 6])]),
            Sample::new(of(true), vec![f([2, 5, 4]), f([2, 5, 4]), f([2, 5, 4])]),
            Sample::new(of(true), vec![f([1, 3, 2]), f([1, 5, 2]), f([1, 5, 1]), f([1, 3, 5])]),
            Sample::new(of(false), vec![f([0, 3, 2]), f([0, 5, 2]), f([0, 5, 1])]),
            Sample::new(of(false), vec![f([2, 1, 1]), f([2, 1, 1]), f([2, 1, 1])]),
        ]
    }
}
