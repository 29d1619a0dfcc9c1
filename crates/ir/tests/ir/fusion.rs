//! Which ops run together.

use gradus_ir::autograd::gradients;
use gradus_ir::graph::{Graph, NodeId, build};
use gradus_ir::ops::{Op, Reduce, ReduceKind};
use gradus_ir::scalar::ScalarOp;
use gradus_ir::schedule::{Kernel, Loop, Plan, Step, StepKind, compile};
use gradus_ir::{Array, DType, Type};

use crate::plans::{backend, bare, native, verified};
use crate::program::Program;
use crate::rng::Rng;
use crate::training::{Optimizer, step};

/// A program over f32 inputs of these shapes.
fn program(shapes: &[&[usize]], formula: impl Fn(&mut Graph, &[NodeId]) -> Vec<NodeId>) -> Program {
    let mut graph = Graph::new();
    let mut rng = Rng::new(3);
    let mut inputs = Vec::new();
    let x: Vec<NodeId> = shapes
        .iter()
        .map(|&shape| {
            let ty = Type::new(shape, DType::F32);
            inputs.push(Array::float(ty.clone(), rng.distinct(ty.shape.numel())));
            graph.input(ty)
        })
        .collect();
    let outputs = formula(&mut graph, &x);
    graph.set_outputs(outputs);
    Program { graph, inputs, slots: Vec::new(), donations: Vec::new() }
}

/// The loops of a plan, those that are tails of products among them.
fn loops(plan: &Plan) -> Vec<&Loop> {
    plan.kernels.iter().filter_map(Kernel::body).collect()
}

#[test]
fn bias_and_activation_are_one_loop() {
    let program = program(&[&[4, 3], &[3, 5], &[5]], |g, x| {
        build(g, x, |x| vec![(x[0].matmul(x[1]) + x[2]).op(ScalarOp::Relu).id()])
    });
    let (plan, _) = verified(&program, native, "layer");
    assert_eq!((plan.kernels.len(), loops(&plan).len()), (1, 1), "{plan}");
    assert_eq!(loops(&plan)[0].stores.len(), 1, "{plan}");
}

/// The gradient of h · Φ(h) reaches h on two ways. What both are multiplied with is computed where Φ(h) is, and
/// kept as one.
#[test]
fn an_adjoint_on_two_ways_is_multiplied_once() {
    let program = program(&[&[4, 3], &[3, 5], &[5, 2]], |g, x| {
        let loss = build(g, x, |x| {
            let h = x[0].matmul(x[1]);
            (h * h.op(ScalarOp::Ndtr)).matmul(x[2]).op(ScalarOp::Exp).sum(&[0, 1], false).id()
        });
        let one = g.constant(1.0, DType::F32);
        gradients(g, loss, one, &x[1..]).into_iter().flatten().collect()
    });
    let (plan, _) = verified(&program, native, "x · Φ(x)");
    let all = loops(&plan);
    let [activation, _, product] = all[..] else { panic!("{plan}") };
    // The activation and its derivative; then the derivative times the adjoint.
    assert_eq!((activation.stores.len(), product.stores.len()), (2, 1), "{plan}");
    let op = |step: &&Step| matches!(step.kind, StepKind::Op(_));
    assert_eq!(product.steps.iter().filter(op).count(), 1, "{plan}");
}

/// The two ways through h · h are the same: h is kept for both.
#[test]
fn a_square_keeps_what_it_is_of() {
    let program = program(&[&[4, 3], &[3, 5], &[5, 2]], |g, x| {
        let loss = build(g, x, |x| {
            let h = x[0].matmul(x[1]).op(ScalarOp::Relu);
            (h * h).matmul(x[2]).op(ScalarOp::Exp).sum(&[0, 1], false).id()
        });
        let one = g.constant(1.0, DType::F32);
        gradients(g, loss, one, &x[1..]).into_iter().flatten().collect()
    });
    let (plan, _) = verified(&program, native, "ReLU²");
    assert_eq!(loops(&plan)[0].stores.len(), 2, "{plan}");
}

#[test]
fn a_product_that_somebody_else_reads_has_no_tail() {
    let program = program(&[&[4, 3], &[3, 5]], |g, x| {
        build(g, x, |x| {
            let product = x[0].matmul(x[1]);
            vec![product.op(ScalarOp::Relu).id(), product.id()]
        })
    });
    let (plan, _) = verified(&program, native, "observed");
    assert!(matches!(plan.kernels[..], [Kernel::MatMul { tail: None, .. }, _]), "{plan}");
}

#[test]
fn a_tail_takes_the_last_of_several_products() {
    let program = program(&[&[4, 4], &[4, 4]], |g, x| {
        build(g, x, |x| {
            let first = x[0].matmul(x[1]);
            vec![(first + first.matmul(x[1])).id()]
        })
    });
    let (plan, _) = verified(&program, native, "two products");
    // The first cannot wait for the second.
    assert_eq!(plan.kernels.len(), 2, "{plan}");
    let tails = plan.kernels.iter().filter(|k| k.body().is_some()).count();
    assert_eq!(tails, 1, "{plan}");
}

#[test]
fn a_loop_that_also_reduces_is_split_for_a_product() {
    let program = program(&[&[4, 3], &[3, 5], &[4, 5]], |g, x| {
        build(g, x, |x| {
            let dy = x[0].matmul(x[1]).relu_grad(x[2]);
            vec![dy.id(), dy.sum(&[0], false).id()]
        })
    });
    let (plan, _) = verified(&program, native, "a masked gradient");
    let stores: Vec<usize> = loops(&plan).iter().map(|l| l.stores.len()).collect();
    assert_eq!((plan.kernels.len(), &stores[..]), (2, &[1, 0][..]), "{plan}");
}

#[test]
fn a_masked_gradient_and_its_column_sum_are_one_loop() {
    let program = program(&[&[4, 5], &[4, 5]], |g, x| {
        build(g, x, |x| {
            let dy = x[0].relu_grad(x[1]);
            vec![dy.id(), dy.sum(&[0], false).id()]
        })
    });
    let (plan, _) = verified(&program, native, "relu gradient");
    let [l] = loops(&plan)[..] else { panic!("{plan}") };
    assert_eq!((l.stores.len(), l.reduces.len()), (1, 1), "{plan}");
}

#[test]
fn an_update_is_one_loop_with_a_store_per_state() {
    for (optimizer, states) in [(Optimizer::Sgd, 2), (Optimizer::Adam, 3)] {
        let program = step(3, &[4, 5], optimizer);
        let (plan, _) = verified(&program, native, "a linear classifier");
        let updates: Vec<usize> =
            loops(&plan).iter().map(|l| l.stores.len()).filter(|&n| n > 1).collect();
        assert_eq!(updates, [states; 2], "{plan}");
    }
}

#[test]
fn softmax_is_three_kernels() {
    let softmax = |g: &mut Graph, x: &[NodeId]| {
        build(g, x, |x| {
            let e = (x[0] - x[0].max(&[1], true)).op(ScalarOp::Exp);
            vec![(e / e.sum(&[1], true)).id()]
        })
    };
    let (plan, _) = verified(&program(&[&[4, 5]], softmax), native, "softmax");
    assert_eq!(plan.kernels.len(), 3, "{plan}");
}

/// The result of a reduction comes after the loop: whatever uses it, even beside values of that
/// loop, is not in it.
#[test]
fn a_loop_never_waits_for_its_own_reduction() {
    let program = program(&[&[4, 5]], |g, x| {
        build(g, x, |x| {
            let e = x[0].op(ScalarOp::Exp);
            let share = e / e.sum(&[1], true);
            vec![(share * e).id()]
        })
    });
    let (plan, _) = verified(&program, native, "after the sum");
    assert_eq!(plan.kernels.len(), 2, "{plan}");
}

/// Likewise a value that is read at other indices.
#[test]
fn a_loop_never_reads_itself_at_other_indices() {
    let program = program(&[&[3, 3]], |g, x| {
        build(g, x, |x| {
            let e = x[0].op(ScalarOp::Exp);
            let turned = e.transposed() * 2.0;
            vec![(turned + e).id()]
        })
    });
    let (plan, _) = verified(&program, native, "turned");
    assert_eq!(plan.kernels.len(), 2, "{plan}");
}

#[test]
fn reductions_over_other_axes_are_other_loops() {
    let program = program(&[&[4, 5]], |g, x| {
        let y = g.add(ScalarOp::Exp, x).unwrap();
        let mut sum = |axes: &[usize]| {
            let op = Reduce { kind: ReduceKind::Sum, axes: axes.into(), keepdim: false };
            g.add(op, &[y]).unwrap()
        };
        vec![sum(&[0]), sum(&[1]), sum(&[0, 1])]
    });
    let (plan, _) = verified(&program, native, "three sums");
    assert_eq!(loops(&plan).len(), 3, "{plan}");
}

/// One loop per layer and pass, and one per update: nothing is computed twice or copied.
#[test]
fn a_training_step_is_as_few_kernels_as_hoped() {
    let program = step(4, &[6, 5, 5, 3], Optimizer::Sgd);
    let (plan, _) = verified(&program, native, "a step");
    let count = |of: fn(&Kernel) -> bool| plan.kernels.iter().filter(|k| of(k)).count();
    // Three forward, three weight gradients, two data gradients.
    assert_eq!(count(|k| matches!(k, Kernel::MatMul { .. })), 8, "{plan}");
    assert_eq!(count(|k| matches!(k, Kernel::Op { op: Op::CrossEntropy(_), .. })), 1, "{plan}");
    assert_eq!(count(|k| matches!(k, Kernel::Op { op: Op::CrossEntropyGrad(_), .. })), 1, "{plan}");
    assert_eq!(count(|k| matches!(k, Kernel::Check { .. })), 1, "{plan}");
    // Updates walk through memory in order: weight gradients lie as the weights do.
    for l in loops(&plan).into_iter().filter(|l| l.stores.len() > 1) {
        let shape = &l.shape;
        Kernel::Loop(l.clone())
            .for_each_read(|view| assert!(view.is_contiguous(), "{shape}: {view:?}"));
    }
    // Three forward; the loss, its scale and the gradient's; two masks and three column sums; six updates. Eight of
    // them are tails.
    assert!(loops(&plan).len() <= 3 + 3 + 2 + 3 + 6, "{plan}");
    assert_eq!(count(|k| matches!(k, Kernel::MatMul { tail: Some(_), .. })), 8, "{plan}");
    let (_, results) = verified(&program, bare, "a step without fused kernels");
    assert!(results.is_ok());
}

/// A chain longer than a loop may be is cut, and still right.
#[test]
fn long_chains_are_cut() {
    let program = program(&[&[3]], |g, x| {
        let mut y = x[0];
        for _ in 0..300 {
            y = build(g, &[y, x[0]], |x| (x[0] * 0.5 + x[1]).id());
        }
        vec![y]
    });
    let (plan, _) = verified(&program, native, "a chain");
    assert_eq!(plan.kernels.len(), 600usize.div_ceil(96), "{plan}");
}

/// Independent kernels share a wave.
#[test]
fn independent_work_shares_a_launch() {
    let program = program(&[&[3, 3], &[3, 3]], |g, x| {
        build(g, x, |x| {
            vec![x[0].matmul(x[1]).id(), x[1].matmul(x[0]).id(), x[0].max(&[0], false).id()]
        })
    });
    assert_eq!(compile(&program.graph, &[], &backend(native)).waves, [[0, 1, 2]]);
}
