//! The public operations against PyTorch: outputs, dtypes, gradients and special values.
//!
//! The cases were made by `tests/golden/ops.py`, which says what each attribute means. Every device runs them.

mod golden;

use gradus_tensor::{DType, Device, IntoOperand, Operator, Scalar, Tensor};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::Value;

use crate::golden::{run_cases, tensor};

const CASES: &str = include_str!("../../../tests/golden/ops.json");
const NUMBERS: &[u8] = include_bytes!("../../../tests/golden/ops.safetensors");

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
    #[serde(default)]
    error: bool,
    #[serde(default)]
    signed_zero: bool,
}

#[test]
fn operations_agree_with_pytorch_on_the_processor() {
    run_all(Device::Cpu);
}

#[test]
fn operations_agree_with_pytorch_in_the_reference_interpreter() {
    run_all(Device::Reference);
}

fn run_all(device: Device) {
    let numbers = SafeTensors::deserialize(NUMBERS).expect("tests/golden/ops.safetensors");
    let golden: Golden = serde_json::from_str(CASES).expect("tests/golden/ops.json");
    run_cases(&golden.cases, 700, |case| &case.id, |case| run(case, &numbers, device));
}

fn run(case: &Case, numbers: &SafeTensors<'_>, device: Device) -> Result<(), String> {
    let read = |name: &str| tensor(numbers, &format!("{}/{name}", case.id));
    let inputs: Vec<Tensor> = (0..case.inputs)
        .map(|i| {
            let x = read(&format!("in{i}")).to(device);
            if case.gradients.contains(&i) { x.requires_grad_() } else { x }
        })
        .collect();
    let out = apply(case, &inputs);
    if case.error {
        return match out.eval() {
            Err(_) => Ok(()),
            Ok(()) => Err(format!("PyTorch refuses this; got {out}")),
        };
    }
    let want = read("out");
    close(&out, &want, case.signed_zero).map_err(|e| format!("output {e}"))?;
    if case.gradients.is_empty() {
        return Ok(());
    }
    (&out * read("w").to(device)).sum().backward();
    for &i in &case.gradients {
        let grad = inputs[i].grad().ok_or_else(|| format!("no gradient for input {i}"))?;
        close(&grad, &read(&format!("grad{i}")), false).map_err(|e| format!("gradient {i} {e}"))?;
    }
    Ok(())
}

fn apply(case: &Case, x: &[Tensor]) -> Tensor {
    let a = &case.attrs;
    let int = |key: &str| a[key].as_i64().unwrap_or_else(|| panic!("{}: {key}", case.id)) as isize;
    let ints = |key: &str| -> Vec<isize> {
        let list = a.get(key).and_then(Value::as_array);
        list.map(|l| l.iter().map(|v| v.as_i64().unwrap() as isize).collect()).unwrap_or_default()
    };
    let keepdim = a.get("keepdim").and_then(Value::as_bool).unwrap_or(false);
    let second = || match (x.get(1), a.get("scalar")) {
        (Some(t), _) => Second(t.into_operand()),
        (None, Some(s)) => Second(Operator::Number(scalar(s))),
        (None, None) => panic!("{}: no second operand", case.id),
    };
    let reverse = a.get("reverse").and_then(Value::as_bool).unwrap_or(false);
    if reverse {
        return reversed(&case.op, scalar(&a["scalar"]), &x[0]);
    }
    match case.op.as_str() {
        "add" => &x[0] + second(),
        "sub" => &x[0] - second(),
        "mul" => &x[0] * second(),
        "div" => &x[0] / second(),
        "pow" => x[0].pow(second()),
        "maximum" => x[0].maximum(second()),
        "minimum" => x[0].minimum(second()),
        "eq" => x[0].eq(second()),
        "ne" => x[0].ne(second()),
        "lt" => x[0].lt(second()),
        "le" => x[0].le(second()),
        "gt" => x[0].gt(second()),
        "ge" => x[0].ge(second()),
        "where" => Tensor::where_(&x[0], &x[1], &x[2]),
        "exp" => x[0].exp(),
        "log" => x[0].log(),
        "sqrt" => x[0].sqrt(),
        "tanh" => x[0].tanh(),
        "sigmoid" => x[0].sigmoid(),
        "relu" => x[0].relu(),
        "abs" => x[0].abs(),
        "neg" => -&x[0],
        "sin" => x[0].sin(),
        "cos" => x[0].cos(),
        "erf" => x[0].erf(),
        "reciprocal" => x[0].reciprocal(),
        "square" => x[0].square(),
        "floor" => x[0].floor(),
        "ceil" => x[0].ceil(),
        "round" => x[0].round(),
        "sign" => x[0].sign(),
        "logical_not" => x[0].logical_not(),
        "cast" => x[0].cast(dtype(a["dtype"].as_str().unwrap())),
        "sum" => x[0].sum_axes(&ints("axes"), keepdim),
        "mean" => x[0].mean_axes(&ints("axes"), keepdim),
        "amax" => x[0].amax(&ints("axes"), keepdim),
        "amin" => x[0].amin(&ints("axes"), keepdim),
        "argmax" => x[0].argmax(int("axis")),
        "softmax" => x[0].softmax(int("axis")),
        "log_softmax" => x[0].log_softmax(int("axis")),
        "cross_entropy" => {
            let each = x[0].cross_entropy(&x[1]);
            match a.get("reduction").and_then(Value::as_str) {
                Some("none") => each,
                Some("sum") => each.sum(),
                _ => each.mean(),
            }
        }
        "matmul" => x[0].matmul(&x[1]),
        "permute" => x[0].permute(&ints("axes")),
        "transpose" => {
            let axes = ints("axes");
            x[0].transpose(axes[0], axes[1])
        }
        "reshape" => x[0].reshape(ints("shape").as_slice()),
        "flatten" => x[0].flatten(int("start"), int("end")),
        "unsqueeze" => x[0].unsqueeze(int("axis")),
        "squeeze" => x[0].squeeze(int("axis")),
        "expand" => {
            let shape: Vec<usize> = ints("shape").iter().map(|&d| d as usize).collect();
            x[0].expand(shape)
        }
        "slice" => x[0].slice(int("axis"), int("start") as usize..int("end") as usize),
        "cat" => Tensor::cat(&x.iter().collect::<Vec<_>>(), int("axis")),
        "pad" => a["pad"].as_array().unwrap().iter().enumerate().fold(x[0].clone(), |t, (i, p)| {
            let side = |k: usize| p[k].as_u64().unwrap() as usize;
            match a.get("value").and_then(Value::as_f64) {
                Some(value) => t.pad_with(i as isize, side(0), side(1), value),
                None => t.pad(i as isize, side(0), side(1)),
            }
        }),
        "gather" => x[0].gather(int("axis"), &x[1]),
        "one_hot" => x[0].one_hot(int("num_classes") as usize),
        op => panic!("{}: unknown op {op}", case.id),
    }
}

/// An operand that the case chooses.
struct Second<'t>(Operator<'t>);

impl IntoOperand for Second<'_> {
    fn into_operand<'a>(self) -> Operator<'a>
    where
        Self: 'a,
    {
        self.0
    }
}

fn reversed(op: &str, left: Scalar, x: &Tensor) -> Tensor {
    match (op, left) {
        ("add", Scalar::I64(i)) => i + x,
        ("add", s) => s.to_f64() + x,
        ("sub", Scalar::I64(i)) => i - x,
        ("sub", s) => s.to_f64() - x,
        ("mul", Scalar::I64(i)) => i * x,
        ("mul", s) => s.to_f64() * x,
        ("div", Scalar::I64(i)) => i / x,
        ("div", s) => s.to_f64() / x,
        ("pow", s) => Tensor::scalar(s).to(x.device()).cast(x.dtype()).pow(x),
        _ => panic!("no reversed {op}"),
    }
}

fn scalar(value: &Value) -> Scalar {
    match value {
        Value::Bool(b) => Scalar::Bool(*b),
        Value::Number(n) => {
            n.as_i64().map_or_else(|| Scalar::F64(n.as_f64().unwrap()), Scalar::I64)
        }
        other => panic!("a scalar: {other}"),
    }
}

fn dtype(name: &str) -> DType {
    DType::ALL.into_iter().find(|d| d.name() == name).unwrap_or_else(|| panic!("dtype {name}"))
}

/// Compares relative to the largest magnitude: f64 to 1e-8, f32 to 1e-4, half precision to two units.
fn close(got: &Tensor, want: &Tensor, signed_zero: bool) -> Result<(), String> {
    if let Some(error) = got.error() {
        return Err(format!("failed: {error}"));
    }
    let (g, w) = (got.to_vec::<f64>().map_err(|e| e.to_string())?, want.to_vec::<f64>().unwrap());
    if got.dtype() != want.dtype() || got.shape() != want.shape() {
        return Err(format!(
            "is {}{}, PyTorch has {}{}",
            got.dtype(),
            got.shape(),
            want.dtype(),
            want.shape()
        ));
    }
    let scale = w.iter().filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
    let tolerance = match want.dtype() {
        DType::F64 => 1e-8,
        DType::F32 => 1e-4,
        DType::F16 => 2e-3,
        DType::BF16 => 1.6e-2,
        _ => 0.0,
    } * scale;
    let same = |a: f64, b: f64| {
        (a.is_nan() && b.is_nan())
            || (a == b
                && (!signed_zero || a != 0.0 || a.is_sign_negative() == b.is_sign_negative()))
            || (a != b && (a - b).abs() <= tolerance)
    };
    match g.iter().zip(&w).position(|(&a, &b)| !same(a, b)) {
        Some(i) => Err(format!("at {i} is {:?}, PyTorch has {:?}", g[i], w[i])),
        None => Ok(()),
    }
}
