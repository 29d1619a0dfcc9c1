//! Every layer against PyTorch: outputs, gradients, running statistics, names of the state dict and
//! printing. `tests/golden/layers.py` made the numbers.

mod golden;

use std::rc::Rc;

use golden::{Golden, compare, flag, indices, names, number, run_all, text};
use gradus_nn::*;
use gradus_tensor::{AttentionOptions, DType, Device, Tensor, no_grad};
use serde_json::Value;

#[test]
fn layers_agree_with_pytorch() {
    let cases = Golden::load("layers").cases;
    assert!(cases.len() >= 200, "{}", cases.len());
    run_all("layers", run);
}

/// The masks of a case by name.
type Masks = Vec<(String, Tensor)>;

/// From inputs and masks to outputs.
type Forward = Box<dyn Fn(&[Tensor], &Masks) -> Vec<Tensor>>;

/// What a case is about.
struct Subject {
    module: Box<dyn Module>,
    forward: Forward,
    print: String,
}

fn run(golden: &Golden, case: &Value, dtype: DType, device: Device) -> Result<(), String> {
    let id = text(case, "id");
    let read = |key: &str| golden.tensor(id, key, dtype, device);
    let subject = subject(case);
    let module = &subject.module;
    if subject.print != text(case, "print") {
        return Err(format!("prints {}, PyTorch {}", subject.print, text(case, "print")));
    }
    let state: StateDict =
        names(case, "state").iter().map(|n| (n.to_string(), read(&format!("state/{n}")))).collect();
    if module.state_dict().names() != state.names() {
        return Err(format!("the state has {:?}", module.state_dict().names()));
    }
    module.to_dtype(dtype).map_err(|e| e.to_string())?;
    module.load_state_dict(&state).map_err(|e| e.to_string())?;
    module.to(device).map_err(|e| e.to_string())?;

    let masks: Masks = names(case, "masks").iter().map(|n| (n.to_string(), read(n))).collect();
    if case["warm"].as_bool().unwrap() {
        let _ = no_grad(|| (subject.forward)(&[read("warm")], &masks));
    }
    module.train(case["train"].as_bool().unwrap());
    let gradients = indices(case, "gradients");
    let inputs: Vec<Tensor> = (0..case["inputs"].as_u64().unwrap() as usize)
        .map(|i| {
            let x = read(&format!("in{i}"));
            if gradients.contains(&i) { x.requires_grad_() } else { x }
        })
        .collect();
    let outputs = (subject.forward)(&inputs, &masks);
    if outputs.len() as u64 != case["outputs"].as_u64().unwrap() {
        return Err(format!("{} outputs", outputs.len()));
    }
    for (i, output) in outputs.iter().enumerate() {
        compare(&format!("output {i}"), output, &golden.expected(id, &format!("out{i}")), dtype)?;
    }
    let parameters = names(case, "parameters");
    if !gradients.is_empty() || !parameters.is_empty() {
        (&outputs[0] * read("w")).sum().backward();
    }
    let scale = gradient_scale(golden, id, &gradients, &parameters);
    let check = |what: &str, grad: Option<Tensor>, key: &str| {
        let grad = grad.ok_or_else(|| format!("no gradient of {what}"))?;
        let expected = golden.expected(id, key);
        // Some gradients are 0 but for rounding: what matters is the scale of all of them.
        let largest = expected.1.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        if largest < 1e-12 * scale {
            let found = grad.to_vec::<f64>().map_err(|e| e.to_string())?;
            let limit = scale * if dtype == DType::F64 { 1e-12 } else { 1e-5 };
            return match found.iter().find(|x| x.abs() > limit || x.is_nan()) {
                Some(x) => Err(format!("gradient of {what} is {x}, PyTorch has about 0")),
                None => Ok(()),
            };
        }
        // Where PyTorch itself is not exact, agreement to f32's tolerance is asked for.
        let rounded = case.get("rounded").is_some();
        let (dtype, grad) = match rounded && dtype == DType::F64 {
            true => (DType::F32, grad.cast(DType::F32)),
            false => (dtype, grad),
        };
        compare(&format!("gradient of {what}"), &grad, &expected, dtype)
    };
    for i in gradients {
        check(&format!("input {i}"), inputs[i].grad(), &format!("grad{i}"))?;
    }
    let known = module.named_parameters();
    for name in parameters {
        let (_, parameter) = known.iter().find(|(n, _)| n == name).ok_or(name)?;
        check(name, parameter.grad(), &format!("grad/{name}"))?;
    }
    let buffers = module.named_buffers();
    let found: Vec<&str> = buffers.iter().map(|(name, _)| name.as_str()).collect();
    if found != names(case, "buffers") {
        return Err(format!("the buffers are {found:?}"));
    }
    for (name, buffer) in &buffers {
        let expected = golden.expected(id, &format!("after/{name}"));
        compare(&format!("{name} afterwards"), &buffer.get(), &expected, dtype)?;
    }
    Ok(())
}

/// The largest gradient of a case.
fn gradient_scale(golden: &Golden, id: &str, inputs: &[usize], parameters: &[&str]) -> f64 {
    let inputs = inputs.iter().map(|i| format!("grad{i}"));
    let parameters = parameters.iter().map(|name| format!("grad/{name}"));
    let all = inputs.chain(parameters).flat_map(|key| golden.expected(id, &key).1);
    all.fold(0.0, |m, x| m.max(x.abs()))
}

fn layer(layer: impl Layer + std::fmt::Display + 'static) -> Subject {
    let print = layer.to_string();
    assert_eq!(print, layer.describe());
    let layer = Rc::new(layer);
    let forward = layer.clone();
    Subject {
        module: Box::new(layer),
        forward: Box::new(move |x, _| vec![forward.forward(&x[0])]),
        print,
    }
}

fn function(f: impl Fn(&[Tensor], &Masks) -> Tensor + 'static) -> Subject {
    let forward = Box::new(move |x: &[Tensor], masks: &Masks| vec![f(x, masks)]);
    Subject { module: Box::new(()), forward, print: String::new() }
}

fn mask<'m>(masks: &'m Masks, name: &str) -> Option<&'m Tensor> {
    masks.iter().find(|(known, _)| known == name).map(|(_, mask)| mask)
}

/// A value with a method applied for each option that is given.
macro_rules! with {
    ($value:expr, $($method:ident: $option:expr),* $(,)?) => {{
        let mut value = $value;
        $(if let Some(option) = $option {
            value = value.$method(option);
        })*
        value
    }};
}

fn subject(case: &Value) -> Subject {
    let options = case["options"].clone();
    let o = &options;
    let given = |key: &str| number(o, key);
    let real = |key: &str, default: f64| given(key).unwrap_or(default);
    let count = |key: &str| given(key).unwrap_or_else(|| panic!("{key}")) as usize;
    let dim = || real("dim", -1.0) as isize;
    let sizes = |key: &str| indices(o, key);
    macro_rules! batch_norm {
        ($t:ty) => {{
            let norm = with!(
                <$t>::new(count("num_features")),
                eps: given("eps"),
                affine: flag(o, "affine"),
                track_running_stats: flag(o, "track_running_stats"),
            );
            match o.get("momentum") {
                Some(momentum) => layer(norm.momentum(momentum.as_f64())),
                None => layer(norm),
            }
        }};
    }
    match text(case, "layer") {
        "ReLU" => layer(ReLU),
        "ReLU6" => layer(ReLU6),
        "Sigmoid" => layer(Sigmoid),
        "Tanh" => layer(Tanh),
        "SiLU" => layer(SiLU),
        "Mish" => layer(Mish),
        "LogSigmoid" => layer(LogSigmoid),
        "Softsign" => layer(Softsign),
        "Tanhshrink" => layer(Tanhshrink),
        "SELU" => layer(SELU),
        "Hardsigmoid" => layer(Hardsigmoid),
        "Hardswish" => layer(Hardswish),
        "GELU" if text(o, "approximate") == "tanh" => layer(GELU::tanh()),
        "GELU" => layer(GELU::default()),
        "LeakyReLU" => layer(given("negative_slope").map_or_else(Default::default, LeakyReLU::new)),
        "ELU" => layer(given("alpha").map_or_else(Default::default, ELU::new)),
        "CELU" => layer(given("alpha").map_or_else(Default::default, CELU::new)),
        "Softplus" if given("beta").is_none() => layer(Softplus::default()),
        "Softplus" => layer(Softplus::new(real("beta", 1.0), real("threshold", 20.0))),
        "Hardtanh" if given("min_val").is_none() => layer(Hardtanh::default()),
        "Hardtanh" => layer(Hardtanh::new(real("min_val", -1.0), real("max_val", 1.0))),
        "Softshrink" => layer(given("lambd").map_or_else(Default::default, Softshrink::new)),
        "Hardshrink" => layer(given("lambd").map_or_else(Default::default, Hardshrink::new)),
        "Threshold" => layer(Threshold::new(real("threshold", 0.0), real("value", 0.0))),
        "PReLU" => match given("num_parameters") {
            Some(n) => layer(PReLU::new(n as usize, 0.25)),
            None => layer(PReLU::default()),
        },
        "GLU" => layer(GLU::new(dim())),
        "Softmax" => layer(Softmax::new(dim())),
        "LogSoftmax" => layer(LogSoftmax::new(dim())),
        "Softmin" => layer(Softmin::new(dim())),
        "BatchNorm1d" => batch_norm!(BatchNorm1d),
        "BatchNorm2d" => batch_norm!(BatchNorm2d),
        "BatchNorm3d" => batch_norm!(BatchNorm3d),
        "LayerNorm" => layer(with!(
            LayerNorm::new(sizes("normalized_shape")),
            eps: given("eps"),
            elementwise_affine: flag(o, "elementwise_affine"),
            bias: flag(o, "bias"),
        )),
        "RMSNorm" => layer(with!(
            RMSNorm::new(sizes("normalized_shape")),
            eps: given("eps"),
            elementwise_affine: flag(o, "elementwise_affine"),
        )),
        "GroupNorm" => layer(with!(
            GroupNorm::new(count("num_groups"), count("num_channels")),
            eps: given("eps"),
            affine: flag(o, "affine"),
        )),
        "Embedding" => layer(with!(
            Embedding::new(count("num_embeddings"), count("embedding_dim")),
            padding_idx: given("padding_idx").map(|row| row as usize),
        )),
        "Linear" => {
            let linear = Linear::new(count("in_features"), count("out_features"));
            layer(with!(linear, bias: flag(o, "bias")))
        }
        "Conv2d" => {
            let conv =
                Conv2d::new(count("in_channels"), count("out_channels"), pair(o, "kernel_size"));
            layer(with!(
                conv,
                stride: some_pair(o, "stride"),
                padding: padding(o),
                dilation: some_pair(o, "dilation"),
                groups: given("groups").map(|n| n as usize),
                bias: flag(o, "bias"),
            ))
        }
        "Conv1d" => {
            let conv =
                Conv1d::new(count("in_channels"), count("out_channels"), count("kernel_size"));
            layer(with!(
                conv,
                stride: given("stride").map(|n| n as usize),
                padding: padding(o),
                dilation: given("dilation").map(|n| n as usize),
                groups: given("groups").map(|n| n as usize),
                bias: flag(o, "bias"),
            ))
        }
        "ConvTranspose2d" => {
            let (inputs, outputs) = (count("in_channels"), count("out_channels"));
            layer(with!(
                ConvTranspose2d::new(inputs, outputs, pair(o, "kernel_size")),
                stride: some_pair(o, "stride"),
                padding: some_pair(o, "padding"),
                output_padding: some_pair(o, "output_padding"),
                groups: given("groups").map(|n| n as usize),
                bias: flag(o, "bias"),
            ))
        }
        "MaxPool2d" => layer(with!(
            MaxPool2d::new(pair(o, "kernel_size")),
            stride: some_pair(o, "stride"),
            padding: some_pair(o, "padding"),
            dilation: some_pair(o, "dilation"),
            ceil_mode: flag(o, "ceil_mode"),
        )),
        "AvgPool2d" => layer(with!(
            AvgPool2d::new(pair(o, "kernel_size")),
            stride: some_pair(o, "stride"),
            padding: some_pair(o, "padding"),
            ceil_mode: flag(o, "ceil_mode"),
            count_include_pad: flag(o, "count_include_pad"),
        )),
        "MaxPool1d" => layer(with!(
            MaxPool1d::new(count("kernel_size")),
            stride: given("stride").map(|n| n as usize),
            padding: given("padding").map(|n| n as usize),
            ceil_mode: flag(o, "ceil_mode"),
        )),
        "AvgPool1d" => layer(with!(
            AvgPool1d::new(count("kernel_size")),
            stride: given("stride").map(|n| n as usize),
            padding: given("padding").map(|n| n as usize),
            ceil_mode: flag(o, "ceil_mode"),
        )),
        "AdaptiveAvgPool2d" => layer(AdaptiveAvgPool2d::new(pair(o, "output_size"))),
        "Identity" => layer(Identity),
        "Flatten" => layer(Flatten::default()),
        "Unflatten" => {
            let sizes = o["unflattened_size"].as_array().unwrap().iter();
            let sizes: Vec<isize> = sizes.map(|n| n.as_i64().unwrap() as isize).collect();
            layer(Unflatten::new(dim(), sizes))
        }
        "MultiheadAttention" => attention(o),
        "TransformerEncoderLayer" => {
            let layer = Rc::new(TransformerEncoderLayer::with_options(encoder_options(o)));
            let (forward, causal) = (layer.clone(), flag(o, "is_causal"));
            encoder(layer, move |x, masks| forward.forward_with(x, masks), causal)
        }
        "TransformerEncoder" => {
            let chosen = encoder_options(o);
            let make = || TransformerEncoderLayer::with_options(chosen);
            let mut encoder_layers = TransformerEncoder::new(count("depth"), make);
            if flag(o, "norm") == Some(true) {
                encoder_layers = encoder_layers.norm(LayerNorm::new([count("d_model")]));
            }
            let layers = Rc::new(encoder_layers);
            let forward = layers.clone();
            encoder(layers, move |x, masks| forward.forward_with(x, masks), flag(o, "is_causal"))
        }
        "scaled_dot_product_attention" => {
            let (scale, causal) = (given("scale"), flag(o, "is_causal"));
            function(move |x, masks| {
                let chosen = with!(
                    AttentionOptions::default(),
                    scale: scale,
                    is_causal: causal,
                    attn_mask: mask(masks, "attn_mask"),
                );
                Tensor::scaled_dot_product_attention(&x[0], &x[1], &x[2], chosen)
            })
        }
        "normalize" => {
            let (p, dim, eps) = (real("p", 2.0), dim(), real("eps", 1e-12));
            function(move |x, _| x[0].normalize(p, dim, eps))
        }
        "pairwise_distance" => {
            let (p, eps) = (real("p", 2.0), real("eps", 1e-6));
            function(move |x, _| x[0].pairwise_distance(&x[1], p, eps))
        }
        "cosine_similarity" => {
            let (dim, eps) = (dim(), real("eps", 1e-8));
            function(move |x, _| x[0].cosine_similarity(&x[1], dim, eps))
        }
        other => panic!("no layer {other}"),
    }
}

/// One number for both axes, or two.
fn some_pair(o: &Value, key: &str) -> Option<Pair> {
    let value = o.get(key)?;
    Some(match value.as_u64() {
        Some(n) => (n as usize).into(),
        None => Pair(indices(o, key).try_into().unwrap()),
    })
}

fn pair(o: &Value, key: &str) -> Pair {
    some_pair(o, key).unwrap_or_else(|| panic!("{key}"))
}

fn padding(o: &Value) -> Option<Padding> {
    match o.get("padding")?.as_str() {
        Some(_) => Some(Padding::Same),
        None => some_pair(o, "padding").map(Padding::from),
    }
}

fn attention(o: &Value) -> Subject {
    let size = |key| number(o, key).unwrap() as usize;
    let layer = with!(
        MultiheadAttention::new(size("embed_dim"), size("num_heads")),
        batch_first: flag(o, "batch_first"),
        bias: flag(o, "bias"),
    );
    let layer = Rc::new(layer);
    let (forward, o) = (layer.clone(), o.clone());
    let run = move |x: &[Tensor], masks: &Masks| {
        let chosen = with!(
            MultiheadAttentionOptions::default(),
            attn_mask: mask(masks, "attn_mask"),
            key_padding_mask: mask(masks, "key_padding_mask"),
            is_causal: flag(&o, "is_causal"),
            need_weights: flag(&o, "need_weights"),
            average_attn_weights: flag(&o, "average_attn_weights"),
        );
        let (output, weights) = match x {
            [x] => forward.forward_with(x, x, x, chosen),
            [q, k, v] => forward.forward_with(q, k, v, chosen),
            _ => panic!("{} inputs", x.len()),
        };
        [Some(output), weights].into_iter().flatten().collect()
    };
    Subject { module: Box::new(layer), forward: Box::new(run), print: String::new() }
}

fn encoder_options(o: &Value) -> TransformerEncoderLayerOptions {
    let size = |key| number(o, key).unwrap() as usize;
    let gelu = o.get("activation").is_some_and(|name| name == "gelu");
    with!(
        TransformerEncoderLayerOptions::new(size("d_model"), size("nhead")),
        dim_feedforward: Some(size("dim_feedforward")),
        dropout: number(o, "dropout"),
        activation: gelu.then_some(Tensor::gelu as fn(&Tensor) -> Tensor),
        layer_norm_eps: number(o, "layer_norm_eps"),
        batch_first: flag(o, "batch_first"),
        norm_first: flag(o, "norm_first"),
        bias: flag(o, "bias"),
    )
}

fn encoder(
    module: impl Module + 'static,
    forward: impl Fn(&Tensor, MultiheadAttentionOptions<'_>) -> Tensor + 'static,
    causal: Option<bool>,
) -> Subject {
    let run = move |x: &[Tensor], masks: &Masks| {
        let chosen = with!(
            MultiheadAttentionOptions::default(),
            attn_mask: mask(masks, "src_mask"),
            key_padding_mask: mask(masks, "src_key_padding_mask"),
            is_causal: causal,
        );
        vec![forward(&x[0], chosen)]
    };
    Subject { module: Box::new(module), forward: Box::new(run), print: String::new() }
}
