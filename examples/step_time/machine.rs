//! What the machine does at best, measured where and when the steps are.

use std::hint::black_box;
use std::time::Instant;

use gradus_cpu::pool::{fork_join_latency, num_threads, pool};
use pulp::{Arch, Simd, WithSimd};

/// Independent sums on a thread. A processor that begins two multiply-adds in a cycle and ends them four
/// cycles later keeps eight going; sixteen registers hold twelve and the operands.
const SUMS: usize = 12;
const ROUNDS: usize = 1 << 17;
const TRIES: usize = 20;

/// The peak of all threads together in 10⁹ float32 operations per second, and what it costs to fork to every
/// thread and to join them, in nanoseconds.
///
/// The peak is of multiply-adds that never leave the registers, at two operations each: more than any program
/// reaches that has to load its operands.
pub fn measure() -> (f64, u128) {
    // First, because it wakes the threads.
    let latency = fork_join_latency().as_nanos();
    let threads = num_threads();
    let try_once = || {
        let start = Instant::now();
        pool().run(threads, &|_| {
            black_box(Arch::new().dispatch(MultiplyAdds));
        });
        start.elapsed().as_secs_f64()
    };
    let seconds = (0..TRIES).map(|_| try_once()).fold(f64::INFINITY, f64::min);
    let operations = 2 * threads * ROUNDS * SUMS * Arch::new().dispatch(Lanes);
    (operations as f64 / seconds / 1e9, latency)
}

struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        // The sums stay at 1, so that no number is subnormal.
        let (factor, term) = (simd.splat_f32s(black_box(0.75)), simd.splat_f32s(black_box(0.25)));
        let mut sums = [simd.splat_f32s(1.0); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, term);
            }
        }
        sums.into_iter().map(|sum| simd.reduce_sum_f32s(sum)).sum()
    }
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}
