//! Fused loops that training steps consist of, with the bytes that they must move at least.
//!
//! ```text
//! cargo bench -p gradus-cpu --bench loops
//! ```

use std::sync::Arc;

use divan::Bencher;
use divan::counter::BytesCount;
use gradus_cpu::buffer::Buffer;
use gradus_cpu::pool::set_num_threads;
use gradus_cpu::{BACKEND, Executable};
use gradus_ir::graph::{Graph, NodeId};
use gradus_ir::ops::{Cast, CrossEntropy, CrossEntropyGrad, Expand, Reduce, ReduceKind};
use gradus_ir::scalar::ScalarOp::{Add, Div, Exp, Mul, Relu, ReluGrad, Sqrt, Sub};
use gradus_ir::schedule::{Donation, compile};
use gradus_ir::{DType, Scalar, Type};

fn main() {
    divan::main();
}

const THREADS: [usize; 2] = [1, 2];

fn input(g: &mut Graph, shape: &[usize], dtype: DType) -> NodeId {
    g.input(Type::new(shape, dtype))
}

fn reduce(kind: ReduceKind, axis: usize, keepdim: bool) -> Reduce {
    Reduce { kind, axes: [axis].as_slice().into(), keepdim }
}

/// Runs a graph on ones, with the first inputs donated to the first outputs.
fn bench(bencher: Bencher, threads: usize, graph: &Graph, donated: u32) {
    set_num_threads(threads);
    let donations: Vec<Donation> = (0..donated).map(|i| Donation { input: i, output: i }).collect();
    let executable = Executable::new(compile(graph, &donations, &BACKEND));
    let types = graph.nodes().iter().filter(|n| matches!(n.op, gradus_ir::ops::Op::Input(_)));
    let mut inputs: Vec<Arc<Buffer>> = types
        .map(|n| match n.ty.dtype {
            DType::F32 => Arc::new(Buffer::from_slice(&vec![0.75f32; n.ty.shape.numel()])),
            _ => Arc::new(Buffer::zeroed(n.ty.bytes())),
        })
        .collect();
    let slots = vec![Scalar::F64(0.01); graph.n_slots()];
    let bytes = executable.plan().bytes();
    bencher
        .counter(BytesCount::new(bytes))
        .bench_local(|| executable.run(&mut inputs, &slots).map(|outputs| outputs.len()));
    set_num_threads(2);
}

#[divan::bench(args = THREADS)]
fn bias_relu_64x512(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let (x, b) = (input(&mut g, &[64, 512], DType::F32), input(&mut g, &[512], DType::F32));
    let y = g.add(Add, &[x, b]).unwrap();
    let y = g.add(Relu, &[y]).unwrap();
    g.set_outputs(vec![y]);
    bench(bencher, threads, &g, 0);
}

#[divan::bench(args = THREADS)]
fn relu_grad_and_column_sum_64x512(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let [y, dy] = [(); 2].map(|()| input(&mut g, &[64, 512], DType::F32));
    let dx = g.add(ReluGrad, &[y, dy]).unwrap();
    let db = g.add(reduce(ReduceKind::Sum, 0, false), &[dx]).unwrap();
    g.set_outputs(vec![dx, db]);
    bench(bencher, threads, &g, 0);
}

#[divan::bench(args = THREADS)]
fn sgd_momentum_400k(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let [p, m, grad] = [(); 3].map(|()| input(&mut g, &[784, 512], DType::F32));
    let (lr, momentum) = (g.slot(DType::F32), g.slot(DType::F32));
    let m = g.add(Mul, &[m, momentum]).unwrap();
    let m = g.add(Add, &[m, grad]).unwrap();
    let step = g.add(Mul, &[m, lr]).unwrap();
    let p = g.add(Sub, &[p, step]).unwrap();
    g.set_outputs(vec![p, m]);
    bench(bencher, threads, &g, 2);
}

#[divan::bench(args = THREADS)]
fn adam_400k(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let [p, m, v, grad] = [(); 4].map(|()| input(&mut g, &[784, 512], DType::F32));
    let lr = g.slot(DType::F32);
    let [b1, c1, b2, c2, eps] = [0.9, 0.1, 0.999, 0.001, 1e-8].map(|x| g.constant(x, DType::F32));
    let mut op = |op, a, b| g.add(op, &[a, b]).unwrap();
    let (old, new) = (op(Mul, m, b1), op(Mul, grad, c1));
    let m = op(Add, old, new);
    let square = op(Mul, grad, grad);
    let (old, new) = (op(Mul, v, b2), op(Mul, square, c2));
    let v = op(Add, old, new);
    let root = g.add(Sqrt, &[v]).unwrap();
    let mut op = |op, a, b| g.add(op, &[a, b]).unwrap();
    let below = op(Add, root, eps);
    let ratio = op(Div, m, below);
    let step = op(Mul, ratio, lr);
    let p = op(Sub, p, step);
    g.set_outputs(vec![p, m, v]);
    bench(bencher, threads, &g, 3);
}

#[divan::bench(args = THREADS)]
fn softmax_64x1000(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let x = input(&mut g, &[64, 1000], DType::F32);
    let max = g.add(reduce(ReduceKind::Max, 1, true), &[x]).unwrap();
    let x = g.add(Sub, &[x, max]).unwrap();
    let e = g.add(Exp, &[x]).unwrap();
    let sum = g.add(reduce(ReduceKind::Sum, 1, true), &[e]).unwrap();
    let y = g.add(Div, &[e, sum]).unwrap();
    g.set_outputs(vec![y]);
    bench(bencher, threads, &g, 0);
}

#[divan::bench(args = THREADS)]
fn softmax_64x10(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let x = input(&mut g, &[64, 10], DType::F32);
    let max = g.add(reduce(ReduceKind::Max, 1, true), &[x]).unwrap();
    let x = g.add(Sub, &[x, max]).unwrap();
    let e = g.add(Exp, &[x]).unwrap();
    let sum = g.add(reduce(ReduceKind::Sum, 1, true), &[e]).unwrap();
    let y = g.add(Div, &[e, sum]).unwrap();
    g.set_outputs(vec![y]);
    bench(bencher, threads, &g, 0);
}

#[divan::bench(args = THREADS)]
fn cross_entropy_and_gradient_64x10(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let logits = input(&mut g, &[64, 10], DType::F32);
    let labels = input(&mut g, &[64], DType::I64);
    let dy = g.constant(1.0 / 64.0, DType::F32);
    let dy = g.add(Expand { shape: [64].into() }, &[dy]).unwrap();
    let loss = g.add(CrossEntropy, &[logits, labels]).unwrap();
    let grad = g.add(CrossEntropyGrad, &[logits, labels, dy]).unwrap();
    g.set_outputs(vec![loss, grad]);
    bench(bencher, threads, &g, 0);
}

#[divan::bench(args = THREADS)]
fn sum_64(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let x = input(&mut g, &[64], DType::F32);
    let y = g.add(reduce(ReduceKind::Sum, 0, false), &[x]).unwrap();
    g.set_outputs(vec![y]);
    bench(bencher, threads, &g, 0);
}

#[divan::bench(args = THREADS)]
fn sum_1m(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let x = input(&mut g, &[1_000_000], DType::F32);
    let y = g.add(reduce(ReduceKind::Sum, 0, false), &[x]).unwrap();
    g.set_outputs(vec![y]);
    bench(bencher, threads, &g, 0);
}

#[divan::bench(args = THREADS)]
fn column_sum_4096x512(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let x = input(&mut g, &[4096, 512], DType::F32);
    let y = g.add(reduce(ReduceKind::Sum, 0, false), &[x]).unwrap();
    g.set_outputs(vec![y]);
    bench(bencher, threads, &g, 0);
}

#[divan::bench(args = THREADS)]
fn bytes_to_f32_64x784(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let x = input(&mut g, &[64, 784], DType::U8);
    let x = g.add(Cast { to: DType::F32 }, &[x]).unwrap();
    let scale = g.constant(1.0 / 255.0, DType::F32);
    let y = g.add(Mul, &[x, scale]).unwrap();
    g.set_outputs(vec![y]);
    bench(bencher, threads, &g, 0);
}

#[divan::bench(args = THREADS)]
fn exp_64k(bencher: Bencher, threads: usize) {
    let mut g = Graph::new();
    let x = input(&mut g, &[65_536], DType::F32);
    let y = g.add(Exp, &[x]).unwrap();
    g.set_outputs(vec![y]);
    bench(bencher, threads, &g, 0);
}
