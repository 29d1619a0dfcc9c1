//! Products against the obvious loop, in every layout, dtype and split.

use super::*;
use crate::buffer::Buffer;

/// A matrix stored row by row, column by column, or with gaps.
#[derive(Clone, Copy, Debug)]
enum Order {
    Rows,
    Columns,
    Gaps,
}
use Order::*;

fn strides(order: Order, rows: usize, cols: usize) -> Strides {
    match order {
        Rows => Strides { row: cols, col: 1 },
        Columns => Strides { row: 1, col: rows },
        Gaps => Strides { row: 2 * cols + 1, col: 2 },
    }
}

fn plain(dtype: DType, [m, n, k]: [usize; 3], a: Order, b: Order) -> Gemm {
    let (a, b) = (strides(a, m, k), strides(b, k, n));
    Gemm { dtype, m, n, k, a, b, batch: vec![Offsets::default()], long_rows: false }
}

/// Small numbers, with signs, that repeat late.
fn numbers(len: usize, seed: i64) -> impl Iterator<Item = i64> {
    (0..len as i64).map(move |i| (i * i * 7 + i * 13 + seed) % 23 - 11)
}

trait Sample: Number + PartialEq + std::fmt::Debug {
    fn sample(x: i64) -> Self;
    fn times(self, other: Self) -> Self;
}
macro_rules! sample {
    ($($t:ty, $times:expr;)*) => {$(
        impl Sample for $t {
            fn sample(x: i64) -> $t { x as $t }
            fn times(self, other: $t) -> $t { let f: fn($t, $t) -> $t = $times; f(self, other) }
        }
    )*};
}
// The samples are small integers, so that sums of floats are exact, in whatever order.
sample! {
    f32, |x, y| x * y;
    f64, |x, y| x * y;
    u8, |x, y| x.wrapping_mul(y);
    i32, |x, y| x.wrapping_mul(y);
    i64, |x, y| x.wrapping_mul(y);
}

/// The result of a plan on a number of threads; C and the workspace start as garbage.
fn run<T: Sample>(gemm: &Gemm, a: &[T], b: &[T], threads: usize) -> Vec<T> {
    let plan = GemmPlan::new(gemm.clone());
    let guard = 64;
    let len = gemm.batch.len() * gemm.m * gemm.n;
    let mut c = vec![T::sample(77); len + guard];
    let mut workspace = Buffer::stale(plan.workspace());
    workspace.as_mut_slice::<u8>().fill(0xff);
    let operands = Operands {
        a: a.as_ptr().cast(),
        b: b.as_ptr().cast(),
        c: c.as_mut_ptr().cast(),
        workspace: workspace.as_mut_ptr(),
    };
    // SAFETY: `check` made A and B as large as offsets and strides reach, and C is whole.
    unsafe { plan.run(&Pool::new(threads), operands) };
    assert_eq!(c.split_off(len), vec![T::sample(77); guard], "{gemm:?} wrote past C");
    c
}

/// Compares with the obvious loop, and one thread with two and three, and returns the plan.
fn check<T: Sample>(gemm: Gemm) -> GemmPlan {
    let Gemm { m, n, k, a: sa, b: sb, ref batch, .. } = gemm;
    let reach = |offset: usize, s: Strides, rows: usize, cols: usize| {
        offset + rows.max(1) * s.row + cols.max(1) * s.col
    };
    let len_a = batch.iter().map(|o| reach(o.a, sa, m, k)).max().unwrap_or(0);
    let len_b = batch.iter().map(|o| reach(o.b, sb, k, n)).max().unwrap_or(0);
    let a: Vec<T> = numbers(len_a, 1).map(T::sample).collect();
    let b: Vec<T> = numbers(len_b, 5).map(T::sample).collect();
    let mut expected = Vec::new();
    for offset in batch {
        for i in 0..m {
            for j in 0..n {
                let products = (0..k).map(|p| {
                    let x = a[offset.a + i * sa.row + p * sa.col];
                    x.times(b[offset.b + p * sb.row + j * sb.col])
                });
                expected.push(products.fold(T::sample(0), T::plus));
            }
        }
    }
    for threads in [1, 2, 3] {
        assert!(run(&gemm, &a, &b, threads) == expected, "{gemm:?} on {threads} threads");
    }
    GemmPlan::new(gemm)
}

const SIZES: &[[usize; 3]] = if cfg!(miri) {
    &[[2, 3, 4]]
} else {
    &[
        [1, 1, 1],
        [1, 7, 5],
        [7, 1, 5],
        [3, 4, 0],
        [0, 4, 3],
        [4, 0, 3],
        [16, 16, 16],
        [17, 33, 65],
        [64, 10, 512],
        [10, 64, 70],
        [5, 300, 64],
        [64, 130, 784],
        [130, 64, 100],
        [100, 90, 1030],
    ]
};

#[test]
#[cfg_attr(miri, ignore = "the kernels are written for the processor")]
fn floats_of_every_layout() {
    for &size in SIZES {
        for a in [Rows, Columns, Gaps] {
            for b in [Rows, Columns, Gaps] {
                check::<f32>(plain(DType::F32, size, a, b));
                check::<f64>(plain(DType::F64, size, a, b));
            }
        }
    }
}

#[test]
fn integers_wrap() {
    for &size in SIZES {
        for (a, b) in [(Rows, Rows), (Rows, Columns), (Gaps, Columns)] {
            check::<i64>(plain(DType::I64, size, a, b));
            check::<i32>(plain(DType::I32, size, a, b));
            check::<u8>(plain(DType::U8, size, a, b));
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "the kernels are written for the processor")]
fn batches_broadcast_and_fold() {
    let gemm = |m, n, k, batch| Gemm { batch, ..plain(DType::F32, [m, n, k], Rows, Columns) };
    let offsets = |pairs: &[[usize; 2]]| -> Vec<Offsets> {
        pairs.iter().map(|&[a, b]| Offsets { a, b }).collect()
    };
    // Pairs; one A against many B; in any order; none at all; many small ones.
    check::<f32>(gemm(5, 6, 7, offsets(&[[0, 0], [35, 42], [70, 84]])));
    check::<f32>(gemm(5, 6, 7, offsets(&[[0, 0], [0, 42], [0, 84]])));
    check::<f32>(gemm(5, 6, 7, offsets(&[[35, 42], [0, 42], [35, 0]])));
    check::<f32>(gemm(5, 6, 7, offsets(&[])));
    let many: Vec<Offsets> = (0..100).map(|i| Offsets { a: i * 32 * 20, b: i * 20 * 40 }).collect();
    let plan = check::<f32>(gemm(32, 40, 20, many));
    assert!((2..100).contains(&plan.phases()[0]), "small products should share tasks");
    // Many A against one B are one tall A.
    let plan = check::<f32>(gemm(5, 6, 7, offsets(&[[0, 0], [35, 0], [70, 0]])));
    assert_eq!((plan.gemm.m, plan.gemm.batch.len()), (15, 1));
}

#[test]
#[cfg_attr(miri, ignore = "the kernels are written for the processor")]
fn a_small_deep_product_is_split_along_k() {
    for (a, b) in [(Rows, Rows), (Columns, Rows), (Rows, Columns), (Columns, Columns)] {
        let plan = check::<f32>(plain(DType::F32, [20, 24, 9000], a, b));
        assert!(plan.depth.pieces > 1 && plan.phases()[1] > 0 && plan.workspace() > 0);
    }
}

#[test]
fn the_layers_of_a_network_are_planned_as_intended() {
    let layout = |size, a, b| GemmPlan::new(plain(DType::F32, size, a, b)).layout;
    let plain_rows = Layout::default();
    let packed = Layout { packed: true, ..plain_rows };
    let dots = Layout { dots: true, ..plain_rows };
    assert_eq!(layout([64, 512, 784], Rows, Columns), Layout { transposed: true, ..packed });
    assert_eq!(layout([4096, 64, 784], Rows, Columns), packed);
    assert_eq!(layout([64, 512, 512], Rows, Rows), plain_rows);
    assert_eq!(layout([512, 784, 64], Columns, Rows), plain_rows);
    assert_eq!(layout([64, 10, 512], Rows, Columns), dots);
}

/// Rounding, unlike in the samples above, tells orders of summation apart.
#[test]
#[cfg_attr(miri, ignore = "the kernels are written for the processor")]
fn any_number_of_threads_gives_the_same_bits() {
    for (size, a, b) in [
        ([64, 512, 784], Rows, Columns),
        ([64, 512, 512], Rows, Rows),
        ([512, 784, 64], Columns, Rows),
        ([64, 10, 512], Rows, Columns),
        ([20, 24, 9000], Rows, Rows),
        ([300, 200, 600], Columns, Columns),
    ] {
        let gemm = plain(DType::F32, size, a, b);
        let random = |len: usize, seed| -> Vec<f32> {
            numbers(len, seed).zip(0..).map(|(x, i)| x as f32 / (i as f32 + 3.7).sqrt()).collect()
        };
        let (a, b) = (random(size[0] * size[2], 3), random(size[2] * size[1], 4));
        let bits = |threads| -> Vec<u32> {
            run(&gemm, &a, &b, threads).into_iter().map(f32::to_bits).collect()
        };
        let one = bits(1);
        for threads in [2, 3, 4, 7] {
            assert!(bits(threads) == one, "{gemm:?} on {threads} threads");
        }
    }
}

#[test]
#[should_panic(expected = "cast them to float32")]
fn half_types_are_refused() {
    let _ = GemmPlan::new(plain(DType::BF16, [2, 2, 2], Rows, Rows));
}
