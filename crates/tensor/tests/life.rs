//! The life of a training step: each rule of `docs/architecture.md`, with a test that fails without it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gradus_tensor::{
    BackwardOptions, DType, Device, GradLoan, Parameter, Tensor, Variable, as_one_plan,
    clear_plans, evaluate, explain_last, manual_seed, no_grad, plan_stats,
};

/// Tests that count compilations share the process's plan cache, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    clear_plans();
    turn
}

/// How many plans `f` compiles and runs.
fn counting(f: impl FnOnce()) -> (u64, u64) {
    let before = plan_stats();
    f();
    let after = plan_stats();
    (after.compiled - before.compiled, after.run - before.run)
}

fn floats(data: &[f32]) -> Tensor {
    Tensor::from_slice(data, [data.len()])
}

/// A linear classifier, and one step of gradient descent by hand.
struct Model {
    weight: Parameter,
    bias: Parameter,
    momentum: Variable,
}

impl Model {
    fn new() -> Model {
        let start: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin()).collect();
        Model {
            weight: Parameter::new(Tensor::from_slice(&start, [4, 3])),
            bias: Parameter::new(Tensor::zeros([3], DType::F32)),
            momentum: Variable::new(Tensor::zeros([4, 3], DType::F32)),
        }
    }

    fn loss(&self, labels: &[i64]) -> Tensor {
        let x: Vec<f32> = (0..labels.len() * 4).map(|i| (i as f32).cos()).collect();
        let x = Tensor::from_slice(&x, [labels.len(), 4]);
        let logits = x.matmul(&self.weight.value()) + self.bias.value();
        logits.cross_entropy(&Tensor::from_slice(labels, [labels.len()])).mean()
    }

    fn step(&self, lr: f64) -> gradus_tensor::Result<()> {
        no_grad(|| {
            let g = self.weight.grad_for_step().unwrap().expect("a gradient");
            let m = self.momentum.get() * 0.9 + &g;
            self.weight.set(&(self.weight.value() - &m * lr));
            self.momentum.set(&m);
            let g = self.bias.grad_for_step().unwrap().expect("a gradient");
            self.bias.set(&(self.bias.value() - g * lr));
        });
        let loans = [self.weight.lend_grad(), self.bias.lend_grad()];
        evaluate()?;
        loans.into_iter().for_each(GradLoan::use_up);
        Ok(())
    }

    fn zero_grad(&self) {
        self.weight.zero_grad();
        self.bias.zero_grad();
    }

    fn bits(&self) -> Vec<u32> {
        [self.weight.value(), self.bias.value(), self.momentum.get()]
            .iter()
            .flat_map(|t| t.to_vec::<f32>().unwrap())
            .map(f32::to_bits)
            .collect()
    }
}

#[test]
fn a_changing_learning_rate_compiles_once() {
    let _alone = alone();
    let model = Model::new();
    let mut losses = Vec::new();
    let (compiled, run) = counting(|| {
        for step in 0..100 {
            let loss = model.loss(&[0, 2, 1, 1]);
            model.zero_grad();
            loss.backward();
            model.step(0.5 / (1.0 + step as f64)).unwrap();
            losses.push(loss.item::<f32>().unwrap());
        }
    });
    assert_eq!((compiled, run), (1, 100), "one plan, run once per step");
    assert!(losses[99] < losses[0] * 0.6, "{losses:?}");
}

#[test]
fn the_whole_step_is_one_plan_and_overwrites_in_place() {
    let _alone = alone();
    let model = Model::new();
    model.loss(&[0, 1]).backward();
    model.step(0.1).unwrap();
    let plan = explain_last().unwrap();
    assert!(plan.contains("matmul") && plan.contains("cross_entropy"), "{plan}");
    assert_eq!(plan.matches("update in place").count(), 2, "weight and bias:\n{plan}");
    assert!(plan.contains("3 inputs overwritten"), "and the momentum:\n{plan}");
}

#[test]
fn an_old_value_that_somebody_holds_is_not_overwritten() {
    let _alone = alone();
    let model = Model::new();
    let old = model.weight.value();
    let before = old.to_vec::<f32>().unwrap();
    model.loss(&[0, 1]).backward();
    model.step(0.1).unwrap();
    assert_eq!(old.to_vec::<f32>().unwrap(), before);
    assert_ne!(model.weight.value().to_vec::<f32>().unwrap(), before);
}

#[test]
fn aliased_operands_have_a_plan_of_their_own() {
    let _alone = alone();
    let (x, y) = (floats(&[1.0, 2.0]), floats(&[10.0, 20.0]));
    let (compiled, _) = counting(|| {
        assert_eq!((&x + &x).to_vec::<f32>().unwrap(), [2.0, 4.0]);
        assert_eq!((&x + &y).to_vec::<f32>().unwrap(), [11.0, 22.0]);
        assert_eq!((&y + &x).to_vec::<f32>().unwrap(), [11.0, 22.0]);
    });
    assert_eq!(compiled, 2, "x + x is one plan; x + y and y + x are another");
    // An alias is the same leaf, whatever handle it comes through.
    let alias = x.clone().requires_grad_().detach();
    let (compiled, _) = counting(|| {
        assert_eq!((&x + &alias).to_vec::<f32>().unwrap(), [2.0, 4.0]);
    });
    assert_eq!(compiled, 0, "x + alias of x is x + x");
}

#[test]
fn static_attributes_are_part_of_the_key_and_numbers_are_not() {
    let _alone = alone();
    let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 2]);
    let (compiled, _) = counting(|| {
        assert_eq!(x.sum_axes(&[0], false).to_vec::<f32>().unwrap(), [4.0, 6.0]);
        assert_eq!(x.sum_axes(&[1], false).to_vec::<f32>().unwrap(), [3.0, 7.0]);
    });
    assert_eq!(compiled, 2);
    let (compiled, _) = counting(|| {
        for k in 0..5 {
            let y = (&x * k).to_vec::<f32>().unwrap();
            assert_eq!(y[3], 4.0 * k as f32);
        }
    });
    assert_eq!(compiled, 1);
    // Two equal numbers are two slots: the plan must not have merged them.
    let (compiled, _) = counting(|| {
        assert_eq!(((&x * 2.0) + (&x * 2.0)).to_vec::<f32>().unwrap()[0], 4.0);
        assert_eq!(((&x * 2.0) + (&x * 3.0)).to_vec::<f32>().unwrap()[0], 5.0);
    });
    assert_eq!(compiled, 1);
}

#[test]
fn two_dropouts_do_not_share_a_mask() {
    manual_seed(1);
    let x = Tensor::ones([1000], DType::F32);
    let a = x.rand_like().lt(0.5);
    let b = x.rand_like().lt(0.5);
    let both: i64 = a.eq(&b).sum().item().unwrap();
    assert!((400..600).contains(&both), "{both} of 1000 agree");
    manual_seed(1);
    assert_eq!(x.rand_like().lt(0.5).to_vec::<bool>().unwrap(), a.to_vec::<bool>().unwrap());
}

#[test]
fn ten_thousand_batches_of_counting_run_in_flat_memory() {
    let _alone = alone();
    let mut correct = Tensor::scalar(0i64);
    let mut resident = 0;
    let (compiled, run) = counting(|| {
        for i in 0..10_000i64 {
            let prediction = Tensor::from_slice(&[i % 3, 1, 2], [3]);
            let label = Tensor::from_slice(&[0i64, 1, 1], [3]);
            // Five nodes a round: 4,096 is no multiple of it, yet every full recorder must give the same plan.
            correct = &correct + prediction.eq(&label).sum() * 1;
            if i == 2_000 {
                resident = resident_bytes();
            }
        }
        assert_eq!(correct.item::<i64>().unwrap(), 3334 + 10_000);
    });
    assert!(compiled <= 3, "{compiled} plans");
    assert!(run > 1, "pending work is evaluated before it piles up");
    assert_flat(resident);
}

#[test]
fn ten_thousand_batches_of_gradient_accumulation_run_in_flat_memory() {
    let _alone = alone();
    let model = Model::new();
    let mut resident = 0;
    let (compiled, _) = counting(|| {
        for i in 0..10_000 {
            (model.loss(&[0, 2, 1]) * 0.5).backward();
            if i == 2_000 {
                resident = resident_bytes();
            }
        }
    });
    assert!(compiled <= 3, "{compiled} plans");
    assert_flat(resident);
    let whole = model.weight.grad().unwrap().to_vec::<f32>().unwrap();
    model.step(0.1).unwrap();
    let again = Model::new();
    (again.loss(&[0, 2, 1]) * 0.5).backward();
    let one = again.weight.grad().unwrap().to_vec::<f32>().unwrap();
    for (sum, one) in whole.iter().zip(one) {
        assert!((sum - one * 10_000.0).abs() <= 1e-2 * sum.abs() + 1e-3, "{sum} {one}");
    }
}

#[test]
fn a_running_loss_after_backward_runs_in_flat_memory() {
    let _alone = alone();
    let model = Model::new();
    let mut running = Tensor::scalar(0.0);
    let mut resident = 0;
    for i in 0..10_000 {
        let loss = model.loss(&[0, 2, 1]);
        loss.backward();
        running = &running + &loss;
        model.zero_grad();
        if i == 2_000 {
            resident = resident_bytes();
        }
    }
    assert!(running.item::<f32>().unwrap() > 1.0);
    assert_flat(resident);
}

/// `GRADUS_STEPS` says how many; a million take a minute.
#[test]
fn training_steps_run_in_flat_memory() {
    let _alone = alone();
    let steps: usize = std::env::var("GRADUS_STEPS").map_or(10_000, |n| n.parse().unwrap());
    let model = Model::new();
    let mut resident = 0;
    let (compiled, run) = counting(|| {
        for i in 0..steps {
            model.zero_grad();
            model.loss(&[0, 2, 1]).backward();
            model.step(1e-3).unwrap();
            if i == steps / 5 {
                resident = resident_bytes();
            }
        }
    });
    // The first step makes the buffers that all others overwrite.
    assert!(compiled <= 2 && run as usize == steps, "{compiled} plans, {run} runs");
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < 1 << 20, "memory grew by {grown} bytes in {steps} steps");
}

#[test]
fn large_leaves_are_not_pinned_forever() {
    let _alone = alone();
    let mut total = Tensor::scalar(0.0);
    let (_, run) = counting(|| {
        for _ in 0..12 {
            // 32 MB each: 384 MB would stay alive until somebody asked.
            let batch = Tensor::from_vec(vec![1.0f32; 8 << 20], [8 << 20]);
            total = &total + batch.sum();
        }
    });
    assert!(run >= 1, "the threshold on pinned bytes has not flushed");
    assert_eq!(total.item::<f32>().unwrap(), 12.0 * (8 << 20) as f32);
}

#[test]
fn item_before_backward_repeats_no_matmul() {
    let _alone = alone();
    let model = Model::new();
    let loss = model.loss(&[0, 1]);
    loss.item::<f32>().unwrap();
    let forward = explain_last().unwrap();
    assert_eq!(forward.matches("matmul").count(), 1, "{forward}");
    loss.backward();
    model.step(0.1).unwrap();
    let backward = explain_last().unwrap();
    assert_eq!(backward.matches("matmul").count(), 1, "only the weight's gradient:\n{backward}");
    assert!(!backward.contains("cross_entropy ["), "the loss is not computed again:\n{backward}");
}

#[test]
fn item_before_backward_changes_no_bit() {
    let step = |look: bool| {
        let model = Model::new();
        for _ in 0..3 {
            let loss = model.loss(&[2, 1, 0]);
            if look {
                loss.item::<f32>().unwrap();
            }
            model.zero_grad();
            loss.backward();
            model.step(0.3).unwrap();
        }
        model.bits()
    };
    assert_eq!(step(false), step(true));
}

#[test]
fn a_failed_step_leaves_everything_as_it_was() {
    let model = Model::new();
    model.loss(&[0, 1, 2]).backward();
    model.step(0.1).unwrap();
    let before = model.bits();
    model.zero_grad();
    let loss = model.loss(&[0, 3, 2]);
    loss.backward();
    let error = model.step(0.1).unwrap_err().to_string();
    assert!(error.contains("label 3 at position 1") && error.contains("3 classes"), "{error}");
    assert!(error.contains("life.rs"), "the error names the line: {error}");
    assert_eq!(model.bits(), before);
    assert!(loss.item::<f32>().is_err(), "the loss has failed with it");
    // The next good step goes on from there.
    model.zero_grad();
    model.loss(&[0, 1, 2]).backward();
    model.step(0.1).unwrap();
    assert_ne!(model.bits(), before);
}

#[test]
fn a_step_with_a_failed_gradient_is_an_error_and_changes_nothing() {
    let model = Model::new();
    let before = model.bits();
    let loss = model.loss(&[7, 1]);
    loss.backward();
    assert!(loss.item::<f32>().is_err());
    // The caller ignored that. The gradients have failed too, and the step says so.
    assert!(model.step(0.1).unwrap_err().to_string().contains("label 7 at position 0"));
    assert_eq!(model.bits(), before);
}

/// A gradient is judged by its factors where they are smaller, and by itself where they are not small.
#[test]
fn a_gradient_is_checked_whatever_its_factors_are() {
    let step = |scale: f32, check: bool| {
        let (weight, rate) = (Parameter::new(Tensor::zeros([6, 5], DType::F32)), 1e-3);
        let mut results = Vec::new();
        for scale in [1.0, scale, 1.0] {
            let factor = |n: usize| -> Vec<f32> { (0..2 * n).map(|i| (i as f32).cos()).collect() };
            let x = Tensor::from_slice(&factor(6), [2, 6]) * scale;
            let product = x.matmul(&weight.value()) * Tensor::from_slice(&factor(5), [2, 5]);
            product.sum().backward();
            no_grad(|| {
                let gradient = weight.grad_for_step().unwrap().expect("a gradient");
                if check {
                    drop(gradient.checked_finite("gradient"));
                }
                weight.set(&(weight.value() - gradient * rate));
            });
            let result = evaluate().map_err(|error| error.to_string());
            weight.zero_grad();
            let bits: Vec<u32> =
                weight.value().to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect();
            results.push((result, bits));
        }
        results
    };
    assert_eq!(step(1.0, true), step(1.0, false));
    // The factors say nothing, the gradient is finite: the same step.
    assert_eq!(step(1e30, true), step(1e30, false));
    // Now it is not: an error, no step, and the next one goes on.
    for scale in [3e38, f32::NAN] {
        let results = step(scale, true);
        let error = results[1].0.as_ref().unwrap_err();
        assert!(error.contains("gradient is ") && error.contains("must be finite"), "{error}");
        assert_eq!(results[1].1, results[0].1);
        assert!(results[2].0.is_ok());
        assert_ne!(results[2].1, results[0].1);
    }
}

#[test]
fn a_check_runs_even_if_nobody_uses_its_result() {
    drop(Tensor::from_slice(&[5i64], [1]).one_hot(3));
    let error = evaluate().unwrap_err().to_string();
    assert!(error.contains("label 5 at position 0"), "{error}");
    evaluate().unwrap();
}

#[test]
fn what_does_not_depend_on_a_failed_check_survives() {
    let good = floats(&[1.0, 2.0]) * 3.0;
    let bad = Tensor::from_slice(&[5i64], [1]).one_hot(3);
    assert!(evaluate().is_err());
    assert!(bad.error().is_some());
    assert_eq!(good.to_vec::<f32>().unwrap(), [3.0, 6.0]);
}

#[test]
fn failed_tensors_carry_the_first_error() {
    let wrong = floats(&[1.0, 2.0]) + floats(&[1.0, 2.0, 3.0]);
    let later = (wrong * 2.0).exp().sum();
    let error = later.item::<f32>().unwrap_err().to_string();
    assert!(error.contains("add: shapes [2] and [3] do not broadcast"), "{error}");
    assert!(error.contains("life.rs"), "{error}");
    assert!(later.try_shape().is_err());
    assert!(std::panic::catch_unwind(|| later.shape().clone()).is_err());
}

#[test]
fn a_dropped_failed_tensor_fails_the_next_evaluation() {
    drop(floats(&[1.0]).reshape([7]));
    let fine = floats(&[1.0]) * 2.0;
    let error = fine.item::<f32>().unwrap_err().to_string();
    assert!(error.contains("reshape"), "{error}");
    assert_eq!(fine.item::<f32>().unwrap(), 2.0, "reported once");
}

#[test]
fn a_failed_op_before_the_step_drops_pending_writes() {
    let model = Model::new();
    let before = model.bits();
    model.loss(&[0]).backward();
    drop(floats(&[1.0]).reshape([7]));
    assert!(model.step(0.1).is_err());
    assert_eq!(model.bits(), before);
}

#[test]
fn a_second_backward_is_an_error_that_names_the_remedy() {
    let model = Model::new();
    let loss = model.loss(&[0, 1]);
    loss.backward();
    loss.backward();
    let error = evaluate().unwrap_err().to_string();
    assert!(error.contains("retain_graph") && error.contains("detach"), "{error}");
    // The same after an evaluation.
    let loss = model.loss(&[0, 1]);
    loss.item::<f32>().unwrap();
    loss.backward();
    evaluate().unwrap();
    loss.backward();
    assert!(evaluate().unwrap_err().to_string().contains("second backward"));
    // And what is made of a spent loss is spent too.
    (&loss * 2.0).backward();
    assert!(evaluate().unwrap_err().to_string().contains("second backward"));
}

#[test]
fn retain_graph_allows_a_second_backward() {
    let x = floats(&[3.0]).requires_grad_();
    let y = (&x * &x).sum();
    y.backward_with(BackwardOptions::default().retain_graph());
    y.backward();
    assert_eq!(x.grad().unwrap().item::<f32>().unwrap(), 12.0);
}

#[test]
fn a_step_uses_gradients_up() {
    let model = Model::new();
    model.loss(&[0]).backward();
    let held = model.bias.grad().unwrap();
    model.step(0.1).unwrap();
    // One that somebody holds is computed all the same.
    assert_eq!(held.to_vec::<f32>().unwrap().len(), model.bias.shape().numel());
    assert!(model.weight.grad().is_none() && model.bias.grad().is_none());
    let error = model.weight.grad_for_step().unwrap_err().to_string();
    assert!(error.contains("call `backward()`"), "{error}");
}

#[test]
fn a_step_that_fails_gives_gradients_back() {
    let model = Model::new();
    model.loss(&[0]).backward();
    drop(Tensor::from_slice(&[5i64], [1]).one_hot(3));
    assert!(model.step(0.1).is_err());
    let grad = model.weight.grad().unwrap().to_vec::<f32>().unwrap();
    assert!(grad.iter().any(|&g| g != 0.0), "{grad:?}");
    // They are as good as new.
    let before = model.bits();
    model.step(0.1).unwrap();
    assert_ne!(model.bits(), before);
}

#[test]
fn a_stale_gradient_is_an_error_unless_zeroed() {
    let model = Model::new();
    model.loss(&[0]).backward();
    model.step(0.1).unwrap();
    model.loss(&[0]).backward();
    let error = model.weight.grad_for_step().unwrap_err().to_string();
    assert!(error.contains("zero_grad"), "{error}");
    // As a GAN's generator does to the discriminator: zeroed before the owner's next step, it is fine.
    model.zero_grad();
    model.loss(&[0]).backward();
    model.step(0.1).unwrap();
}

#[test]
fn a_failed_step_does_not_count_as_a_use_of_the_gradient() {
    let model = Model::new();
    model.loss(&[0]).backward();
    drop(Tensor::from_slice(&[5i64], [1]).one_hot(3));
    assert!(model.step(0.1).is_err());
    model.loss(&[0]).backward();
    model.step(0.1).unwrap();
}

#[test]
fn a_failure_on_one_device_leaves_the_variables_of_another() {
    let variable = Variable::new(floats(&[1.0, 2.0]));
    variable.set(&(variable.get() * 3.0));
    let label = Tensor::from_slice(&[5i64], [1]).to(Device::Reference);
    // Moving the label has evaluated the write; make another.
    assert_eq!(variable.get().to_vec::<f32>().unwrap(), [3.0, 6.0]);
    variable.set(&(variable.get() * 3.0));
    drop(label.one_hot(3));
    assert!(evaluate().is_err());
    assert_eq!(variable.get().to_vec::<f32>().unwrap(), [3.0, 6.0]);
    assert!(evaluate().is_ok());
}

#[test]
fn a_check_that_was_not_reached_still_runs() {
    drop(Tensor::from_slice(&[5i64], [1]).one_hot(3));
    let later = Tensor::from_slice(&[1i64, 9], [2]);
    drop(later.one_hot(4));
    assert!(evaluate().unwrap_err().to_string().contains("label 5 at position 0"));
    assert!(evaluate().unwrap_err().to_string().contains("label 9 at position 1"));
    evaluate().unwrap();
}

#[test]
fn a_check_on_the_way_does_not_keep_updates_from_being_in_place() {
    let _alone = alone();
    let weight = Parameter::new(Tensor::ones([3, 2], DType::F32));
    let hidden = Tensor::ones([4, 3], DType::F32).matmul(&weight.value()).checked_finite("hidden");
    hidden.sum().backward();
    drop(hidden);
    no_grad(|| weight.set(&(weight.value() - weight.grad().unwrap() * 0.1)));
    evaluate().unwrap();
    let plan = explain_last().unwrap();
    assert!(plan.contains("1 input overwritten"), "{plan}");
}

#[test]
fn gradients_from_two_threads_are_all_counted() {
    let x = floats(&[1.0]).requires_grad_();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    (&x * 2.0).sum().backward();
                }
                evaluate().unwrap();
            });
        }
    });
    assert_eq!(x.grad().unwrap().item::<f32>().unwrap(), 400.0);
}

#[test]
fn as_one_plan_does_not_flush_in_the_middle() {
    let _alone = alone();
    let (_, run) = counting(|| {
        let y = as_one_plan(|| (0..10_000).fold(Tensor::scalar(0.0), |y, _| y + 1.0));
        assert_eq!(y.item::<f32>().unwrap(), 10_000.0);
    });
    assert_eq!(run, 1);
}

#[test]
fn a_tensor_is_read_once_and_settles() {
    let _alone = alone();
    let x = floats(&[1.0, 2.0]);
    let y = &x * 2.0;
    let z = &y + 1.0;
    let (_, run) = counting(|| {
        assert_eq!(y.to_vec::<f32>().unwrap(), [2.0, 4.0]);
        assert!(z.is_evaluated(), "every live pending tensor is a root");
        assert_eq!(z.to_vec::<f32>().unwrap(), [3.0, 5.0]);
    });
    assert_eq!(run, 1);
}

#[test]
fn extra_handles_change_no_bit() {
    let run = |keep: &mut dyn FnMut(Tensor)| {
        manual_seed(3);
        let model = Model::new();
        for _ in 0..3 {
            let x = Tensor::randn([5, 4], DType::F32);
            let h = x.matmul(&model.weight.value());
            keep(h.clone());
            let a = (&h + model.bias.value()).relu();
            keep(a.clone());
            let e = (&a * 0.3).exp();
            keep(e.clone());
            let s = e.sum_axes(&[1], true);
            keep(s.clone());
            let p = &e / &s;
            keep(p.clone());
            let loss = (p.log() * -0.1).mean() + a.square().sum() * 0.01;
            model.zero_grad();
            loss.backward();
            keep(model.weight.grad().unwrap());
            model.step(0.1).unwrap();
        }
        model.bits()
    };
    let bare = run(&mut drop);
    for seed in 0..8u32 {
        let mut kept = Vec::new();
        let mut n = seed;
        let sprinkled = run(&mut |t| {
            n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if n >> 30 & 1 == 1 {
                kept.push(t);
            }
        });
        assert_eq!(bare, sprinkled, "seed {seed}");
    }
}

#[test]
fn a_million_node_chain_drops() {
    let _alone = alone();
    // A small stack would overflow at a few thousand nodes if dropping recursed.
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(|| {
        let x = Tensor::scalar(1.0).requires_grad_();
        let mut y = &x + 0.0;
        for _ in 0..1_000_000 {
            y = &y + 1.0;
        }
        assert_eq!(y.item::<f32>().unwrap(), 1_000_001.0);
        drop(y);
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn a_tensor_works_on_another_thread() {
    let x = floats(&[1.0, 2.0]);
    let pending = &x * 2.0;
    let moved = pending.clone();
    let thread = std::thread::spawn(move || {
        let y = &moved + 1.0;
        (y.to_vec::<f32>().unwrap(), moved.to_vec::<f32>().unwrap())
    });
    let (y, moved) = thread.join().unwrap();
    assert_eq!((y, moved), (vec![3.0, 5.0], vec![2.0, 4.0]));
    assert_eq!(pending.to_vec::<f32>().unwrap(), [2.0, 4.0]);
}

#[test]
fn a_variable_seen_from_another_thread_is_old_or_new() {
    let _alone = alone();
    let variable = Variable::new(floats(&[0.0; 64]));
    let seen = variable.clone();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let v = seen.get().to_vec::<f32>().unwrap();
                assert!(v.iter().all(|x| *x == v[0]), "{v:?}");
            }
        });
        for _ in 0..300 {
            variable.set(&(variable.get() + 1.0));
            evaluate().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        watcher.join().unwrap();
    });
    assert_eq!(variable.get().to_vec::<f32>().unwrap()[0], 300.0);
}

#[test]
fn no_grad_and_detach_stop_gradients() {
    let x = floats(&[2.0]).requires_grad_();
    assert!(!no_grad(|| &x * 2.0).requires_grad());
    let y = (&x * &x.detach()).sum();
    y.backward();
    assert_eq!(x.grad().unwrap().item::<f32>().unwrap(), 2.0);
    (&x * 2.0).detach().sum().backward();
    let error = evaluate().unwrap_err().to_string();
    assert!(error.contains("does not require grad"), "{error}");
}

#[test]
fn explain_prints_the_plan_without_running_it() {
    let _alone = alone();
    let x = Tensor::ones([8, 4], DType::F32);
    let y = (x.matmul(&Tensor::ones([4, 2], DType::F32)) + 1.0).relu();
    let (_, run) = counting(|| {
        let plan = y.explain().unwrap();
        for word in ["matmul", "add·relu", "FLOP", "arena"] {
            assert!(plan.contains(word), "{word} in\n{plan}");
        }
    });
    assert_eq!(run, 0);
    assert!(!y.is_evaluated());
}

/// Bytes of memory the process has now.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * 4096
}

/// Less than 16 MB more than `before`: 8,000 batches that each left a kilobyte behind would be half of that, so
/// this also counts on there being several kilobytes per batch. Without /proc it checks nothing.
fn assert_flat(before: usize) {
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "memory grew by {grown} bytes");
}
