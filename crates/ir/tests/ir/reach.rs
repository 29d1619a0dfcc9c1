//! Kernels larger than what they meet: shorter ones, and the same results.

use gradus_ir::autograd::gradients;
use gradus_ir::graph::Graph;
use gradus_ir::ops::{Conv, ConvGeometry, Expand, Op};
use gradus_ir::passes::{join, optimize};
use gradus_ir::{Array, DType, Type};

use crate::plans::{native, verified};
use crate::program::Program;
use crate::rng::Rng;

/// A convolution of a plane by a kernel, its two gradients, and the kernels that remain.
fn remaining(
    plane: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [[usize; 2]; 2],
    dilation: [usize; 2],
) -> Vec<[usize; 2]> {
    let mut rng = Rng::new(3);
    let mut graph = Graph::new();
    let shapes = [[2, 4, plane[0], plane[1]], [6, 2, kernel[0], kernel[1]]];
    let inputs = shapes.map(|shape| {
        let ty = Type::new(shape, DType::F64);
        Array::float(ty.clone(), rng.distinct(ty.shape.numel()))
    });
    let x: Vec<_> = inputs.iter().map(|a| graph.input(a.ty().clone())).collect();
    let y = graph.add(Conv(ConvGeometry { stride, padding, dilation, groups: 2 }), &x).unwrap();
    let one = graph.constant(1.0, DType::F64);
    let shape = graph.ty(y).shape.clone();
    let dy = graph.add(Expand { shape }, &[one]).unwrap();
    let mut outputs = vec![y];
    outputs.extend(gradients(&mut graph, y, dy, &x).into_iter().flatten());
    assert_eq!(outputs.len(), 3);
    graph.set_outputs(outputs);

    let joined = optimize(&join(&optimize(&graph)));
    let kernels = joined.nodes().iter().filter_map(|node| match &node.op {
        Op::Conv(_) | Op::ConvInputGrad(_) => {
            let shape = &joined.ty(node.inputs[1]).shape;
            Some([shape[2], shape[3]])
        }
        Op::ConvWeightGrad(op) => Some(op.kernel),
        _ => None,
    });
    let mut kernels: Vec<_> = kernels.collect();
    let program =
        Program { graph, inputs: inputs.into(), slots: Vec::new(), donations: Vec::new() };
    assert!(verified(&program, native, "a convolution").1.is_ok());
    assert_eq!(kernels.len(), 3);
    kernels.dedup();
    kernels
}

#[test]
fn taps_that_meet_padding_alone_go() {
    let same = |n: usize| [[n, n], [n, n]];
    assert_eq!(remaining([1, 1], [3, 3], [1, 1], same(1), [1, 1]), [[1, 1]]);
    assert_eq!(remaining([3, 2], [7, 7], [1, 1], same(3), [1, 1]), [[5, 3]]);
    // The output stands on one side only.
    assert_eq!(remaining([2, 2], [3, 3], [2, 2], same(1), [1, 1]), [[2, 2]]);
    assert_eq!(remaining([2, 5], [3, 5], [1, 1], [[2, 0], [0, 4]], [1, 1]), [[2, 5]]);
    assert_eq!(remaining([1, 4], [3, 2], [1, 1], [[2, 0], [0, 0]], [1, 1]), [[1, 2]]);
    assert_eq!(remaining([3, 3], [3, 3], [1, 1], same(3), [3, 1]), [[1, 3]]);
}

#[test]
fn taps_that_meet_the_plane_stay() {
    let same = |n: usize| [[n, n], [n, n]];
    assert_eq!(remaining([5, 5], [3, 3], [1, 1], same(1), [1, 1]), [[3, 3]]);
    assert_eq!(remaining([4, 4], [4, 4], [1, 1], same(0), [1, 1]), [[4, 4]]);
    // Every second element is passed over, but by other taps than the first and the last.
    assert_eq!(remaining([6, 6], [3, 3], [3, 3], same(0), [1, 1]), [[3, 3]]);
}
