//! NaN, infinities, zeros and ties, in values and in gradients.

use gradus_ir::autograd::gradients;
use gradus_ir::graph::{Graph, build};
use gradus_ir::ops::{ArgMax, Op, Reduce, ReduceKind};
use gradus_ir::scalar::ScalarOp;
use gradus_ir::{Array, DType, Type, interpret};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn of(x: &[f64]) -> Array {
    Array::from_slice([x.len()], x)
}

fn value(op: impl Into<Op>, operands: &[&[f64]]) -> Array {
    let mut g = Graph::new();
    let given: Vec<Array> = operands.iter().map(|x| of(x)).collect();
    let x: Vec<_> = given.iter().map(|a| g.input(a.ty().clone())).collect();
    let y = g.add(op, &x).unwrap();
    g.set_outputs(vec![y]);
    interpret(&g, &given, &[]).unwrap().swap_remove(0)
}

/// The gradient of the sum of the result with respect to each operand.
fn slopes(op: impl Into<Op>, operands: &[&[f64]]) -> Vec<Vec<f64>> {
    let mut g = Graph::new();
    let mut given: Vec<Array> = operands.iter().map(|x| of(x)).collect();
    let x: Vec<_> = given.iter().map(|a| g.input(a.ty().clone())).collect();
    let y = g.add(op, &x).unwrap();
    given.push(Array::full(g.ty(y).clone(), 1.0.into()));
    let seed = g.input(g.ty(y).clone());
    let grads = gradients(&mut g, y, seed, &x);
    let grads: Vec<_> = grads.into_iter().map(|id| id.unwrap()).collect();
    g.set_outputs(grads);
    let grads = interpret(&g, &given, &[]).unwrap();
    grads.iter().map(|a| a.floats().to_vec()).collect()
}

/// Equal up to a last place, and NaN where NaN is expected.
#[track_caller]
fn same(a: &[f64], b: &[f64]) {
    let alike = |(a, b): (&f64, &f64)| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 2.0 * f64::EPSILON * b.abs()
    };
    assert!(a.len() == b.len() && a.iter().zip(b).all(alike), "{a:?} instead of {b:?}");
}

/// What a gradient is multiplied with on two ways may leave the range of half precision where the gradient does not.
#[test]
fn half_precision_keeps_a_gradient_in_range() {
    let ty = Type::new([1], DType::F16);
    let mut g = Graph::new();
    let x = [(); 4].map(|()| g.input(ty.clone()));
    let [a, b, c, dy] = x;
    let y = build(&mut g, &[a, b, c], |x| (x[0] * x[1] * x[1] + x[0] * x[2] * x[2]).id());
    let slope = gradients(&mut g, y, dy, &[a])[0].unwrap();
    g.set_outputs(vec![slope]);
    let given = [1e-3, 300.0, 200.0, 1e-3].map(|x| Array::full(ty.clone(), x.into()));
    let slope = interpret(&g, &given, &[]).unwrap()[0].floats()[0];
    assert!((slope - 130.0).abs() < 0.5, "{slope}");
}

#[test]
fn nan_passes_through() {
    let x: &[f64] = &[NAN, INF, -INF, -1.0, 2.0];
    same(value(ScalarOp::Relu, &[x]).floats(), &[NAN, INF, 0.0, 0.0, 2.0]);
    same(value(ScalarOp::Sign, &[x]).floats(), &[0.0, 1.0, -1.0, -1.0, 1.0]);
    same(value(ScalarOp::Abs, &[x]).floats(), &[NAN, INF, INF, 1.0, 2.0]);
    for op in [ScalarOp::Maximum, ScalarOp::Minimum] {
        same(value(op, &[&[NAN, 1.0, NAN], &[1.0, NAN, NAN]]).floats(), &[NAN; 3]);
    }
    same(value(ScalarOp::Maximum, &[&[INF, -INF], &[1.0, 1.0]]).floats(), &[INF, 1.0]);
    same(value(ScalarOp::Minimum, &[&[INF, -INF], &[1.0, 1.0]]).floats(), &[1.0, -INF]);
    assert!(value(ScalarOp::Sign, &[&[-0.0]]).floats()[0] == 0.0);
}

#[test]
fn comparisons_with_nan_are_false_but_ne() {
    for (op, expected) in [
        (ScalarOp::Eq, 0),
        (ScalarOp::Ne, 1),
        (ScalarOp::Lt, 0),
        (ScalarOp::Le, 0),
        (ScalarOp::Gt, 0),
        (ScalarOp::Ge, 0),
    ] {
        assert_eq!(
            value(op, &[&[NAN, NAN, 1.0], &[NAN, 1.0, NAN]]).ints(),
            [expected; 3],
            "{op:?}"
        );
    }
    assert_eq!(value(ScalarOp::Eq, &[&[INF, -0.0], &[INF, 0.0]]).ints(), [1, 1]);
}

fn reduce(kind: ReduceKind) -> Reduce {
    Reduce { kind, axes: [0].as_slice().into(), keepdim: false }
}

#[test]
fn extremes_of_nan_and_infinity() {
    for at in 0..3 {
        let mut x = [1.0, INF, -INF];
        x[at] = NAN;
        same(value(reduce(ReduceKind::Max), &[&x]).floats(), &[NAN]);
        same(value(reduce(ReduceKind::Min), &[&x]).floats(), &[NAN]);
        let first_nan = value(ArgMax { axis: 0, keepdim: false }, &[&x]);
        assert_eq!(first_nan.ints(), [at as i64]);
    }
    same(value(reduce(ReduceKind::Max), &[&[-INF, -INF]]).floats(), &[-INF]);
    same(value(reduce(ReduceKind::Min), &[&[INF, INF]]).floats(), &[INF]);
    let argmax = |x: &[f64]| value(ArgMax { axis: 0, keepdim: false }, &[x]).ints()[0];
    assert_eq!(argmax(&[-INF, -INF]), 0);
    assert_eq!(argmax(&[1.0, INF, INF]), 1);
    assert_eq!(argmax(&[INF, NAN, NAN]), 1);
}

#[test]
fn ties_share_the_gradient() {
    let grads = slopes(ScalarOp::Maximum, &[&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]]);
    same(&grads[0], &[0.5, 0.0, 1.0]);
    same(&grads[1], &[0.5, 1.0, 0.0]);
    let grads = slopes(ScalarOp::Minimum, &[&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]]);
    same(&grads[0], &[0.5, 1.0, 0.0]);
    same(&grads[1], &[0.5, 0.0, 1.0]);
    same(
        &slopes(reduce(ReduceKind::Max), &[&[2.0, 1.0, 2.0, 2.0]])[0],
        &[1. / 3., 0., 1. / 3., 1. / 3.],
    );
    same(&slopes(reduce(ReduceKind::Min), &[&[2.0, 1.0, 1.0]])[0], &[0.0, 0.5, 0.5]);
    same(&slopes(reduce(ReduceKind::Max), &[&[INF, 1.0, INF]])[0], &[0.5, 0.0, 0.5]);
}

#[test]
fn kinks_have_the_documented_gradients() {
    same(&slopes(ScalarOp::Relu, &[&[-1.0, -0.0, 0.0, 1.0, INF]])[0], &[0.0, 0.0, 0.0, 1.0, 1.0]);
    same(&slopes(ScalarOp::Abs, &[&[-2.0, 0.0, 2.0]])[0], &[-1.0, 0.0, 1.0]);
    same(&slopes(ScalarOp::Sqrt, &[&[0.0, 4.0]])[0], &[INF, 0.25]);
    same(&slopes(ScalarOp::Log, &[&[0.0, 4.0]])[0], &[INF, 0.25]);
}

#[test]
fn nan_reaches_the_gradient() {
    // A NaN input passes the gradient on, as `torch.relu` does; what it meets there is NaN anyway.
    same(&slopes(ScalarOp::Relu, &[&[NAN]])[0], &[1.0]);
    // The NaN operand is the result's cause and takes the gradient.
    let grads = slopes(ScalarOp::Maximum, &[&[NAN, 1.0, NAN], &[1.0, NAN, NAN]]);
    same(&grads[0], &[1.0, 0.0, 1.0]);
    same(&grads[1], &[0.0, 1.0, 1.0]);
    // A row whose maximum is NaN has no winner.
    same(&slopes(reduce(ReduceKind::Max), &[&[1.0, NAN, 2.0]])[0], &[NAN; 3]);
    same(&slopes(ScalarOp::Exp, &[&[NAN]])[0], &[NAN]);
}

#[test]
fn powers_of_zero_and_to_zero() {
    let bases = &[0.0, 0.0, 0.0, 0.0, -2.0, -2.0, 3.0];
    let exponents = &[0.0, 1.0, 2.0, 0.5, 0.0, 3.0, 0.0];
    same(value(ScalarOp::Pow, &[bases, exponents]).floats(), &[1.0, 0.0, 0.0, 0.0, 1.0, -8.0, 1.0]);
    let grads = slopes(ScalarOp::Pow, &[bases, exponents]);
    same(&grads[0], &[0.0, 1.0, 0.0, INF, 0.0, 12.0, 0.0]);
    same(&grads[1], &[0.0, 0.0, 0.0, 0.0, NAN, NAN, 3f64.ln()]);
    same(&slopes(ScalarOp::Pow, &[&[0.0], &[-1.0]])[1], &[-INF]);
}

/// x² at 0 has the second derivative 2, though x⁻¹ and log x stand in the rules.
#[test]
fn second_derivatives_of_powers_at_zero() {
    let mut g = Graph::new();
    let x = g.input(of(&[0.0]).ty().clone());
    let one = g.input(g.ty(x).clone());
    let y = build(&mut g, &[x], |x| x[0].pow(x[0].constant(2.0)).id());
    let first = gradients(&mut g, y, one, &[x])[0].unwrap();
    let second = gradients(&mut g, first, one, &[x])[0].unwrap();
    g.set_outputs(vec![first, second]);
    let slopes = interpret(&g, &[of(&[0.0]), of(&[1.0])], &[]).unwrap();
    same(slopes[0].floats(), &[0.0]);
    same(slopes[1].floats(), &[2.0]);
}
