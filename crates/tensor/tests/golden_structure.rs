//! Convolution, pooling, sorting, interpolation and attention against PyTorch: outputs and gradients.
//!
//! The cases were made by `tests/golden/structure.py`. Every device runs them in float64, and the processor in
//! float32 too.

mod golden;

use gradus_tensor::{
    AttentionOptions, ConvOptions, DType, Device, Interpolation, Padding, Pair, PoolOptions, Tensor,
};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

use crate::golden::{run_cases, tensor};

const CASES: &str = include_str!("../../../tests/golden/structure.json");
const NUMBERS: &[u8] = include_bytes!("../../../tests/golden/structure.safetensors");

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    op: String,
    inputs: usize,
    attrs: serde_json::Map<String, Value>,
    gradients: Vec<usize>,
}

#[test]
fn float64_on_the_processor() {
    run_all(Device::Cpu, DType::F64, 1e-11);
}

#[test]
fn float32_on_the_processor() {
    run_all(Device::Cpu, DType::F32, 1e-5);
}

#[test]
fn float64_in_the_reference_interpreter() {
    run_all(Device::Reference, DType::F64, 1e-11);
}

fn run_all(device: Device, dtype: DType, tolerance: f64) {
    let numbers = SafeTensors::deserialize(NUMBERS).expect("tests/golden/structure.safetensors");
    let golden: Golden = serde_json::from_str(CASES).expect("tests/golden/structure.json");
    let run = |case: &Case| run(case, &numbers, device, dtype, tolerance);
    run_cases(&golden.cases, 120, |case| &case.id, run);
}

fn run(
    case: &Case,
    numbers: &SafeTensors<'_>,
    device: Device,
    dtype: DType,
    tolerance: f64,
) -> Result<(), String> {
    let read = |name: &str| tensor(numbers, &format!("{}/{name}", case.id));
    let give = |name: &str| read(name).cast(dtype).to(device);
    let inputs: Vec<Tensor> = (0..case.inputs)
        .map(|i| {
            let x = give(&format!("in{i}"));
            if case.gradients.contains(&i) { x.requires_grad_() } else { x }
        })
        .collect();
    let out = apply(case, &inputs);
    close(&out, &read("out"), tolerance).map_err(|e| format!("output {e}"))?;
    if case.gradients.is_empty() {
        return Ok(());
    }
    (&out * give("w")).sum().backward();
    for &i in &case.gradients {
        let grad = inputs[i].grad().ok_or_else(|| format!("no gradient for input {i}"))?;
        close(&grad, &read(&format!("grad{i}")), tolerance)
            .map_err(|e| format!("gradient {i} {e}"))?;
    }
    Ok(())
}

fn apply(case: &Case, x: &[Tensor]) -> Tensor {
    let a = &case.attrs;
    let int = |key: &str| a[key].as_i64().unwrap_or_else(|| panic!("{}: {key}", case.id)) as isize;
    let flag = |key: &str| a.get(key).and_then(Value::as_bool).unwrap_or(false);
    let sizes = |key: &str| -> Vec<usize> {
        let list = a[key].as_array().unwrap();
        list.iter().map(|v| v.as_u64().unwrap() as usize).collect()
    };
    let pair = |key: &str| -> Option<Pair> {
        a.get(key).map(|v| match v.as_u64() {
            Some(n) => (n as usize).into(),
            None => Pair(sizes(key).try_into().unwrap()),
        })
    };
    let convolution = || {
        let mut options = ConvOptions::default();
        if let Some(stride) = pair("stride") {
            options = options.stride(stride);
        }
        options = match a.get("padding").and_then(Value::as_str) {
            Some(_) => options.padding(Padding::Same),
            None => options.padding(pair("padding").unwrap_or(0.into())),
        };
        if let Some(dilation) = pair("dilation") {
            options = options.dilation(dilation);
        }
        if let Some(added) = pair("output_padding") {
            options = options.output_padding(added);
        }
        options.groups(a.get("groups").map_or(1, |g| g.as_u64().unwrap() as usize))
    };
    let pooling = || {
        let mut options = PoolOptions::new(pair("kernel_size").unwrap());
        if let Some(stride) = pair("stride") {
            options = options.stride(stride);
        }
        if let Some(padding) = pair("padding") {
            options = options.padding(padding);
        }
        if let Some(dilation) = pair("dilation") {
            options = options.dilation(dilation);
        }
        let counts = a.get("count_include_pad").is_none_or(|v| v.as_bool().unwrap());
        options.ceil_mode(flag("ceil_mode")).count_include_pad(counts)
    };
    let descending = flag("descending");
    match case.op.as_str() {
        "conv1d" => x[0].conv1d(&x[1], x.get(2), convolution()),
        "conv2d" => x[0].conv2d(&x[1], x.get(2), convolution()),
        "conv_transpose1d" => x[0].conv_transpose1d(&x[1], x.get(2), convolution()),
        "conv_transpose2d" => x[0].conv_transpose2d(&x[1], x.get(2), convolution()),
        "max_pool1d" => x[0].max_pool1d(pooling()),
        "max_pool2d" => x[0].max_pool2d(pooling()),
        "max_pool2d_indices" => x[0].max_pool2d_indices(pooling()),
        "avg_pool1d" => x[0].avg_pool1d(pooling()),
        "avg_pool2d" => x[0].avg_pool2d(pooling()),
        "adaptive_avg_pool1d" => x[0].adaptive_avg_pool1d(int("output_size") as usize),
        "adaptive_avg_pool2d" => x[0].adaptive_avg_pool2d(pair("output_size").unwrap()),
        "cumsum" => x[0].cumsum(int("dim")),
        "sort" => x[0].sort(int("dim"), descending).0,
        "argsort" => x[0].argsort(int("dim"), descending),
        "topk" => x[0].topk(int("k") as usize, int("dim"), flag("largest")).0,
        "flip" => {
            let dims = a["dims"].as_array().unwrap().iter();
            x[0].flip(&dims.map(|d| d.as_i64().unwrap() as isize).collect::<Vec<_>>())
        }
        "flatten" => x[0].flatten(int("start_dim"), int("end_dim")),
        "transpose" => x[0].transpose(int("dim0"), int("dim1")),
        "unfold" => x[0].unfold(int("dim"), int("size") as usize, int("step") as usize),
        "interpolate" => {
            let align_corners = flag("align_corners");
            let mode = match a["mode"].as_str().unwrap() {
                "nearest" => Interpolation::Nearest,
                "nearest-exact" => Interpolation::NearestExact,
                "linear" | "bilinear" => Interpolation::Linear { align_corners },
                "bicubic" => Interpolation::Cubic { align_corners },
                mode => panic!("{}: {mode}", case.id),
            };
            x[0].interpolate(&sizes("size"), mode)
        }
        "scaled_dot_product_attention" => {
            let mut options = AttentionOptions::default().is_causal(flag("is_causal"));
            if let Some(scale) = a.get("scale").and_then(Value::as_f64) {
                options = options.scale(scale);
            }
            if let Some(mask) = x.get(3) {
                options = options.attn_mask(mask);
            }
            Tensor::scaled_dot_product_attention(&x[0], &x[1], &x[2], options)
        }
        op => panic!("{}: {op} is not known here", case.id),
    }
}

/// Equal within `tolerance` of the largest expected number; NaN and infinities exactly.
fn close(got: &Tensor, want: &Tensor, tolerance: f64) -> Result<(), String> {
    let shape = got.try_shape().map_err(|e| e.to_string())?;
    if shape != want.shape() {
        return Err(format!("has shape {shape}, expected {}", want.shape()));
    }
    let (got, want) = (got.to_vec::<f64>(), want.to_vec::<f64>());
    let (got, want) = (got.map_err(|e| e.to_string())?, want.map_err(|e| e.to_string())?);
    let scale = want.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
    for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * scale;
        if !same {
            return Err(format!("element {i} is {g}, expected {w}"));
        }
    }
    Ok(())
}
