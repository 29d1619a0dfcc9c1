//! What is said about a loss or a gradient that is not finite.
//!
//! The step that met it has failed as a whole: parameters, optimizer and buffers are as they were.
//! So the batch can be computed once more, slowly, to find out where it went wrong first.

use gradus_tensor::{
    DType, Error, ErrorKind, Parameter, RngState, Tensor, as_one_plan, evaluate, first_not_finite,
    no_grad, set_rng_state,
};

use super::Objective;

/// What the checks call what they look at.
const LOSS: &str = "loss";
const GRADIENT: &str = "gradient";

/// The loss, which fails the step if it is not finite.
pub(super) fn checked_loss(loss: &Tensor) -> Tensor {
    loss.checked_finite(LOSS)
}

/// Fails the step if a gradient is not finite; `norm` is that of all of them, if it is known.
///
/// One number stands for all: times 0, what is not finite becomes NaN, and a sum keeps it. That is
/// one look at each element, by the loops that reductions have anyway.
pub(super) fn check_gradients(parameters: &[Parameter], norm: Option<&Tensor>) {
    as_one_plan(|| {
        no_grad(|| {
            let zero = |grad: Tensor| (grad * 0.0).cast(DType::F32).sum();
            let grads = || parameters.iter().filter_map(Parameter::grad);
            let total = match norm {
                Some(norm) => Some(norm.clone()),
                None => grads().map(zero).reduce(|sum, next| sum + next),
            };
            // The check is an effect: it needs nobody to hold what it passes on.
            let _ = total.map(|total| total.checked_finite(GRADIENT));
        });
    });
}

/// The error of a step, with what was not finite first, and the samples of the batch.
pub(super) fn explain<O: Objective>(
    error: Error,
    objective: &O,
    batch: &O::Batch,
    random: RngState,
    samples: &[usize],
) -> Error {
    let message = error.message();
    let starts = |what: &str| message.starts_with(&format!("{what} "));
    if error.kind() != ErrorKind::Value || !(starts(LOSS) || starts(GRADIENT)) {
        return error;
    }
    let place = first_bad(objective, batch, random).unwrap_or_else(|| {
        "computed once more, every element is finite: the sum of the squares of the gradients \
         overflows"
            .to_owned()
    });
    let message = format!(
        "{message}\n  {place}\n  samples of the batch: {}\n  no parameter was changed; training \
         diverged, try a lower learning rate or clip the gradients, and look at these samples",
        listed(samples)
    );
    Error::new(ErrorKind::Value, message)
}

/// What is not finite first: a parameter, the output of a layer, the loss or a gradient.
fn first_bad<O: Objective>(objective: &O, batch: &O::Batch, random: RngState) -> Option<String> {
    let parameters = objective.module().named_parameters();
    // What the failed step has left is none of this search's business.
    let _ = evaluate();
    for (name, parameter) in &parameters {
        if !parameter.value().is_all_finite() {
            return Some(format!("first not finite: the values of the parameter `{name}`"));
        }
        parameter.zero_grad();
    }
    set_rng_state(random);
    let (cost, layer) = first_not_finite(|| objective.cost(batch));
    if let Some(layer) = layer {
        return Some(format!("first not finite: the output of {layer}"));
    }
    if !cost.loss.is_all_finite() {
        return Some("first not finite: the loss itself; all layers put out finite numbers".into());
    }
    cost.loss.backward();
    let _ = evaluate();
    // Backward comes to the last layers first.
    let bad = parameters.iter().rev().find(|(_, p)| p.grad().is_some_and(|g| !g.is_all_finite()));
    bad.map(|(name, _)| format!("first not finite: the gradient of the parameter `{name}`"))
}

/// The first samples, in order.
fn listed(samples: &[usize]) -> String {
    const SHOWN: usize = 64;
    let text: Vec<String> = samples.iter().take(SHOWN).map(usize::to_string).collect();
    let more = match samples.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", text.join(", "))
}
