//! Every op's samples; every scalar op and cast over shapes, dtypes and arrangements; counting and random numbers.

use gradus_ir::graph::Graph;
use gradus_ir::ops::{
    Cast, Distribution, Iota, Op, Permute, Random, Reduce, ReduceKind, Reshape, SampleInput,
};
use gradus_ir::scalar::{ScalarOp, Signature};
use gradus_ir::{Array, DType, Scalar, Type};

use crate::harness::{Arrangement, Numbers, arranged, check};

#[test]
fn samples_of_every_op() {
    for (n, sample) in Op::samples().into_iter().enumerate() {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            let mut numbers = Numbers(n as u64);
            let mut graph = Graph::new();
            let (mut inputs, mut slots, mut operands) = (vec![], vec![], vec![]);
            for operand in &sample.inputs {
                match operand {
                    SampleInput::Float(shape) => {
                        let ty = Type::new(shape, dtype);
                        inputs.push(numbers.array(&ty));
                        operands.push(graph.input(ty));
                    }
                    SampleInput::Index(shape, bound) => {
                        let ty = Type::new(shape, DType::I64);
                        let values = (0..shape.numel()).map(|_| numbers.below(*bound) as i64);
                        inputs.push(Array::int(ty.clone(), values.collect()));
                        operands.push(graph.input(ty));
                    }
                    SampleInput::Number(scalar) => {
                        slots.push(*scalar);
                        operands.push(graph.slot(scalar.dtype()));
                    }
                }
            }
            let what = format!("sample {n}: {} {dtype}", sample.op);
            let result = graph.add(sample.op.clone(), &operands).expect(&what);
            graph.set_outputs(vec![result]);
            check(&graph, &inputs, &slots, 4.0, &what);
        }
    }
}

/// The dtypes that an op takes (for `where`, after the condition).
fn dtypes(op: ScalarOp) -> Vec<DType> {
    let all = DType::ALL.into_iter();
    match op.signature() {
        Signature::Float => all.filter(|d| d.is_float()).collect(),
        Signature::Logic => all.filter(|d| !d.is_float()).collect(),
        _ => all.collect(),
    }
}

/// Ordinary and special numbers.
fn varied(numbers: &mut Numbers, ty: &Type, op: ScalarOp) -> Array {
    let n = ty.shape.numel();
    if ty.dtype.is_float() {
        let special = [0.0, -0.0, 1.0, -1.0, 2.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5];
        let wide = if ty.dtype == DType::F16 { 5.0 } else { 20.0 };
        let values = (0..n).map(|_| match numbers.below(6) {
            0 => numbers.pick(&special),
            1 if op != ScalarOp::Pow => numbers.uniform() * 2.0 * wide - wide,
            _ => numbers.uniform() * 4.0 - 2.0,
        });
        Array::float(ty.clone(), values.collect())
    } else {
        let special = [0, 1, 255, 256, -1, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX];
        let values = (0..n).map(|_| match numbers.below(4) {
            0 => numbers.pick(&special),
            _ => numbers.below(7) as i64 - 3,
        });
        Array::int(ty.clone(), values.collect())
    }
}

fn check_scalar(op: ScalarOp, dtype: DType, shapes: &[&[usize]], how: [Arrangement; 3]) {
    let mut numbers = Numbers(op as u64);
    let mut graph = Graph::new();
    let (mut inputs, mut operands) = (vec![], vec![]);
    for i in 0..op.arity() {
        let dtype = if op == ScalarOp::Where && i == 0 { DType::Bool } else { dtype };
        let ty = Type::new(shapes[i % shapes.len()], dtype);
        let (base, node) = arranged(&mut graph, &ty, how[i]);
        inputs.push(varied(&mut numbers, &base, op));
        operands.push(node);
    }
    let what = format!("{op:?} {dtype} {shapes:?} {how:?}");
    let result = graph.add(op, &operands).expect(&what);
    graph.set_outputs(vec![result]);
    check(&graph, &inputs, &[], 1.0, &what);
}

#[test]
fn every_scalar_op_over_shapes_and_dtypes() {
    let shapes: [&[&[usize]]; 14] = [
        &[&[]],
        &[&[0]],
        &[&[1]],
        &[&[7]],
        &[&[513]],
        &[&[1025]],
        &[&[5, 0, 3]],
        &[&[3, 130]],
        &[&[2, 3, 4, 5]],
        &[&[7, 5], &[5]],
        &[&[7, 1], &[1, 5]],
        &[&[4, 300], &[300], &[4, 1]],
        &[&[], &[9]],
        &[&[2, 1, 3], &[4, 1], &[1]],
    ];
    for &op in ScalarOp::ALL {
        for dtype in dtypes(op) {
            for shapes in shapes {
                check_scalar(op, dtype, shapes, [Arrangement::Contiguous; 3]);
            }
        }
    }
}

#[test]
fn every_scalar_op_over_arrangements() {
    use Arrangement::*;
    for &op in ScalarOp::ALL {
        for dtype in dtypes(op) {
            for shape in [[11, 150].as_slice(), &[3, 4, 7]] {
                for how in [
                    [Permuted, Contiguous, Sliced],
                    [Contiguous, Sliced, Expanded],
                    [Expanded, Expanded, Expanded],
                    [Sliced, Permuted, Permuted],
                ] {
                    check_scalar(op, dtype, &[shape], how);
                }
            }
        }
    }
}

#[test]
fn casts_between_all_dtypes_and_arrangements() {
    for from in DType::ALL {
        for to in DType::ALL {
            for how in Arrangement::ALL {
                let mut numbers = Numbers(3);
                let mut graph = Graph::new();
                let (base, x) = arranged(&mut graph, &Type::new([5, 203], from), how);
                let y = graph.add(Cast { to }, &[x]).unwrap();
                // A second use, so that the operand is held as itself too.
                let z = graph.add(ScalarOp::Eq, &[x, x]).unwrap();
                graph.set_outputs(vec![y, z]);
                let x = varied(&mut numbers, &base, ScalarOp::Add);
                check(&graph, &[x], &[], 1.0, &format!("{from} to {to}, {how:?}"));
                let mut alone = Graph::new();
                let (base, x) = arranged(&mut alone, &Type::new([1300], from), how);
                let y = alone.add(Cast { to }, &[x]).unwrap();
                alone.set_outputs(vec![y]);
                let x = varied(&mut numbers, &base, ScalarOp::Add);
                check(&alone, &[x], &[], 1.0, &format!("{from} to {to} alone, {how:?}"));
            }
        }
    }
}

#[test]
fn scalars_counting_and_random_numbers() {
    for dtype in [DType::F32, DType::F64] {
        let mut graph = Graph::new();
        let (seed, stream) = (graph.slot(DType::I64), graph.slot(DType::I64));
        let factor = graph.slot(dtype);
        let half = graph.constant(0.5, dtype);
        let iota = Iota { len: 500, dtype };
        let count = graph.add(iota, &[]).unwrap();
        let mut outputs = vec![];
        for distribution in [Distribution::Uniform, Distribution::Normal] {
            let op = Random { distribution, shape: [3, 500].into(), dtype };
            let random = graph.add(op, &[seed, stream]).unwrap();
            let x = graph.add(ScalarOp::Mul, &[random, factor]).unwrap();
            let y = graph.add(ScalarOp::Add, &[x, count]).unwrap();
            let z = graph.add(ScalarOp::Maximum, &[y, half]).unwrap();
            let sum = Reduce { kind: ReduceKind::Sum, axes: [1].as_slice().into(), keepdim: false };
            let sum = graph.add(sum, &[z]).unwrap();
            outputs.extend([random, z, sum]);
        }
        let scalars = graph.add(ScalarOp::Add, &[factor, half]).unwrap();
        outputs.extend([scalars, factor, count]);
        graph.set_outputs(outputs);
        let slots = [Scalar::I64(-3), Scalar::I64(1 << 40), Scalar::F64(1.7)];
        check(&graph, &[], &slots, 2.0, &format!("{dtype}"));
    }
    for dtype in DType::ALL.into_iter().filter(|d| *d != DType::Bool) {
        let mut graph = Graph::new();
        let iota = Iota { len: 1200, dtype };
        let count = graph.add(iota, &[]).unwrap();
        let shape = Reshape { shape: [30, 40].into() };
        let table = graph.add(shape, &[count]).unwrap();
        let turn = Permute { axes: [1, 0].as_slice().into() };
        let turned = graph.add(turn, &[table]).unwrap();
        let x = graph.input(Type::new([40, 30], dtype));
        let sum = graph.add(ScalarOp::Add, &[x, turned]).unwrap();
        graph.set_outputs(vec![count, turned, sum]);
        let x = Numbers(4).array(&Type::new([40, 30], dtype));
        check(&graph, &[x], &[], 1.0, &format!("iota {dtype}"));
    }
}
