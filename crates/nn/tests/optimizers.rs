//! What a step promises beyond its formula.

use gradus_nn::optim::*;
use gradus_nn::{CrossEntropyLoss, Layer, Linear, Module, Parameter};
use gradus_tensor::{DType, Error, Tensor, manual_seed, plan_stats};

fn text(error: &Error) -> String {
    let text = error.to_string();
    text.lines().filter(|l| !l.trim_start().starts_with("at ")).collect::<Vec<_>>().join("\n")
}

fn bits(model: &impl Module) -> Vec<u32> {
    let state = model.state_dict();
    state.iter().flat_map(|(_, t)| t.to_vec::<f32>().unwrap()).map(f32::to_bits).collect()
}

fn state_bits(optimizer: &dyn Optimizer) -> Vec<(String, Vec<u64>)> {
    let bits = |t: &Tensor| t.to_vec::<f64>().unwrap().into_iter().map(f64::to_bits).collect();
    optimizer.state_dict().iter().map(|(name, t)| (name.clone(), bits(t))).collect()
}

fn backward(model: &Linear, labels: [i64; 2]) -> Tensor {
    let x = Tensor::from_slice(&[1.0f32, -2.0, 0.5, 3.0, 0.0, -1.0], [2, 3]);
    let loss =
        CrossEntropyLoss::default().forward(&model.forward(&x), &Tensor::from_slice(&labels, [2]));
    loss.backward();
    loss
}

/// Trains on good batches, with bad ones in between if asked; returns weights and state.
fn train(
    bad: bool,
    optimizer: impl Fn(&Linear) -> Box<dyn Optimizer>,
) -> (Vec<u32>, Vec<(String, Vec<u64>)>) {
    manual_seed(11);
    let model = Linear::new(3, 4);
    let mut optimizer = optimizer(&model);
    for labels in [[0, 3], [1, 2], [3, 3]] {
        if bad {
            let before = (bits(&model), state_bits(&*optimizer));
            optimizer.zero_grad();
            let loss = backward(&model, [2, 4]);
            assert_eq!(
                text(&optimizer.step().unwrap_err()),
                "label 4 at position 1 is out of range: there are 4 classes, labels run from 0 to 3"
            );
            assert!(loss.item::<f32>().is_err());
            assert_eq!((bits(&model), state_bits(&*optimizer)), before);
        }
        optimizer.zero_grad();
        let _loss = backward(&model, labels);
        optimizer.step().unwrap();
    }
    (bits(&model), state_bits(&*optimizer))
}

type Make = fn(&Linear) -> Box<dyn Optimizer>;

/// Every optimizer, with every kind of state. Muon, which is for matrices, takes the weight alone.
const EVERY: [Make; 16] = [
    |m| Box::new(SGD::new(m.parameters(), 0.1)),
    |m| Box::new(SGD::new(m.parameters(), 0.1).momentum(0.9).dampening(0.5)),
    |m| Box::new(Adam::new(m.parameters(), 0.1)),
    |m| Box::new(Adam::new(m.parameters(), 0.1).amsgrad(true).weight_decay(0.1)),
    |m| Box::new(AdamW::new(m.parameters(), 0.1)),
    |m| Box::new(AdamW::new(m.parameters(), 0.1).amsgrad(true)),
    |m| Box::new(NAdam::new(m.parameters(), 0.1)),
    |m| Box::new(RAdam::new(m.parameters(), 0.1).betas(0.9, 0.99).weight_decay(0.1)),
    |m| Box::new(RMSprop::new(m.parameters(), 0.1)),
    |m| Box::new(RMSprop::new(m.parameters(), 0.1).momentum(0.9).centered(true)),
    |m| Box::new(Adagrad::new(m.parameters(), 0.1).lr_decay(0.1)),
    |m| Box::new(Adagrad::new(m.parameters(), 0.1).initial_accumulator_value(0.1)),
    |m| Box::new(Adadelta::new(m.parameters(), 1.0)),
    |m| Box::new(Lion::new(m.parameters(), 0.01)),
    |m| Box::new(Lion::new(m.parameters(), 0.01).weight_decay(0.1)),
    |m| Box::new(Muon::new(vec![m.weight.clone()], 0.1)),
];

#[test]
fn a_step_that_fails_might_as_well_not_have_been() {
    for make in EVERY {
        assert_eq!(train(true, make), train(false, make));
    }
}

/// A hundred steps with a changing rate, some of which fail, compile what one step of each kind
/// does.
#[test]
fn steps_differ_in_numbers_alone() {
    for make in EVERY {
        let model = Linear::new(3, 4);
        let mut optimizer = make(&model);
        let mut compiled = Vec::new();
        for step in 0..100 {
            optimizer.set_lr(0.1 / f64::from(step + 1));
            optimizer.zero_grad();
            let loss = backward(&model, [0, i64::from(step % 4)]);
            let run = plan_stats().run;
            optimizer.step().unwrap();
            assert!(loss.is_evaluated());
            assert_eq!(plan_stats().run, run + 1, "one plan");
            compiled.push(plan_stats().compiled);
        }
        assert_eq!(compiled[0], compiled[99], "{:?}", optimizer.state_dict().names());
    }
}

/// A run that is interrupted, saved and restored into fresh objects goes on with the same bits.
#[test]
fn a_restored_optimizer_goes_on_to_the_bit() {
    for make in EVERY {
        manual_seed(5);
        let model = Linear::new(3, 4);
        let mut optimizer = make(&model);
        let go_on = |model: &Linear, optimizer: &mut dyn Optimizer| {
            for labels in [[0, 3], [1, 2], [3, 3], [2, 0]] {
                optimizer.zero_grad();
                let _loss = backward(model, labels);
                optimizer.step().unwrap();
            }
        };
        go_on(&model, &mut *optimizer);

        let copy = Linear::new(3, 4);
        copy.load_state_dict(&model.state_dict()).unwrap();
        let mut restored = make(&copy);
        restored.load_state_dict(&optimizer.state_dict()).unwrap();
        assert_eq!(state_bits(&*restored), state_bits(&*optimizer));
        go_on(&model, &mut *optimizer);
        go_on(&copy, &mut *restored);
        assert_eq!(bits(&copy), bits(&model));
        assert_eq!(state_bits(&*restored), state_bits(&*optimizer));

        // Without state but the step, a parameter that lacks it has never had a gradient.
        let state = optimizer.state_dict();
        if state.names()[1].starts_with("0.") {
            let lacking = state.iter().skip(1).cloned().collect();
            let error = restored.load_state_dict(&lacking).unwrap_err().to_string();
            assert!(error.contains("missing: 0.step"), "{error}");
        }
    }
}

#[test]
fn states_have_the_names_of_pytorch() {
    let names: Vec<Vec<String>> = EVERY
        .iter()
        .map(|make| {
            let model = Linear::new(3, 4);
            let mut optimizer = make(&model);
            let _loss = backward(&model, [0, 1]);
            optimizer.step().unwrap();
            let state = optimizer.state_dict();
            let first = state.names().into_iter().filter_map(|name| name.strip_prefix("0."));
            first.map(str::to_owned).collect()
        })
        .collect();
    let expected: [&[&str]; 16] = [
        &["step"],
        &["step", "momentum_buffer"],
        &["step", "exp_avg", "exp_avg_sq"],
        &["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
        &["step", "exp_avg", "exp_avg_sq"],
        &["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
        &["step", "exp_avg", "exp_avg_sq", "mu_product"],
        &["step", "exp_avg", "exp_avg_sq"],
        &["step", "square_avg"],
        &["step", "square_avg", "grad_avg", "momentum_buffer"],
        &["step", "sum"],
        &["step", "sum"],
        &["step", "square_avg", "acc_delta"],
        &["step", "exp_avg"],
        &["step", "exp_avg"],
        &["step", "momentum_buffer"],
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_gradient_that_was_used_and_grew_is_an_error() {
    let model = Linear::new(3, 4);
    let mut optimizer = SGD::new(model.parameters(), 0.1);
    let _loss = backward(&model, [0, 1]);
    optimizer.step().unwrap();
    let _loss = backward(&model, [0, 1]);
    let before = bits(&model);
    assert_eq!(
        text(&optimizer.step().unwrap_err()),
        "step: the gradient of `weight` was used by an earlier step and has received more since; \
         call `zero_grad()` before each backward pass, or after each step"
    );
    assert_eq!(bits(&model), before);
    optimizer.zero_grad();
    let _loss = backward(&model, [0, 1]);
    optimizer.step().unwrap();
    assert_ne!(bits(&model), before);
}

/// A generator's loss goes through the discriminator and leaves gradients there, which its
/// optimizer must not mind: it zeroes them before its own backward pass.
#[test]
fn a_generator_may_use_the_discriminator() {
    let (generator, discriminator) = (Linear::new(2, 3), Linear::new(3, 1));
    let mut for_g = SGD::new(generator.parameters(), 0.1);
    let mut for_d = SGD::new(discriminator.parameters(), 0.1);
    let noise = Tensor::ones([4, 2], DType::F32);
    for _ in 0..3 {
        let fake = generator.forward(&noise);
        for_d.zero_grad();
        discriminator.forward(&fake.detach()).square().mean().backward();
        for_d.step().unwrap();

        for_g.zero_grad();
        discriminator.forward(&fake).mean().backward();
        for_g.step().unwrap();
    }
    let before = bits(&discriminator);
    assert!(for_d.step().is_err());
    assert_eq!(bits(&discriminator), before);
}

#[test]
fn gradients_accumulate_until_a_step() {
    let one = |times: usize| {
        manual_seed(3);
        let model = Linear::new(3, 4);
        let mut optimizer = SGD::new(model.parameters(), 1.0 / times as f64);
        for _ in 0..times {
            let _loss = backward(&model, [0, 1]);
        }
        optimizer.step().unwrap();
        model.state_dict()["weight"].to_vec::<f32>().unwrap()
    };
    for (a, b) in one(1).iter().zip(one(4)) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn parameters_without_gradients_stay() {
    let (used, unused) = (Linear::new(3, 4), Linear::new(3, 4));
    let mut optimizer = Adam::new((&used, &unused).parameters(), 0.1).weight_decay(0.5);
    let before = bits(&unused);
    let _loss = backward(&used, [0, 1]);
    optimizer.step().unwrap();
    assert_eq!(bits(&unused), before);
    assert!(optimizer.state_dict().names().iter().all(|name| name.starts_with(['0', '1'])));
}

#[test]
fn misuse_is_an_error_at_the_step() {
    let model = Linear::new(3, 4);
    let weight = || vec![model.weight.clone()];
    let mut both = model.parameters();
    both.push(model.weight.clone());
    let nameless = Parameter::new(Tensor::ones([2], DType::F32));
    let mut cases: Vec<(Box<dyn Optimizer>, &str)> = vec![
        (
            Box::new(SGD::new(both, 0.1)),
            "SGD: `weight` is given twice; a parameter belongs to one group, and once",
        ),
        (
            Box::new(
                Adam::new(vec![nameless.clone()], 0.1)
                    .group(vec![nameless], AdamOptions::default()),
            ),
            "Adam: a parameter of shape [2] is given twice; a parameter belongs to one group, and \
             once",
        ),
        (
            Box::new(SGD::new(vec![], 0.1)),
            "SGD: there are no parameters; pass `model.parameters()`",
        ),
        (Box::new(SGD::new(weight(), -0.1)), "SGD: lr is -0.1; it must be finite and not negative"),
        (
            Box::new(SGD::new(weight(), 0.1).group(vec![], SGDOptions::new(f64::NAN))),
            "SGD: lr is NaN; it must be finite and not negative",
        ),
        (
            Box::new(SGD::new(weight(), 0.1).momentum(-1.0)),
            "SGD: momentum is -1; it must be finite and not negative",
        ),
        (
            Box::new(SGD::new(weight(), 0.1).nesterov(true)),
            "SGD: nesterov needs momentum and no dampening; they are 0 and 0",
        ),
        (
            Box::new(Adam::new(weight(), 0.1).betas(0.9, 1.0)),
            "Adam: betas are (0.9, 1.0); both must lie in 0..1",
        ),
        (
            Box::new(Adam::new(weight(), 0.1).eps(-1e-8)),
            "Adam: eps is -0.00000001; it must be finite and not negative",
        ),
        (
            Box::new(AdamW::new(weight(), 0.1).betas(-0.1, 0.9)),
            "AdamW: betas are (-0.1, 0.9); both must lie in 0..1",
        ),
        (
            Box::new(AdamW::new(weight(), 0.1).weight_decay(f64::NAN)),
            "AdamW: weight_decay is NaN; it must be finite and not negative",
        ),
        (
            Box::new(NAdam::new(weight(), 0.1).momentum_decay(-1.0)),
            "NAdam: momentum_decay is -1; it must be finite and not negative",
        ),
        (
            Box::new(RAdam::new(weight(), 0.1).betas(1.0, 0.9)),
            "RAdam: betas are (1.0, 0.9); both must lie in 0..1",
        ),
        (
            Box::new(RMSprop::new(weight(), 0.1).alpha(1.5)),
            "RMSprop: alpha is 1.5; it must lie between 0 and 1",
        ),
        (
            Box::new(Adagrad::new(weight(), 0.1).lr_decay(-0.5)),
            "Adagrad: lr_decay is -0.5; it must be finite and not negative",
        ),
        (
            Box::new(Adagrad::new(weight(), 0.1).initial_accumulator_value(-0.5)),
            "Adagrad: initial_accumulator_value is -0.5; it must be finite and not negative",
        ),
        (
            Box::new(Adadelta::new(weight(), 0.1).rho(-0.5)),
            "Adadelta: rho is -0.5; it must lie between 0 and 1",
        ),
        (Box::new(Lion::new(weight(), -1.0)), "Lion: lr is -1; it must be finite and not negative"),
        (
            Box::new(Muon::new(model.parameters(), 0.1)),
            "Muon: `bias` of shape [4] is no matrix, and Muon is for matrices; give the others to \
             another optimizer, such as AdamW",
        ),
        (
            Box::new(Muon::new(weight(), 0.1).ns_steps(100)),
            "Muon: ns_steps are 100; they must be less than 100",
        ),
        (
            Box::new(Muon::new(weight(), 0.1).ns_dtype(DType::I64)),
            "Muon: ns_dtype is int64; it must be a float",
        ),
        (
            Box::new(LBFGS::new(weight(), 0.1)),
            "LBFGS: a step asks for the loss several times; call `LBFGS::step` with a closure",
        ),
        (
            Box::new(Adam::new(weight(), 0.1)),
            "Adam: no parameter has a gradient; call `backward()` on the loss before `step()`",
        ),
    ];
    for (optimizer, expected) in &mut cases {
        assert_eq!(text(&optimizer.step().unwrap_err()), *expected);
    }
}

#[test]
fn the_error_of_the_forward_pass_comes_first() {
    let model = Linear::new(3, 4);
    let mut optimizer = SGD::new(model.parameters(), 0.1);
    let loss = model.forward(&Tensor::zeros([2, 5], DType::F32)).mean();
    loss.backward();
    assert_eq!(
        text(&optimizer.step().unwrap_err()),
        "matmul: [2, 5] · [3, 4]: the left has 5 columns, the right 3 rows; they must be equal\n  \
         in Linear(in_features=3, out_features=4, bias=True)"
    );
    let _loss = backward(&model, [0, 1]);
    optimizer.step().unwrap();
}

#[test]
fn a_gradient_of_another_shape_changes_nothing() {
    let model = Linear::new(3, 4);
    let mut optimizer = SGD::new(model.parameters(), 0.1).momentum(0.9);
    let _loss = backward(&model, [0, 1]);
    model.bias.as_ref().unwrap().set_grad(Tensor::ones([5], DType::F32));
    let before = bits(&model);
    assert!(optimizer.step().is_err());
    assert_eq!(bits(&model), before);
    assert!(optimizer.state_dict().is_empty());
}

#[test]
fn a_gradient_that_has_failed_changes_nothing() {
    let model = Linear::new(3, 4);
    let mut optimizer = SGD::new(model.parameters(), 0.1);
    let _loss = backward(&model, [0, 1]);
    let failed = Tensor::ones([2], DType::F32) + Tensor::ones([3], DType::F32);
    let reported = failed.item::<f32>().unwrap_err().to_string();
    model.bias.as_ref().unwrap().set_grad(failed);
    let before = bits(&model);
    assert_eq!(optimizer.step().unwrap_err().to_string(), reported);
    assert_eq!(bits(&model), before);
}

#[test]
fn maximizing_is_minimizing_the_negative() {
    type Make = fn(&Linear, bool) -> Box<dyn Optimizer>;
    let optimizers: [Make; 9] = [
        |m, up| Box::new(SGD::new(m.parameters(), 0.1).momentum(0.9).maximize(up)),
        |m, up| Box::new(Adam::new(m.parameters(), 0.1).maximize(up)),
        |m, up| Box::new(AdamW::new(m.parameters(), 0.1).maximize(up)),
        |m, up| Box::new(NAdam::new(m.parameters(), 0.1).weight_decay(0.1).maximize(up)),
        |m, up| Box::new(RAdam::new(m.parameters(), 0.1).maximize(up)),
        |m, up| Box::new(RMSprop::new(m.parameters(), 0.1).centered(true).maximize(up)),
        |m, up| Box::new(Adagrad::new(m.parameters(), 0.1).maximize(up)),
        |m, up| Box::new(Adadelta::new(m.parameters(), 0.1).maximize(up)),
        |m, up| Box::new(Lion::new(m.parameters(), 0.1).maximize(up)),
    ];
    for make in optimizers {
        let run = |up: bool| {
            manual_seed(8);
            let model = Linear::new(3, 4);
            let mut optimizer = make(&model, up);
            for _ in 0..3 {
                optimizer.zero_grad();
                let mean = model.forward(&Tensor::ones([1, 3], DType::F32)).square().mean();
                if up {
                    (-mean).backward()
                } else {
                    mean.backward()
                }
                optimizer.step().unwrap();
            }
            bits(&model)
        };
        assert_eq!(run(true), run(false));
    }
}

#[test]
fn rates_change_by_group_without_compiling() {
    let (a, b) = (Linear::new(3, 4), Linear::new(3, 4));
    let mut optimizer = SGD::new(a.parameters(), 0.1)
        .group(b.parameters(), SGDOptions::new(0.2).momentum(0.5))
        .weight_decay(0.1);
    assert_eq!(optimizer.options(1).weight_decay, 0.1);
    let mut compiled = None;
    for i in 1..5 {
        optimizer.set_lrs(&[0.1 / f64::from(i), 0.0]);
        optimizer.options_mut(1).momentum = 0.5 + 0.01 * f64::from(i);
        optimizer.zero_grad();
        let before = bits(&b);
        let loss = backward(&a, [0, 1]) + backward(&b, [0, 1]);
        optimizer.step().unwrap();
        assert_eq!(bits(&b), before, "a rate of zero");
        assert!(loss.is_evaluated());
        assert_eq!(*compiled.get_or_insert(plan_stats().compiled), plan_stats().compiled);
    }
    optimizer.set_lr(0.5);
    assert_eq!((optimizer.lr(), optimizer.lrs()), (0.5, vec![0.5, 0.5]));
}
