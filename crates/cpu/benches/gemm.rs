//! The products of a training step, and square ones: `cargo bench -p gradus-cpu --bench gemm`.
//!
//! Items are floating-point operations, so that `Gitem/s` reads as GFLOP/s. `kernel_alone` is the `gemm`
//! crate on the whole product and one thread: what the plans are to beat.

use std::fmt;

use divan::Bencher;
use divan::counter::ItemsCount;
use gemm::Parallelism;
use gradus_cpu::buffer::Buffer;
use gradus_cpu::gemm::{Gemm, GemmPlan, Offsets, Operands, Strides};
use gradus_cpu::pool::Pool;
use gradus_ir::DType;

fn main() {
    divan::main();
}

/// 784 → 512 → 512 → 10 on batches of 64: forward, gradients of inputs, gradients of weights; 128 → 512 → 128 on 768
/// tokens; and others.
const CASES: &[Case] = &[
    Case("1 forward 1", [64, 512, 784], false, true),
    Case("2 forward 2", [64, 512, 512], false, true),
    Case("3 forward 3", [64, 10, 512], false, true),
    Case("4 inputs 3", [64, 512, 10], false, false),
    Case("5 inputs 2", [64, 512, 512], false, false),
    Case("6 weights 3", [10, 512, 64], true, false),
    Case("7 weights 2", [512, 512, 64], true, false),
    Case("8 weights 1", [512, 784, 64], true, false),
    Case("skinny forward", [64, 10, 21632], false, true),
    Case("skinny inputs", [64, 21632, 10], false, false),
    Case("skinny weights", [10, 21632, 64], true, false),
    Case("wide forward", [768, 512, 128], false, true),
    Case("deep forward", [768, 128, 512], false, true),
    Case("wide inputs", [768, 512, 128], false, false),
    Case("deep inputs", [768, 128, 512], false, false),
    Case("tall weights", [512, 128, 768], true, false),
    Case("flat weights", [128, 512, 768], true, false),
    Case("square 512", [512, 512, 512], false, false),
    Case("square 2048", [2048, 2048, 2048], false, false),
    Case("square 2048 A·Bᵀ", [2048, 2048, 2048], false, true),
    Case("square 2048 Aᵀ·B", [2048, 2048, 2048], true, false),
];

/// A name; rows, columns and depth; whether A and B are stored transposed.
struct Case(&'static str, [usize; 3], bool, bool);

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [m, n, k] = self.1;
        write!(f, "{} {m}x{n}x{k}", self.0)
    }
}

impl Case {
    fn gemm(&self) -> Gemm {
        let &Case(_, [m, n, k], a, b) = self;
        let strides = |transposed: bool, rows: usize, cols: usize| {
            if transposed { Strides { row: 1, col: rows } } else { Strides { row: cols, col: 1 } }
        };
        let (a, b) = (strides(a, m, k), strides(b, k, n));
        Gemm { dtype: DType::F32, m, n, k, a, b, batch: vec![Offsets::default()], long_rows: false }
    }

    /// A, B and C.
    fn buffers(&self) -> [Buffer; 3] {
        let [m, n, k] = self.1;
        [m * k, k * n, m * n].map(|len| {
            let numbers: Vec<f32> = (0..len).map(|i| (i % 997) as f32 / 997.0 - 0.5).collect();
            Buffer::from_slice(&numbers)
        })
    }
}

#[divan::bench(args = CASES)]
fn kernel_alone(bencher: Bencher, case: &Case) {
    let (Gemm { m, n, k, a, b, .. }, [left, right, mut c]) = (case.gemm(), case.buffers());
    let step = |stride: usize| stride as isize;
    bencher.counter(ItemsCount::new(2 * m * n * k)).bench_local(|| {
        // SAFETY: the buffers have the sizes that the shapes ask for.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_ptr().cast::<f32>(),
                1,
                step(n),
                false,
                left.as_ptr().cast(),
                step(a.col),
                step(a.row),
                right.as_ptr().cast(),
                step(b.col),
                step(b.row),
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    });
}

#[divan::bench(args = CASES)]
fn threads_1(bencher: Bencher, case: &Case) {
    run(bencher, case, 1);
}

#[divan::bench(args = CASES)]
fn threads_2(bencher: Bencher, case: &Case) {
    run(bencher, case, 2);
}

fn run(bencher: Bencher, case: &Case, threads: usize) {
    let [a, b, mut c] = case.buffers();
    let plan = GemmPlan::new(case.gemm());
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
