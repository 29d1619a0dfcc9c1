//! Every gradient rule against finite differences.

use gradus_ir::autograd::gradients;
use gradus_ir::graph::{Graph, NodeId, build};
use gradus_ir::ops::{Cast, CrossEntropy, Op, Sample, SampleInput, Slice};
use gradus_ir::scalar::{ScalarOp, Signature};
use gradus_ir::{Array, DType, Type, interpret};

use crate::finite_differences::{check, floats, op, scalar};
use crate::rng::Rng;

#[test]
fn structural_ops() {
    for (i, sample) in Op::samples().into_iter().enumerate() {
        // Rounding to fewer bits is no differentiable function; see `casts` below.
        if matches!(sample.op, Op::Cast(Cast { to }) if to.is_float() && to != DType::F64) {
            continue;
        }
        let rng = &mut Rng::new(i as u64);
        check(&format!("{} #{i}", sample.op), &operands(&sample, rng), op(sample.op.clone()), rng);
    }
}

fn operands(sample: &Sample, rng: &mut Rng) -> Vec<Array> {
    let operand = |input: &SampleInput| match input {
        SampleInput::Float(shape) => floats(shape, rng.distinct(shape.numel())),
        SampleInput::Index(shape, bound) => {
            let ty = Type::new(shape, DType::I64);
            Array::int(ty, (0..shape.numel()).map(|_| rng.below(*bound) as i64).collect())
        }
        SampleInput::Number(x) => scalar(*x, DType::I64),
    };
    sample.inputs.iter().map(operand).collect()
}

#[test]
fn unary_scalar_ops() {
    for &f in ScalarOp::ALL.iter().filter(|f| f.arity() == 1 && is_for_floats(**f)) {
        for (i, shape) in [&[][..], &[3], &[2, 3], &[0], &[2, 0]].into_iter().enumerate() {
            let rng = &mut Rng::new(i as u64);
            let n = shape.iter().product();
            let x = rng.distinct(n).into_iter().map(|x| into_domain(f, x)).collect();
            check(&format!("{f:?} {shape:?}"), &[floats(shape, x)], op(f), rng);
        }
    }
}

/// Where the op is defined, and away from its kinks and steps.
fn into_domain(f: ScalarOp, x: f64) -> f64 {
    match f {
        ScalarOp::Log | ScalarOp::Sqrt => x.abs() + 0.2,
        ScalarOp::Log1p => x.abs() - 0.4,
        ScalarOp::Floor | ScalarOp::Ceil | ScalarOp::Round => (x * 4.0).floor() / 4.0 + 0.125,
        ScalarOp::Asin | ScalarOp::Acos | ScalarOp::Erfinv => 0.35 * x,
        ScalarOp::Lgamma | ScalarOp::Digamma => x.abs() + 0.4,
        _ => x,
    }
}

fn is_for_floats(f: ScalarOp) -> bool {
    f.signature() != Signature::Logic
}

/// Shapes that broadcast: leading axes, axes of size 1, scalars, nothing.
const PAIRS: [(&[usize], &[usize]); 10] = [
    (&[2, 3], &[2, 3]),
    (&[3, 1], &[4]),
    (&[4], &[3, 1]),
    (&[], &[2, 3]),
    (&[2, 3], &[]),
    (&[2, 3], &[3]),
    (&[1, 1], &[3]),
    (&[0, 2], &[]),
    (&[1, 2], &[0, 2]),
    (&[2, 1, 2], &[1, 3, 1]),
];

#[test]
fn binary_scalar_ops() {
    for &f in ScalarOp::ALL.iter().filter(|f| f.arity() == 2 && is_for_floats(**f)) {
        for (i, (a, b)) in PAIRS.into_iter().enumerate() {
            let rng = &mut Rng::new(i as u64);
            let (n, m): (usize, usize) = (a.iter().product(), b.iter().product());
            // All different, so that no maximum is near a tie.
            let mut x = rng.distinct(n + m);
            let mut y = x.split_off(n);
            if f == ScalarOp::Pow {
                x.iter_mut().for_each(|x| *x = x.abs() + 0.3);
            }
            if matches!(f, ScalarOp::Fmod | ScalarOp::DivTrunc) {
                // Quotients of about ±½, ±1½ and ±2½: away from the steps.
                x.iter_mut().for_each(|x| *x = ((*x / 0.7).floor() + 0.5) * 0.7);
                y.iter_mut().for_each(|y| *y = 0.7f64.copysign(*y) * (1.0 + 0.01 * *y));
            }
            if f == ScalarOp::Div {
                y.iter_mut().for_each(|y| *y += 0.4f64.copysign(*y));
            }
            check(&format!("{f:?} {a:?} {b:?}"), &[floats(a, x), floats(b, y)], op(f), rng);
        }
    }
}

#[test]
fn both_operands_the_same() {
    let of_pairs = [ScalarOp::Add, ScalarOp::Sub, ScalarOp::Mul, ScalarOp::Div, ScalarOp::Pow];
    for f in of_pairs {
        let rng = &mut Rng::new(7);
        let x = floats(&[5], rng.distinct(5).iter().map(|x| x.abs() + 0.4).collect());
        check(&format!("{f:?}(x, x)"), &[x], |g, x| g.add(f, &[x[0], x[0]]).unwrap(), rng);
    }
}

#[test]
fn negative_bases_have_gradients() {
    for (exponent, seed) in [(3.0, 1), (2.0, 2), (1.0, 3), (-2.0, 4), (0.0, 5)] {
        let rng = &mut Rng::new(seed);
        let x = floats(&[4], rng.distinct(4));
        let power =
            |g: &mut Graph, x: &[NodeId]| build(g, x, |x| x[0].pow(x[0].constant(exponent)).id());
        check(&format!("x^{exponent}"), &[x], power, rng);
    }
}

#[test]
fn negative_arguments_of_the_gamma_functions_have_gradients() {
    for f in [ScalarOp::Lgamma, ScalarOp::Digamma] {
        let rng = &mut Rng::new(9);
        check(&format!("{f:?}"), &[floats(&[5], vec![-0.6, -1.4, -2.3, 0.35, 0.48])], op(f), rng);
    }
}

#[test]
fn selections() {
    let shapes: [[&[usize]; 3]; 4] =
        [[&[2, 3], &[2, 3], &[2, 3]], [&[2, 1], &[3], &[]], [&[], &[2, 2], &[2]], [&[3], &[], &[]]];
    for (i, [c, a, b]) in shapes.into_iter().enumerate() {
        let rng = &mut Rng::new(i as u64);
        let numel = |s: &[usize]| s.iter().product();
        let condition = Array::int(
            Type::new(c, DType::Bool),
            (0..numel(c)).map(|_| rng.below(2) as i64).collect(),
        );
        let (x, y) = (rng.distinct(numel(a)), rng.distinct(numel(b)));
        let given = [condition, floats(a, x), floats(b, y)];
        check(&format!("where {c:?} {a:?} {b:?}"), &given, op(ScalarOp::Where), rng);
    }
}

/// Rules compose: through movement, fused ops, normalisation, and a value used many times.
#[test]
fn compositions() {
    let rng = &mut Rng::new(11);
    let x = floats(&[3, 4], rng.distinct(12));
    let w = floats(&[4, 4], rng.distinct(16));
    let labels = Array::int(Type::new([3], DType::I64), vec![3, 0, 2]);
    let layer_norm = |g: &mut Graph, x: &[NodeId]| {
        build(g, x, |x| {
            let centred = x[0] - x[0].sum(&[1], true) * 0.25;
            let variance = (centred * centred).sum(&[1], true) * 0.25;
            (centred / (variance + 1e-5).op(ScalarOp::Sqrt)).id()
        })
    };
    check("layer norm", std::slice::from_ref(&x), layer_norm, rng);
    let attention = |g: &mut Graph, x: &[NodeId]| {
        build(g, x, |x| {
            let scores = x[0].matmul(x[1]).matmul(x[0].transposed());
            let e = (scores - scores.max(&[1], true)).op(ScalarOp::Exp);
            ((e / e.sum(&[1], true)).matmul(x[0])).id()
        })
    };
    check("attention", &[x.clone(), w.clone()], attention, rng);
    let classifier = |g: &mut Graph, x: &[NodeId]| {
        build(g, x, |x| {
            let logits = x[0].matmul(x[1]).op(ScalarOp::Tanh).matmul(x[1]);
            logits.apply(CrossEntropy, &[x[2]]).id()
        })
    };
    check("classifier", &[x, w, labels], classifier, rng);
}

/// The gradient of a tensor that was taken apart is put together, not summed up.
#[test]
fn gradients_of_parts_are_concatenated() {
    let rng = &mut Rng::new(13);
    let x = floats(&[2, 7], rng.distinct(14));
    let slice = |start, len| Slice { axis: 1, start, len, step: 1 };
    for parts in [[slice(0, 2), slice(2, 3), slice(5, 2)], [slice(4, 3), slice(2, 2), slice(1, 1)]]
    {
        let formula = |g: &mut Graph, x: &[NodeId]| {
            build(g, x, |x| {
                let part =
                    |i: usize| x[0].slice(parts[i].clone()).op(ScalarOp::Sin).sum(&[1], true);
                (part(0) * part(1) + part(2)).id()
            })
        };
        check("parts", std::slice::from_ref(&x), formula, rng);
        let mut g = Graph::new();
        let input = g.input(x.ty().clone());
        let y = formula(&mut g, &[input]);
        let seed = g.input(Type::new([2, 1], DType::F64));
        let dx = gradients(&mut g, y, seed, &[input])[0].unwrap();
        g.set_outputs(vec![dx]);
        let g = gradus_ir::passes::optimize(&g);
        let count = |wanted: fn(&Op) -> bool| g.nodes().iter().filter(|n| wanted(&n.op)).count();
        assert_eq!(count(|op| matches!(op, Op::Concat(_))), 1, "{g}");
        assert!(count(|op| matches!(op, Op::Pad(_))) <= 1, "{g}");
    }
}

#[test]
fn casts() {
    for to in [DType::F16, DType::BF16, DType::F32] {
        let mut g = Graph::new();
        let x = g.input(Type::new([3], DType::F64));
        let seed = g.input(Type::new([3], to));
        let y = g.add(Cast { to }, &[x]).unwrap();
        let dx = gradients(&mut g, y, seed, &[x])[0].unwrap();
        assert_eq!(*g.ty(dx), Type::new([3], DType::F64));
        g.set_outputs(vec![dx]);
        let seed = Array::float(Type::new([3], to), vec![0.1, -2.0, 3.0]);
        let x = floats(&[3], vec![1.0, 2.0, 3.0]);
        let dx = interpret(&g, &[x, seed.clone()], &[]).unwrap();
        assert_eq!(dx[0].floats(), seed.floats());
    }
}

#[test]
fn what_does_not_lead_to_the_output_has_no_gradient() {
    let mut g = Graph::new();
    let x = g.input(Type::new([3], DType::F32));
    let unused = g.input(Type::new([3], DType::F32));
    let labels = g.input(Type::new([3], DType::I64));
    let y = g.add(ScalarOp::Exp, &[x]).unwrap();
    let after = g.add(ScalarOp::Neg, &[y]).unwrap();
    let seed = g.input(Type::new([3], DType::F32));
    let n = g.len();
    let grads = gradients(&mut g, y, seed, &[unused, labels, after]);
    assert_eq!(grads, [None, None, None]);
    assert_eq!(g.len(), n, "nothing was appended for nothing");
    // With respect to itself: the seed.
    assert_eq!(gradients(&mut g, y, seed, &[y]), [Some(seed)]);
}
