//! Inputs that are not finite, or so far from 1 that training suffers.

use gradus_data::{Dataset, Part};

use super::{Finding, Subject};

/// Means and standard deviations beyond it slow training down, or make it diverge.
const FAR: f64 = 20.0;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for part in [&subject.train, &subject.test] {
        let name = part.data.samples().name();
        let bad = |part: &Part| floats(part).is_some_and(|x| x.iter().any(|x| !x.is_finite()));
        let odd = part.samples.iter().find(|(_, (input, target))| bad(input) || bad(target));
        if let Some((number, _)) = odd {
            findings.push(Finding::of_data(
                format!("{name}: sample {number}"),
                "it holds a number that is infinite or NaN",
                "repair or remove it",
            ));
        }
    }
    let numbers: Vec<f64> = subject
        .train
        .samples
        .iter()
        .filter_map(|(_, (input, _))| floats(input))
        .flat_map(|x| x.iter().map(|&x| f64::from(x)))
        .filter(|x| x.is_finite())
        .collect();
    let Some((mean, std)) = moments(&numbers) else { return findings };
    let name = subject.train.data.samples().name();
    if mean.abs() > FAR || std > FAR {
        findings.push(Finding::warning(
            name,
            format!("inputs have mean {mean:.3} and standard deviation {std:.3}"),
            "scale them to about 0 and 1 (`standardize = true`, where the dataset has it)",
        ));
    } else if std == 0.0 {
        let what = format!("all inputs of the {} samples looked at are {mean}", subject.train.read);
        findings.push(Finding::warning(name, what, "check what is read"));
    }
    findings
}

/// The numbers of a part that is not scaled when it is put into a batch.
fn floats(part: &Part) -> Option<&[f32]> {
    match part {
        Part::Floats(numbers) => Some(numbers.data()),
        _ => None,
    }
}

/// The mean and the standard deviation.
pub(super) fn moments(numbers: &[f64]) -> Option<(f64, f64)> {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (n > 0.0).then(|| (mean, variance.sqrt()))
}
