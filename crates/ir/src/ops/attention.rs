//! Scaled dot-product attention: `softmax(q·kᵀ · scale + mask) · v` (Vaswani et al., 2017, arXiv:1706.03762).
//!
//! Both ops carry their meaning as a body that holds all scores; a backend may have kernels that never do.

use super::{Concat, Grads, Iota, MatMul, Primitive, Sample, SampleInput, Slice, Vjp};
use crate::graph::Expr;
use crate::scalar::ScalarOp;
use crate::{DType, Scalar, Shape, Type};

/// `softmax(q·kᵀ · scale + mask) · v`: q `[…, l, e]`, k `[…, s, e]`, v `[…, s, f]` and, if there is one, an additive
/// mask `[…, l, s]` of the same dtype → `[…, l, f]`. A query that may look at nothing gets zeros.
///
/// The body is the meaning; a backend may run it as one kernel that never holds all scores, and that does not read
/// keys and values which causality hides from every query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Whether query `i` may look at keys `0..=i` only.
    pub causal: bool,
    /// By what the products are multiplied, usually 1 / √e.
    pub scale: Scalar,
}

/// The gradients of [`Attention`] with respect to q, k and v, of which each is a part of one result because all come
/// from the same scores: operands as there, then the gradient of its result, `[…, l, f]` →
/// `[…, l·e + s·e + s·f]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttentionGrad(pub Attention);

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

    /// The gradients with respect to q, k, v and the mask, in terms of the weights, which forward has computed anyway:
    /// equal nodes are merged.
    fn gradients<'g>(&self, x: &[Expr<'g>], dy: Expr<'g>) -> [Expr<'g>; 4] {
        let (query, key, value) = (x[0], x[1], x[2]);
        let weights = self.weights(x);
        let last = weights.shape().rank() - 1;
        let scale = self.scale.to_f64();
        let slope = dy.matmul(value.transposed());
        let scores = weights * (slope - (slope * weights).sum(&[last], true));
        [
            scores.matmul(key) * scale,
            scores.transposed().matmul(query * scale),
            weights.transposed().matmul(dy),
            scores,
        ]
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

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        if v.needs.get(3) == Some(&true) {
            // The mask's gradient is as large as the scores: then they may as well be held.
            return Some(self.gradients(v.x, v.dy).into_iter().map(Some).collect());
        }
        let others: Vec<Expr<'g>> = v.x[1..].iter().copied().chain([v.dy]).collect();
        let packed = v.x[0].apply(AttentionGrad(self.clone()), &others);
        let axis = v.x[0].shape().rank() - 2;
        let mut start = 0;
        let part = |(x, &needed): (&Expr<'g>, &bool)| {
            let len = x.shape()[axis] * x.shape()[axis + 1];
            start += len;
            let slice = Slice { axis, start: start - len, len, step: 1 };
            needed.then(|| packed.slice(slice).reshape(x.shape()))
        };
        let mut grads: Grads<'g> = v.x[..3].iter().zip(v.needs).map(part).collect();
        grads.resize(v.x.len(), None);
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
        let samples = cases().map(|(op, inputs, _)| Sample::new(op, inputs));
        samples.collect()
    }
}

impl Primitive for AttentionGrad {
    const NAME: &'static str = "scaled_dot_product_attention_grad";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let [x @ .., dy] = x else { return Err("attention_grad takes at least an operand".into()) };
        let y = self.0.infer(x)?;
        if **dy != y {
            return Err(format!("attention_grad: gradient {dy} of a result {y}"));
        }
        let batch = y.shape.rank() - 2;
        let size: usize = x[..3].iter().map(|t| t.shape[batch..].iter().product::<usize>()).sum();
        let shape = x[0].shape[..batch].iter().copied().chain([size]).collect();
        Ok(Type { shape, dtype: y.dtype })
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let (x, dy) = (&x[..x.len() - 1], x[x.len() - 1]);
        let [dq, dk, dv, _] = self.0.gradients(x, dy);
        let axis = dq.shape().rank() - 2;
        let flat = |x: Expr<'g>| {
            let size = x.shape()[axis] * x.shape()[axis + 1];
            x.reshape(x.shape()[..axis].iter().copied().chain([size]).collect())
        };
        Some(flat(dq).apply(Concat { axis }, &[flat(dk), flat(dv)]))
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn flops(&self, x: &[&Shape], y: &Shape) -> usize {
        self.0.flops(x, y) * 5 / 2
    }

    fn samples() -> Vec<Sample> {
        let with_dy = |(op, mut inputs, dy): (Attention, Vec<SampleInput>, SampleInput)| {
            inputs.push(dy);
            Sample::new(AttentionGrad(op), inputs)
        };
        cases().map(with_dy).collect()
    }
}

/// An op, its operands, and the gradient of its result.
fn cases() -> impl Iterator<Item = (Attention, Vec<SampleInput>, SampleInput)> {
    let f = SampleInput::float::<3>;
    let of = |causal| Attention { causal, scale: Scalar::F64(0.5) };
    [
        (of(false), vec![f([2, 5, 4]), f([2, 3, 4]), f([2, 3, 6])], f([2, 5, 6])),
        (of(true), vec![f([2, 5, 4]), f([2, 5, 4]), f([2, 5, 4])], f([2, 5, 4])),
        (of(true), vec![f([1, 3, 2]), f([1, 5, 2]), f([1, 5, 1]), f([1, 3, 5])], f([1, 3, 1])),
        (of(true), vec![f([1, 5, 2]), f([1, 2, 2]), f([1, 2, 3])], f([1, 5, 3])),
        (of(false), vec![f([0, 3, 2]), f([0, 5, 2]), f([0, 5, 1])], f([0, 3, 1])),
        (of(false), vec![f([1, 0, 2]), f([1, 5, 2]), f([1, 5, 1])], f([1, 0, 1])),
        (of(false), vec![f([2, 1, 1]), f([2, 1, 1]), f([2, 1, 1])], f([2, 1, 1])),
    ]
    .into_iter()
}
