//! The encoder of a transformer (Vaswani et al., "Attention is all you need", NeurIPS 2017).

use std::fmt;

use gradus_tensor::Tensor;

use crate::{
    Dropout, Layer, LayerNorm, Linear, Module, MultiheadAttention, MultiheadAttentionOptions,
};

/// Self-attention and a network for each position, both with a residual connection and layer
/// normalisation: `[positions, batch, d_model]`, or `[batch, positions, d_model]` with
/// [`batch_first`](TransformerEncoderLayerOptions::batch_first), to the same shape.
///
/// # Errors
/// If the input does not end in `d_model` or a mask does not fit.
///
/// ```
/// use gradus_nn::{Layer, TransformerEncoderLayer, TransformerEncoderLayerOptions};
/// use gradus_tensor::{DType, Tensor};
/// let options = TransformerEncoderLayerOptions::new(16, 4).dim_feedforward(32).batch_first(true);
/// let layer = TransformerEncoderLayer::with_options(options.activation(Tensor::gelu));
/// let y = layer.forward(&Tensor::randn([2, 5, 16], DType::F32));
/// assert_eq!(y.shape().dims(), [2, 5, 16]);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct TransformerEncoderLayer {
    /// The attention.
    pub self_attn: MultiheadAttention,
    /// The first layer of each position's network: `d_model → dim_feedforward`.
    pub linear1: Linear,
    /// The dropout after its activation.
    pub dropout: Dropout,
    /// Its second layer: `dim_feedforward → d_model`.
    pub linear2: Linear,
    /// The normalisation of the attention's part.
    pub norm1: LayerNorm,
    /// The normalisation of the network's part.
    pub norm2: LayerNorm,
    /// The dropout of the attention's output.
    pub dropout1: Dropout,
    /// The dropout of the network's output.
    pub dropout2: Dropout,
    #[module(skip)]
    options: TransformerEncoderLayerOptions,
}

/// How a [`TransformerEncoderLayer`] is built; PyTorch's defaults.
#[derive(Clone, Copy, Debug)]
pub struct TransformerEncoderLayerOptions {
    d_model: usize,
    nhead: usize,
    dim_feedforward: usize,
    dropout: f64,
    activation: fn(&Tensor) -> Tensor,
    layer_norm_eps: f64,
    batch_first: bool,
    norm_first: bool,
    bias: bool,
}

/// Encoder layers one after the other, and a normalisation at the end if there is one.
///
/// Each layer is made anew, with initial values of its own; PyTorch copies one.
///
/// ```
/// use gradus_nn::{Layer, Module, TransformerEncoder, TransformerEncoderLayer};
/// use gradus_tensor::{DType, Tensor};
/// let encoder = TransformerEncoder::new(2, || TransformerEncoderLayer::new(8, 2));
/// assert_eq!(encoder.forward(&Tensor::randn([5, 1, 8], DType::F32)).shape().dims(), [5, 1, 8]);
/// assert_eq!(encoder.state_dict().names()[0], "layers.0.self_attn.in_proj_weight");
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct TransformerEncoder {
    /// The layers.
    pub layers: Vec<TransformerEncoderLayer>,
    /// The normalisation at the end.
    pub norm: Option<LayerNorm>,
}

impl TransformerEncoderLayerOptions {
    /// For vectors of `d_model` numbers, with `nhead` heads.
    pub fn new(d_model: usize, nhead: usize) -> TransformerEncoderLayerOptions {
        TransformerEncoderLayerOptions {
            d_model,
            nhead,
            dim_feedforward: 2048,
            dropout: 0.1,
            activation: Tensor::relu,
            layer_norm_eps: 1e-5,
            batch_first: false,
            norm_first: false,
            bias: true,
        }
    }

    /// The width of each position's network; 2048 unless given.
    #[must_use]
    pub fn dim_feedforward(mut self, dim_feedforward: usize) -> Self {
        self.dim_feedforward = dim_feedforward;
        self
    }

    /// The probability of every dropout, that of attention weights included; 0.1 unless given.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// The activation of each position's network; ReLU unless given.
    #[must_use]
    pub fn activation(mut self, activation: fn(&Tensor) -> Tensor) -> Self {
        self.activation = activation;
        self
    }

    /// The `eps` of both normalisations; 1e-5 unless given.
    #[must_use]
    pub fn layer_norm_eps(mut self, eps: f64) -> Self {
        self.layer_norm_eps = eps;
        self
    }

    /// Whether the batch is the first axis; it is the second unless said otherwise.
    #[must_use]
    pub fn batch_first(mut self, batch_first: bool) -> Self {
        self.batch_first = batch_first;
        self
    }

    /// Normalises before attention and network, inside the residual connections, rather than after
    /// them (Xiong et al., "On layer normalization in the transformer architecture", ICML 2020).
    #[must_use]
    pub fn norm_first(mut self, norm_first: bool) -> Self {
        self.norm_first = norm_first;
        self
    }

    /// With biases everywhere, as it starts, or nowhere.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }
}

impl TransformerEncoderLayer {
    /// For vectors of `d_model` numbers, with `nhead` heads and PyTorch's defaults.
    #[track_caller]
    pub fn new(d_model: usize, nhead: usize) -> TransformerEncoderLayer {
        TransformerEncoderLayer::with_options(TransformerEncoderLayerOptions::new(d_model, nhead))
    }

    /// With other options.
    #[track_caller]
    pub fn with_options(options: TransformerEncoderLayerOptions) -> TransformerEncoderLayer {
        let TransformerEncoderLayerOptions { d_model, nhead, dim_feedforward, .. } = options;
        let TransformerEncoderLayerOptions { dropout, batch_first, bias, .. } = options;
        let norm = || LayerNorm::new([d_model]).eps(options.layer_norm_eps).bias(bias);
        TransformerEncoderLayer {
            self_attn: MultiheadAttention::new(d_model, nhead)
                .dropout(dropout)
                .batch_first(batch_first)
                .bias(bias),
            linear1: Linear::new(d_model, dim_feedforward).bias(bias),
            dropout: Dropout::new(dropout),
            linear2: Linear::new(dim_feedforward, d_model).bias(bias),
            norm1: norm(),
            norm2: norm(),
            dropout1: Dropout::new(dropout),
            dropout2: Dropout::new(dropout),
            options,
        }
    }

    /// The output for an input and masks.
    #[track_caller]
    pub fn forward_with(&self, input: &Tensor, masks: MultiheadAttentionOptions<'_>) -> Tensor {
        let output = if self.options.norm_first {
            let x = input + self.attend(&self.norm1.forward(input), masks);
            &x + self.network(&self.norm2.forward(&x))
        } else {
            let x = self.norm1.forward(&(input + self.attend(input, masks)));
            self.norm2.forward(&(&x + self.network(&x)))
        };
        output.within(input, self)
    }

    #[track_caller]
    fn attend(&self, x: &Tensor, masks: MultiheadAttentionOptions<'_>) -> Tensor {
        let (output, _) = self.self_attn.forward_with(x, x, x, masks.need_weights(false));
        self.dropout1.forward(&output)
    }

    #[track_caller]
    fn network(&self, x: &Tensor) -> Tensor {
        let hidden = (self.options.activation)(&self.linear1.forward(x));
        self.dropout2.forward(&self.linear2.forward(&self.dropout.forward(&hidden)))
    }
}

impl Layer for TransformerEncoderLayer {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.forward_with(input, MultiheadAttentionOptions::default())
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl TransformerEncoder {
    /// `num_layers` layers, each made by a call of `layer`.
    #[track_caller]
    pub fn new(
        num_layers: usize,
        layer: impl FnMut() -> TransformerEncoderLayer,
    ) -> TransformerEncoder {
        let layers = std::iter::repeat_with(layer).take(num_layers).collect();
        TransformerEncoder { layers, norm: None }
    }

    /// With a normalisation at the end.
    #[must_use]
    pub fn norm(mut self, norm: LayerNorm) -> TransformerEncoder {
        self.norm = Some(norm);
        self
    }

    /// The output for an input and masks, which every layer gets.
    #[track_caller]
    pub fn forward_with(&self, input: &Tensor, masks: MultiheadAttentionOptions<'_>) -> Tensor {
        let mut x = input.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward_with(&x, masks).within(&x, &format_args!("layers.{i}"));
        }
        match &self.norm {
            Some(norm) => norm.forward(&x),
            None => x,
        }
    }
}

impl Layer for TransformerEncoder {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.forward_with(input, MultiheadAttentionOptions::default())
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for TransformerEncoderLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TransformerEncoderLayerOptions { d_model, nhead, dim_feedforward, dropout, .. } =
            self.options;
        let first = if self.options.norm_first { "True" } else { "False" };
        write!(f, "TransformerEncoderLayer(d_model={d_model}, nhead={nhead}, ")?;
        write!(f, "dim_feedforward={dim_feedforward}, dropout={dropout:?}, norm_first={first})")
    }
}

/// A line for each layer.
impl fmt::Display for TransformerEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransformerEncoder(\n")?;
        for (i, layer) in self.layers.iter().enumerate() {
            writeln!(f, "  (layers.{i}): {layer}")?;
        }
        if let Some(norm) = &self.norm {
            writeln!(f, "  (norm): {norm}")?;
        }
        f.write_str(")")
    }
}
