//! The products of a training step, and square ones: `cargo bench -p gradus-cpu --bench gemm`.
//!
//! Items are floating-point operations, so that `Gitem/s` reads as GFLOP/s. `kernel_alone` is the `gemm`
//! crate on the whole product and one thread: what the plans are to beat.

use bytemuck::Zeroable;
use divan::{Bencher, counter::ItemsCount};
use gradus_cpu::buffer::Buffer;
use gradus_cpu::gemm::{Gemm, GemmPlan, Offsets, Operands, Strides};
use gradus_cpu::pool::Pool;
use gradus_ir::DType;

fn main() {
    divan::main();
}

/// (rows, columns, depth), whether A and B are stored transposed.
type Case = (&'static str, [usize; 3], bool, bool);

/// 784 → 512 → 512 → 10 on batches of 64: forward, gradients of inputs, gradients of weights.
const CASES: &[Case] = &[
    ("forward 1", [64, 512, 784], false, true),
    ("forward 2", [64, 512, 512], false, true),
    ("forward 3", [64, 10, 512], false, true),
    ("inputs 3", [64, 512, 10], false, false),
    ("inputs 2", [64, 512, 512], false, false),
    ("weights 3", [10, 512, 64], true, false),
    ("weights 2", [512, 512, 64], true, false),
    ("weights 1", [512, 784, 64], true, false),
    ("skinny", [64, 10, 21632], false, true),
    ("skinny weights", [10, 21632, 64], true, false),
    ("square 512", [512, 512, 512], false, false),
    ("square 2048", [2048, 2048, 2048], false, false),
    ("square 2048, B transposed", [2048, 2048, 2048], false, true),
    ("square 2048, A transposed", [2048, 2048, 2048], true, false),
];

fn gemm(&(_, [m, n, k], ta, tb): &Case) -> Gemm {
    let strides = |transposed: bool, rows: usize, cols: usize| {
        if transposed { Strides { row: 1, col: rows } } else { Strides { row: cols, col: 1 } }
    };
    let (a, b) = (strides(ta, m, k), strides(tb, k, n));
    Gemm { dtype: DType::F32, m, n, k, a, b, batch: vec![Offsets::zeroed_pair()] }
}

fn run(bencher: Bencher, case: &Case, threads: usize) {
    let gemm = gemm(case);
    let fill = |len: usize| {
        let numbers: Vec<f32> = (0..len).map(|i| (i % 997) as f32 / 997.0 - 0.5).collect();
        Buffer::from_slice(&numbers)
    };
    let (a, b) = (fill(gemm.m * gemm.k), fill(gemm.k * gemm.n));
    let mut c = Buffer::zeroed(4 * gemm.m * gemm.n);
    let plan = GemmPlan::new(gemm);
    let mut workspace = Buffer::stale(plan.workspace());
    let operands = Operands {
        a: a.as_ptr(),
        b: b.as_ptr(),
        c: c.as_mut_ptr(),
        workspace: workspace.as_mut_ptr(),
    };
    let pool = Pool::new(threads);
    bencher.counter(ItemsCount::new(plan.flops())).bench_local(|| {
        // SAFETY: the buffers have the sizes that the shapes ask for.
        unsafe { plan.run(&pool, operands) }
    });
}

#[divan::bench(args = CASES)]
fn one_thread(bencher: Bencher, case: &Case) {
    run(bencher, case, 1);
}
