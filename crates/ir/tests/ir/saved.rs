//! What a node's gradient needs of it: what the front end keeps until `backward`.

use gradus_ir::autograd::saved;
use gradus_ir::graph::Graph;
use gradus_ir::ops::*;
use gradus_ir::scalar::ScalarOp;
use gradus_ir::{DType, Type};

/// Which operands and whether the result are kept, for an op on `f32[3, 3]` (and `i64[3, 3]`
/// indices).
fn kept(op: impl Into<Op>, dtypes: &[DType]) -> (Vec<bool>, bool) {
    needing(op, dtypes, &dtypes.iter().map(|d| d.is_float()).collect::<Vec<_>>())
}

fn needing(op: impl Into<Op>, dtypes: &[DType], needs: &[bool]) -> (Vec<bool>, bool) {
    let mut g = Graph::new();
    let x: Vec<_> = dtypes.iter().map(|&d| g.input(Type::new([3, 3], d))).collect();
    let y = g.add(op, &x).unwrap();
    let saved = saved(&g, y, needs);
    (saved.inputs, saved.output)
}

const F: DType = DType::F32;
const I: DType = DType::I64;

#[test]
fn scalar_ops() {
    use ScalarOp::*;
    for op in [Neg, Sign, Floor, Ceil, Round] {
        assert_eq!(kept(op, &[F]), (vec![false], false), "{op:?}");
    }
    for op in [Relu, Exp, Expm1, Sqrt, Tanh, Sigmoid] {
        assert_eq!(kept(op, &[F]), (vec![false], true), "{op:?}");
    }
    for op in [Abs, Log, Log1p, Sin, Cos, Erf] {
        assert_eq!(kept(op, &[F]), (vec![true], false), "{op:?}");
    }
    for op in [Add, Sub] {
        assert_eq!(kept(op, &[F, F]), (vec![false, false], false), "{op:?}");
    }
    assert_eq!(kept(Mul, &[F, F]), (vec![true, true], false));
    assert_eq!(kept(Div, &[F, F]), (vec![false, true], true));
    assert_eq!(kept(Pow, &[F, F]), (vec![true, true], true));
    assert_eq!(kept(Maximum, &[F, F]), (vec![true, true], true));
    assert_eq!(kept(Where, &[DType::Bool, F, F]), (vec![true, false, false], false));
    assert_eq!(kept(ReluGrad, &[F, F]), (vec![true, false], false));
}

/// A product with a constant keeps the constant, not the other operand.
#[test]
fn only_for_the_operands_that_need_a_gradient() {
    assert_eq!(needing(ScalarOp::Mul, &[F, F], &[true, false]), (vec![false, true], false));
    assert_eq!(needing(MatMul, &[F, F], &[true, false]), (vec![false, true], false));
    assert_eq!(needing(MatMul, &[F, F], &[false, true]), (vec![true, false], false));
    assert_eq!(needing(ScalarOp::Pow, &[F, F], &[true, false]), (vec![true, true], false));
    assert_eq!(needing(ScalarOp::Div, &[F, F], &[true, false]), (vec![false, true], false));
    let scatter = ScatterAdd { axis: 0 };
    assert_eq!(needing(scatter, &[F, I, F], &[true, false, false]), (vec![false; 3], false));
}

#[test]
fn structural_ops() {
    assert_eq!(kept(MatMul, &[F, F]), (vec![true, true], false));
    assert_eq!(kept(Gather { axis: 1 }, &[F, I]), (vec![false, true], false));
    assert_eq!(kept(ScatterAdd { axis: 0 }, &[F, I, F]), (vec![false, true, false], false));
    assert_eq!(kept(Concat { axis: 0 }, &[F, F]), (vec![false, false], false));
    assert_eq!(kept(Cast { to: DType::F64 }, &[F]), (vec![false], false));
    let movement: [Op; 5] = [
        Reshape { shape: [9].into() }.into(),
        Permute { axes: [1, 0].as_slice().into() }.into(),
        Expand { shape: [2, 3, 3].into() }.into(),
        Slice { axis: 0, start: 0, len: 2, step: 1 }.into(),
        Pad { axis: 0, before: 1, after: 1, step: 1 }.into(),
    ];
    for op in movement {
        assert_eq!(kept(op.clone(), &[F]), (vec![false], false), "{op}");
    }
    let reduce = |kind| Reduce { kind, axes: [1].as_slice().into(), keepdim: false };
    assert_eq!(kept(reduce(ReduceKind::Sum), &[F]), (vec![false], false));
    assert_eq!(kept(reduce(ReduceKind::Max), &[F]), (vec![true], true));

    let mut g = Graph::new();
    let logits = g.input(Type::new([4, 3], F));
    let labels = g.input(Type::new([4], I));
    let loss = g.add(CrossEntropy, &[logits, labels]).unwrap();
    let saved = saved(&g, loss, &[true, false]);
    assert_eq!((saved.inputs, saved.output), (vec![true, true], false));
}
