//! Multi-head attention (Vaswani et al., "Attention is all you need", NeurIPS 2017).

use std::fmt;

use gradus_tensor::{AttentionOptions, DType, Error, ErrorKind, Parameter, Tensor};

use crate::{Layer, Linear, Mode, Module, init};

/// Attention with several heads, each in a projection of its own: queries `[batch, n, embed_dim]`,
/// keys and values `[batch, m, embed_dim]` → `[batch, n, embed_dim]`.
///
/// As in PyTorch, the batch is the *second* axis unless [`batch_first`](Self::batch_first) says
/// otherwise, and tensors without a batch, `[n, embed_dim]`, are accepted. The projections of
/// queries, keys and values lie one below the other in `in_proj_weight`, which starts Xavier-uniform;
/// biases start with zeros.
///
/// # Errors
/// If the shapes do not fit one another or `embed_dim`, or the heads do not divide `embed_dim`.
///
/// ```
/// use gradus_nn::{Module, MultiheadAttention};
/// use gradus_tensor::{DType, Tensor};
/// let attention = MultiheadAttention::new(16, 4).batch_first(true);
/// let x = Tensor::randn([2, 5, 16], DType::F32);
/// assert_eq!(attention.forward(&x, &x, &x).shape().dims(), [2, 5, 16]);
/// let names = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"];
/// assert_eq!(attention.state_dict().names(), names);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct MultiheadAttention {
    /// The projections of queries, keys and values: `[3 · embed_dim, embed_dim]`.
    pub in_proj_weight: Parameter,
    /// Their biases: `[3 · embed_dim]`.
    pub in_proj_bias: Option<Parameter>,
    /// What joins the heads.
    pub out_proj: Linear,
    embed_dim: usize,
    num_heads: usize,
    dropout: f64,
    batch_first: bool,
    mode: Mode,
}

/// What takes part in multi-head attention and what it returns.
///
/// In masks of `bool`, true means *not* allowed: PyTorch's convention for this layer, and the
/// opposite of that of
/// [`scaled_dot_product_attention`](Tensor::scaled_dot_product_attention). Masks of floats are added
/// to the scores.
#[derive(Clone, Copy, Debug, Default)]
pub struct MultiheadAttentionOptions<'a> {
    key_padding_mask: Option<&'a Tensor>,
    attn_mask: Option<&'a Tensor>,
    is_causal: bool,
    need_weights: bool,
    per_head: bool,
}

impl<'a> MultiheadAttentionOptions<'a> {
    /// Which keys are padding: `[batch, keys]`.
    #[must_use]
    pub fn key_padding_mask(mut self, mask: &'a Tensor) -> Self {
        self.key_padding_mask = Some(mask);
        self
    }

    /// Which keys each query must not see: `[queries, keys]`, or `[batch · heads, queries, keys]`.
    #[must_use]
    pub fn attn_mask(mut self, mask: &'a Tensor) -> Self {
        self.attn_mask = Some(mask);
        self
    }

    /// Query `i` sees the keys 0 to `i` only, and no mask need say so.
    #[must_use]
    pub fn is_causal(mut self, is_causal: bool) -> Self {
        self.is_causal = is_causal;
        self
    }

    /// Returns the weights too, averaged over the heads: `[batch, queries, keys]`.
    #[must_use]
    pub fn need_weights(mut self, need_weights: bool) -> Self {
        self.need_weights = need_weights;
        self
    }

    /// Whether returned weights are averaged, as they are unless said otherwise; if not, they are
    /// `[batch, heads, queries, keys]`.
    #[must_use]
    pub fn average_attn_weights(mut self, average: bool) -> Self {
        self.per_head = !average;
        self
    }
}

impl MultiheadAttention {
    /// Attention on vectors of `embed_dim` numbers with `num_heads` heads, which must divide it.
    #[track_caller]
    pub fn new(embed_dim: usize, num_heads: usize) -> MultiheadAttention {
        let weight = init::xavier_uniform([3 * embed_dim, embed_dim], 1.0);
        let zeros = |n| Parameter::new(Tensor::zeros([n], DType::F32));
        let mut out_proj = Linear::new(embed_dim, embed_dim);
        out_proj.bias = Some(zeros(embed_dim));
        MultiheadAttention {
            in_proj_weight: Parameter::new(weight),
            in_proj_bias: Some(zeros(3 * embed_dim)),
            out_proj,
            embed_dim,
            num_heads,
            dropout: 0.0,
            batch_first: false,
            mode: Mode::default(),
        }
    }

    /// With biases, as it starts, or without.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> MultiheadAttention {
        if !bias {
            self.in_proj_bias = None;
            self.out_proj.bias = None;
        }
        self
    }

    /// Zeroes weights with a probability in training; 0 unless given.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> MultiheadAttention {
        self.dropout = p;
        self
    }

    /// Whether the batch is the first axis; it is the second unless said otherwise.
    #[must_use]
    pub fn batch_first(mut self, batch_first: bool) -> MultiheadAttention {
        self.batch_first = batch_first;
        self
    }

    /// Attention without masks.
    #[track_caller]
    pub fn forward(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Tensor {
        self.forward_with(query, key, value, MultiheadAttentionOptions::default()).0
    }

    /// Attention with masks, and the weights if they are asked for.
    #[track_caller]
    pub fn forward_with(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        options: MultiheadAttentionOptions<'_>,
    ) -> (Tensor, Option<Tensor>) {
        match self.attend(query, key, value, options) {
            Ok((output, weights)) => (output.within(query, self), weights),
            Err(failed) => (failed.within(query, self), None),
        }
    }

    #[track_caller]
    fn attend(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        options: MultiheadAttentionOptions<'_>,
    ) -> Result<(Tensor, Option<Tensor>), Tensor> {
        self.check(query, key, value)?;
        let batched = query.rank() == 3;
        // Inside, everything is [batch, positions, embed_dim].
        let inside = |x: &Tensor| match (batched, self.batch_first) {
            (false, _) => x.unsqueeze(0),
            (true, true) => x.clone(),
            (true, false) => x.transpose(0, 1),
        };
        let same = std::ptr::eq(query, key) && std::ptr::eq(key, value);
        let [q, k, v] = self.project(&inside(query), &inside(key), &inside(value), same);
        let (batch, queries, keys) = (q.shape()[0], q.shape()[2], k.shape()[2]);
        let mask = self.mask([batch, queries, keys], query, options)?;
        let dropout = if self.mode.is_training() { self.dropout } else { 0.0 };
        let mut attention = AttentionOptions::default().dropout_p(dropout);
        match &mask {
            Some(mask) => attention = attention.attn_mask(mask),
            None => attention = attention.is_causal(options.is_causal),
        }
        let (joined, weights) = if options.need_weights {
            let weights = Tensor::attention_weights(&q, &k, attention);
            (weights.matmul(&v), Some(weights))
        } else {
            (Tensor::scaled_dot_product_attention(&q, &k, &v, attention), None)
        };
        let dims = [batch as isize, queries as isize, self.embed_dim as isize];
        let output = self.out_proj.forward(&joined.transpose(1, 2).reshape(dims));
        let output = match (batched, self.batch_first) {
            (false, _) => output.squeeze(0),
            (true, true) => output,
            (true, false) => output.transpose(0, 1),
        };
        let weights = weights.map(|w| if options.per_head { w } else { w.mean_axes(&[1], false) });
        Ok((output, weights.map(|w| if batched { w } else { w.squeeze(0) })))
    }

    #[track_caller]
    fn check(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<(), Tensor> {
        for x in [query, key, value] {
            if x.try_shape().is_err() {
                return Err(x.clone());
            }
        }
        let (q, k, v) = (query.shape(), key.shape(), value.shape());
        let embed = self.embed_dim;
        if self.num_heads == 0 || !embed.is_multiple_of(self.num_heads) {
            return Err(refuse(format!(
                "attention: {} heads do not divide embed_dim, {embed}",
                self.num_heads
            )));
        }
        let rank = q.rank();
        let ranks = (rank == 2 || rank == 3) && k.rank() == rank && v.rank() == rank;
        let sizes = [q, k, v].iter().all(|s| s.last() == Some(&embed));
        let axis = usize::from(!self.batch_first);
        let batches = !ranks || rank == 2 || (q[axis] == k[axis] && k[axis] == v[axis]);
        let positions = !ranks || k[..rank - 1] == v[..rank - 1];
        if ranks && sizes && batches && positions {
            return Ok(());
        }
        let (n, m) = match self.batch_first {
            true => ("[batch, n, ", "[batch, m, "),
            false => ("[n, batch, ", "[m, batch, "),
        };
        let hint = if self.batch_first { "" } else { "; `batch_first(true)` puts the batch first" };
        Err(refuse(format!(
            "attention: queries {q}, keys {k}, values {v}: expected {n}{embed}] and twice \
             {m}{embed}]{hint}"
        )))
    }

    /// Projects inputs `[batch, positions, embed_dim]` to `[batch, heads, positions, size]`.
    #[track_caller]
    fn project(&self, query: &Tensor, key: &Tensor, value: &Tensor, same: bool) -> [Tensor; 3] {
        let embed = self.embed_dim;
        let weight = self.in_proj_weight.value();
        let bias = self.in_proj_bias.as_ref().map(Parameter::value);
        let linear = |x: &Tensor, rows: std::ops::Range<usize>| {
            let product = x.matmul(&weight.slice(0, rows.clone()).t());
            match &bias {
                Some(bias) => product + bias.slice(0, rows),
                None => product,
            }
        };
        let parts = if same {
            // One product for all three.
            let all = linear(query, 0..3 * embed);
            [0, 1, 2].map(|i| all.slice(2, i * embed..(i + 1) * embed))
        } else {
            let mut i = 0;
            [query, key, value].map(|x| {
                i += 1;
                linear(x, (i - 1) * embed..i * embed)
            })
        };
        let (heads, size) = (self.num_heads as isize, (embed / self.num_heads) as isize);
        parts.map(|x| {
            let Ok(shape) = x.try_shape() else { return x.clone() };
            let dims = [shape[0] as isize, shape[1] as isize, heads, size];
            x.reshape(dims).transpose(1, 2)
        })
    }

    /// The masks as one that broadcasts to `[batch, heads, queries, keys]`, true where a key takes
    /// part; `None` if there is none but the causal one.
    #[track_caller]
    fn mask(
        &self,
        [batch, queries, keys]: [usize; 3],
        like: &Tensor,
        options: MultiheadAttentionOptions<'_>,
    ) -> Result<Option<Tensor>, Tensor> {
        let mut masks = Vec::new();
        if let Some(mask) = options.attn_mask {
            let Ok(shape) = mask.try_shape() else { return Err(mask.clone()) };
            let heads = self.num_heads;
            if shape[..] == [batch * heads, queries, keys] && shape.rank() == 3 {
                masks.push(mask.reshape([batch, heads, queries, keys].map(|n| n as isize)));
            } else if shape[..] == [queries, keys] {
                masks.push(mask.clone());
            } else {
                return Err(refuse(format!(
                    "attention: attn_mask of shape {shape}; expected [{queries}, {keys}] or [{}, \
                     {queries}, {keys}]",
                    batch * heads
                )));
            }
        }
        if let Some(mask) = options.key_padding_mask {
            let Ok(shape) = mask.try_shape() else { return Err(mask.clone()) };
            let single = like.rank() == 2 && shape[..] == [keys];
            if !single && shape[..] != [batch, keys] {
                return Err(refuse(format!(
                    "attention: key_padding_mask of shape {shape}; expected [{batch}, {keys}]"
                )));
            }
            masks.push(mask.reshape([batch as isize, 1, 1, keys as isize]));
        }
        if masks.is_empty() {
            return Ok(None);
        }
        if options.is_causal {
            let position = |n| Tensor::arange(n, DType::I64).to(like.device());
            masks.push(position(queries).unsqueeze(1).lt(position(keys)));
        }
        let joined = if masks.iter().all(|mask| mask.dtype() == DType::Bool) {
            masks.into_iter().reduce(|a, b| a.logical_or(&b)).map(|m| m.logical_not())
        } else {
            let added = masks.into_iter().map(|mask| {
                if mask.dtype() != DType::Bool {
                    return mask;
                }
                let minus = Tensor::full([], f64::NEG_INFINITY, like.dtype()).to(like.device());
                Tensor::where_(&mask, minus, 0.0)
            });
            added.reduce(|a, b| a + b)
        };
        Ok(joined)
    }
}

#[track_caller]
fn refuse(message: String) -> Tensor {
    Tensor::from_error(Error::here(ErrorKind::Shape, message))
}

impl fmt::Display for MultiheadAttention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MultiheadAttention { embed_dim, num_heads, dropout, .. } = self;
        let first = if self.batch_first { "True" } else { "False" };
        write!(f, "MultiheadAttention(embed_dim={embed_dim}, num_heads={num_heads}, ")?;
        write!(f, "dropout={dropout:?}, batch_first={first})")
    }
}
