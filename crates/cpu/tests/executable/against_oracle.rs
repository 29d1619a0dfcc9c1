//! Every op, one at a time, over shapes, dtypes and arrangements of operands.

use gradus_ir::graph::Graph;
use gradus_ir::ops::{
    ArgMax, Concat, CrossEntropy, CrossEntropyGrad, Gather, MatMul, Op, Pad, Reduce, ReduceKind,
    SampleInput, ScatterAdd,
};
use gradus_ir::scalar::{ScalarOp, Signature};
use gradus_ir::{Array, DType, Scalar, Shape, Type};

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
                let y = graph.add(gradus_ir::ops::Cast { to }, &[x]).unwrap();
                // A second use, so that the operand is held as itself too.
                let z = graph.add(ScalarOp::Eq, &[x, x]).unwrap();
                graph.set_outputs(vec![y, z]);
                let x = varied(&mut numbers, &base, ScalarOp::Add);
                check(&graph, &[x], &[], 1.0, &format!("{from} to {to}, {how:?}"));
                let mut alone = Graph::new();
                let (base, x) = arranged(&mut alone, &Type::new([1300], from), how);
                let y = alone.add(gradus_ir::ops::Cast { to }, &[x]).unwrap();
                alone.set_outputs(vec![y]);
                let x = varied(&mut numbers, &base, ScalarOp::Add);
                check(&alone, &[x], &[], 1.0, &format!("{from} to {to} alone, {how:?}"));
            }
        }
    }
}

/// Shapes and axes that take every path of a reduction: rows and columns, short and long, many blocks and
/// chunks, kept and reduced axes interleaved, strips that hold many rows and rows that take many strips.
fn reductions() -> Vec<(Vec<usize>, Vec<usize>)> {
    vec![
        (vec![1], vec![0]),
        (vec![31], vec![0]),
        (vec![32], vec![0]),
        (vec![4096], vec![0]),
        (vec![4097], vec![0]),
        (vec![50_001], vec![0]),
        (vec![64, 10], vec![1]),
        (vec![9, 1000], vec![1]),
        (vec![3, 9000], vec![1]),
        (vec![64, 512], vec![0]),
        (vec![1000, 3], vec![0]),
        (vec![300, 40], vec![0]),
        (vec![257, 1100], vec![0]),
        (vec![2, 2000], vec![0]),
        (vec![5, 6, 7], vec![1]),
        (vec![5, 6, 7], vec![0, 2]),
        (vec![150, 3, 40], vec![0, 2]),
        (vec![3, 4, 5, 6], vec![0, 2]),
        (vec![3, 4, 5, 6], vec![1, 3]),
        (vec![3, 140, 2, 200], vec![1, 3]),
        (vec![130, 2, 140, 3], vec![0, 2]),
        (vec![20, 30], vec![0, 1]),
        (vec![2, 1, 33], vec![1]),
        (vec![2, 5000, 3], vec![1]),
        (vec![2, 3, 4200], vec![0, 2]),
    ]
}

#[test]
fn reductions_over_shapes_and_arrangements() {
    for (shape, axes) in reductions() {
        for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min] {
            for how in Arrangement::ALL {
                for dtype in [DType::F32, DType::F64] {
                    let mut graph = Graph::new();
                    let ty = Type::new(&shape, dtype);
                    let (base, x) = arranged(&mut graph, &ty, how);
                    // With the operand computed and stored in the same loop, too.
                    let y = graph.add(ScalarOp::Relu, &[x]).unwrap();
                    let reduce =
                        |keepdim| Reduce { kind, axes: axes.as_slice().into(), keepdim };
                    let plain = graph.add(reduce(false), &[x]).unwrap();
                    let fused = graph.add(reduce(true), &[y]).unwrap();
                    graph.set_outputs(vec![plain, y, fused]);
                    let what = format!("{kind:?} {dtype}{shape:?} over {axes:?}, {how:?}");
                    check(&graph, &[Numbers(1).array(&base)], &[], 2.0, &what);
                }
            }
        }
    }
}

#[test]
fn reductions_of_every_dtype_and_of_nothing() {
    for dtype in DType::ALL {
        for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min] {
            for (shape, axes) in [([40, 3], [0]), ([3, 40], [1]), ([3, 5000], [1]), ([3, 0], [1])] {
                if shape[axes[0]] == 0 && kind != ReduceKind::Sum {
                    continue;
                }
                let mut graph = Graph::new();
                let ty = Type::new(shape, dtype);
                let x = graph.input(ty.clone());
                let op = Reduce { kind, axes: axes.as_slice().into(), keepdim: false };
                let y = graph.add(op, &[x]).unwrap();
                graph.set_outputs(vec![y]);
                let what = format!("{kind:?} {dtype}{shape:?} over {axes:?}");
                check(&graph, &[Numbers(5).array(&ty)], &[], 40.0, &what);
            }
        }
    }
}

#[test]
fn reductions_keep_nan_and_infinity() {
    for (shape, axes) in [([7, 100], [1]), ([100, 7], [0]), ([3, 9], [1]), ([2, 9000], [1])] {
        for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min] {
            for special in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for at in [0, 5, 17] {
                    let mut graph = Graph::new();
                    let ty = Type::new(shape, DType::F32);
                    let x = graph.input(ty.clone());
                    let op = Reduce { kind, axes: axes.as_slice().into(), keepdim: false };
                    let y = graph.add(op, &[x]).unwrap();
                    graph.set_outputs(vec![y]);
                    let mut values = Numbers(2).array(&ty).floats().to_vec();
                    values[at] = special;
                    let what = format!("{kind:?} {special} at {at}, {shape:?} over {axes:?}");
                    check(&graph, &[Array::float(ty, values)], &[], 2.0, &what);
                }
            }
        }
    }
}

#[test]
fn sums_are_accurate() {
    for (shape, axes) in [(vec![1_000_000], vec![0]), (vec![100_000, 8], vec![0])] {
        let mut graph = Graph::new();
        let ty = Type::new(&shape, DType::F32);
        let x = graph.input(ty.clone());
        let op = Reduce { kind: ReduceKind::Sum, axes: axes.as_slice().into(), keepdim: false };
        let y = graph.add(op, &[x]).unwrap();
        graph.set_outputs(vec![y]);
        let values = (0..shape.iter().product::<usize>()).map(|i| 0.1 + (i % 17) as f64 * 1e-3);
        check(&graph, &[Array::float(ty, values.collect())], &[], 0.1, &format!("sum {shape:?}"));
    }
}

/// One structural op over operands of given types, in every arrangement of each.
fn structural(op: impl Into<Op>, types: &[Type], bound: usize, what: &str) {
    let op = op.into();
    for how in 0..4usize.pow(types.len() as u32) {
        let mut graph = Graph::new();
        let (mut inputs, mut operands) = (vec![], vec![]);
        for (i, ty) in types.iter().enumerate() {
            let how = Arrangement::ALL[how / 4usize.pow(i as u32) % 4];
            let (base, node) = arranged(&mut graph, ty, how);
            let mut array = Numbers(i as u64).array(&base);
            if ty.dtype == DType::I64 && bound > 0 {
                // A few out of range.
                let index = array.ints().iter().map(|i| (i * 7 + 3) % (bound as i64 + 1) - 1);
                array = Array::int(base.clone(), index.collect());
            }
            inputs.push(array);
            operands.push(node);
        }
        let y = graph.add(op.clone(), &operands).expect(what);
        graph.set_outputs(vec![y]);
        check(&graph, &inputs, &[], 4.0, &format!("{what}, arrangement {how}"));
    }
}

fn ty(shape: &[usize], dtype: DType) -> Type {
    Type::new(shape, dtype)
}

#[test]
fn movement_kernels_of_every_dtype() {
    for dtype in DType::ALL {
        let t = |shape: &[usize]| ty(shape, dtype);
        let i = |shape: &[usize]| ty(shape, DType::I64);
        structural(Concat { axis: 0 }, &[t(&[2, 3]), t(&[4, 3])], 0, "cat 0");
        structural(Concat { axis: 1 }, &[t(&[2, 3, 5]), t(&[2, 1, 5])], 0, "cat 1");
        structural(Concat { axis: 2 }, &[t(&[2, 3, 5]), t(&[2, 3, 700])], 0, "cat 2");
        for step in [1, 3] {
            for axis in [0, 1, 2] {
                let pad = Pad { axis, before: 2, after: 1, step };
                structural(pad, &[t(&[3, 4, 5])], 0, "pad");
            }
        }
        if dtype == DType::I64 {
            continue; // Its elements would be made indices.
        }
        structural(Gather { axis: 0 }, &[t(&[5, 4]), i(&[9, 4])], 5, "gather 0");
        structural(Gather { axis: 0 }, &[t(&[5, 300]), i(&[40, 300])], 5, "gather rows");
        structural(Gather { axis: 1 }, &[t(&[5, 4, 3]), i(&[2, 7, 3])], 4, "gather 1");
        structural(Gather { axis: 2 }, &[t(&[5, 4, 6]), i(&[5, 3, 2])], 6, "gather 2");
        structural(ArgMax { axis: 0, keepdim: false }, &[t(&[5, 4])], 0, "argmax 0");
        structural(ArgMax { axis: 1, keepdim: true }, &[t(&[5, 400])], 0, "argmax 1");
        structural(ArgMax { axis: 1, keepdim: true }, &[t(&[5, 4, 3])], 0, "argmax middle");
        let scatter = |axis, x: &[usize], index: &[usize]| {
            let types = [t(x), i(index), t(index)];
            structural(ScatterAdd { axis }, &types, x[axis], "scatter_add");
        };
        scatter(0, &[5, 4], &[9, 4]);
        scatter(0, &[5, 4], &[9, 3]);
        scatter(0, &[6, 200], &[50, 200]);
        scatter(1, &[5, 4], &[4, 9]);
        scatter(1, &[5, 4, 3], &[2, 7, 3]);
        scatter(0, &[5, 4, 3], &[6, 2, 2]);
        scatter(2, &[5, 4, 6], &[5, 3, 9]);
        scatter(0, &[7], &[50]);
    }
}

#[test]
fn argmax_takes_the_first_maximum_or_nan() {
    for len in [3, 64, 65, 300, 1000] {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::U8] {
            let mut numbers = Numbers(len as u64);
            let shape: Shape = [20, len].into();
            let values = (0..shape.numel()).map(|i| match numbers.below(40) {
                0 if i % 3 == 0 && dtype.is_float() => f64::NAN,
                _ => numbers.below(5) as f64,
            });
            let ty = Type::new(shape, dtype);
            let x = if dtype.is_float() {
                Array::float(ty.clone(), values.collect())
            } else {
                Array::int(ty.clone(), values.map(|x| x as i64).collect())
            };
            let mut graph = Graph::new();
            let node = graph.input(ty);
            let y = graph.add(ArgMax { axis: 1, keepdim: false }, &[node]).unwrap();
            graph.set_outputs(vec![y]);
            check(&graph, &[x], &[], 1.0, &format!("argmax {dtype} of {len}"));
        }
    }
}

#[test]
fn products_of_every_dtype_and_arrangement() {
    for dtype in DType::ALL {
        if dtype == DType::Bool {
            continue;
        }
        let t = |shape: &[usize]| ty(shape, dtype);
        structural(MatMul, &[t(&[5, 7]), t(&[7, 3])], 0, "matmul");
        structural(MatMul, &[t(&[64, 100]), t(&[100, 33])], 0, "matmul");
        structural(MatMul, &[t(&[4, 5, 6]), t(&[4, 6, 7])], 0, "batched matmul");
        structural(MatMul, &[t(&[2, 3, 1, 6]), t(&[2, 3, 6, 2])], 0, "twice batched matmul");
        structural(MatMul, &[t(&[3, 0]), t(&[0, 2])], 0, "empty matmul");
    }
    // Split along the summed axis.
    structural(MatMul, &[ty(&[6, 9000], DType::F32), ty(&[9000, 5], DType::F32)], 0, "deep matmul");
}

#[test]
fn cross_entropy_of_short_and_long_rows() {
    for dtype in [DType::F32, DType::F64, DType::F16] {
        for (n, classes) in [(1, 1), (64, 10), (200, 7), (3, 1000), (2, 1025), (2, 9000), (0, 4)] {
            let logits = Numbers(7).array(&ty(&[n, classes], dtype));
            let scaled = logits.floats().iter().map(|x| x * 20.0).collect();
            let logits = Array::float(logits.ty().clone(), scaled);
            let mut numbers = Numbers(8);
            let labels = (0..n).map(|_| numbers.below(classes) as i64).collect();
            let labels = Array::int(ty(&[n], DType::I64), labels);
            let dy = Numbers(9).array(&ty(&[n], dtype));
            let mut graph = Graph::new();
            let inputs = [logits, labels, dy];
            let nodes: Vec<_> = inputs.iter().map(|a| graph.input(a.ty().clone())).collect();
            let loss = graph.add(CrossEntropy, &nodes[..2]).unwrap();
            let grad = graph.add(CrossEntropyGrad, &nodes).unwrap();
            graph.set_outputs(vec![loss, grad]);
            // In half precision the interpreter rounds inside, after every op of the body.
            let scale = if dtype == DType::F16 { 8.0 } else { 2.0 };
            check(&graph, &inputs, &[], scale, &format!("{dtype} [{n}, {classes}]"));
        }
    }
}

#[test]
fn labels_out_of_range_are_harmless() {
    let mut graph = Graph::new();
    let types = [ty(&[3, 4], DType::F32), ty(&[3], DType::I64), ty(&[3], DType::F32)];
    let nodes = types.clone().map(|t| graph.input(t));
    let loss = graph.add(CrossEntropy, &nodes[..2]).unwrap();
    let grad = graph.add(CrossEntropyGrad, &nodes).unwrap();
    graph.set_outputs(vec![loss, grad]);
    let logits = Numbers(1).array(&types[0]);
    let labels = Array::int(types[1].clone(), vec![-1, 2, 4]);
    let dy = Array::full(types[2].clone(), Scalar::F64(1.0));
    let executable = crate::harness::executable(&graph, &[]);
    let outcome = crate::harness::run(&executable, &graph, &[logits, labels, dy], &[]).unwrap();
    let loss = outcome.arrays[0].floats();
    assert!(loss[0].is_nan() && loss[1].is_finite() && loss[2].is_nan());
    assert!(outcome.arrays[1].floats().iter().all(|g| g.is_finite()));
}

#[test]
fn scalars_counting_and_random_numbers() {
    for dtype in [DType::F32, DType::F64] {
        let mut graph = Graph::new();
        let (seed, stream) = (graph.slot(DType::I64), graph.slot(DType::I64));
        let factor = graph.slot(dtype);
        let half = graph.constant(0.5, dtype);
        let iota = gradus_ir::ops::Iota { len: 500, dtype };
        let count = graph.add(iota, &[]).unwrap();
        let mut outputs = vec![];
        use gradus_ir::ops::{Distribution, Random};
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
        let iota = gradus_ir::ops::Iota { len: 1200, dtype };
        let count = graph.add(iota, &[]).unwrap();
        let shape = gradus_ir::ops::Reshape { shape: [30, 40].into() };
        let table = graph.add(shape, &[count]).unwrap();
        let turn = gradus_ir::ops::Permute { axes: [1, 0].as_slice().into() };
        let turned = graph.add(turn, &[table]).unwrap();
        let x = graph.input(Type::new([40, 30], dtype));
        let sum = graph.add(ScalarOp::Add, &[x, turned]).unwrap();
        graph.set_outputs(vec![count, turned, sum]);
        let x = Numbers(4).array(&Type::new([40, 30], dtype));
        check(&graph, &[x], &[], 1.0, &format!("iota {dtype}"));
    }
}
