//! What recording costs: time per recorded op, nothing evaluated but at the end of a chain.
//!
//! `cargo bench -p gradus-tensor`: divide by the number of ops in the name.

use divan::Bencher;
use gradus_tensor::{DType, Tensor, evaluate};

const OPS: usize = 1000;

fn main() {
    divan::main();
}

/// A chain of additions of two tensors.
#[divan::bench]
fn record_1000_additions(bencher: Bencher<'_, '_>) {
    let x = Tensor::ones([64, 512], DType::F32);
    evaluate().unwrap();
    bencher.bench_local(|| {
        let mut y = x.clone();
        for _ in 0..OPS {
            y = &y + &x;
        }
        y
    });
}

/// The same with a number in the code and with gradients.
#[divan::bench]
fn record_1000_scalings_with_grad(bencher: Bencher<'_, '_>) {
    let x = Tensor::ones([64, 512], DType::F32).requires_grad_();
    bencher.bench_local(|| {
        let mut y = x.clone();
        for _ in 0..OPS {
            y = &y * 1.5;
        }
        y
    });
}

/// Forward and backward of a deep chain: ops recorded by autograd count too.
#[divan::bench]
fn record_500_relus_and_their_gradients(bencher: Bencher<'_, '_>) {
    let x = Tensor::ones([8], DType::F32).requires_grad_();
    bencher.bench_local(|| {
        let mut y = x.clone();
        for _ in 0..OPS / 2 {
            y = y.relu();
        }
        y.sum().backward();
        x.zero_grad();
    });
}
