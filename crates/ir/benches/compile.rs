//! How long a plan takes to compile: a training step of a deep network, its gradients and its
//! updates.
//!
//! `cargo bench -p gradus-ir`

#[path = "../tests/ir/program.rs"]
#[expect(dead_code, reason = "it is compiled, not run")]
mod program;
#[path = "../tests/ir/rng.rs"]
#[expect(dead_code, reason = "generated tests use the rest")]
mod rng;
#[path = "../tests/ir/training.rs"]
mod training;

use divan::counter::ItemsCount;
use gradus_ir::schedule::{Backend, compile};

fn main() {
    divan::main();
}

/// Hidden layers; with Adam, 30 of them make a graph of 1,700 nodes.
#[divan::bench(args = [3, 10, 30, 90])]
fn adam_step(bencher: divan::Bencher<'_, '_>, layers: usize) {
    let sizes: Vec<usize> = vec![64; layers + 1];
    let program = training::step(32, &sizes, training::Optimizer::Adam);
    let nodes = program.graph.len();
    let backend =
        Backend { has_kernel: |_, _| true, runs_by_slice: |_, _| false, takes_tail: |_, _| true };
    bencher
        .counter(ItemsCount::new(nodes))
        .bench(|| compile(&program.graph, &program.donations, &backend));
}
