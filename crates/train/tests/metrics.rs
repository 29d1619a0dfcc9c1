//! Every metric against scikit-learn: `tests/golden/metrics.py` made the numbers.

use std::collections::HashMap;
use std::path::Path;

use gradus_tensor::{Device, Tensor, evaluate};
use gradus_train::metrics::{
    AUROC, Accuracy, Average, AveragePrecision, CalibrationError, ConfusionMatrix, FBetaScore,
    LogLoss, MeanAbsoluteError, MeanSquaredError, Metric, MetricValue, Precision, R2Score, Recall,
    RootMeanSquaredError, TopKAccuracy,
};
use serde_json::Value;

/// Relative; counts, ranks and whatever follows from them by one division agree much closer.
const TOLERANCE: f64 = 1e-12;

struct Golden {
    cases: Vec<Value>,
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    fn load() -> Golden {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        let text = std::fs::read_to_string(folder.join("metrics.json")).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let tensors = gradus_io::load_safetensors(folder.join("metrics.safetensors")).unwrap();
        let cases = json["cases"].as_array().unwrap().clone();
        Golden { cases, tensors: tensors.into_iter().collect() }
    }

    fn get(&self, case: &Value, key: &str) -> Tensor {
        self.tensors[&format!("{}/{key}", case["id"].as_str().unwrap())].clone()
    }
}

/// The metric that a golden value's name means.
fn metric(name: &str, classes: usize, device: Device) -> Box<dyn Metric> {
    let averages = Average::ALL;
    let average = averages.iter().find(|(_, suffix)| name.ends_with(suffix));
    let average = average.map_or(Average::Macro, |(average, _)| *average);
    let kind = name.strip_suffix(average.name()).map_or(name, |kind| kind.trim_end_matches('_'));
    let f = |beta| Box::new(FBetaScore::new(classes, beta, device).average(average));
    match kind {
        "accuracy" => Box::new(Accuracy::new(device)),
        "top_1_accuracy" => Box::new(TopKAccuracy::new(1, device)),
        "top_2_accuracy" => Box::new(TopKAccuracy::new(2, device)),
        "confusion_matrix" => Box::new(ConfusionMatrix::new(classes, device)),
        "precision" => Box::new(Precision::new(classes, device).average(average)),
        "recall" => Box::new(Recall::new(classes, device).average(average)),
        "f1" => f(1.0),
        "f0.5" => f(0.5),
        "f2" => f(2.0),
        "auroc" => Box::new(AUROC::new().average(average)),
        "average_precision" => Box::new(AveragePrecision::new().average(average)),
        "log_loss" => Box::new(LogLoss::new(device)),
        "calibration_error" => Box::new(CalibrationError::new(15, device)),
        "calibration_error_4" => Box::new(CalibrationError::new(4, device)),
        "mse" => Box::new(MeanSquaredError::new(device)),
        "rmse" => Box::new(RootMeanSquaredError::new(device)),
        "mae" => Box::new(MeanAbsoluteError::new(device)),
        "r2" => Box::new(R2Score::new(device)),
        other => panic!("no metric {other}"),
    }
}

fn numbers(value: &MetricValue) -> Vec<f64> {
    match value {
        MetricValue::Number(x) => vec![x.unwrap_or(f64::NAN)],
        MetricValue::Classes(all) => all.iter().map(|x| x.unwrap_or(f64::NAN)).collect(),
        MetricValue::Matrix(rows) => rows.iter().flatten().map(|&n| n as f64).collect(),
    }
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs().max(1.0)
}

/// Runs `test` for each metric of each case, with predictions and targets.
fn each(
    device: Device,
    mut test: impl FnMut(&str, &dyn Fn() -> Box<dyn Metric>, [Tensor; 2], Vec<f64>),
) {
    let golden = Golden::load();
    assert!(golden.cases.len() > 60, "{}", golden.cases.len());
    for case in &golden.cases {
        let batch = ["predictions", "targets"].map(|key| golden.get(case, key).to(device));
        let classes = case["classes"].as_u64().unwrap_or(0) as usize;
        for name in case["metrics"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            let expected = golden.get(case, name).to_vec().unwrap();
            let make = || metric(name, classes, device);
            assert_eq!(make().name(), name);
            let what = format!("{} of {}", name, case["id"]);
            test(&what, &make, batch.clone(), expected);
        }
    }
}

#[test]
fn metrics_agree_with_scikit_learn() {
    for device in [Device::Cpu, Device::Reference] {
        let mut wrong = Vec::new();
        each(device, |what, make, [predictions, targets], expected| {
            let mut metric = make();
            metric.update(&predictions, &targets);
            let found = numbers(&metric.value().unwrap());
            let same = |(a, b): (&f64, &f64)| close(*a, *b, TOLERANCE);
            if found.len() != expected.len() || !found.iter().zip(&expected).all(same) {
                wrong.push(format!("{what} is {found:?}, scikit-learn has {expected:?}"));
            }
        });
        assert!(wrong.is_empty(), "{device}: {} differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

/// In batches of three, and in two halves that are merged.
#[test]
fn batches_and_merges_are_one_pass() {
    let exact = ["log_loss", "calibration_error", "mse", "rmse", "mae", "r2"];
    each(Device::Cpu, |what, make, [predictions, targets], _| {
        let n = targets.shape()[0];
        let update = |metric: &mut Box<dyn Metric>, from: usize, to: usize| {
            let part = |x: &Tensor| x.narrow(0, from, to - from);
            metric.update(&part(&predictions), &part(&targets));
        };
        let (mut whole, mut streamed) = (make(), make());
        let (mut left, mut right) = (make(), make());
        update(&mut whole, 0, n);
        for from in (0..n).step_by(3) {
            let to = n.min(from + 3);
            update(&mut streamed, from, to);
            update(if from < n / 2 { &mut right } else { &mut left }, from, to);
        }
        // The later half takes in the earlier, and both a metric that has seen nothing.
        left.merge(&*make()).unwrap();
        left.merge(&*right).unwrap();
        let whole = numbers(&whole.value().unwrap());
        for other in [streamed, left] {
            let found = numbers(&other.value().unwrap());
            let rounds = exact.iter().any(|name| other.name().starts_with(name));
            // R² squares the differences of means, which are rounded where they are large.
            let tolerance = match (rounds, other.name() == "r2") {
                (_, true) => 1e-9,
                (true, false) => TOLERANCE,
                (false, false) => 0.0,
            };
            let same = |(a, b): (&f64, &f64)| close(*a, *b, tolerance);
            assert!(found.iter().zip(&whole).all(same), "{what}: {found:?}, in one pass {whole:?}");
        }
    });
}

#[test]
fn of_nothing_metrics_are_undefined() {
    let names = "accuracy top_2_accuracy precision_macro recall_weighted f1_micro f2_binary \
                 auroc_macro average_precision_weighted log_loss calibration_error mse rmse mae r2";
    for name in names.split_whitespace() {
        let value = metric(name, 3, Device::Cpu).value().unwrap();
        assert_eq!(value, MetricValue::Number(None), "{name}");
    }
}

#[test]
fn only_like_metrics_merge() {
    let message = |a: &str, b: &str| {
        let mut a = metric(a, 3, Device::Cpu);
        a.merge(&*metric(b, 3, Device::Cpu)).unwrap_err().message().to_owned()
    };
    assert!(message("accuracy", "log_loss").contains("accuracy cannot take in log_loss"));
    assert!(message("f1_macro", "f2_macro").contains("f1_macro cannot take in f2_macro"));
    assert!(message("recall_macro", "recall_micro").contains("same options"));
}

#[test]
fn predictions_that_are_not_numbers_are_no_hits() {
    let logits = Tensor::from_slice(&[f32::NAN, 1.0, 0.0, f32::NAN, f32::NAN, f32::NAN], [2, 3]);
    let labels = Tensor::from_slice(&[1i64, 1], [2]);
    let value = |name: &str| {
        let mut metric = metric(name, 3, Device::Cpu);
        metric.update(&logits, &labels);
        metric.value()
    };
    assert_eq!(value("top_2_accuracy").unwrap().number(), Some(0.5));
    assert!(value("log_loss").unwrap().number().unwrap().is_nan());
    assert!(value("auroc_macro").unwrap_err().message().contains("NaN, which has no rank"));
    let _ = evaluate();
}

#[test]
fn mistakes_are_errors() {
    let mut metric = metric("precision_macro", 3, Device::Cpu);
    let logits = Tensor::from_slice(&[0.0f32; 6], [2, 3]);
    metric.update(&logits, &Tensor::from_slice(&[0i64, 3], [2]));
    let error = metric.value().unwrap_err();
    assert!(error.message().contains("label"), "{error}");
    let _ = evaluate();

    let mut metric = MeanSquaredError::new(Device::Cpu);
    let numbers = Tensor::from_slice(&[0.0f32; 4], [4]);
    metric.update(&numbers, &numbers.reshape([4, 1]));
    let error = metric.value().unwrap_err();
    assert!(error.message().contains("[4]") && error.message().contains("[4, 1]"), "{error}");
    let _ = evaluate();
}
