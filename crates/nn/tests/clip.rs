//! What clipping promises beyond its formula, which `optimizers_golden.rs` compares with PyTorch's.

use gradus_nn::optim::{Optimizer, SGD};
use gradus_nn::{ClipNorm, Layer, Linear, Module, clip_grad_norm_, clip_grad_value_};
use gradus_tensor::{DType, Tensor, plan_stats};

/// A model whose five gradients are all `grad`.
fn model(grad: f64) -> Linear {
    let model = Linear::new(4, 1);
    model.forward(&Tensor::full([1, 4], 1.0, DType::F32)).sum().backward();
    for parameter in model.parameters() {
        let shape = parameter.shape();
        parameter.set_grad(Tensor::full(shape, grad, DType::F32));
    }
    model
}

fn grads(model: &Linear) -> Vec<f32> {
    model.parameters().iter().flat_map(|p| p.grad().unwrap().to_vec::<f32>().unwrap()).collect()
}

#[test]
fn clipping_is_part_of_the_step_and_its_bound_a_number() {
    let model = Linear::new(4, 1);
    let mut optimizer = SGD::new(model.parameters(), 0.1).momentum(0.9);
    let x = Tensor::ones([2, 4], DType::F32);
    x.eval().unwrap();
    let mut compiled = None;
    for step in 1..20 {
        optimizer.zero_grad();
        model.forward(&x).square().mean().backward();
        let before = plan_stats().run;
        let norm = clip_grad_norm_(&model.parameters(), 1.0 / f64::from(step));
        clip_grad_value_(&model.parameters(), 0.5 / f64::from(step));
        assert!(!norm.is_evaluated() && !norm.requires_grad());
        assert_eq!(plan_stats().run, before, "clipping evaluates nothing");
        optimizer.step().unwrap();
        assert!(norm.is_evaluated());
        assert_eq!(plan_stats().run, before + 1, "one plan for the whole step");
        assert_eq!(*compiled.get_or_insert(plan_stats().compiled), plan_stats().compiled);
    }
}

#[test]
fn small_gradients_stay_as_they_are() {
    let model = model(0.25);
    let norm = clip_grad_norm_(&model.parameters(), 10.0);
    assert_eq!(grads(&model), [0.25; 5]);
    assert!((norm.item::<f64>().unwrap() - 0.25 * 5f64.sqrt()).abs() < 1e-7);
    let _measured = clip_grad_norm_(&model.parameters(), f64::INFINITY);
    assert_eq!(grads(&model), [0.25; 5]);
}

#[test]
fn a_norm_that_is_not_finite_is_an_error_if_asked() {
    for bad in [f64::NAN, f64::INFINITY] {
        let model = model(bad);
        let mut optimizer = SGD::new(model.parameters(), 0.1);
        let before = model.weight.value().to_vec::<f32>().unwrap();
        let clip = ClipNorm::new(1.0).error_if_nonfinite(true);
        let norm = clip_grad_norm_(&model.parameters(), clip);
        let error = optimizer.step().unwrap_err().to_string();
        let name = if bad.is_nan() { "NaN" } else { "inf" };
        let expected = format!(
            "clip_grad_norm_: the norm of the gradients is {name} at position 0: it must be finite"
        );
        assert!(error.starts_with(&expected), "{error}");
        assert!(norm.item::<f32>().is_err());
        assert_eq!(model.weight.value().to_vec::<f32>().unwrap(), before);

        // As in PyTorch, it is none otherwise.
        let model = self::model(bad);
        let norm = clip_grad_norm_(&model.parameters(), 1.0).item::<f64>().unwrap();
        assert_eq!(norm.is_nan(), bad.is_nan());
    }
}

#[test]
fn misuse_is_an_error_of_the_next_step() {
    let text = |error: gradus_tensor::Error| error.message().to_owned();
    let fresh = Linear::new(2, 1);
    let none = |op: &str| {
        format!("{op}: no parameter has a gradient; clip after `backward()`, before `step()`")
    };
    let norm = clip_grad_norm_(&fresh.parameters(), 1.0);
    assert_eq!(text(norm.item::<f32>().unwrap_err()), none("clip_grad_norm_"));
    clip_grad_value_(&fresh.parameters(), 1.0);
    assert_eq!(text(gradus_tensor::evaluate().unwrap_err()), none("clip_grad_value_"));

    let model = model(1.0);
    let mut optimizer = SGD::new(model.parameters(), 0.1);
    let parameters = model.parameters();
    type Misuse = fn(&[gradus_nn::Parameter]);
    let cases: [(Misuse, &str); 4] = [
        (
            |p| drop(clip_grad_norm_(p, -1.0)),
            "clip_grad_norm_: max_norm is -1; it must not be negative",
        ),
        (
            |p| drop(clip_grad_norm_(p, f64::NAN)),
            "clip_grad_norm_: max_norm is NaN; it must not be negative",
        ),
        (
            |p| drop(clip_grad_norm_(p, ClipNorm::new(1.0).norm_type(0.0))),
            "clip_grad_norm_: norm_type is 0; it must be positive, or infinity for the largest \
             element",
        ),
        (
            |p| clip_grad_value_(p, -0.5),
            "clip_grad_value_: clip_value is -0.5; it must not be negative",
        ),
    ];
    for (misuse, expected) in cases {
        misuse(&parameters);
        assert_eq!(text(optimizer.step().unwrap_err()), expected);
        assert_eq!(grads(&model), [1.0; 5]);
    }
    optimizer.step().unwrap();
}

#[test]
fn nan_survives_a_bound_on_values() {
    let model = model(f64::NAN);
    clip_grad_value_(&model.parameters(), 1.0);
    assert!(grads(&model).iter().all(|x| x.is_nan()));
}
