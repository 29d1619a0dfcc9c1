//! L-BFGS: its decisions against PyTorch's, and what it promises beyond them.
//! `tests/golden/lbfgs.py` made the numbers; `optimizers_golden.rs` trains a network.

use std::collections::HashMap;
use std::path::PathBuf;

use gradus_nn::optim::lr_scheduler::{ExponentialLR, LRScheduler};
use gradus_nn::optim::{LBFGS, LBFGSOptions, LineSearch, Optimizer};
use gradus_nn::{CrossEntropyLoss, Layer, Linear, Module, Parameter, StateDict};
use gradus_tensor::{DType, Tensor, manual_seed, plan_stats};
use serde_json::Value;

struct Task {
    model: (Linear, Linear),
    x: Tensor,
    labels: Tensor,
}

impl Task {
    fn new() -> Task {
        manual_seed(4);
        let x = Tensor::randn([12, 5], DType::F32);
        x.eval().unwrap();
        let labels: Vec<i64> = (0..12).map(|i| i % 3).collect();
        let labels = Tensor::from_slice(&labels, [12]);
        Task { model: (Linear::new(5, 6), Linear::new(6, 3)), x, labels }
    }

    fn loss(&self) -> Tensor {
        let logits = self.model.1.forward(&self.model.0.forward(&self.x).tanh());
        let loss = CrossEntropyLoss::default().forward(&logits, &self.labels);
        loss.backward();
        loss
    }

    fn bits(&self) -> Vec<u32> {
        let parameters = self.model.parameters();
        let values = parameters.iter().flat_map(|p| p.value().to_vec::<f32>().unwrap());
        values.map(f32::to_bits).collect()
    }
}

fn state_bits(state: &StateDict) -> Vec<(String, Vec<u64>)> {
    let bits = |t: &Tensor| t.to_vec::<f64>().unwrap().into_iter().map(f64::to_bits).collect();
    state.iter().map(|(name, t)| (name.clone(), bits(t))).collect()
}

fn options(line_search_fn: Option<LineSearch>) -> LBFGSOptions {
    let lr = if line_search_fn.is_some() { 1.0 } else { 0.1 };
    let options = LBFGSOptions::new(lr).max_iter(4).history_size(6);
    LBFGSOptions { line_search_fn, ..options }
}

const BOTH: [Option<LineSearch>; 2] = [None, Some(LineSearch::StrongWolfe)];

fn function(name: &str, w: &Tensor) -> Tensor {
    match name {
        "rational" => -w / (w * w + 2.0),
        "quintic" => {
            let x = w + 0.004;
            let fourth = &x * &x * &x * &x;
            (&fourth * &x - fourth * 2.0) * 1000.0
        }
        "waves" => w * w * 0.1 + (w * 3.0).sin(),
        "kink" => (w * w + 1e-4).sqrt(),
        "exponential" => w.exp() - w * 2.0,
        "rosenbrock" => {
            let (a, b) = (w.narrow(0, 0, 1), w.narrow(0, 1, 1));
            (1.0f64 - &a).square() + (b - &a * &a).square() * 100.0
        }
        other => panic!("no function {other}"),
    }
}

fn options_of(json: &Value) -> LBFGSOptions {
    let mut options = LBFGSOptions::default();
    for (key, value) in json.as_object().unwrap() {
        let count = || value.as_u64().unwrap() as usize;
        match key.as_str() {
            "lr" => options.lr = value.as_f64().unwrap(),
            "max_iter" => options.max_iter = count(),
            "max_eval" => options.max_eval = Some(count()),
            "history_size" => options.history_size = count(),
            "line_search_fn" => options.line_search_fn = Some(LineSearch::StrongWolfe),
            other => panic!("no option {other}"),
        }
    }
    options
}

/// The same points, after the same number of evaluations.
#[test]
fn decisions_are_those_of_pytorch() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let json = std::fs::read_to_string(folder.join("lbfgs.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let golden: HashMap<String, Tensor> =
        gradus_io::load_safetensors(folder.join("lbfgs.safetensors"))
            .unwrap()
            .into_iter()
            .collect();
    let cases = json["cases"].as_array().unwrap();
    assert!(cases.len() >= 91);
    for case in cases {
        let (name, f) = (case["name"].as_str().unwrap(), case["problem"].as_str().unwrap());
        let start: Vec<f64> =
            case["start"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let w = Parameter::new(Tensor::from_slice(&start, [start.len()]));
        let mut optimizer = LBFGS::with_options(vec![w.clone()], options_of(&case["options"]));
        let expected = &golden[&format!("{name}/steps")];
        let rows = expected.shape()[0];
        let expected: Vec<f64> = expected.to_vec().unwrap();
        let mut found = Vec::new();
        for _ in 0..rows {
            let closure = || {
                let loss = function(f, &w.value()).sum();
                loss.backward();
                loss
            };
            let loss: f64 = optimizer.step(closure).unwrap().item().unwrap();
            found.extend(w.value().to_vec::<f64>().unwrap());
            found.push(loss);
            found.push(optimizer.state_dict()["0.func_evals"].item().unwrap());
        }
        for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
            let off = (a - b).abs() / b.abs().max(1.0);
            assert!(off <= 1e-8, "{name}: number {i} is {a}, not {b}");
        }
    }
}

#[test]
fn a_restored_optimizer_goes_on_to_the_bit() {
    for line_search in BOTH {
        // Before the history is full, and after.
        for steps in [1, 3] {
            let (task, copy) = (Task::new(), Task::new());
            let mut optimizer = LBFGS::with_options(task.model.parameters(), options(line_search));
            (0..steps).for_each(|_| drop(optimizer.step(|| task.loss()).unwrap()));
            let state = optimizer.state_dict();

            copy.model.load_state_dict(&task.model.state_dict()).unwrap();
            let mut restored = LBFGS::with_options(copy.model.parameters(), options(line_search));
            restored.load_state_dict(&state).unwrap();
            assert_eq!(state_bits(&restored.state_dict()), state_bits(&state));
            for _ in 0..2 {
                let a = optimizer.step(|| task.loss()).unwrap();
                let b = restored.step(|| copy.loss()).unwrap();
                assert_eq!(a.item::<f32>().unwrap(), b.item::<f32>().unwrap());
            }
            assert_eq!(copy.bits(), task.bits());
            assert_eq!(state_bits(&restored.state_dict()), state_bits(&optimizer.state_dict()));

            let lacking = state.into_iter().filter(|(name, _)| name != "0.old_stps").collect();
            let error = restored.load_state_dict(&lacking).unwrap_err().to_string();
            assert!(error.contains("missing: 0.old_stps"), "{error}");
        }
    }
    let names =
        "0.func_evals 0.n_iter 0.H_diag 0.d 0.t 0.prev_flat_grad 0.old_dirs 0.old_stps 0.ro";
    let task = Task::new();
    let mut optimizer = LBFGS::new(task.model.parameters(), 0.1);
    assert!(optimizer.state_dict().is_empty());
    let _loss = optimizer.step(|| task.loss()).unwrap();
    assert_eq!(optimizer.state_dict().names().join(" "), names);
}

/// The history grows, and nothing is compiled for it.
#[test]
fn a_run_compiles_a_few_plans() {
    for line_search in BOTH {
        let task = Task::new();
        let options = options(line_search).max_iter(20).tolerance_change(0.0).tolerance_grad(0.0);
        let mut optimizer = LBFGS::with_options(task.model.parameters(), options.history_size(100));
        let start = plan_stats();
        let _loss = optimizer.step(|| task.loss()).unwrap();
        let first = plan_stats();
        assert!(first.compiled - start.compiled <= 25, "{start:?} {first:?}");
        let mut schedule = LRScheduler::new(&mut optimizer, ExponentialLR::new(0.9)).unwrap();
        for _ in 0..2 {
            schedule.step(&mut optimizer).unwrap();
            let _loss = optimizer.step(|| task.loss()).unwrap();
        }
        let last = plan_stats();
        assert!(last.run - first.run > 1000, "{first:?} {last:?}");
        assert!(last.compiled - first.compiled <= 1, "{first:?} {last:?}");
    }
}

#[test]
fn a_step_that_fails_might_as_well_not_have_been() {
    for line_search in BOTH {
        let task = Task::new();
        let mut optimizer = LBFGS::with_options(task.model.parameters(), options(line_search));
        let _loss = optimizer.step(|| task.loss()).unwrap();
        let before = (task.bits(), state_bits(&optimizer.state_dict()));
        // The first call, and one in the middle of the step.
        for bad in [1, 3] {
            let mut calls = 0;
            let error = optimizer.step(|| {
                calls += 1;
                let label = if calls == bad { 3i64 } else { 1 };
                let labels = Tensor::from_slice(&[label; 12], [12]);
                Task { labels, x: task.x.clone(), model: clone(&task) }.loss()
            });
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with("label 3 at position 0 is out of range"), "{error}");
            assert_eq!(calls, bad);
            assert_eq!((task.bits(), state_bits(&optimizer.state_dict())), before);
        }
        let _loss = optimizer.step(|| task.loss()).unwrap();
        assert_ne!(task.bits(), before.0);
    }
}

/// Layers with the same parameters.
fn clone(task: &Task) -> (Linear, Linear) {
    let same = |l: &Linear| Linear { weight: l.weight.clone(), bias: l.bias.clone() };
    (same(&task.model.0), same(&task.model.1))
}

#[test]
fn maximizing_is_minimizing_the_negative() {
    let run = |up: bool| {
        let task = Task::new();
        let mut optimizer =
            LBFGS::with_options(task.model.parameters(), options(BOTH[1])).maximize(up);
        for _ in 0..2 {
            let closure = || {
                task.model.parameters().iter().for_each(Parameter::zero_grad);
                let logits = task.model.1.forward(&task.model.0.forward(&task.x).tanh());
                let loss = CrossEntropyLoss::default().forward(&logits, &task.labels);
                let loss = if up { -loss } else { loss };
                loss.backward();
                loss
            };
            let _loss = optimizer.step(closure).unwrap();
        }
        task.bits()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn a_parameter_without_gradient_stays() {
    let task = Task::new();
    let unused = Parameter::new(Tensor::ones([3], DType::F32));
    let mut parameters = task.model.parameters();
    parameters.insert(2, unused.clone());
    let (alone, before) = (Task::new(), task.bits());
    let mut with = LBFGS::with_options(parameters, options(BOTH[1]));
    let mut without = LBFGS::with_options(alone.model.parameters(), options(BOTH[1]));
    let _losses = (with.step(|| task.loss()).unwrap(), without.step(|| alone.loss()).unwrap());
    assert_eq!(unused.value().to_vec::<f32>().unwrap(), [1.0; 3]);
    assert_ne!(task.bits(), before);
    for (a, b) in task.bits().into_iter().zip(alone.bits()) {
        assert!((f32::from_bits(a) - f32::from_bits(b)).abs() < 1e-4);
    }
}

#[test]
fn misuse_is_an_error_at_the_step() {
    let model = Linear::new(2, 1);
    let parameters = || model.parameters();
    let twice = vec![model.weight.clone(), model.weight.clone()];
    let x = Tensor::ones([1, 2], DType::F32);
    let cases: Vec<(LBFGS, &str)> = vec![
        (LBFGS::new(vec![], 1.0), "LBFGS: there are no parameters; pass `model.parameters()`"),
        (LBFGS::new(twice, 1.0), "LBFGS: `weight` is given twice"),
        (LBFGS::new(parameters(), -1.0), "LBFGS: lr is -1; it must be finite and not negative"),
        (
            LBFGS::new(parameters(), 1.0).history_size(0),
            "LBFGS: max_iter is 20 and history_size 0; both must be at least 1",
        ),
        (
            LBFGS::new(parameters(), 1.0).tolerance_grad(f64::NAN),
            "LBFGS: tolerance_grad is NaN; it must be finite and not negative",
        ),
    ];
    let _names = model.parameters();
    for (mut optimizer, expected) in cases {
        let error = optimizer.step(|| panic!("the closure is not called")).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let mut optimizer = LBFGS::new(parameters(), 1.0);
    let error = optimizer.step(|| model.forward(&x).sum()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "LBFGS: no parameter has a gradient; the closure must call `backward()` on the loss"
    );
    let error = optimizer.step(|| {
        let loss = model.forward(&x).sum() * f64::NAN;
        loss.backward();
        loss
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "LBFGS: the loss is NaN before the step; it must be finite"
    );
}
