//! Inputs overwritten in place: where it is right, and everywhere it would not be.

use gradus_ir::graph::{Expr, Graph, NodeId, build};
use gradus_ir::ops::{Check, CheckKind, Slice};
use gradus_ir::scalar::ScalarOp;
use gradus_ir::schedule::{Donation, Place, Plan};
use gradus_ir::{Array, DType, Scalar, Type};

use crate::plans::{native, verified};
use crate::program::Program;
use crate::rng::Rng;
use crate::training::{Optimizer, step};

/// Two f32 matrices, a formula of outputs, and donations of inputs (by number) to outputs (by
/// position).
fn plan(
    donations: &[(u32, u32)],
    formula: impl for<'g> Fn(Expr<'g>, Expr<'g>) -> Vec<Expr<'g>>,
) -> Plan {
    let ty = Type::new([3, 3], DType::F32);
    let mut rng = Rng::new(5);
    let inputs: Vec<Array> = (0..2).map(|_| Array::float(ty.clone(), rng.distinct(9))).collect();
    let mut graph = Graph::new();
    let x: Vec<NodeId> = inputs.iter().map(|a| graph.input(a.ty().clone())).collect();
    let outputs =
        build(&mut graph, &x, |x| formula(x[0], x[1]).into_iter().map(Expr::id).collect());
    graph.set_outputs(outputs);
    let donations = donations.iter().map(|&(input, output)| Donation { input, output }).collect();
    let program = Program { graph, inputs, slots: Vec::new(), donations };
    verified(&program, native, "donation").0
}

/// Which inputs a plan overwrites.
fn overwritten(plan: &Plan) -> Vec<u32> {
    let mut inputs: Vec<u32> = plan
        .values
        .iter()
        .filter_map(|v| if let Place::Donated(input) = v.place { Some(input) } else { None })
        .collect();
    inputs.sort_unstable();
    inputs
}

const NONE: [u32; 0] = [];

#[test]
fn optimizer_steps_overwrite_everything() {
    for optimizer in [Optimizer::Sgd, Optimizer::Adam] {
        let program = step(4, &[5, 6, 3], optimizer);
        let (plan, _) = verified(&program, native, "a step");
        assert_eq!(overwritten(&plan).len(), program.donations.len(), "{plan}");
        // All updates are one launch, the last.
        assert_eq!(plan.gate, plan.waves.len() - 1, "{plan}");
    }
}

/// A label out of range: nothing has been overwritten.
#[test]
fn a_failing_check_leaves_everything_as_it_was() {
    let mut program = step(4, &[5, 6, 3], Optimizer::Adam);
    program.inputs[1] = Array::from_slice([4], &[0i64, 1, 3, 2]);
    let (_, results) = verified(&program, native, "a label too many");
    let failure = results.unwrap_err();
    assert_eq!((failure.check, failure.position, failure.value), (0, 2, 3.0));
}

#[test]
fn in_place_where_each_element_needs_only_itself() {
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w - g * 0.1])), [0]);
    // The old value is read at the same index by what is stored beside.
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w - g, (w - g) - w])), [0]);
    // A kernel before reads the old value as it likes.
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w - w.matmul(g)])), [0]);
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w - g, w.transposed()])), [0]);
    // The new value is read by a kernel after.
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w - g, (w - g).matmul(g)])), [0]);
    // Two in one loop, each reading the other's old value.
    assert_eq!(overwritten(&plan(&[(0, 0), (1, 1)], |a, b| vec![a + b, (a + b) * b - a])), [0, 1]);
}

#[test]
fn not_where_the_old_value_is_needed_later() {
    // After the new one: a reduction of both, which waits for the update's loop.
    let after = plan(&[(0, 0)], |w, g| {
        let new = w - g;
        let turned = new.matmul(g);
        vec![new, (turned - w).sum(&[0], false)]
    });
    assert_eq!(overwritten(&after), NONE, "{after}");
    // As an output of its own, or the same buffer under another shape.
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w - g, w])), NONE);
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w - g, w.reshape([9].into())])), NONE);
}

#[test]
fn not_where_the_loop_reads_other_elements() {
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![g + w.transposed()])), NONE);
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w + w.transposed() * g])), NONE);
    let first = Slice { axis: 0, start: 0, len: 1, step: 1 };
    let broadcast = plan(&[(0, 0)], |w, g| vec![g + w * w.slice(first.clone())]);
    assert_eq!(overwritten(&broadcast), NONE, "{broadcast}");
}

#[test]
fn not_where_a_check_depends_on_the_new_value() {
    let finite = || Check { kind: CheckKind::Finite, what: "parameter" };
    let of_new = plan(&[(0, 0)], |w, g| {
        let new = w - g;
        vec![new, new.apply(finite(), &[])]
    });
    assert_eq!(overwritten(&of_new), NONE, "{of_new}");
    // Even through other kernels, and even of another parameter's.
    let indirect = plan(&[(0, 0), (1, 1)], |w, g| {
        let new = w - g;
        vec![new, g * 2.0, new.matmul(g).apply(finite(), &[])]
    });
    assert_eq!(overwritten(&indirect), [1], "{indirect}");
    // A check of the old value, or of the gradient, comes first.
    let of_old = plan(&[(0, 0)], |w, g| {
        vec![w - g.apply(finite(), &[]), w.apply(finite(), &[]).sum(&[0], false)]
    });
    assert_eq!(overwritten(&of_old), [0], "{of_old}");
    assert!(of_old.gate >= 1, "{of_old}");
}

/// `a, b = b, a`, element by element: one after the other needs what the first has overwritten.
#[test]
fn exchanges() {
    let bare = plan(&[(0, 0), (1, 1)], |a, b| vec![b, a]);
    assert_eq!(overwritten(&bare), NONE, "{bare}");
    let apart = plan(&[(0, 0), (1, 1)], |a, b| vec![b.matmul(b) * 1.5, a.matmul(a) * 1.5]);
    assert_eq!(overwritten(&apart), [0, 1], "{apart}");
    let crossed = plan(&[(0, 0), (1, 1)], |a, b| vec![b.transposed() * 1.5, a.transposed() * 2.0]);
    assert_eq!(overwritten(&crossed).len(), 1, "the second waits in a circle: {crossed}");
}

#[test]
fn not_where_results_share_a_buffer() {
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w - g, w - g])), NONE);
    // One buffer for two results, two buffers for one.
    let two = plan(&[(0, 0), (0, 1)], |w, g| vec![w - g, (w - g) * 2.0]);
    assert_eq!(overwritten(&two), [0], "{two}");
    let one = plan(&[(0, 0), (1, 0)], |w, g| vec![w - g]);
    assert_eq!(overwritten(&one), [0], "{one}");
}

#[test]
fn not_where_nothing_is_computed_in_a_loop() {
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w.matmul(g)])), NONE);
    assert_eq!(overwritten(&plan(&[(0, 0)], |_, g| vec![g])), NONE);
    // The input is not used at all: nothing of it is in the plan.
    assert_eq!(overwritten(&plan(&[(0, 0)], |_, g| vec![g * 2.0])), NONE);
}

/// Another dtype would not fit the buffer; the same elements under another shape would.
#[test]
fn not_where_the_types_differ() {
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![(w * g).reshape([9].into())])), [0]);
    assert_eq!(overwritten(&plan(&[(0, 0)], |w, g| vec![w.cast(DType::F64) * 2.0, g])), NONE);
}

/// Learning rates are slots: the plan holds none of their values.
#[test]
fn slots_change_without_another_plan() {
    let program = step(4, &[5, 3], Optimizer::Sgd);
    let (plan, first) = verified(&program, native, "one rate");
    let other = Program { slots: vec![Scalar::F64(0.5); 3], ..program };
    let (same, second) = verified(&other, native, "another");
    assert_eq!(plan, same);
    assert_ne!(first, second);
}

#[test]
fn an_exponential_average_in_place() {
    let ema = plan(&[(0, 0)], |a, b| vec![a * 0.99 + b.op(ScalarOp::Exp) * 0.01]);
    assert_eq!(overwritten(&ema), [0]);
}
