//! A generative transformer over tokens, GPT-2's (Radford et al., "Language models are unsupervised multitask
//! learners", 2019), with the names of nanoGPT's modules.

use gradus_tensor::{
    AttentionOptions, DType, Error, ErrorKind, Parameter, Result, Shape, Tensor, no_grad,
};

use crate::{Dropout, Embedding, Layer, LayerNorm, Linear, Mode, Module, init};

/// The sizes of a [`GPT`].
///
/// ```
/// use gradus_nn::models::GPTConfig;
/// let small = GPTConfig { layers: 2, heads: 2, width: 32, ..GPTConfig::new(65, 16) };
/// assert_eq!((small.vocabulary, small.context, small.dropout), (65, 16, 0.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GPTConfig {
    /// How many tokens there are.
    pub vocabulary: usize,
    /// How many tokens it sees at once, at most.
    pub context: usize,
    /// How many blocks.
    pub layers: usize,
    /// Into how many heads the attention of a block is divided; they must divide the width.
    pub heads: usize,
    /// The numbers that stand for a token inside.
    pub width: usize,
    /// The probability of dropout in training.
    pub dropout: f64,
}

impl GPTConfig {
    /// Four layers of four heads, 128 wide, without dropout.
    pub fn new(vocabulary: usize, context: usize) -> GPTConfig {
        GPTConfig { vocabulary, context, layers: 4, heads: 4, width: 128, dropout: 0.0 }
    }
}

/// Tokens `[n, length]` (int64) → logits of each next token `[n, length, vocabulary]`.
///
/// ```
/// use gradus_nn::models::{GPT, GPTConfig};
/// use gradus_nn::{Layer, Module};
/// use gradus_tensor::{DType, Tensor};
/// let gpt = GPT::new(GPTConfig { layers: 1, heads: 2, width: 8, ..GPTConfig::new(5, 4) });
/// let logits = gpt.forward(&Tensor::zeros([3, 4], DType::I64));
/// assert_eq!(logits.shape().dims(), [3, 4, 5]);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct GPT {
    wte: Embedding,
    wpe: Embedding,
    drop: Dropout,
    h: Vec<Block>,
    ln_f: LayerNorm,
    lm_head: Linear,
    #[module(skip)]
    config: GPTConfig,
}

impl GPT {
    /// A network with GPT-2's initial values: normal with a standard deviation of 0.02, divided by √(2·layers)
    /// where a block writes to the residual stream; biases are 0. The output layer shares its weight with the
    /// embedding of tokens.
    ///
    /// # Panics
    /// If the heads do not divide the width.
    #[track_caller]
    pub fn new(config: GPTConfig) -> GPT {
        let GPTConfig { vocabulary, context, layers, heads, width, dropout } = config;
        assert!(
            heads > 0 && width % heads == 0,
            "GPT: {heads} heads do not divide a width of {width}"
        );
        let wte = Embedding::from_pretrained(weight([vocabulary, width], 0.02));
        let lm_head = Linear { weight: wte.weight.clone(), bias: None };
        GPT {
            wte,
            wpe: Embedding::from_pretrained(weight([context, width], 0.02)),
            drop: Dropout::new(dropout),
            h: (0..layers).map(|_| Block::new(&config)).collect(),
            ln_f: LayerNorm::new([width]),
            lm_head,
            config,
        }
    }

    /// The sizes.
    pub fn config(&self) -> &GPTConfig {
        &self.config
    }

    /// Continues a text by `count` tokens, each drawn with the probability that the network gives it after
    /// division of the logits by `temperature`; only the `top_k` most likely are drawn from, if that is given.
    /// Draws come from the thread's generator. Dropout should be off ([`Module::eval`]).
    ///
    /// # Errors
    /// If `tokens` is empty or contains one that is not in the vocabulary, or the temperature is below 0 or no
    /// number. At a temperature of 0 the likeliest token is taken.
    #[track_caller]
    pub fn generate(
        &self,
        tokens: &[i64],
        count: usize,
        temperature: f64,
        top_k: Option<usize>,
    ) -> Result<Vec<i64>> {
        if tokens.is_empty() || !(temperature >= 0.0 && temperature.is_finite()) {
            let message = format!(
                "generate: {} tokens to begin with and a temperature of {temperature}; give at least one \
                 token, and a temperature of 0 or more",
                tokens.len()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let (context, mut text) = (self.config.context, tokens.to_vec());
        no_grad(|| {
            for _ in 0..count {
                let seen = &text[text.len().saturating_sub(context)..];
                // Always a whole context, so that there is one plan: no token sees those after it.
                let mut padded = seen.to_vec();
                padded.resize(context, 0);
                let logits = self.forward(&Tensor::from_vec(padded, [1, context]));
                let last = Tensor::from_slice(&[seen.len() as i64 - 1], [1]);
                let logits = logits.index_select(1, &last).reshape([-1]);
                if temperature == 0.0 {
                    text.push(logits.argmax(0).item()?);
                    continue;
                }
                let logits = logits / temperature;
                let logits = match top_k.filter(|&k| k < self.config.vocabulary) {
                    Some(k) => {
                        let least = logits.topk(k.max(1), 0, true).0.narrow(0, k.max(1) - 1, 1);
                        Tensor::where_(&logits.lt(&least), f64::NEG_INFINITY, &logits)
                    }
                    None => logits,
                };
                // The greatest after adding Gumbel noise is a draw from the softmax.
                let noise = -(-logits.rand_like().log()).log();
                text.push((logits + noise).argmax(0).item()?);
            }
            Ok(text)
        })
    }
}

impl Layer for GPT {
    #[track_caller]
    fn forward(&self, tokens: &Tensor) -> Tensor {
        let Ok(shape) = tokens.try_shape() else { return tokens.clone() };
        let length = shape.last().copied().unwrap_or(0);
        if length > self.config.context {
            let message = format!(
                "GPT: {length} tokens, shape {shape}, are more than its context of {}; give fewer",
                self.config.context
            );
            return Tensor::from_error(Error::new(ErrorKind::Shape, message));
        }
        let positions = Tensor::arange(length, DType::I64).to(tokens.device());
        let mut x = self.wte.forward(tokens) + self.wpe.forward(&positions);
        x = self.drop.forward(&x);
        for block in &self.h {
            x = block.forward(&x);
        }
        self.lm_head.forward(&self.ln_f.forward(&x))
    }

    fn describe(&self) -> String {
        let GPTConfig { vocabulary, context, layers, heads, width, .. } = self.config;
        format!("GPT({vocabulary}, {context}, layers={layers}, heads={heads}, width={width})")
    }
}

/// Attention, then a small network for each position, each added to what comes in.
#[derive(Debug, Module)]
#[module(crate = crate)]
struct Block {
    ln_1: LayerNorm,
    attn: SelfAttention,
    ln_2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn new(config: &GPTConfig) -> Block {
        Block {
            ln_1: LayerNorm::new([config.width]),
            attn: SelfAttention::new(config),
            ln_2: LayerNorm::new([config.width]),
            mlp: Mlp::new(config),
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.attn.forward(&self.ln_1.forward(x));
        &x + self.mlp.forward(&self.ln_2.forward(&x))
    }
}

/// Attention of each position to those before it.
#[derive(Debug, Module)]
#[module(crate = crate)]
struct SelfAttention {
    c_attn: Linear,
    c_proj: Linear,
    drop: Dropout,
    mode: Mode,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    dropout: f64,
}

impl SelfAttention {
    fn new(config: &GPTConfig) -> SelfAttention {
        let width = config.width;
        SelfAttention {
            c_attn: linear(width, 3 * width, 0.02),
            c_proj: linear(width, width, residual(config)),
            drop: Dropout::new(config.dropout),
            mode: Mode::default(),
            heads: config.heads,
            dropout: config.dropout,
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let Ok(shape) = x.try_shape() else { return x.clone() };
        let (n, length, width) = (shape[0], shape[1], shape[2]);
        let size = width / self.heads;
        // [n, length, 3 · width] → three times [n, heads, length, size]
        let qkv = self.c_attn.forward(x).reshape(Shape::from([n, length, 3, self.heads, size]));
        let part = |i| qkv.select(2, i).transpose(1, 2);
        let dropout = if self.mode.is_training() { self.dropout } else { 0.0 };
        let options = AttentionOptions::default().is_causal(true).dropout_p(dropout);
        let y = Tensor::scaled_dot_product_attention(&part(0), &part(1), &part(2), options);
        let y = y.transpose(1, 2).reshape(Shape::from([n, length, width]));
        self.drop.forward(&self.c_proj.forward(&y))
    }
}

/// Four times as wide inside.
#[derive(Debug, Module)]
#[module(crate = crate)]
struct Mlp {
    c_fc: Linear,
    c_proj: Linear,
    drop: Dropout,
}

impl Mlp {
    fn new(config: &GPTConfig) -> Mlp {
        let width = config.width;
        Mlp {
            c_fc: linear(width, 4 * width, 0.02),
            c_proj: linear(4 * width, width, residual(config)),
            drop: Dropout::new(config.dropout),
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let inside = self.c_fc.forward(x).gelu();
        self.drop.forward(&self.c_proj.forward(&inside))
    }
}

/// The standard deviation of what writes to the residual stream.
fn residual(config: &GPTConfig) -> f64 {
    0.02 / (2.0 * config.layers.max(1) as f64).sqrt()
}

fn weight(shape: [usize; 2], std: f64) -> Parameter {
    Parameter::new(init::normal(shape, 0.0, std))
}

fn linear(inputs: usize, outputs: usize, std: f64) -> Linear {
    let bias = Parameter::new(Tensor::zeros([outputs], DType::F32));
    Linear { weight: weight([outputs, inputs], std), bias: Some(bias) }
}
