//! Reading golden files and comparing with them.

use std::collections::HashMap;
use std::path::PathBuf;

use gradus_tensor::{DType, Device, Tensor};
use serde_json::Value;

/// A pair of files in `tests/golden`.
pub struct Golden {
    pub cases: Vec<Value>,
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    pub fn load(name: &str) -> Golden {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let tensors = gradus_io::load_safetensors(folder.join(format!("{name}.safetensors")));
        let tensors = tensors.unwrap().into_iter().collect();
        Golden { cases: json["cases"].as_array().unwrap().clone(), tensors }
    }

    /// A tensor of a case; floats in `dtype`, with a buffer of their own.
    pub fn tensor(&self, id: &str, key: &str, dtype: DType, device: Device) -> Tensor {
        let name = format!("{id}/{key}");
        let tensor = self.tensors.get(&name).unwrap_or_else(|| panic!("{name}"));
        let tensor = tensor.to(device);
        if tensor.dtype().is_float() { tensor.cast(dtype) * 1.0 } else { tensor }
    }

    /// What is expected under a name: always f64.
    pub fn expected(&self, id: &str, key: &str) -> (Vec<usize>, Vec<f64>) {
        let tensor = &self.tensors[&format!("{id}/{key}")];
        (tensor.shape().to_vec(), tensor.to_vec().unwrap())
    }
}

/// Runs every case in f64 on every device and in f32; fails with the list of cases that differ.
pub fn run_all(name: &str, run: impl Fn(&Golden, &Value, DType, Device) -> Result<(), String>) {
    let golden = Golden::load(name);
    let mut failures = Vec::new();
    for (dtype, device) in
        [(DType::F64, Device::Cpu), (DType::F32, Device::Cpu), (DType::F64, Device::Reference)]
    {
        for case in &golden.cases {
            if let Err(error) = run(&golden, case, dtype, device) {
                failures.push(format!("{} in {dtype} on {device}: {error}", text(case, "id")));
                // What the failure left behind is not the next case's.
                let _ = gradus_tensor::evaluate();
            }
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

/// Compares relative to the largest expected magnitude: f64 to 1e-8, f32 to 1e-4.
pub fn compare(
    what: &str,
    found: &Tensor,
    expected: &(Vec<usize>, Vec<f64>),
    dtype: DType,
) -> Result<(), String> {
    let (shape, expected) = expected;
    let values = found.to_vec::<f64>().map_err(|e| format!("{what}: {e}"))?;
    if found.shape().dims() != shape {
        return Err(format!("{what} is {}, PyTorch has {shape:?}", found.shape()));
    }
    if found.dtype().is_float() && found.dtype() != dtype {
        return Err(format!("{what} is {}", found.dtype()));
    }
    // Below the least normal number f32 has few digits or none.
    let (tolerance, floor) =
        if dtype == DType::F64 { (1e-8, 0.0) } else { (1e-4, f64::from(f32::MIN_POSITIVE)) };
    let magnitude = |m: f64, x: &f64| if x.is_finite() { m.max(x.abs()) } else { m };
    let scale = expected.iter().fold(0.0, magnitude);
    for (i, (&a, &b)) in values.iter().zip(expected).enumerate() {
        let same =
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= (tolerance * scale).max(floor);
        // What f64 holds may overflow f32.
        let overflow = dtype == DType::F32 && b.abs() > f64::from(f32::MAX) && a.is_infinite();
        if !same && !overflow {
            return Err(format!("{what} at {i} is {a:?}, PyTorch has {b:?}"));
        }
    }
    Ok(())
}

pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

pub fn names<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    value[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
}

pub fn indices(value: &Value, key: &str) -> Vec<usize> {
    value[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

/// An option that is a number, if it is given.
pub fn number(options: &Value, key: &str) -> Option<f64> {
    options.get(key).filter(|v| !v.is_null()).map(|v| v.as_f64().unwrap())
}

/// An option that is true or false, if it is given.
pub fn flag(options: &Value, key: &str) -> Option<bool> {
    options.get(key).map(|v| v.as_bool().unwrap())
}
