//! Every optimizer and the clipping of gradients against PyTorch: `tests/golden/optimizers.py` made
//! the numbers and says what each case is.

use std::collections::HashMap;
use std::path::PathBuf;

use gradus_nn::optim::*;
use gradus_nn::{CrossEntropyLoss, Layer, Linear, Module, Parameter, StateDict};
use gradus_tensor::{DType, Device, Tensor, plan_stats};
use serde_json::Value;

struct Golden {
    cases: Vec<Value>,
    tensors: HashMap<String, Tensor>,
    batches: usize,
}

/// Linear → tanh → Linear, under the names of `nn.Sequential`.
struct Network {
    first: Linear,
    last: Linear,
}

impl Module for Network {
    fn visit(&self, visitor: &mut gradus_nn::Visitor<'_>) {
        visitor.child("0", &self.first);
        visitor.child("2", &self.last);
    }
}

impl Network {
    fn loss(&self, (x, labels): &(Tensor, Tensor)) -> Tensor {
        let logits = self.last.forward(&self.first.forward(x).tanh());
        CrossEntropyLoss::default().forward(&logits, labels)
    }
}

impl Golden {
    fn load() -> Golden {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        let text = std::fs::read_to_string(folder.join("optimizers.json")).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let tensors = gradus_io::load_safetensors(folder.join("optimizers.safetensors")).unwrap();
        let cases = json["cases"].as_array().unwrap().clone();
        assert!(cases.len() >= 40);
        let batches = json["batches"].as_u64().unwrap() as usize;
        Golden { cases, tensors: tensors.into_iter().collect(), batches }
    }

    fn network(&self, dtype: DType, device: Device) -> Network {
        let linear = |i: usize| {
            let parameter = |kind: &str| {
                // In a buffer of its own: one that is shared with the golden values cannot be
                // overwritten.
                let value = self.tensors[&format!("initial/{i}.{kind}")].cast(dtype) * 1.0;
                Parameter::new(value.to(device))
            };
            Linear { weight: parameter("weight"), bias: Some(parameter("bias")) }
        };
        Network { first: linear(0), last: linear(2) }
    }

    fn batches(&self, dtype: DType, device: Device) -> Vec<(Tensor, Tensor)> {
        let select = |name: &str, i| self.tensors[name].select(0, i);
        let batch = |i| (select("inputs", i).cast(dtype), select("labels", i));
        (0..self.batches).map(batch).map(|(x, y)| (x.to(device), y.to(device))).collect()
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        self.tensors[name].to_vec().unwrap()
    }
}

/// An option from JSON.
trait Read {
    fn read(value: &Value) -> Self;
}

impl Read for f64 {
    fn read(value: &Value) -> f64 {
        if value == "inf" { f64::INFINITY } else { value.as_f64().unwrap() }
    }
}
impl Read for bool {
    fn read(value: &Value) -> bool {
        value.as_bool().unwrap()
    }
}
impl Read for usize {
    fn read(value: &Value) -> usize {
        value.as_u64().unwrap() as usize
    }
}
impl Read for (f64, f64) {
    fn read(value: &Value) -> (f64, f64) {
        (f64::read(&value[0]), f64::read(&value[1]))
    }
}
impl Read for (f64, f64, f64) {
    fn read(value: &Value) -> (f64, f64, f64) {
        (f64::read(&value[0]), f64::read(&value[1]), f64::read(&value[2]))
    }
}
impl Read for DType {
    fn read(value: &Value) -> DType {
        assert_eq!(value, "f64");
        DType::F64
    }
}
impl Read for AdjustLr {
    fn read(value: &Value) -> AdjustLr {
        match value.as_str().unwrap() {
            "match_rms_adamw" => AdjustLr::MatchRmsAdamw,
            "spectral_unclamped" => AdjustLr::SpectralUnclamped,
            other => panic!("no adjust_lr_fn {other}"),
        }
    }
}
impl Read for LineSearch {
    fn read(value: &Value) -> LineSearch {
        assert_eq!(value, "strong_wolfe");
        LineSearch::StrongWolfe
    }
}
impl<T: Read> Read for Option<T> {
    fn read(value: &Value) -> Option<T> {
        Some(T::read(value))
    }
}

/// Options from JSON; what is not there keeps its default.
macro_rules! options {
    ($t:ident: $($name:ident)*) => { options!($t = $t::default(); $($name)*) };
    ($t:ident = $start:expr; $($name:ident)*) => {
        |json: &Value| {
            let mut options = $start;
            for (key, value) in json.as_object().unwrap() {
                match key.as_str() {
                    $(stringify!($name) => options.$name = Read::read(value),)*
                    other => panic!("{} has no {other}", stringify!($t)),
                }
            }
            options
        }
    };
}

enum Driver {
    Rule(Box<dyn Optimizer>),
    Lbfgs(Box<LBFGS>),
}

fn stepper<R: UpdateRule + 'static>(
    groups: Vec<(Vec<Parameter>, &Value)>,
    read: impl Fn(&Value) -> R,
) -> Driver {
    let mut groups = groups.into_iter().map(|(members, json)| (members, read(json)));
    let (members, first) = groups.next().unwrap();
    let start = Stepper::with_options(members, first);
    let all = groups.fold(start, |stepper, (members, options)| stepper.group(members, options));
    Driver::Rule(Box::new(all))
}

fn driver(case: &Value, model: &Network) -> Driver {
    let known: HashMap<String, Parameter> = model.named_parameters().into_iter().collect();
    let groups: Vec<(Vec<Parameter>, &Value)> = case["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let names = group["parameters"].as_array().unwrap().iter();
            (names.map(|n| known[n.as_str().unwrap()].clone()).collect(), &group["options"])
        })
        .collect();
    match case["optimizer"].as_str().unwrap() {
        "SGD" => stepper(groups, options!(SGDOptions = SGDOptions::new(0.0); lr momentum)),
        "Adam" => stepper(groups, options!(AdamOptions: lr weight_decay decoupled_weight_decay)),
        "AdamW" => stepper(groups, options!(AdamWOptions: lr betas eps weight_decay amsgrad)),
        "NAdam" => stepper(
            groups,
            options!(NAdamOptions: lr betas eps weight_decay momentum_decay decoupled_weight_decay),
        ),
        "RAdam" => stepper(
            groups,
            options!(RAdamOptions: lr betas eps weight_decay decoupled_weight_decay),
        ),
        "RMSprop" => {
            stepper(groups, options!(RMSpropOptions: lr alpha eps weight_decay momentum centered))
        }
        "Adagrad" => stepper(
            groups,
            options!(AdagradOptions: lr lr_decay weight_decay initial_accumulator_value eps),
        ),
        "Adadelta" => stepper(groups, options!(AdadeltaOptions: lr rho eps weight_decay)),
        "Lion" => stepper(groups, options!(LionOptions: lr betas weight_decay)),
        "Muon" => stepper(
            groups,
            options!(MuonOptions: lr weight_decay momentum nesterov ns_coefficients ns_steps
                adjust_lr_fn ns_dtype),
        ),
        "LBFGS" => {
            let read = options!(LBFGSOptions: lr max_iter max_eval tolerance_grad tolerance_change
                history_size line_search_fn);
            let (members, json) = groups.into_iter().next().unwrap();
            Driver::Lbfgs(Box::new(LBFGS::with_options(members, read(json))))
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

/// Clips as the case says; returns the norm.
fn clip(options: &Value, model: &Network) -> Option<Tensor> {
    if let Some(value) = options.get("clip_value") {
        clip_grad_value_(&model.parameters(), f64::read(value));
        return None;
    }
    let mut clip = ClipNorm::new(f64::read(&options["max_norm"]));
    if let Some(norm_type) = options.get("norm_type") {
        clip = clip.norm_type(f64::read(norm_type));
    }
    Some(clip_grad_norm_(&model.parameters(), clip))
}

/// Trains for a number of steps, all of them by default; returns losses, norms and the last state.
fn train(
    golden: &Golden,
    case: &Value,
    dtype: DType,
    device: Device,
    steps: Option<usize>,
) -> (Vec<f64>, Vec<f64>, StateDict) {
    let name = case["name"].as_str().unwrap();
    let steps = steps.unwrap_or(case["steps"].as_u64().unwrap() as usize);
    let model = golden.network(dtype, device);
    let mut driver = driver(case, &model);
    let rates = case.get("changing_lr").map(|_| golden.numbers("lr"));
    let batches = golden.batches(dtype, device);
    gradus_tensor::evaluate().unwrap();
    let before = plan_stats();
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let optimizer = match &mut driver {
            Driver::Rule(optimizer) => optimizer,
            Driver::Lbfgs(lbfgs) => {
                let closure = || {
                    let loss = model.loss(&batches[0]);
                    loss.backward();
                    loss
                };
                losses.push(lbfgs.step(closure).unwrap().item().unwrap());
                continue;
            }
        };
        if let Some(rates) = &rates {
            optimizer.set_lr(rates[step]);
        }
        let loss = model.loss(&batches[step % golden.batches]);
        model.parameters().iter().for_each(Parameter::zero_grad);
        loss.backward();
        let norm = case.get("clip").and_then(|options| clip(options, &model));
        optimizer.step().unwrap();
        losses.push(loss.item().unwrap());
        norms.extend(norm.map(|norm| norm.item::<f64>().unwrap()));
    }
    if let Driver::Rule(_) = driver {
        let stats = plan_stats();
        // None if another case has compiled it.
        assert!(stats.compiled - before.compiled <= 1, "{name}: one plan for all steps");
        assert_eq!(stats.run - before.run, steps as u64, "{name}: one run a step");
    }
    (losses, norms, model.state_dict())
}

fn tolerance(case: &Value, default: f64) -> f64 {
    case.get("tolerance").map_or(default, f64::read)
}

#[test]
fn double_precision_agrees_with_pytorch() {
    let golden = Golden::load();
    for case in &golden.cases {
        let name = case["name"].as_str().unwrap();
        let tolerance = tolerance(case, 1e-8);
        let (losses, norms, state) = train(&golden, case, DType::F64, Device::Cpu, None);
        let off = difference(&losses, &golden.numbers(&format!("{name}/losses")));
        assert!(off <= tolerance, "{name}: losses differ by {off:e}");
        if !norms.is_empty() {
            let off = difference(&norms, &golden.numbers(&format!("{name}/norms")));
            assert!(off <= tolerance, "{name}: norms differ by {off:e}");
        }
        for (key, value) in state {
            let expected = golden.numbers(&format!("{name}/final/{key}"));
            let off = difference(&value.to_vec::<f64>().unwrap(), &expected);
            assert!(off <= tolerance, "{name}: {key} differs by {off:e}");
        }
    }
}

/// Lion is left out: the sign of a difference of nearly equal numbers is not a matter of precision.
#[test]
fn single_precision_stays_close() {
    let golden = Golden::load();
    for case in &golden.cases {
        let name = case["name"].as_str().unwrap();
        if case["optimizer"] == "Lion" {
            continue;
        }
        let (losses, _, _) = train(&golden, case, DType::F32, Device::Cpu, None);
        let off = difference(&losses, &golden.numbers(&format!("{name}/losses")));
        assert!(off <= tolerance(case, 1e-4), "{name}: losses differ by {off:e}");
    }
}

#[test]
fn the_reference_interpreter_agrees_with_pytorch() {
    let golden = Golden::load();
    for case in &golden.cases {
        let name = case["name"].as_str().unwrap();
        let steps = if case["optimizer"] == "LBFGS" { 2 } else { 10 };
        let (losses, _, _) = train(&golden, case, DType::F64, Device::Reference, Some(steps));
        let off = difference(&losses, &golden.numbers(&format!("{name}/losses"))[..steps]);
        assert!(off <= tolerance(case, 1e-8), "{name}: losses differ by {off:e}");
    }
}
