//! Reductions, over all the ways in which a space is cut into units, and with special values.

use gradus_ir::graph::Graph;
use gradus_ir::ops::{Reduce, ReduceKind};
use gradus_ir::scalar::ScalarOp;
use gradus_ir::{Array, DType, Type};

use crate::harness::{Arrangement, Numbers, arranged, check};

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
                    let reduce = |keepdim| Reduce { kind, axes: axes.as_slice().into(), keepdim };
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
