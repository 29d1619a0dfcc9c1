//! Attention.

use std::panic::Location;

use gradus_ir::ops::Attention;
use gradus_ir::{DType, Scalar, Shape};
use smallvec::smallvec;

use crate::error::ErrorKind;
use crate::record::{fail, record};
use crate::tensor::Tensor;

impl Tensor {
    /// Scaled dot-product attention, `softmax(q·kᵀ · scale + mask) · v` (Vaswani et al., 2017, arXiv:1706.03762), with
    /// `self` as the queries: q `[…, l, e]`, k `[…, s, e]`, v `[…, s, f]` → `[…, l, f]`; leading axes broadcast.
    ///
    /// The mask, which broadcasts to `[…, l, s]`, says where to look if it is of `bool`, and is added to the scores
    /// otherwise. With `is_causal`, query `i` looks at keys `0..=i` only. `scale` is 1 / √e unless given. A query
    /// that may look at nothing gets zeros.
    ///
    /// # Errors
    /// If shapes or dtypes do not fit.
    #[track_caller]
    pub fn scaled_dot_product_attention(
        &self,
        key: &Tensor,
        value: &Tensor,
        mask: Option<&Tensor>,
        is_causal: bool,
        scale: Option<f64>,
    ) -> Tensor {
        let location = Location::caller();
        let all = [Some(self), Some(key), Some(value), mask];
        if let Some(failed) = all.iter().flatten().find(|t| t.try_shape().is_err()) {
            return (*failed).clone();
        }
        let (q, k, v) = (self.shape(), key.shape(), value.shape());
        let describe = || format!("scaled_dot_product_attention: q {q}, k {k}, v {v}");
        if [q, k, v].iter().any(|s| s.rank() < 2) {
            let message = format!("{}: expected [batch, …, length, features]", describe());
            return fail(ErrorKind::Shape, message, location);
        }
        let leading = |s: &Shape| Shape::from(&s[..s.rank() - 2]);
        let batch = leading(q).broadcast(&leading(k)).and_then(|b| b.broadcast(&leading(v)));
        let Some(batch) = batch else {
            let message = format!("{}: the axes before the last two do not broadcast", describe());
            return fail(ErrorKind::Shape, message, location);
        };
        let full = |t: &Tensor| {
            let s = t.shape();
            let last = s[s.rank() - 2..].iter();
            t.expand(batch.iter().chain(last).copied().collect::<Shape>())
        };
        let features = q[q.rank() - 1].max(1) as f64;
        let scale = Scalar::F64(scale.unwrap_or(1.0 / features.sqrt()));
        let mut operands =
            smallvec![full(self).operand(), full(key).operand(), full(value).operand()];
        if let Some(mask) = mask {
            let scores = [q[q.rank() - 2], k[k.rank() - 2]];
            let scores: Shape = batch.iter().copied().chain(scores).collect();
            if !mask.shape().broadcasts_to(&scores) {
                let message = format!(
                    "{}: a mask {} does not broadcast to {scores}",
                    describe(),
                    mask.shape()
                );
                return fail(ErrorKind::Shape, message, location);
            }
            let added = if mask.dtype() == DType::Bool {
                Tensor::where_(mask, 0.0, f64::NEG_INFINITY)
            } else {
                mask.clone()
            };
            operands.push(added.cast(self.dtype()).expand(scores).operand());
        }
        record(Attention { causal: is_causal, scale }, operands)
    }
}
