//! Checks of products by their factors: where, what they let pass, and what happens when they do not.

use gradus_ir::graph::{Graph, build};
use gradus_ir::ops::{Check, CheckKind};
use gradus_ir::schedule::{Donation, Kernel, Place, Plan, compile, compile_exact};
use gradus_ir::{Array, DType, Type};

use crate::executor::execute;
use crate::plans::{backend, native, verified};
use crate::program::Program;

/// `w − aᵀ · b`, in place, where the product must be finite; `a` is `[k, m]`, `b` is `[k, n]`.
fn update([m, k, n]: [usize; 3], a: f64, b: f64) -> Program {
    let mut graph = Graph::new();
    let ty = |shape: [usize; 2]| Type::new(shape, DType::F32);
    let inputs: Vec<Array> = [(ty([m, n]), 1.0), (ty([k, m]), a), (ty([k, n]), b)]
        .map(|(ty, x)| Array::float(ty.clone(), vec![x; ty.shape.numel()]))
        .into();
    let x: Vec<_> = inputs.iter().map(|x| graph.input(x.ty().clone())).collect();
    let finite = Check { kind: CheckKind::Finite, what: "gradient" };
    let output = build(&mut graph, &x, |x| {
        let gradient = x[1].transposed().matmul(x[2]);
        gradient.apply(finite, &[]);
        (x[0] - gradient).id()
    });
    graph.set_outputs(vec![output]);
    let donations = vec![Donation { input: 0, output: 0 }];
    Program { graph, inputs, slots: Vec::new(), donations }
}

fn checks(plan: &Plan) -> Vec<CheckKind> {
    let kinds = plan.kernels.iter().filter_map(|kernel| match kernel {
        Kernel::Check { check, .. } => Some(check.kind),
        _ => None,
    });
    kinds.collect()
}

#[test]
fn the_product_goes_into_the_update_piece_by_piece() {
    let (plan, results) = verified(&update([8, 2, 9], 1.0, 2.0), native, "an update");
    assert_eq!(results.unwrap()[0].floats(), [-3.0; 72]);
    assert!(plan.presumes, "{plan}");
    assert_eq!(checks(&plan), [CheckKind::Small; 2], "{plan}");
    let tails = |k: &&Kernel| matches!(k, Kernel::MatMul { tail: Some(_), .. });
    assert_eq!(plan.kernels.iter().filter(tails).count(), 1, "{plan}");
    assert!(plan.values.iter().any(|v| v.place == Place::Donated(0)), "{plan}");
}

#[test]
fn not_where_the_factors_are_the_larger_part() {
    let (plan, _) = verified(&update([2, 30, 2], 1.0, 2.0), native, "a small product");
    assert_eq!((plan.presumes, checks(&plan)), (false, vec![CheckKind::Finite]), "{plan}");
}

/// A factor that is not finite or large fails the plan, and the exact one knows whether the product is finite.
#[test]
fn the_exact_plan_decides() {
    let large = 2f64.powi(49);
    let cases = [
        (1.0, 1.0, true, true),
        (large, 1.0, false, true),
        (large, 1.0 / large, false, true),
        (1e30, 1e30, false, false),
        (1.0, f64::NAN, false, false),
        (f64::NEG_INFINITY, 1.0, false, false),
    ];
    for (a, b, passes, is_finite) in cases {
        let program = update([8, 2, 9], a, b);
        let (quick, results) = verified(&program, native, "an update");
        let Program { graph, inputs, donations, .. } = &program;
        let exact = compile_exact(graph, donations, &backend(native));
        assert_eq!(checks(&exact), [CheckKind::Finite], "{exact}");
        let runs = |plan: &Plan| execute(plan, graph, inputs, &[], false).outputs.is_ok();
        assert_eq!([runs(&quick), runs(&exact)], [passes, is_finite], "{a} {b}");
        assert_eq!(results.is_ok(), is_finite, "{a} {b}");
    }
}

/// Two products of one factor: it is looked at once.
#[test]
fn a_factor_is_checked_once() {
    let mut graph = Graph::new();
    let x = [[2, 9], [2, 8], [2, 7]].map(|shape| graph.input(Type::new(shape, DType::F32)));
    let finite = || Check { kind: CheckKind::Finite, what: "gradient" };
    let outputs = build(&mut graph, &x, |x| {
        let product = |y| x[0].transposed().matmul(y).apply(finite(), &[]).id();
        vec![product(x[1]), product(x[2])]
    });
    graph.set_outputs(outputs);
    let plan = compile(&graph, &[], &backend(native));
    assert_eq!(checks(&plan), [CheckKind::Small; 3], "{plan}");
}
