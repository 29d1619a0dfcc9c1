//! Numbers to predict that the last layer cannot put out, or that are far from what it does.

use gradus_data::{Dataset, Part};

use super::inputs::moments;
use super::{Finding, Subject};
use crate::Task;

/// What layers put out at least and at most.
const RANGES: [(&str, f64, f64); 8] = [
    ("Sigmoid", 0.0, 1.0),
    ("Hardsigmoid", 0.0, 1.0),
    ("Softmax", 0.0, 1.0),
    ("Tanh", -1.0, 1.0),
    ("Softsign", -1.0, 1.0),
    ("ReLU", 0.0, f64::INFINITY),
    ("ReLU6", 0.0, 6.0),
    ("Softplus", 0.0, f64::INFINITY),
];
/// Targets whose root mean square is larger take many steps to reach.
const LARGE: f64 = 1e3;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Task::Regression { target } = &subject.train.data.spec().task else { return Vec::new() };
    let targets: Vec<f64> = subject
        .train
        .samples
        .iter()
        .flat_map(|(_, (_, target))| match target {
            Part::Floats(numbers) => numbers.data().iter().map(|&x| f64::from(x)).collect(),
            _ => Vec::new(),
        })
        .collect();
    let (Some((layer, line)), Some((mean, std))) = (subject.last_layer(), moments(&targets)) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let least = targets.iter().copied().fold(f64::INFINITY, f64::min);
    let most = targets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if let Some((_, low, high)) = RANGES.iter().find(|(name, ..)| *name == layer)
        && (least < *low || most > *high)
    {
        findings.push(Finding::warning(
            line,
            format!("{layer} puts out {low} to {high}, but `{target}` is {least} to {most}"),
            format!("leave out {layer}, or scale `{target}`"),
        ));
    } else if mean.hypot(std) > LARGE {
        findings.push(Finding::warning(
            subject.train.data.samples().name(),
            format!("`{target}` has mean {mean:.0} and standard deviation {std:.0}"),
            "predict it in a larger unit, so that it is about 1",
        ));
    }
    findings
}
