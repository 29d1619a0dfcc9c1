//! What ops infer is what the reference gives, for every op and dtype; and what does not fit is an
//! error that says so.

use gradus_ir::graph::Graph;
use gradus_ir::ops::*;
use gradus_ir::scalar::{ScalarOp, Signature};
use gradus_ir::{Array, DType, Type, interpret};

/// Runs one op, and checks that its result has the inferred type. `None` if the op refuses the
/// operands.
fn run(op: &Op, operands: &[Array]) -> Option<Array> {
    let types: Vec<&Type> = operands.iter().map(Array::ty).collect();
    let inferred = op.infer(&types).ok()?;
    let mut g = Graph::new();
    let x: Vec<_> = types.iter().map(|t| g.input((*t).clone())).collect();
    let y = g.add(op.clone(), &x).unwrap();
    g.set_outputs(vec![y]);
    g.verify().unwrap();
    let result = interpret(&g, operands, &[]).unwrap().swap_remove(0);
    let n = match result.values() {
        gradus_ir::Values::Float(v) => v.len(),
        gradus_ir::Values::Int(v) => v.len(),
    };
    assert_eq!(*result.ty(), inferred, "{op} of {types:?}");
    assert_eq!(n, inferred.shape.numel(), "{op} of {types:?}");
    Some(result)
}

fn ramp(ty: Type) -> Array {
    let n = ty.shape.numel();
    if ty.dtype.is_float() {
        Array::float(ty, (0..n).map(|i| i as f64 * 0.25 - 1.0).collect())
    } else {
        Array::int(ty, (0..n as i64).map(|i| i - 2).collect())
    }
}

#[test]
fn structural_ops_give_what_they_infer() {
    for sample in Op::samples() {
        let mut accepted = 0;
        for dtype in DType::ALL {
            let operand = |input: &SampleInput| match input {
                SampleInput::Float(shape) => ramp(Type::new(shape, dtype)),
                SampleInput::Index(shape, _) => Array::full(Type::new(shape, DType::I64), 0.into()),
                SampleInput::Number(x) => Array::full(Type::new([], DType::I64), *x),
            };
            let operands: Vec<Array> = sample.inputs.iter().map(operand).collect();
            accepted += usize::from(run(&sample.op, &operands).is_some());
        }
        assert!(accepted > 0, "{} accepts no dtype", sample.op);
    }
}

#[test]
fn scalar_ops_give_what_they_infer() {
    let shapes: [&[usize]; 6] = [&[], &[1], &[3], &[2, 1], &[0, 3], &[2, 3]];
    for &op in ScalarOp::ALL {
        for dtype in DType::ALL {
            let mut accepted = 0;
            for (i, a) in shapes.iter().enumerate() {
                let b = shapes[(i + 3) % shapes.len()];
                let (a, b) = (ramp(Type::new(*a, dtype)), ramp(Type::new(b, dtype)));
                let condition = Array::full(Type::new([], DType::Bool), true.into());
                let operands: &[Array] = match op.arity() {
                    1 => &[a],
                    2 => &[a, b],
                    _ => &[condition, a, b],
                };
                accepted += usize::from(run(&op.into(), operands).is_some());
            }
            let expected = match op.signature() {
                Signature::Float => dtype.is_float(),
                Signature::Logic => !dtype.is_float(),
                Signature::Number | Signature::Compare | Signature::Select => true,
            };
            assert_eq!(accepted > 0, expected, "{op:?} on {dtype}");
        }
    }
}

#[test]
fn broadcasting_repeats_elements() {
    let of = |shape: &[usize], x: &[f32]| Array::from_slice(shape, x);
    let sum = |a: Array, b: Array| run(&ScalarOp::Add.into(), &[a, b]);
    let column = of(&[3, 1], &[10.0, 20.0, 30.0]);
    let row = of(&[4], &[1.0, 2.0, 3.0, 4.0]);
    let table = sum(column, row.clone()).unwrap();
    assert_eq!(table.shape()[..], [3, 4]);
    assert_eq!(table.floats()[..5], [11.0, 12.0, 13.0, 14.0, 21.0]);
    assert_eq!(sum(of(&[], &[1.0]), row.clone()).unwrap().floats(), [2.0, 3.0, 4.0, 5.0]);
    assert_eq!(sum(of(&[0, 1], &[]), row).unwrap().shape()[..], [0, 4]);
    assert_eq!(sum(of(&[2], &[1.0; 2]), of(&[3], &[1.0; 3])), None);
    assert_eq!(sum(of(&[0], &[]), of(&[2], &[1.0; 2])), None);
}

#[test]
fn refusals_name_the_op_the_shapes_and_the_remedy() {
    let f = |shape: &[usize]| Type::new(shape, DType::F32);
    let i = |shape: &[usize]| Type::new(shape, DType::I64);
    let refusal = |op: Op, x: &[Type]| op.infer(&x.iter().collect::<Vec<_>>()).unwrap_err();
    let cases: [(Op, &[Type], &str); 15] = [
        (
            ScalarOp::Add.into(),
            &[f(&[2, 3]), f(&[4])],
            "add: shapes [2, 3] and [4] do not broadcast: from the last axis backwards, sizes must be equal or 1",
        ),
        (
            ScalarOp::Mul.into(),
            &[f(&[2]), i(&[2])],
            "mul: operands of different dtypes: float32[2], int64[2]",
        ),
        (ScalarOp::Exp.into(), &[i(&[2])], "exp needs floats, not int64; cast first"),
        (
            ScalarOp::And.into(),
            &[f(&[]), f(&[])],
            "bitwise_and needs bool or integers, not float32; compare or cast first",
        ),
        (
            ScalarOp::Where.into(),
            &[f(&[]), f(&[]), f(&[])],
            "where: the condition must be bool, not float32",
        ),
        (ScalarOp::Neg.into(), &[f(&[]), f(&[])], "neg takes 1 operands, not 2"),
        (
            MatMul.into(),
            &[f(&[2, 3]), f(&[4, 5])],
            "matmul: [2, 3] · [4, 5]: the left has 3 columns, the right 4 rows; they must be equal",
        ),
        (
            Reshape { shape: [4].into() }.into(),
            &[f(&[2, 3])],
            "reshape: [2, 3] has 6 elements, [4] would have 4",
        ),
        (
            Slice { axis: 0, start: 1, len: 2, step: 2 }.into(),
            &[f(&[3])],
            "slice: elements 1..4 of axis 0, which has 3: shape [3]",
        ),
        (
            Reduce { kind: ReduceKind::Max, axes: [0].as_slice().into(), keepdim: false }.into(),
            &[f(&[0])],
            "amax over no elements has no value: shape [0]",
        ),
        (
            Reduce { kind: ReduceKind::Sum, axes: [2].as_slice().into(), keepdim: false }.into(),
            &[f(&[2, 2])],
            "sum: axis 2 of a tensor of 2 axes, shape [2, 2]; axes count from 0",
        ),
        (
            Gather { axis: 0 }.into(),
            &[f(&[4, 2]), i(&[9, 3])],
            "gather: the index has shape [9, 3], the tensor [4, 2]: it may be larger along axis 0 only",
        ),
        (
            CrossEntropy.into(),
            &[f(&[4, 2]), f(&[4])],
            "cross_entropy: labels are class indices and must be int64, not float32; cast them",
        ),
        (
            Concat { axis: 1 }.into(),
            &[f(&[2, 3]), f(&[3, 3])],
            "cat: tensor 1 has shape [3, 3], tensor 0 has [2, 3]: they may differ along axis 1 only",
        ),
        (
            // The second window's two elements lie on either side of the plane's only one.
            MaxPool(PoolGeometry {
                size: [1, 2],
                stride: [1, 1],
                padding: [[0; 2], [2, 2]],
                dilation: [1, 2],
            })
            .into(),
            &[f(&[1, 1, 1, 1])],
            "max_pool: padding [[0, 0], [2, 2]] is too large for a window of [1, 2]: some windows would lie wholly \
             in the padding; pad at most half the window",
        ),
    ];
    for (op, x, expected) in cases {
        assert_eq!(refusal(op, x), expected);
    }
}
