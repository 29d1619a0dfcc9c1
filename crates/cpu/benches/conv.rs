//! The convolutions of ResNet-18 on batches of 32 images of CIFAR, and some of MobileNet's: forward and both
//! gradients, `cargo bench -p gradus-cpu --bench conv`.
//!
//! Items are the floating-point operations of the direct sum, so that `Gitem/s` reads as GFLOP/s; Winograd's method
//! needs fewer, and exceeds what the processor can do.

use std::fmt;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use gradus_cpu::buffer::Buffer;
use gradus_cpu::pool::set_num_threads;
use gradus_cpu::{BACKEND, Executable};
use gradus_ir::graph::Graph;
use gradus_ir::ops::{Conv, ConvGeometry, ConvInputGrad, ConvWeightGrad, Op};
use gradus_ir::schedule::compile;
use gradus_ir::{DType, Type};

fn main() {
    divan::main();
}

const THREADS: usize = 1;

/// A name; the input; filters, side of the kernel, stride and groups. The padding keeps the size but for the stride.
struct Case(&'static str, [usize; 4], [usize; 4]);

const CASES: &[Case] = &[
    Case("stem", [32, 3, 32, 32], [64, 3, 1, 1]),
    Case("layer1", [32, 64, 32, 32], [64, 3, 1, 1]),
    Case("layer2 first", [32, 64, 32, 32], [128, 3, 2, 1]),
    Case("layer2 around", [32, 64, 32, 32], [128, 1, 2, 1]),
    Case("layer2", [32, 128, 16, 16], [128, 3, 1, 1]),
    Case("layer3 first", [32, 128, 16, 16], [256, 3, 2, 1]),
    Case("layer3 around", [32, 128, 16, 16], [256, 1, 2, 1]),
    Case("layer3", [32, 256, 8, 8], [256, 3, 1, 1]),
    Case("layer4 first", [32, 256, 8, 8], [512, 3, 2, 1]),
    Case("layer4 around", [32, 256, 8, 8], [512, 1, 2, 1]),
    Case("layer4", [32, 512, 4, 4], [512, 3, 1, 1]),
    Case("pointwise", [32, 128, 16, 16], [128, 1, 1, 1]),
    Case("depthwise", [32, 128, 16, 16], [128, 3, 1, 128]),
    Case("depthwise, stride 2", [32, 64, 32, 32], [64, 3, 2, 64]),
];

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case(name, [_, channels, height, width], [filters, kernel, stride, _]) = self;
        write!(f, "{name} {channels}x{height}x{width} to {filters}, {kernel}x{kernel} by {stride}")
    }
}

impl Case {
    fn geometry(&self) -> ConvGeometry {
        let Case(_, _, [_, kernel, stride, groups]) = *self;
        let padding = [[kernel / 2; 2]; 2];
        ConvGeometry { stride: [stride; 2], padding, groups, ..ConvGeometry::default() }
    }

    /// The shapes of input, weight and output.
    fn shapes(&self) -> [[usize; 4]; 3] {
        let Case(_, x, [filters, kernel, _, groups]) = *self;
        let w = [filters, x[1] / groups, kernel, kernel];
        let [oh, ow] = self.geometry().output([x[2], x[3]], [kernel; 2]).expect("the case fits");
        [x, w, [x[0], filters, oh, ow]]
    }

    fn bench(&self, bencher: Bencher, op: impl Into<Op>, operands: [[usize; 4]; 2]) {
        set_num_threads(THREADS);
        let mut graph = Graph::new();
        let types = operands.map(|shape| Type::new(shape, DType::F32));
        let nodes = types.each_ref().map(|ty| graph.input(ty.clone()));
        let y = graph.add(op, &nodes).expect("the case fits");
        graph.set_outputs(vec![y]);
        let executable = Executable::new(compile(&graph, &[], &BACKEND));
        let mut inputs = types.map(|ty| {
            let numbers: Vec<f32> = (0..ty.shape.numel()).map(|i| (i as f32 * 0.7).sin()).collect();
            Arc::new(Buffer::from_slice(&numbers))
        });
        let [_, w, y] = self.shapes();
        let macs = y.iter().product::<usize>() * w[1..].iter().product::<usize>();
        bencher
            .counter(ItemsCount::new(2 * macs))
            .bench_local(|| executable.run(&mut inputs, &[]).expect("nothing is checked"));
    }
}

#[divan::bench(args = CASES)]
fn a_forward(bencher: Bencher, case: &Case) {
    let [x, w, _] = case.shapes();
    case.bench(bencher, Conv(case.geometry()), [x, w]);
}

#[divan::bench(args = CASES)]
fn b_input_grad(bencher: Bencher, case: &Case) {
    let [x, w, y] = case.shapes();
    let op = ConvInputGrad { geometry: case.geometry(), input: [x[2], x[3]] };
    case.bench(bencher, op, [y, w]);
}

#[divan::bench(args = CASES)]
fn c_weight_grad(bencher: Bencher, case: &Case) {
    let [x, w, y] = case.shapes();
    let op = ConvWeightGrad { geometry: case.geometry(), kernel: [w[2], w[3]] };
    case.bench(bencher, op, [x, y]);
}
