//! What the processor could do at best: the measure of how well a kernel does.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use pulp::{Simd, WithSimd};

use crate::memory::lock;
use crate::pool::pool;
use crate::tier::{has_fma, with_simd};

/// Sums in flight, each in a register: enough to hide the four cycles of a fused multiply–add on two units, of which
/// some processors have four for NEON, and few enough for the sixteen registers of AVX2 or the 32 of NEON.
const SUMS: usize = if cfg!(target_arch = "aarch64") { 24 } else { 12 };
/// Multiply–adds of each sum in a launch: a fraction of a millisecond, much longer than the launch itself.
const ROUNDS: usize = 40_000;
/// The fastest launch counts; the others were disturbed, or found the processor at a lower clock.
const LAUNCHES: usize = 40;

/// Floating-point operations a second, at best, of all threads of the process-wide pool together: multiply–adds
/// of `f32` vectors that never leave the registers.
///
/// It is measured in some ten milliseconds, once in a process for each number of threads.
pub fn peak_flops() -> f64 {
    static MEASURED: Mutex<BTreeMap<usize, f64>> = Mutex::new(BTreeMap::new());
    let threads = pool().num_threads();
    *lock(&MEASURED).entry(threads).or_insert_with(|| measure(threads))
}

fn measure(threads: usize) -> f64 {
    let mut operations = 0.0;
    with_simd(MultiplyAdds { rounds: 1, operations: &mut operations });
    let launch = || {
        let start = Instant::now();
        pool().run(threads, &|_| {
            with_simd(MultiplyAdds { rounds: ROUNDS, operations: &mut 0.0 });
        });
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..LAUNCHES).map(|_| launch()).fold(f64::INFINITY, f64::min);
    operations * ROUNDS as f64 * threads as f64 / fastest
}

/// Does multiply–adds, and says how many operations they were.
struct MultiplyAdds<'a> {
    rounds: usize,
    operations: &'a mut f64,
}

impl WithSimd for MultiplyAdds<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The numbers stay ordinary however long it runs: a contraction towards 1, or where it is fused small steps
        // from 2 on, because NEON adds to a register and multiplies two others.
        let (factor, step) = black_box((0.999, 0.001));
        let (factor, step) = (simd.splat_f32s(factor), simd.splat_f32s(step));
        let mut sums = [simd.splat_f32s(black_box(2.0)); SUMS];
        // Without the instruction, a fused multiply–add is a call of software that no kernel makes.
        let fused = has_fma();
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = match fused {
                    true => simd.mul_add_f32s(factor, step, *sum),
                    false => simd.add_f32s(simd.mul_f32s(*sum, factor), step),
                };
            }
        }
        for sum in sums {
            black_box(simd.reduce_sum_f32s(sum));
        }
        *self.operations = (2 * self.rounds * SUMS * S::F32_LANES) as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_a_processor_and_is_measured_once() {
        let peak = peak_flops();
        assert!((1e8..1e15).contains(&peak), "{peak:e} operations a second");
        assert_eq!(peak_flops().to_bits(), peak.to_bits());
    }
}
