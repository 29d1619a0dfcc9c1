//! A loss that does not suit what the last layer puts out: probabilities where logits belong, and the like.
//!
//! What the outputs are is read off them, not off the layers' names: a softmax inside a layer is found too.

use gradus_tensor::Tensor;

use super::{Finding, Subject};

/// How exactly probabilities add up to 1.
const EXACT: f64 = 1e-3;

/// Layers whose outputs lie between -1 and 1 on any inputs, which a batch alone does not show.
const BOUNDED: [&str; 4] = ["Sigmoid", "Tanh", "Hardsigmoid", "Softsign"];

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(trial), Some((layer, line))) = (&subject.trial, subject.last_layer()) else {
        return Vec::new();
    };
    let loss = subject.config.loss.as_ref().map_or("", |loss| loss.name());
    let logits = matches!(loss, "CrossEntropyLoss" | "MultiMarginLoss");
    match outputs(&trial.outputs) {
        Outputs::Probabilities if logits => vec![Finding::warning(
            line,
            format!(
                "{layer} puts out probabilities, but {loss} takes logits: it would learn slowly"
            ),
            format!("leave out {layer}"),
        )],
        Outputs::LogProbabilities if loss == "CrossEntropyLoss" => vec![Finding::warning(
            line,
            format!("{layer} puts out log-probabilities, and {loss} computes them once more"),
            format!("leave out {layer}, or choose NLLLoss"),
        )],
        Outputs::NotNegative if logits && layer == "ReLU" => vec![Finding::warning(
            line,
            format!("{layer} cuts off negative logits, which {loss} needs"),
            format!("leave out {layer}"),
        )],
        Outputs::LogProbabilities => Vec::new(),
        _ if logits && BOUNDED.contains(&layer) => vec![Finding::warning(
            line,
            format!("{layer} bounds the logits, so that {loss} cannot come near 0"),
            format!("leave out {layer}"),
        )],
        _ if loss == "NLLLoss" => vec![Finding::error(
            subject.loss_line(),
            format!("NLLLoss takes log-probabilities, but {layer} puts out something else"),
            "add \"LogSoftmax\" at the end of the model, or choose CrossEntropyLoss",
        )],
        _ => Vec::new(),
    }
}

/// What rows of outputs are.
enum Outputs {
    Probabilities,
    LogProbabilities,
    NotNegative,
    Other,
}

fn outputs(outputs: &Tensor) -> Outputs {
    let width = outputs.shape().last().copied().unwrap_or(0);
    let Ok(numbers) = outputs.to_vec::<f64>() else { return Outputs::Other };
    if width < 2 {
        return Outputs::Other;
    }
    let every_row = |holds: &dyn Fn(&[f64]) -> bool| numbers.chunks(width).all(holds);
    let is_one = |sum: f64| (sum - 1.0).abs() < EXACT;
    let not_negative = every_row(&|row| row.iter().all(|&x| x >= 0.0));
    if not_negative && every_row(&|row| is_one(row.iter().sum())) {
        Outputs::Probabilities
    } else if every_row(&|row| is_one(row.iter().map(|x| x.exp()).sum())) {
        Outputs::LogProbabilities
    } else if not_negative {
        Outputs::NotNegative
    } else {
        Outputs::Other
    }
}
