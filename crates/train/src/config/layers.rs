//! The layers that a configuration may choose.

use std::num::NonZeroUsize;

use gradus_nn::models::{GPT, GPTConfig, LeNet, ResNet};
use gradus_nn::{
    AdaptiveAvgPool2d, AlphaDropout, AvgPool1d, AvgPool2d, BatchNorm1d, BatchNorm2d, CELU, Conv1d,
    Conv2d, ConvOptions, ConvTranspose2d, Dropout, Dropout1d, Dropout2d, ELU, Embedding, Flatten,
    GELU, GLU, GroupNorm, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, Identity, Layer, LayerNorm,
    LeakyReLU, Linear, LogSigmoid, LogSoftmax, MaxPool1d, MaxPool2d, Mish, PReLU, RMSNorm, ReLU,
    ReLU6, SELU, SiLU, Sigmoid, Softmax, Softplus, Softshrink, Softsign, Tanh, Tanhshrink,
    TransformerEncoderLayer, TransformerEncoderLayerOptions, Unflatten,
};
use gradus_tensor::{Error, ErrorKind, Pair, Result, Shape};

use super::table::table;
use super::value::{Margin, NotNegative, Positive, Probability, Whole};

/// A layer of any type.
pub type AnyLayer = Box<dyn Layer + Send + Sync>;

/// Where a layer stands in its model.
#[derive(Clone, Debug)]
pub struct LayerInput {
    /// The shape of one sample's input, without the batch: what the layer before puts out.
    pub shape: Shape,
    /// How many outputs the data ask for, if this is the last layer: one for each class, or one.
    pub outputs: Option<NonZeroUsize>,
}

table! {
    /// Every layer known by name. A layer of another kind is one more row.
    ///
    /// Keys are called as PyTorch calls them; what an input decides (`in_features`, `in_channels`)
    /// is taken from it by default.
    pub const LAYERS: fn(input: LayerInput) -> AnyLayer;

    /// Joins all axes but the batch.
    "Flatten" { start_dim: usize = 1 } => {
        layer(Flatten { start_dim: start_dim as isize, end_dim: -1 })
    };
    /// Fully connected. `in_features` follows from the layer before; the last layer's
    /// `out_features` from the data.
    "Linear" {
        in_features: NonZeroUsize = input.last_size()?,
        out_features: NonZeroUsize = input.outputs("out_features")?,
        bias: bool = true,
    } => {
        let (inputs, outputs) = (in_features.get(), out_features.get());
        input.check_size(&[outputs, inputs])?;
        layer(Linear::new(inputs, outputs).bias(bias))
    };
    /// Gives an axis several sizes; one of them may be -1.
    "Unflatten" { dim: Whole = Whole(1), unflattened_size: Vec<Whole> } => {
        let sizes: Vec<isize> = unflattened_size.iter().map(|n| n.0 as isize).collect();
        layer(Unflatten::new(dim.0 as isize, sizes))
    };
    /// Passes its input on.
    "Identity" {} => layer(Identity);

    /// 2-D convolution. `in_channels` follow from the layer before; `padding` may be "same".
    "Conv2d" {
        in_channels: NonZeroUsize = input.channels()?,
        out_channels: NonZeroUsize,
        kernel_size: [usize; 2],
        stride: [usize; 2] = [1, 1],
        padding: Margin = Margin::Zeros([0, 0]),
        dilation: [usize; 2] = [1, 1],
        groups: NonZeroUsize = NonZeroUsize::MIN,
        bias: bool = true,
    } => {
        let options = ConvOptions::default().stride(stride).padding(padding).dilation(dilation);
        let options = options.groups(groups.get());
        let (inputs, outputs) = (in_channels.get(), out_channels.get());
        input.check_size(&[outputs, inputs, kernel_size[0], kernel_size[1]])?;
        layer(Conv2d::with_options(inputs, outputs, kernel_size, options).bias(bias))
    };
    /// 1-D convolution. `in_channels` follow from the layer before; `padding` may be "same".
    "Conv1d" {
        in_channels: NonZeroUsize = input.channels()?,
        out_channels: NonZeroUsize,
        kernel_size: NonZeroUsize,
        stride: NonZeroUsize = NonZeroUsize::MIN,
        padding: Margin = Margin::Zeros([0, 0]),
        dilation: NonZeroUsize = NonZeroUsize::MIN,
        groups: NonZeroUsize = NonZeroUsize::MIN,
        bias: bool = true,
    } => {
        let options = ConvOptions::default().stride(stride.get()).padding(padding);
        let options = options.dilation(dilation.get()).groups(groups.get());
        let (inputs, outputs) = (in_channels.get(), out_channels.get());
        input.check_size(&[outputs, inputs, kernel_size.get()])?;
        layer(Conv1d::with_options(inputs, outputs, kernel_size.get(), options).bias(bias))
    };
    /// Transposed 2-D convolution. `in_channels` follow from the layer before.
    "ConvTranspose2d" {
        in_channels: NonZeroUsize = input.channels()?,
        out_channels: NonZeroUsize,
        kernel_size: [usize; 2],
        stride: [usize; 2] = [1, 1],
        padding: [usize; 2] = [0, 0],
        output_padding: [usize; 2] = [0, 0],
        dilation: [usize; 2] = [1, 1],
        groups: NonZeroUsize = NonZeroUsize::MIN,
        bias: bool = true,
    } => {
        let options = ConvOptions::default().stride(stride).padding(Pair(padding)).dilation(dilation);
        let options = options.groups(groups.get()).output_padding(output_padding);
        let (inputs, outputs) = (in_channels.get(), out_channels.get());
        input.check_size(&[inputs, outputs, kernel_size[0], kernel_size[1]])?;
        layer(ConvTranspose2d::with_options(inputs, outputs, kernel_size, options).bias(bias))
    };

    /// The greatest element of each window of an image.
    "MaxPool2d" {
        kernel_size: [usize; 2],
        stride: [usize; 2] = kernel_size,
        padding: [usize; 2] = [0, 0],
        dilation: [usize; 2] = [1, 1],
        ceil_mode: bool = false,
    } => {
        let pool = MaxPool2d::new(kernel_size).stride(stride).padding(padding);
        layer(pool.dilation(dilation).ceil_mode(ceil_mode))
    };
    /// The greatest element of each window along the last axis.
    "MaxPool1d" {
        kernel_size: NonZeroUsize,
        stride: NonZeroUsize = kernel_size,
        padding: usize = 0,
        ceil_mode: bool = false,
    } => {
        let pool = MaxPool1d::new(kernel_size.get()).stride(stride.get());
        layer(pool.padding(padding).ceil_mode(ceil_mode))
    };
    /// The average of each window of an image.
    "AvgPool2d" {
        kernel_size: [usize; 2],
        stride: [usize; 2] = kernel_size,
        padding: [usize; 2] = [0, 0],
        ceil_mode: bool = false,
        count_include_pad: bool = true,
    } => {
        let pool = AvgPool2d::new(kernel_size).stride(stride).padding(padding);
        layer(pool.ceil_mode(ceil_mode).count_include_pad(count_include_pad))
    };
    /// The average of each window along the last axis.
    "AvgPool1d" {
        kernel_size: NonZeroUsize,
        stride: NonZeroUsize = kernel_size,
        padding: usize = 0,
        ceil_mode: bool = false,
        count_include_pad: bool = true,
    } => {
        let pool = AvgPool1d::new(kernel_size.get()).stride(stride.get()).padding(padding);
        layer(pool.ceil_mode(ceil_mode).count_include_pad(count_include_pad))
    };
    /// Averages over as many parts of the image as the output has places.
    "AdaptiveAvgPool2d" { output_size: [usize; 2] } => {
        input.check_size(&[input.channels()?.get(), output_size[0], output_size[1]])?;
        layer(AdaptiveAvgPool2d::new(output_size))
    };

    /// Normalises each feature, or channel of a sequence, over the batch. `num_features` follow from
    /// the layer before.
    "BatchNorm1d" {
        num_features: NonZeroUsize = input.channels()?,
        eps: Positive = Positive(1e-5),
        momentum: Probability = Probability(0.1),
        affine: bool = true,
    } => {
        let norm = BatchNorm1d::new(num_features.get()).eps(eps.0).momentum(momentum.0);
        layer(norm.affine(affine))
    };
    /// Normalises each channel over batch and image. `num_features` follow from the layer before.
    "BatchNorm2d" {
        num_features: NonZeroUsize = input.channels()?,
        eps: Positive = Positive(1e-5),
        momentum: Probability = Probability(0.1),
        affine: bool = true,
    } => {
        let norm = BatchNorm2d::new(num_features.get()).eps(eps.0).momentum(momentum.0);
        layer(norm.affine(affine))
    };
    /// Normalises the features of each place. Their number follows from the layer before.
    "LayerNorm" {
        normalized_shape: NonZeroUsize = input.last_size()?,
        eps: Positive = Positive(1e-5),
    } => layer(LayerNorm::new([normalized_shape.get()]).eps(eps.0));
    /// Divides the features of each place by their root mean square.
    "RMSNorm" { normalized_shape: NonZeroUsize = input.last_size()? } => {
        layer(RMSNorm::new([normalized_shape.get()]))
    };
    /// Normalises groups of channels of each sample. `num_channels` follow from the layer before.
    "GroupNorm" {
        num_groups: NonZeroUsize,
        num_channels: NonZeroUsize = input.channels()?,
        eps: Positive = Positive(1e-5),
    } => layer(GroupNorm::new(num_groups.get(), num_channels.get()).eps(eps.0));

    /// A vector for each token.
    "Embedding" { num_embeddings: NonZeroUsize, embedding_dim: NonZeroUsize } => {
        let (rows, columns) = (num_embeddings.get(), embedding_dim.get());
        input.check_size(&[rows, columns])?;
        layer(Embedding::new(rows, columns))
    };
    /// Self-attention and a small network for each place. `d_model` follows from the layer before.
    "TransformerEncoderLayer" {
        d_model: NonZeroUsize = input.last_size()?,
        nhead: NonZeroUsize,
        dim_feedforward: NonZeroUsize = NonZeroUsize::new(2048).unwrap_or(NonZeroUsize::MIN),
        dropout: Probability = Probability(0.1),
        norm_first: bool = false,
    } => {
        input.check_size(&[dim_feedforward.get(), d_model.get()])?;
        let options = TransformerEncoderLayerOptions::new(d_model.get(), nhead.get());
        let options = options.dim_feedforward(dim_feedforward.get()).dropout(dropout.0);
        let options = options.norm_first(norm_first).batch_first(true);
        layer(TransformerEncoderLayer::with_options(options))
    };

    /// LeNet-5 with ReLU and max pooling: a whole network for images of at least 16 × 16 pixels.
    "LeNet" { num_classes: NonZeroUsize = input.outputs("num_classes")? } => {
        let [channels, height, width] = input.image()?;
        if height.min(width) < 16 {
            let message = format!("images of {height} × {width} are too small; 16 × 16 at least");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        layer(LeNet::new(channels, [height, width], num_classes.get()))
    };
    /// A residual network of 18 layers for images of three channels; `cifar_stem` is for small ones.
    "ResNet18" {
        num_classes: NonZeroUsize = input.outputs("num_classes")?,
        cifar_stem: bool = false,
    } => {
        input.check_size(&[num_classes.get(), 512])?;
        layer(with_stem(ResNet::resnet18(num_classes.get()), cifar_stem))
    };
    /// A residual network of 34 layers for images of three channels; `cifar_stem` is for small ones.
    "ResNet34" {
        num_classes: NonZeroUsize = input.outputs("num_classes")?,
        cifar_stem: bool = false,
    } => {
        input.check_size(&[num_classes.get(), 512])?;
        layer(with_stem(ResNet::resnet34(num_classes.get()), cifar_stem))
    };
    /// A generative transformer for text.
    "GPT" {
        vocabulary: NonZeroUsize = input.outputs("vocabulary")?,
        context: NonZeroUsize = input.last_size()?,
        layers: usize = 4,
        heads: NonZeroUsize = NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN),
        width: NonZeroUsize = NonZeroUsize::new(128).unwrap_or(NonZeroUsize::MIN),
        dropout: Probability = Probability(0.0),
    } => {
        let (vocabulary, context, dropout) = (vocabulary.get(), context.get(), dropout.0);
        let (heads, width) = (heads.get(), width.get());
        if !width.is_multiple_of(heads) {
            let message = format!("{heads} heads do not divide a width of {width}");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        input.check_size(&[vocabulary.max(context), width])?;
        input.check_size(&[layers.max(1), 12, width, width])?;
        let length = input.last_size()?.get();
        if length > context {
            let message =
                format!("samples of {length} tokens are longer than `context`, which is {context}");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        layer(GPT::new(GPTConfig { vocabulary, context, layers, heads, width, dropout }))
    };

    /// Zeroes elements with probability `p`, in training only.
    "Dropout" { p: Probability = Probability(0.5) } => layer(Dropout::new(p.0));
    /// Zeroes channels of sequences with probability `p`, in training only.
    "Dropout1d" { p: Probability = Probability(0.5) } => layer(Dropout1d::new(p.0));
    /// Zeroes channels of images with probability `p`, in training only.
    "Dropout2d" { p: Probability = Probability(0.5) } => layer(Dropout2d::new(p.0));
    /// Dropout that keeps mean and variance, for SELU.
    "AlphaDropout" { p: Probability = Probability(0.5) } => layer(AlphaDropout::new(p.0));

    /// max(x, 0).
    "ReLU" {} => layer(ReLU);
    /// min(max(x, 0), 6).
    "ReLU6" {} => layer(ReLU6);
    /// x where positive, else a part of it.
    "LeakyReLU" { negative_slope: f64 = 0.01 } => layer(LeakyReLU::new(negative_slope));
    /// As LeakyReLU, with a slope that is learnt.
    "PReLU" { num_parameters: NonZeroUsize = NonZeroUsize::MIN, init: f64 = 0.25 } => {
        layer(PReLU::new(num_parameters.get(), init))
    };
    /// x · Φ(x); `approximate` is "none" or "tanh".
    "GELU" { approximate: String = "none".to_owned() } => match approximate.as_str() {
        "none" => layer(GELU::default()),
        "tanh" => layer(GELU::tanh()),
        other => Err(Error::new(
            ErrorKind::Usage,
            format!("`approximate` is \"{other}\"; give \"none\" or \"tanh\""),
        )),
    };
    /// x · sigmoid(x).
    "SiLU" {} => layer(SiLU);
    /// x where positive, else alpha · (eˣ − 1).
    "ELU" { alpha: f64 = 1.0 } => layer(ELU::new(alpha));
    /// ELU that is smooth for every alpha.
    "CELU" { alpha: Positive = Positive(1.0) } => layer(CELU::new(alpha.0));
    /// ELU that keeps mean and variance.
    "SELU" {} => layer(SELU);
    /// 1 / (1 + e⁻ˣ).
    "Sigmoid" {} => layer(Sigmoid);
    /// log(sigmoid(x)).
    "LogSigmoid" {} => layer(LogSigmoid);
    /// The hyperbolic tangent.
    "Tanh" {} => layer(Tanh);
    /// x − tanh(x).
    "Tanhshrink" {} => layer(Tanhshrink);
    /// log(1 + eˣ).
    "Softplus" { beta: Positive = Positive(1.0), threshold: f64 = 20.0 } => {
        layer(Softplus::new(beta.0, threshold))
    };
    /// x / (1 + |x|).
    "Softsign" {} => layer(Softsign);
    /// x moved towards 0.
    "Softshrink" { lambda: NotNegative = NotNegative(0.5) } => layer(Softshrink::new(lambda.0));
    /// x, but 0 near 0.
    "Hardshrink" { lambda: f64 = 0.5 } => layer(Hardshrink::new(lambda));
    /// x between two bounds.
    "Hardtanh" { min_val: f64 = -1.0, max_val: f64 = 1.0 } => {
        if min_val >= max_val {
            let message = format!("`min_val` is {min_val} and `max_val` {max_val}; it must be greater");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        layer(Hardtanh::new(min_val, max_val))
    };
    /// relu6(x + 3) / 6.
    "Hardsigmoid" {} => layer(Hardsigmoid);
    /// x · relu6(x + 3) / 6.
    "Hardswish" {} => layer(Hardswish);
    /// x · tanh(softplus(x)).
    "Mish" {} => layer(Mish);
    /// One half of the input times the sigmoid of the other.
    "GLU" { dim: Whole = Whole(-1) } => layer(GLU::new(dim.0 as isize));
    /// Probabilities along an axis. Not before CrossEntropyLoss, which has it built in.
    "Softmax" { dim: Whole = Whole(-1) } => layer(Softmax::new(dim.0 as isize));
    /// Logarithms of probabilities along an axis, for NLLLoss.
    "LogSoftmax" { dim: Whole = Whole(-1) } => layer(LogSoftmax::new(dim.0 as isize));
}

/// A layer as a row gives it.
fn layer(layer: impl Layer + Send + Sync + 'static) -> Result<AnyLayer> {
    Ok(Box::new(layer))
}

fn with_stem(net: ResNet, cifar_stem: bool) -> ResNet {
    if cifar_stem { net.cifar_stem() } else { net }
}

impl LayerInput {
    /// Channels, height and width of an image.
    fn image(&self) -> Result<[usize; 3]> {
        self.shape.dims().try_into().map_err(|_| {
            let input = batch_of(&self.shape);
            let message = format!("its input, {input}, is no image [N, channels, height, width]");
            Error::new(ErrorKind::Usage, message)
        })
    }

    /// The size of the last axis: the features of a sample.
    pub fn last_size(&self) -> Result<NonZeroUsize> {
        self.size(self.shape.last().copied(), "an axis of features")
    }

    /// The size of the first axis: the channels of an image.
    pub fn channels(&self) -> Result<NonZeroUsize> {
        self.size(self.shape.first().copied(), "an axis of channels")
    }

    /// How many outputs the data ask for; an error unless the layer is the last one.
    pub fn outputs(&self, key: &str) -> Result<NonZeroUsize> {
        self.outputs.ok_or_else(|| {
            let message = format!(
                "`{key}` is missing; give it (only the last layer's follows from the data)"
            );
            Error::new(ErrorKind::Usage, message)
        })
    }

    /// Refuses a parameter that is too large before memory is asked for.
    pub fn check_size(&self, parameter: &[usize]) -> Result<()> {
        const LARGEST: usize = 1 << 30;
        let size = parameter.iter().try_fold(1usize, |size, &n| size.checked_mul(n));
        match size {
            Some(size) if size <= LARGEST => Ok(()),
            _ => {
                let message =
                    format!("a parameter of shape {parameter:?} is too large; 2³⁰ numbers at most");
                Err(Error::new(ErrorKind::Usage, message))
            }
        }
    }

    fn size(&self, size: Option<usize>, what: &str) -> Result<NonZeroUsize> {
        size.and_then(NonZeroUsize::new).ok_or_else(|| {
            let message = format!("its input, {}, does not have {what}", batch_of(&self.shape));
            Error::new(ErrorKind::Usage, message)
        })
    }
}

/// The shape of a batch of samples of a shape, for messages: `[N, 3, 32, 32]`.
pub(crate) fn batch_of(sample: &[usize]) -> String {
    let sizes: String = sample.iter().map(|size| format!(", {size}")).collect();
    format!("[N{sizes}]")
}
