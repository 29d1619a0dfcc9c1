//! Learning-rate schedules against PyTorch, and what they promise beyond their formulas.
//! `tests/golden/schedules.py` made the numbers.

use std::collections::HashMap;
use std::path::PathBuf;

use gradus_nn::optim::lr_scheduler::*;
use gradus_nn::optim::{Adagrad, AdamW, AdamWOptions, Optimizer, SGD, SGDOptions};
use gradus_nn::{Layer, Linear, Module, Parameter, StateDict};
use gradus_tensor::{DType, Result, Tensor, plan_stats};
use serde_json::Value;

struct Golden {
    cases: Vec<Value>,
    tensors: HashMap<String, Tensor>,
    steps: usize,
}

impl Golden {
    fn load() -> Golden {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        let text = std::fs::read_to_string(folder.join("schedules.json")).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let tensors = gradus_io::load_safetensors(folder.join("schedules.safetensors")).unwrap();
        let cases = json["cases"].as_array().unwrap().clone();
        assert!(cases.len() >= 27);
        let steps = json["steps"].as_u64().unwrap() as usize;
        Golden { cases, tensors: tensors.into_iter().collect(), steps }
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        self.tensors[name].to_vec().unwrap()
    }
}

/// Any schedule of the golden cases.
struct Any(Box<dyn Schedule>);

impl Schedule for Any {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn lr(&self, step: u64, base: f64, group: usize) -> f64 {
        self.0.lr(step, base, group)
    }
    fn momentum(&self, step: u64) -> Option<f64> {
        self.0.momentum(step)
    }
    fn last_step(&self) -> Option<u64> {
        self.0.last_step()
    }
    fn check(&self, groups: usize) -> Result<(), String> {
        self.0.check(groups)
    }
}

trait Read {
    fn read(value: &Value) -> Self;
}
impl Read for f64 {
    fn read(value: &Value) -> f64 {
        value.as_f64().unwrap()
    }
}
impl Read for u64 {
    fn read(value: &Value) -> u64 {
        value.as_u64().unwrap()
    }
}
impl Read for bool {
    fn read(value: &Value) -> bool {
        value.as_bool().unwrap()
    }
}
impl<T: Read> Read for Vec<T> {
    fn read(value: &Value) -> Vec<T> {
        match value.as_array() {
            Some(values) => values.iter().map(T::read).collect(),
            None => vec![T::read(value)],
        }
    }
}
impl Read for AnnealStrategy {
    fn read(value: &Value) -> AnnealStrategy {
        assert_eq!(value, "linear");
        AnnealStrategy::Linear
    }
}
impl Read for PlateauMode {
    fn read(value: &Value) -> PlateauMode {
        assert_eq!(value, "max");
        PlateauMode::Max
    }
}
impl Read for ThresholdMode {
    fn read(value: &Value) -> ThresholdMode {
        assert_eq!(value, "abs");
        ThresholdMode::Abs
    }
}

/// A schedule with options from JSON; what is not there keeps its default.
macro_rules! read {
    ($json:expr, $start:expr; $($key:literal => $name:ident),*) => {{
        let mut schedule = $start;
        for (key, value) in $json.as_object().unwrap() {
            match key.as_str() {
                $($key => schedule.$name = Read::read(value),)*
                other => panic!("no option {other}"),
            }
        }
        schedule
    }};
}

fn build(schedule: &Value) -> Any {
    let o = &schedule[1];
    let parts = || o["schedules"].as_array().unwrap().iter().map(build);
    Any(match schedule[0].as_str().unwrap() {
        "StepLR" => Box::new(read!(o, StepLR::new(0); "step_size" => step_size, "gamma" => gamma)),
        "MultiStepLR" => {
            Box::new(read!(o, MultiStepLR::new([]); "milestones" => milestones, "gamma" => gamma))
        }
        "ExponentialLR" => Box::new(read!(o, ExponentialLR::new(0.0); "gamma" => gamma)),
        "PolynomialLR" => {
            Box::new(read!(o, PolynomialLR::new(); "total_iters" => total_iters, "power" => power))
        }
        "ConstantLR" => {
            Box::new(read!(o, ConstantLR::new(); "factor" => factor, "total_iters" => total_iters))
        }
        "LinearLR" => Box::new(read!(o, LinearLR::new(); "start_factor" => start_factor,
            "end_factor" => end_factor, "total_iters" => total_iters)),
        "CosineAnnealingLR" => {
            Box::new(read!(o, CosineAnnealingLR::new(0); "T_max" => t_max, "eta_min" => eta_min))
        }
        "CosineAnnealingWarmRestarts" => Box::new(read!(o, CosineAnnealingWarmRestarts::new(0);
            "T_0" => t_0, "T_mult" => t_mult, "eta_min" => eta_min)),
        "OneCycleLR" => Box::new(read!(o, OneCycleLR::new(0.0, 0); "max_lr" => max_lrs,
            "total_steps" => total_steps, "pct_start" => pct_start,
            "anneal_strategy" => anneal_strategy, "base_momentum" => base_momentum,
            "max_momentum" => max_momentum, "div_factor" => div_factor,
            "final_div_factor" => final_div_factor, "three_phase" => three_phase,
            "cycle_momentum" => cycle_momentum)),
        "LambdaLR" => Box::new(LambdaLR::new(|step| 1.0 / (1.0 + 0.1 * step as f64))),
        "SequentialLR" => {
            let mut parts = parts();
            let start = SequentialLR::new(parts.next().unwrap());
            let milestones = Vec::<u64>::read(&o["milestones"]);
            let all = milestones.iter().zip(parts).fold(start, |all, (m, part)| all.then(*m, part));
            Box::new(all)
        }
        "ChainedScheduler" => {
            let mut parts = parts();
            let start = ChainedScheduler::new(parts.next().unwrap());
            Box::new(parts.fold(start, |all, part| all.and(part)))
        }
        other => panic!("no schedule {other}"),
    })
}

fn plateau(options: &Value) -> ReduceLROnPlateau {
    read!(options, ReduceLROnPlateau::new(); "mode" => mode, "factor" => factor,
        "patience" => patience, "threshold" => threshold, "threshold_mode" => threshold_mode,
        "cooldown" => cooldown, "min_lr" => min_lrs, "eps" => eps)
}

fn parameter() -> Vec<Parameter> {
    vec![Parameter::new(Tensor::zeros([1], DType::F32))]
}

/// Two groups with the rates 0.05 and 0.2.
fn optimizer(name: &str) -> Box<dyn Optimizer> {
    if name == "SGD" {
        let options = SGDOptions::new(0.2).momentum(0.5);
        Box::new(SGD::new(parameter(), 0.05).momentum(0.5).group(parameter(), options))
    } else {
        Box::new(AdamW::new(parameter(), 0.05).group(parameter(), AdamWOptions::new(0.2)))
    }
}

/// Either kind of scheduler.
enum Driver {
    Schedule(LRScheduler),
    Plateau(ReduceLROnPlateau),
}

impl Driver {
    fn new(case: &Value, optimizer: &mut dyn Optimizer) -> Driver {
        let schedule = &case["schedule"];
        if schedule[0] == "ReduceLROnPlateau" {
            Driver::Plateau(plateau(&schedule[1]))
        } else {
            Driver::Schedule(LRScheduler::new(optimizer, build(schedule)).unwrap())
        }
    }

    fn step(&mut self, optimizer: &mut dyn Optimizer, metric: f64) {
        match self {
            Driver::Schedule(scheduler) => {
                scheduler.step(optimizer).unwrap();
                assert_eq!(scheduler.get_last_lr(), optimizer.lrs());
            }
            Driver::Plateau(scheduler) => {
                scheduler.step(optimizer, metric).unwrap();
                assert_eq!(scheduler.get_last_lr(), optimizer.lrs());
            }
        }
    }

    fn state_dict(&self) -> StateDict {
        match self {
            Driver::Schedule(scheduler) => scheduler.state_dict(),
            Driver::Plateau(scheduler) => scheduler.state_dict(),
        }
    }

    fn load_state_dict(&mut self, state: &StateDict, optimizer: &mut dyn Optimizer) -> Result<()> {
        match self {
            Driver::Schedule(scheduler) => scheduler.load_state_dict(state, optimizer),
            Driver::Plateau(scheduler) => scheduler.load_state_dict(state, optimizer),
        }
    }
}

#[test]
fn a_hundred_steps_agree_with_pytorch() {
    let golden = Golden::load();
    let metrics = golden.numbers("metrics");
    for case in &golden.cases {
        let name = case["name"].as_str().unwrap();
        let mut optimizer = optimizer(case["optimizer"].as_str().unwrap());
        let mut scheduler = Driver::new(case, &mut *optimizer);
        let (mut lrs, mut momentums) = (optimizer.lrs(), optimizer.momentums().unwrap());
        momentums.truncate(1);
        for metric in &metrics[..golden.steps] {
            scheduler.step(&mut *optimizer, *metric);
            lrs.extend(optimizer.lrs());
            momentums.push(optimizer.momentums().unwrap()[0]);
        }
        let compare = |what: &str, found: &[f64]| {
            let expected = golden.numbers(&format!("{name}/{what}"));
            assert_eq!(found.len(), expected.len());
            let scale = expected.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                assert!((a - b).abs() <= 1e-12 * scale, "{name}: {what}[{i}] is {a}, not {b}");
            }
        };
        compare("lrs", &lrs);
        if case["schedule"][0] == "OneCycleLR" {
            compare("momentums", &momentums);
        } else {
            assert!(momentums.iter().all(|m| *m == momentums[0]), "{name}");
        }
    }
}

/// At any step, a scheduler that is restored into fresh objects goes on with the same rates.
#[test]
fn a_restored_schedule_goes_on_to_the_bit() {
    let golden = Golden::load();
    let metrics = golden.numbers("metrics");
    for case in &golden.cases {
        let name = case["name"].as_str().unwrap();
        let kind = case["optimizer"].as_str().unwrap();
        let mut first = optimizer(kind);
        let mut scheduler = Driver::new(case, &mut *first);
        let mut resumed = None;
        for (step, metric) in metrics.iter().enumerate() {
            if [0, 1, 37, 90].contains(&step) {
                let mut second = optimizer(kind);
                let mut restored = Driver::new(case, &mut *second);
                restored.load_state_dict(&scheduler.state_dict(), &mut *second).unwrap();
                resumed = Some((second, restored));
            }
            let (second, restored) = resumed.as_mut().unwrap();
            assert_eq!(second.lrs(), first.lrs(), "{name} at {step}");
            assert_eq!(second.momentums(), first.momentums(), "{name} at {step}");
            scheduler.step(&mut *first, *metric);
            restored.step(&mut **second, *metric);
        }
    }
}

#[test]
fn a_schedule_compiles_nothing() {
    let model = Linear::new(3, 2);
    let mut optimizer = AdamW::new(model.parameters(), 0.1);
    let mut scheduler = LRScheduler::new(&mut optimizer, OneCycleLR::new(0.1, 100)).unwrap();
    let x = Tensor::ones([2, 3], DType::F32);
    x.eval().unwrap();
    let mut compiled = None;
    for _ in 0..100 {
        optimizer.zero_grad();
        model.forward(&x).square().mean().backward();
        optimizer.step().unwrap();
        scheduler.step(&mut optimizer).unwrap();
        assert_eq!(*compiled.get_or_insert(plan_stats().compiled), plan_stats().compiled);
    }
}

#[test]
fn a_function_for_each_group() {
    let mut optimizer = optimizer("SGD");
    let schedule = LambdaLR::new(|step| 0.5f64.powf(step as f64)).group(|_| 2.0);
    let mut scheduler = LRScheduler::new(&mut *optimizer, schedule).unwrap();
    scheduler.step(&mut *optimizer).unwrap();
    assert_eq!(optimizer.lrs(), [0.025, 0.4]);
    assert_eq!(scheduler.last_epoch(), 1);
}

#[test]
fn options_that_make_no_sense_are_errors() {
    let cases: Vec<(Box<dyn Schedule>, &str)> = vec![
        (Box::new(StepLR::new(0)), "StepLR: step_size is 0; it must be at least 1"),
        (
            Box::new(MultiStepLR::new([3]).gamma(f64::NAN)),
            "MultiStepLR: gamma is NaN; it must be finite",
        ),
        (
            Box::new(ExponentialLR::new(f64::INFINITY)),
            "ExponentialLR: gamma is inf; it must be finite",
        ),
        (
            Box::new(PolynomialLR::new().total_iters(0)),
            "PolynomialLR: total_iters is 0; it must be at least 1",
        ),
        (
            Box::new(ConstantLR::new().factor(1.5)),
            "ConstantLR: factor is 1.5; it must lie between 0 and 1",
        ),
        (
            Box::new(LinearLR::new().start_factor(0.0)),
            "LinearLR: start_factor is 0; it must be greater than 0 and at most 1",
        ),
        (
            Box::new(LinearLR::new().end_factor(-1.0)),
            "LinearLR: end_factor is -1; it must lie between 0 and 1",
        ),
        (
            Box::new(CosineAnnealingLR::new(0)),
            "CosineAnnealingLR: t_max is 0; it must be at least 1",
        ),
        (
            Box::new(CosineAnnealingWarmRestarts::new(3).t_mult(0)),
            "CosineAnnealingWarmRestarts: t_mult is 0; it must be at least 1",
        ),
        (
            Box::new(OneCycleLR::new(0.1, 10).pct_start(1.5)),
            "OneCycleLR: pct_start is 1.5; it must lie between 0 and 1",
        ),
        (
            Box::new(OneCycleLR::new(0.1, 10).max_lrs(vec![0.1; 3])),
            "OneCycleLR: 3 max_lrs for 2 groups of parameters; give one, or one for each",
        ),
        (
            Box::new(LambdaLR::new(|_| 1.0).group(|_| 1.0).group(|_| 1.0)),
            "LambdaLR: 3 functions for 2 groups of parameters; give one, or one for each",
        ),
        (
            Box::new(
                SequentialLR::new(ConstantLR::new())
                    .then(9, StepLR::new(2))
                    .then(5, StepLR::new(2)),
            ),
            "SequentialLR: milestones are [9, 5]; they must not fall",
        ),
        (
            Box::new(SequentialLR::new(OneCycleLR::new(0.1, 10)).then(20, StepLR::new(2))),
            "SequentialLR: OneCycleLR starts at step 0 and ends with its step 10, before the next \
             schedule starts at step 20",
        ),
        (
            Box::new(ChainedScheduler::new(ConstantLR::new()).and(StepLR::new(0))),
            "ChainedScheduler: StepLR: step_size is 0; it must be at least 1",
        ),
    ];
    for (schedule, expected) in cases {
        let mut optimizer = optimizer("SGD");
        let error = LRScheduler::new(&mut *optimizer, Any(schedule)).err().unwrap();
        assert_eq!(error.to_string(), expected);
        assert_eq!(optimizer.lrs(), [0.05, 0.2]);
    }
    let mut adagrad = Adagrad::new(parameter(), 0.1);
    let error = LRScheduler::new(&mut adagrad, OneCycleLR::new(0.1, 10)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "OneCycleLR: the optimizer has neither momentum nor betas to cycle; call \
         `cycle_momentum(false)`"
    );
    LRScheduler::new(&mut adagrad, OneCycleLR::new(0.1, 10).cycle_momentum(false)).unwrap();
}

#[test]
fn misuse_of_a_scheduler_changes_nothing() {
    let mut adam = optimizer("AdamW");
    let mut scheduler = LRScheduler::new(&mut *adam, OneCycleLR::new(0.1, 3)).unwrap();
    (0..3).for_each(|_| scheduler.step(&mut *adam).unwrap());
    let lrs = adam.lrs();
    assert_eq!(
        scheduler.step(&mut *adam).unwrap_err().to_string(),
        "OneCycleLR: this is step 4, and the schedule ends with step 3"
    );
    assert_eq!((scheduler.last_epoch(), adam.lrs()), (3, lrs));

    let mut other = SGD::new(parameter(), 0.1);
    assert_eq!(
        scheduler.step(&mut other).unwrap_err().to_string(),
        "OneCycleLR: the optimizer has 1 groups of parameters; it had 2 at first"
    );
    let state = scheduler.state_dict().into_iter().filter(|(name, _)| name != "base_lrs").collect();
    let error = scheduler.load_state_dict(&state, &mut *adam).unwrap_err();
    assert!(error.to_string().contains("missing: base_lrs"), "{error}");

    let mut plateau = ReduceLROnPlateau::new();
    assert_eq!(
        plateau.step(&mut other, f64::NAN).unwrap_err().to_string(),
        "ReduceLROnPlateau: the metric is NaN; the run has diverged"
    );
    for (plateau, expected) in [
        (
            ReduceLROnPlateau::new().factor(1.0),
            "ReduceLROnPlateau: factor is 1; it must be below 1 and not negative",
        ),
        (
            ReduceLROnPlateau::new().min_lrs(vec![0.1, 0.2]),
            "ReduceLROnPlateau: 2 min_lrs for 1 groups of parameters; give one, or one for each",
        ),
    ] {
        let error = { plateau }.step(&mut other, 1.0).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(other.lr(), 0.1);
}
