//! The functions of `torch` against PyTorch: outputs, dtypes, gradients and special values.
//!
//! The cases were made by `tests/golden/functions.py`, which says what they mean. Every device runs them.

mod functions;
#[path = "../golden/mod.rs"]
mod golden;
mod numbers;

use gradus_tensor::{Device, Tensor};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::golden::{run_cases, tensor};
use crate::numbers::close;

const CASES: &str = include_str!("../../../../tests/golden/functions.json");
const NUMBERS: &[u8] = include_bytes!("../../../../tests/golden/functions.safetensors");

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

/// A case of the golden file.
#[derive(Deserialize)]
struct Case {
    id: String,
    torch: String,
    inputs: usize,
    outputs: usize,
    attrs: Map<String, Value>,
    gradients: Vec<usize>,
    #[serde(default)]
    error: bool,
    #[serde(default)]
    each: bool,
}

#[test]
fn functions_agree_with_pytorch_on_the_processor() {
    run_all(Device::Cpu);
}

#[test]
fn functions_agree_with_pytorch_in_the_reference_interpreter() {
    run_all(Device::Reference);
}

fn run_all(device: Device) {
    let numbers = SafeTensors::deserialize(NUMBERS).expect("tests/golden/functions.safetensors");
    let golden: Golden = serde_json::from_str(CASES).expect("tests/golden/functions.json");
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
    let outputs = functions::apply(case, &inputs);
    if case.error {
        return match outputs.iter().find_map(|t| t.eval().err()) {
            Some(_) => Ok(()),
            None => Err(format!("PyTorch refuses this; got {}", outputs[0])),
        };
    }
    if outputs.len() != case.outputs {
        return Err(format!("{} outputs, PyTorch has {}", outputs.len(), case.outputs));
    }
    for (i, out) in outputs.iter().enumerate() {
        close(out, &read(&format!("out{i}")), case.each).map_err(|e| format!("output {i} {e}"))?;
    }
    if case.gradients.is_empty() {
        return Ok(());
    }
    let mut total: Option<Tensor> = None;
    for (i, out) in outputs.iter().enumerate() {
        if let Ok(weights) =
            numbers.tensor(&format!("{}/w{i}", case.id)).map(|_| read(&format!("w{i}")))
        {
            let part = (out * weights.to(device)).sum();
            total = Some(total.map_or(part.clone(), |t| t + &part));
        }
    }
    let total = total.ok_or("no output has a gradient")?;
    // What PyTorch says has a gradient of zeros may have none here.
    if total.requires_grad() {
        total.backward();
    }
    for &i in &case.gradients {
        let grad = inputs[i].grad().unwrap_or_else(|| inputs[i].zeros_like());
        close(&grad, &read(&format!("grad{i}")), case.each)
            .map_err(|e| format!("gradient {i} {e}"))?;
    }
    Ok(())
}
