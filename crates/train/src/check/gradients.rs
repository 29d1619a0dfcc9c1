//! Parameters that do not learn: no gradient reaches them, or it is exactly 0, or not finite.

use gradus_tensor::Tensor;

use super::{Finding, Subject};

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(trial) = &subject.trial else { return Vec::new() };
    of_parameters(&trial.gradients, |name| subject.config.layer_name(name))
}

/// Findings about parameters, by name, and their gradients after a first backward pass.
fn of_parameters(
    gradients: &[(String, Option<Tensor>)],
    place: impl Fn(&str) -> String,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, gradient) in gradients {
        let (layer, parameter) = name.rsplit_once('.').unwrap_or(("", name));
        let place =
            if layer.is_empty() { String::new() } else { format!("layer {}", place(layer)) };
        let Some(gradient) = gradient else {
            findings.push(Finding::warning(
                place,
                format!("`{parameter}` receives no gradient: the loss does not depend on it"),
                "use it in the forward pass, or remove it",
            ));
            continue;
        };
        let Ok(numbers) = gradient.to_vec::<f32>() else { continue };
        if numbers.iter().any(|x| !x.is_finite()) {
            findings.push(Finding::error(
                place,
                format!("the gradient of `{parameter}` is not finite on the first batch"),
                "check the scale of the inputs, and of the initial weights",
            ));
        } else if numbers.iter().all(|&x| x == 0.0) {
            findings.push(Finding::warning(
                place,
                format!("the gradient of `{parameter}` is 0 on the first batch"),
                "what follows cuts it off; look at the activations after it, and at weights that \
                 start at 0",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use gradus_nn::{Layer, Linear, Module};
    use gradus_tensor::DType;

    use super::*;

    #[test]
    fn a_parameter_that_is_not_used_is_named() {
        let (used, unused) = (Linear::new(3, 2), Linear::new(3, 2).bias(false));
        let x = Tensor::ones([4, 3], DType::F32);
        used.forward(&x).sum().backward();
        let model = vec![used, unused];
        let gradients: Vec<_> =
            model.named_parameters().into_iter().map(|(name, p)| (name, p.grad())).collect();
        let found = of_parameters(&gradients, |layer| layer.to_owned());
        let text: Vec<String> = found.iter().map(Finding::to_string).collect();
        assert_eq!(
            text,
            [
                "warning: layer 1: `weight` receives no gradient: the loss does not depend on it; use it \
              in the forward pass, or remove it"
            ]
        );
    }
}
