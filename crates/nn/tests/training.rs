//! A hundred steps of every optimizer against PyTorch: `tests/golden/training.py` made the numbers.

use std::collections::HashMap;
use std::path::PathBuf;

use gradus_nn::optim::{Adam, AdamOptions, Optimizer, SGD, SGDOptions};
use gradus_nn::{CrossEntropyLoss, Layer, Linear, Module, Parameter, ReLU, Sequential};
use gradus_tensor::{DType, Tensor, plan_stats};
use serde_json::Value;

struct Golden {
    cases: Vec<Value>,
    tensors: HashMap<String, Tensor>,
    steps: usize,
    batches: usize,
}

impl Golden {
    fn load() -> Golden {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        let text = std::fs::read_to_string(folder.join("training.json")).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let tensors = gradus_io::load_safetensors(folder.join("training.safetensors")).unwrap();
        Golden {
            cases: json["cases"].as_array().unwrap().clone(),
            tensors: tensors.into_iter().collect(),
            steps: json["steps"].as_u64().unwrap() as usize,
            batches: json["batches"].as_u64().unwrap() as usize,
        }
    }

    fn network(&self, dtype: DType) -> Sequential {
        let linear = |i: usize| {
            // In a buffer of its own: one that is shared with the golden values cannot be
            // overwritten.
            let parameter = |kind| {
                Parameter::new(self.tensors[&format!("initial/{i}.{kind}")].cast(dtype) * 1.0)
            };
            Linear { weight: parameter("weight"), bias: Some(parameter("bias")) }
        };
        Sequential::new().add(linear(0)).add(ReLU).add(linear(2)).add(ReLU).add(linear(4))
    }
}

fn number(group: &Value, key: &str) -> f64 {
    group[key].as_f64().unwrap_or_else(|| panic!("{key} in {group}"))
}

fn flag(group: &Value, key: &str) -> bool {
    group[key].as_bool().unwrap_or_else(|| panic!("{key} in {group}"))
}

fn optimizer(case: &Value, model: &Sequential) -> Box<dyn Optimizer> {
    let known: HashMap<String, Parameter> = model.named_parameters().into_iter().collect();
    let groups = case["groups"].as_array().unwrap().iter().map(|group| {
        let names = group["parameters"].as_array().unwrap().iter();
        let members: Vec<Parameter> = names.map(|n| known[n.as_str().unwrap()].clone()).collect();
        (members, group)
    });
    match case["optimizer"].as_str().unwrap() {
        "SGD" => {
            let options = |g: &Value| {
                SGDOptions::new(number(g, "lr"))
                    .momentum(number(g, "momentum"))
                    .dampening(number(g, "dampening"))
                    .weight_decay(number(g, "weight_decay"))
                    .nesterov(flag(g, "nesterov"))
            };
            let mut groups = groups.map(|(members, group)| (members, options(group)));
            let (members, first) = groups.next().unwrap();
            let start = SGD::with_options(members, first);
            Box::new(groups.fold(start, |sgd, (members, options)| sgd.group(members, options)))
        }
        "Adam" => {
            let options = |g: &Value| {
                let beta = |i: usize| g["betas"][i].as_f64().unwrap();
                AdamOptions::new(number(g, "lr"))
                    .betas(beta(0), beta(1))
                    .eps(number(g, "eps"))
                    .weight_decay(number(g, "weight_decay"))
                    .amsgrad(flag(g, "amsgrad"))
            };
            let mut groups = groups.map(|(members, group)| (members, options(group)));
            let (members, first) = groups.next().unwrap();
            let start = Adam::with_options(members, first);
            Box::new(groups.fold(start, |adam, (members, options)| adam.group(members, options)))
        }
        other => panic!("no optimizer {other}"),
    }
}

/// The largest difference, relative to the largest expected value.
fn difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
    found.iter().zip(expected).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs() / scale))
}

/// Trains each case and compares losses and final weights; returns the worst difference.
fn agree_with_pytorch(dtype: DType, label: &str, tolerance: f64) {
    let golden = Golden::load();
    assert!(golden.cases.len() >= 11);
    for case in &golden.cases {
        let name = case["name"].as_str().unwrap();
        let model = golden.network(dtype);
        let mut optimizer = optimizer(case, &model);
        let criterion = CrossEntropyLoss::default();
        let rates: Option<Vec<f64>> = flag(case, "changing_lr")
            .then(|| golden.tensors[&format!("{name}/lr")].to_vec().unwrap());
        let batches: Vec<(Tensor, Tensor)> = (0..golden.batches)
            .map(|i| {
                let x = golden.tensors["inputs"].select(0, i).cast(dtype);
                (x, golden.tensors["labels"].select(0, i))
            })
            .collect();
        gradus_tensor::evaluate().unwrap();
        let before = plan_stats();
        let mut losses = Vec::new();
        for step in 0..golden.steps {
            if let Some(rates) = &rates {
                optimizer.set_lr(rates[step]);
            }
            let (x, y) = &batches[step % golden.batches];
            let loss = criterion.forward(&model.forward(x), y);
            optimizer.zero_grad();
            loss.backward();
            optimizer.step().unwrap();
            losses.push(loss.item::<f64>().unwrap());
        }
        let stats = plan_stats();
        // None if another case has compiled it.
        assert!(stats.compiled - before.compiled <= 1, "{name}: one plan for all steps");
        assert_eq!(stats.run - before.run, golden.steps as u64, "{name}: one run a step");

        let expected: Vec<f64> =
            golden.tensors[&format!("{name}/{label}/losses")].to_vec().unwrap();
        let off = difference(&losses, &expected);
        assert!(off <= tolerance, "{name} in {label}: losses differ by {off:e}");
        for (key, value) in model.state_dict() {
            let expected: Vec<f64> =
                golden.tensors[&format!("{name}/{label}/final/{key}")].to_vec().unwrap();
            let off = difference(&value.to_vec::<f64>().unwrap(), &expected);
            assert!(off <= tolerance, "{name} in {label}: {key} differs by {off:e}");
        }
    }
}

#[test]
fn double_precision_agrees_with_pytorch() {
    agree_with_pytorch(DType::F64, "f64", 1e-8);
}

#[test]
fn single_precision_agrees_with_pytorch() {
    agree_with_pytorch(DType::F32, "f32", 1e-3);
}
