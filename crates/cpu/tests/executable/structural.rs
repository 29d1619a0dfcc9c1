//! Structural kernels, each operand in every arrangement.

use gradus_ir::graph::Graph;
use gradus_ir::ops::{
    ArgMax, ArgSort, Concat, Conv, ConvGeometry, ConvInputGrad, ConvWeightGrad, CrossEntropy,
    CrossEntropyGrad, CumSum, Expand, Flip, Gather, MatMul, Normalize, NormalizeGrad, Op, Pad,
    ScatterAdd, Window,
};
use gradus_ir::{Array, DType, Scalar, Shape, Type};

use crate::harness::{Arrangement, Numbers, arranged, check, executable, run};

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

/// Rows shorter than a vector's lanes, as long, and longer, with and without a rest.
#[test]
fn normalized_rows_of_any_length() {
    let eps = Scalar::F64(1e-5);
    for size in [1, 5, 31, 32, 33, 100, 128, 700] {
        let rows = ty(&[9, size], DType::F32);
        let what = format!("rows of {size}");
        structural(Normalize { eps }, std::slice::from_ref(&rows), 0, &what);
        structural(NormalizeGrad { eps }, &[rows.clone(), rows], 0, &what);
    }
}

/// One index for a whole row, as in the gradient of an embedding, some of them out of range.
#[test]
fn rows_are_added_whole() {
    for dtype in [DType::F32, DType::F64, DType::I32, DType::Bool] {
        for width in [3, 64, 700] {
            let types = [ty(&[6, width], dtype), ty(&[50, 1], DType::I64), ty(&[50, width], dtype)];
            let mut graph = Graph::new();
            let [x, index, source] = types.clone().map(|t| graph.input(t));
            let shape = types[2].shape.clone();
            let wide = graph.add(Expand { shape }, &[index]).unwrap();
            let y = graph.add(ScatterAdd { axis: 0 }, &[x, wide, source]).unwrap();
            graph.set_outputs(vec![y]);
            let index = (0..50).map(|i| i * 7 % 8 - 1).collect();
            let inputs = [
                Numbers(1).array(&types[0]),
                Array::int(types[1].clone(), index),
                Numbers(2).array(&types[2]),
            ];
            check(&graph, &inputs, &[], 4.0, &format!("{dtype}, rows of {width}"));
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
    let executable = executable(&graph, &[]);
    let outcome = run(&executable, &graph, &[logits, labels, dy], &[]).unwrap();
    let loss = outcome.arrays[0].floats();
    assert!(loss[0].is_nan() && loss[1].is_finite() && loss[2].is_nan());
    assert!(outcome.arrays[1].floats().iter().all(|g| g.is_finite()));
}

/// Convolutions too large for one piece of windows, one partial weight gradient or one task.
#[test]
fn convolutions_in_pieces() {
    let plain = ConvGeometry::default();
    let padded = ConvGeometry { padding: [[1, 1]; 2], ..plain.clone() };
    let grouped = ConvGeometry { groups: 2, stride: [2, 1], ..padded.clone() };
    for dtype in [DType::F32, DType::F64] {
        for (geometry, x, w) in [
            (&padded, [2, 40, 20, 21], [5, 40, 3, 3]),
            (&padded, [19, 2, 9, 8], [3, 2, 3, 3]),
            (&padded, [9, 70, 6, 5], [6, 70, 3, 3]),
            (&plain, [5, 600, 3, 3], [4, 600, 1, 1]),
            (&grouped, [3, 66, 14, 13], [4, 33, 3, 3]),
            (&plain, [3, 70, 30, 30], [3, 70, 1, 1]),
            (&plain, [1, 1, 3, 2000], [2, 1, 1, 31]),
        ] {
            let t = |shape: &[usize]| ty(shape, dtype);
            let [oh, ow] = geometry.output([x[2], x[3]], [w[2], w[3]]).unwrap();
            let y = [x[0], w[0], oh, ow];
            let what = format!("convolution of {x:?} with {w:?}");
            let forward = Conv(geometry.clone());
            once(forward, &[t(&x), t(&w)], &what);
            let input = [x[2], x[3]];
            let input_grad = ConvInputGrad { geometry: geometry.clone(), input };
            once(input_grad, &[t(&y), t(&w)], &what);
            let kernel = [w[2], w[3]];
            let weight_grad = ConvWeightGrad { geometry: geometry.clone(), kernel };
            once(weight_grad, &[t(&x), t(&y)], &what);
        }
    }
}

/// One structural op over contiguous operands.
fn once(op: impl Into<Op>, types: &[Type], what: &str) {
    let mut graph = Graph::new();
    let operands: Vec<_> = types.iter().map(|ty| graph.input(ty.clone())).collect();
    let inputs: Vec<Array> =
        types.iter().enumerate().map(|(i, ty)| Numbers(i as u64).array(ty)).collect();
    let y = graph.add(op, &operands).expect(what);
    graph.set_outputs(vec![y]);
    check(&graph, &inputs, &[], 64.0, what);
}

#[test]
fn orders_sums_and_windows_in_every_arrangement() {
    for dtype in DType::ALL {
        if matches!(dtype, DType::Bool) {
            continue;
        }
        let t = |shape: &[usize]| ty(shape, dtype);
        for (axis, shape) in [(0, &[300, 5][..]), (1, &[5, 300]), (1, &[4, 70, 3]), (0, &[1])] {
            for back in [false, true] {
                let sort = ArgSort { axis, descending: back };
                structural(sort, &[t(shape)], 0, "argsort");
                structural(CumSum { axis, reverse: back }, &[t(shape)], 0, "cumsum");
            }
            structural(Flip { axis }, &[t(shape)], 0, "flip");
        }
        let window = Window { axis: 1, size: 3, step: 2, dilation: 2 };
        structural(window, &[t(&[4, 70, 3])], 0, "window");
    }
}
