//! The kernels of a transformer that are neither products nor loops: attention, normalisation, GELU, cross-entropy.
//!
//! ```text
//! cargo bench -p gradus-cpu --bench transformer
//! ```

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use gradus_cpu::buffer::Buffer;
use gradus_cpu::pool::set_num_threads;
use gradus_cpu::{BACKEND, Executable};
use gradus_ir::graph::Graph;
use gradus_ir::ops::{
    Attention, AttentionGrad, CrossEntropy, CrossEntropyGrad, Normalize, NormalizeGrad, Op,
};
use gradus_ir::scalar::ScalarOp::{Mul, Ndtr};
use gradus_ir::schedule::compile;
use gradus_ir::{DType, Scalar, Type};

fn main() {
    divan::main();
}

const THREADS: [usize; 2] = [1, 2];

/// Heads, length, features: a batch of short texts, and one long text.
const HEADS: [[usize; 3]; 2] = [[48, 64, 32], [12, 1024, 64]];

/// Runs an op over operands of different numbers between −1 and 1, and labels of 0. Items are floating-point
/// operations, of which causality saves half.
fn bench(bencher: Bencher, threads: usize, op: impl Into<Op>, types: &[Type]) {
    let mut g = Graph::new();
    let x: Vec<_> = types.iter().map(|ty| g.input(ty.clone())).collect();
    let y = g.add(op, &x).unwrap();
    g.set_outputs(vec![y]);
    run(bencher, threads, &g, types);
}

fn run(bencher: Bencher, threads: usize, g: &Graph, types: &[Type]) {
    set_num_threads(threads);
    let executable = Executable::new(compile(g, &[], &BACKEND));
    let number = |i: usize| (i * 7919 % 997) as f32 / 498.5 - 1.0;
    let mut inputs: Vec<Arc<Buffer>> = types
        .iter()
        .map(|ty| match ty.dtype {
            DType::F32 => (0..ty.shape.numel()).map(number).collect::<Vec<f32>>(),
            _ => vec![0.0; ty.bytes() / size_of::<f32>()],
        })
        .map(|numbers| Arc::new(Buffer::from_slice(&numbers)))
        .collect();
    bencher
        .counter(ItemsCount::new(executable.plan().flops()))
        .bench_local(|| executable.run(&mut inputs, &[]).map(|outputs| outputs.len()));
    set_num_threads(2);
}

fn attention([_, _, features]: [usize; 3]) -> Attention {
    Attention { causal: true, scale: Scalar::F64(1.0 / (features as f64).sqrt()) }
}

#[divan::bench(args = HEADS, consts = THREADS)]
fn causal_attention<const N: usize>(bencher: Bencher, shape: [usize; 3]) {
    bench(bencher, N, attention(shape), &[(); 3].map(|()| Type::new(shape, DType::F32)));
}

#[divan::bench(args = HEADS, consts = THREADS)]
fn causal_attention_gradient<const N: usize>(bencher: Bencher, shape: [usize; 3]) {
    let op = AttentionGrad(attention(shape));
    bench(bencher, N, op, &[(); 4].map(|()| Type::new(shape, DType::F32)));
}

#[divan::bench(args = THREADS)]
fn normalize_768x128(bencher: Bencher, threads: usize) {
    let op = Normalize { eps: Scalar::F64(1e-5) };
    bench(bencher, threads, op, &[Type::new([768, 128], DType::F32)]);
}

#[divan::bench(args = THREADS)]
fn normalize_gradient_768x128(bencher: Bencher, threads: usize) {
    let op = NormalizeGrad { eps: Scalar::F64(1e-5) };
    bench(bencher, threads, op, &[(); 2].map(|()| Type::new([768, 128], DType::F32)));
}

#[divan::bench(args = THREADS)]
fn gelu_768x512(bencher: Bencher, threads: usize) {
    let types = [Type::new([768, 512], DType::F32)];
    let mut g = Graph::new();
    let x = g.input(types[0].clone());
    let share = g.add(Ndtr, &[x]).unwrap();
    let y = g.add(Mul, &[x, share]).unwrap();
    g.set_outputs(vec![y]);
    run(bencher, threads, &g, &types);
}

#[divan::bench(args = THREADS)]
fn cross_entropy_768x65(bencher: Bencher, threads: usize) {
    let types = [Type::new([768, 65], DType::F32), Type::new([768], DType::I64)];
    bench(bencher, threads, CrossEntropy, &types);
}

#[divan::bench(args = THREADS)]
fn cross_entropy_gradient_768x65(bencher: Bencher, threads: usize) {
    let [logits, rows] = [&[768, 65][..], &[768]].map(|shape| Type::new(shape, DType::F32));
    let types = [logits, Type::new([768], DType::I64), rows];
    bench(bencher, threads, CrossEntropyGrad, &types);
}
