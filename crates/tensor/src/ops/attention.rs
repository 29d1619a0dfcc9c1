//! Attention: averages of values, weighted by how well queries and keys agree.

use std::panic::Location;

use gradus_ir::ops::Attention;
use gradus_ir::{DType, Scalar, Shape};
use smallvec::smallvec;

use crate::error::ErrorKind;
use crate::record::{fail, record};
use crate::tensor::Tensor;

/// What takes part in attention, and how. By default everything, without dropout, scaled by `1/√size` of a key.
///
/// ```
/// use gradus_tensor::{AttentionOptions, DType, Tensor};
/// let x = Tensor::randn([2, 5, 8], DType::F32);
/// let options = AttentionOptions::default().is_causal(true);
/// let y = Tensor::scaled_dot_product_attention(&x, &x, &x, options);
/// assert_eq!(y.shape().dims(), [2, 5, 8]);
/// // The first position sees only itself.
/// assert_eq!(y.slice(1, ..1).to_vec::<f32>()?, x.slice(1, ..1).to_vec::<f32>()?);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionOptions<'a> {
    attn_mask: Option<&'a Tensor>,
    is_causal: bool,
    dropout_p: f64,
    scale: Option<f64>,
}

impl<'a> AttentionOptions<'a> {
    /// With a mask that broadcasts to `[…, queries, keys]`: of `bool`, true where a key takes part; of floats, added
    /// to the scores, −∞ where a key takes no part.
    #[must_use]
    pub fn attn_mask(mut self, mask: &'a Tensor) -> Self {
        self.attn_mask = Some(mask);
        self
    }

    /// Query `i` sees the keys 0 to `i` only.
    #[must_use]
    pub fn is_causal(mut self, is_causal: bool) -> Self {
        self.is_causal = is_causal;
        self
    }

    /// Zeroes weights with a probability and scales up the others; 0 in evaluation.
    #[must_use]
    pub fn dropout_p(mut self, p: f64) -> Self {
        self.dropout_p = p;
        self
    }

    /// With another factor of the scores than `1/√size`.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = Some(scale);
        self
    }
}

impl Tensor {
    /// `softmax(query · keyᵀ · scale + mask) · value`: queries `[…, n, size]`, keys `[…, m, size]`, values
    /// `[…, m, out]` → `[…, n, out]` (Vaswani et al., "Attention is all you need", NeurIPS 2017).
    ///
    /// A query whose keys are all masked gets zeros, as in PyTorch.
    ///
    /// # Errors
    /// If the shapes do not fit one another, or the options contain both a mask and `is_causal`.
    #[track_caller]
    pub fn scaled_dot_product_attention(
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        options: AttentionOptions<'_>,
    ) -> Tensor {
        const OP: &str = "scaled_dot_product_attention";
        if options.dropout_p == 0.0
            && let Some(fused) = fused(query, key, value, &options)
        {
            return fused;
        }
        // With dropout, and for operands that do not fit: the weights say what is wrong.
        let weights = Tensor::attention_weights(query, key, options);
        let (Ok(keys), Ok(values)) = (key.try_shape(), value.try_shape()) else {
            return if key.try_shape().is_err() { key.clone() } else { value.clone() };
        };
        if weights.error().is_some() {
            return weights;
        }
        if values.rank() < 2 || keys[keys.rank() - 2] != values[values.rank() - 2] {
            let message = format!(
                "{OP}: keys {keys} and values {values}: each key needs a value, so the last axis \
                 but one must be equal"
            );
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        weights.matmul(value)
    }

    /// The weights of [`scaled_dot_product_attention`](Tensor::scaled_dot_product_attention), after dropout:
    /// `[…, queries, keys]`.
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn attention_weights(
        query: &Tensor,
        key: &Tensor,
        options: AttentionOptions<'_>,
    ) -> Tensor {
        const OP: &str = "scaled_dot_product_attention";
        let location = Location::caller();
        let (Ok(q), Ok(k)) = (query.try_shape(), key.try_shape()) else {
            return if query.try_shape().is_err() { query.clone() } else { key.clone() };
        };
        let wrong = |message: String| fail(ErrorKind::Shape, format!("{OP}: {message}"), location);
        if q.rank() < 2 || k.rank() < 2 || q[q.rank() - 1] != k[k.rank() - 1] {
            return wrong(format!(
                "queries {q} and keys {k}: expected […, queries, size] and […, keys, size] with \
                 one size"
            ));
        }
        if !(0.0..=1.0).contains(&options.dropout_p) {
            return wrong(format!(
                "dropout_p is {}; a probability lies between 0 and 1",
                options.dropout_p
            ));
        }
        if options.attn_mask.is_some() && options.is_causal {
            return wrong(
                "`attn_mask` and `is_causal` together; put the causal part into the mask".into(),
            );
        }
        let size = q[q.rank() - 1];
        let scale = options.scale.unwrap_or_else(|| 1.0 / (size.max(1) as f64).sqrt());
        let scores = (query * scale).matmul(&key.transpose(-2, -1));
        let Ok(full) = scores.try_shape().cloned() else { return scores };
        let causal;
        let mask = if options.is_causal {
            causal = lower_triangle(&full).to(query.device());
            Some(&causal)
        } else {
            options.attn_mask
        };
        let weights = match mask {
            None => scores.softmax(-1),
            Some(mask) => {
                let Ok(shape) = mask.try_shape() else { return mask.clone() };
                if shape.broadcast(&full).as_ref() != Some(&full) {
                    return wrong(format!(
                        "a mask of shape {shape} does not broadcast to the scores, {full}"
                    ));
                }
                let masked = if mask.dtype() == DType::Bool {
                    Tensor::where_(mask, &scores, f64::NEG_INFINITY)
                } else if mask.dtype().is_float() {
                    &scores + mask
                } else {
                    return wrong(format!("a mask is bool or float, not {}", mask.dtype()));
                };
                // Where every key is masked there is nothing to average: zeros, and no NaN in gradients.
                let dead = masked.amax(&[-1], true).eq(f64::NEG_INFINITY);
                let weights = Tensor::where_(&dead, 0.0, masked).softmax(-1);
                Tensor::where_(&dead, 0.0, weights)
            }
        };
        if options.dropout_p == 0.0 {
            return weights;
        }
        let p = options.dropout_p;
        let up = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
        Tensor::where_(&weights.rand_by_sample(weights.shape().clone()).ge(p), weights * up, 0.0)
    }
}

/// Attention as one op, if the operands fit it.
#[track_caller]
fn fused(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    options: &AttentionOptions<'_>,
) -> Option<Tensor> {
    let (q, k, v) = (query.try_shape().ok()?, key.try_shape().ok()?, value.try_shape().ok()?);
    let floats =
        query.dtype().is_float() && [key, value].iter().all(|t| t.dtype() == query.dtype());
    let fit = [q, k, v].iter().all(|s| s.rank() >= 2)
        && q.last() == k.last()
        && k[k.rank() - 2] == v[v.rank() - 2]
        && k[k.rank() - 2] > 0;
    if !floats || !fit || (options.attn_mask.is_some() && options.is_causal) {
        return None;
    }
    let leading = |s: &Shape| Shape::from(&s[..s.rank() - 2]);
    let batch = leading(q).broadcast(&leading(k))?.broadcast(&leading(v))?;
    let full = |t: &Tensor| {
        let last = t.shape()[t.rank() - 2..].iter();
        t.expand(batch.iter().chain(last).copied().collect::<Shape>()).operand()
    };
    let mut operands = smallvec![full(query), full(key), full(value)];
    if let Some(mask) = options.attn_mask {
        let scores: Shape =
            batch.iter().copied().chain([q[q.rank() - 2], k[k.rank() - 2]]).collect();
        if !mask.try_shape().ok()?.broadcasts_to(&scores) {
            return None;
        }
        let added = match mask.dtype() {
            DType::Bool => {
                Tensor::where_(mask, mask.zeros_like().cast(query.dtype()), f64::NEG_INFINITY)
            }
            dtype if dtype.is_float() => mask.cast(query.dtype()),
            _ => return None,
        };
        operands.push(added.expand(scores).operand());
    }
    let size = q[q.rank() - 1].max(1) as f64;
    let scale = Scalar::F64(options.scale.unwrap_or(1.0 / size.sqrt()));
    Some(record(Attention { causal: options.is_causal, scale }, operands))
}

/// Which keys each query sees under a causal mask.
#[track_caller]
fn lower_triangle(scores: &Shape) -> Tensor {
    let (queries, keys) = (scores[scores.rank() - 2], scores[scores.rank() - 1]);
    let rows = Tensor::arange(queries, DType::I64).unsqueeze(1);
    rows.ge(Tensor::arange(keys, DType::I64))
}
