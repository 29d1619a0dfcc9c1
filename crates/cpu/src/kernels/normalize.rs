//! Rows with mean 0 and variance 1, and their gradient, row by row.
//!
//! Sums run in [`LANES`] lanes, as those of loops do, and nothing is fused: the same bits on every instruction tier.
//! Vectors are explicit, as a compiler that takes the lanes apart does not put them together again.

use gradus_ir::schedule::{ValueId, View};
use pulp::{Simd, WithSimd};

use super::{Kernel, TASK};
use crate::fold::{LANES, Sum, across};
use crate::memory::Memory;
use crate::tier::with_simd;

/// The normal rows, or the gradient where `dy` is given.
pub(super) struct Normalize {
    x: View,
    dy: Option<View>,
    out: ValueId,
    eps: f32,
    rows: usize,
    size: usize,
    rows_per_task: usize,
}

/// What an element costs, in bytes moved.
const COST: usize = 16;

impl Normalize {
    pub fn new(x: &View, dy: Option<&View>, eps: f64, out: ValueId) -> Normalize {
        let (rows, size) = (x.shape[0], x.shape[1]);
        Normalize {
            x: x.clone(),
            dy: dy.cloned(),
            out,
            eps: eps as f32,
            rows,
            size,
            rows_per_task: (TASK / (size * COST)).max(1),
        }
    }
}

impl Kernel for Normalize {
    fn tasks(&self) -> usize {
        self.rows.div_ceil(self.rows_per_task)
    }

    fn cost(&self) -> usize {
        self.rows * self.size * COST
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let start = task * self.rows_per_task;
        let rows = self.rows_per_task.min(self.rows - start);
        let (first, len) = (start * self.size, rows * self.size);
        // SAFETY: operands are contiguous, and the rows of the result are this task's.
        unsafe {
            let whole = |view| std::slice::from_raw_parts(memory.view::<f32>(view).add(first), len);
            let x = whole(&self.x);
            let out = std::slice::from_raw_parts_mut(memory.at::<f32>(self.out).add(first), len);
            let dy = self.dy.as_ref().map(whole);
            with_simd(Rows { x, dy, out, size: self.size, eps: self.eps });
        }
    }
}

struct Rows<'a> {
    x: &'a [f32],
    dy: Option<&'a [f32]>,
    out: &'a mut [f32],
    size: usize,
    eps: f32,
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Rows { x, dy, out, size, eps } = self;
        let part = 1.0 / size as f32;
        for (i, out) in out.chunks_exact_mut(size).enumerate() {
            let x = &x[i * size..][..size];
            let mean = sum(
                simd,
                x,
                x,
                #[inline(always)]
                |x, _| x,
            ) * part;
            let mut row = Row { simd, mean: simd.splat_f32s(mean), scale: simd.splat_f32s(1.0) };
            let variance = sum(
                simd,
                x,
                x,
                #[inline(always)]
                |x, _| simd.mul_f32s(row.centred(x), row.centred(x)),
            );
            let scale = 1.0 / (variance * part + eps).sqrt();
            row.scale = simd.splat_f32s(scale);
            let Some(dy) = dy else {
                each(
                    simd,
                    x,
                    x,
                    out,
                    #[inline(always)]
                    |x, _| row.normal(x),
                );
                continue;
            };
            let dy = &dy[i * size..][..size];
            let shift = sum(
                simd,
                dy,
                dy,
                #[inline(always)]
                |dy, _| dy,
            ) * part;
            let slope = sum(
                simd,
                x,
                dy,
                #[inline(always)]
                |x, dy| simd.mul_f32s(dy, row.centred(x)),
            );
            let shift = simd.splat_f32s(shift);
            let slope = simd.splat_f32s(slope * scale * part);
            each(
                simd,
                x,
                dy,
                out,
                #[inline(always)]
                |x, dy| {
                    let along = simd.mul_f32s(row.normal(x), slope);
                    let across = simd.sub_f32s(simd.sub_f32s(dy, shift), along);
                    simd.mul_f32s(across, row.scale)
                },
            );
        }
    }
}

/// What makes a row normal.
#[derive(Clone, Copy)]
struct Row<S: Simd> {
    simd: S,
    mean: S::f32s,
    scale: S::f32s,
}

impl<S: Simd> Row<S> {
    #[inline(always)]
    fn centred(self, x: S::f32s) -> S::f32s {
        self.simd.sub_f32s(x, self.mean)
    }

    #[inline(always)]
    fn normal(self, x: S::f32s) -> S::f32s {
        self.simd.mul_f32s(self.centred(x), self.scale)
    }
}

/// The sum of `f` over pairs of elements, in lanes.
#[inline(always)]
fn sum<S: Simd>(simd: S, x: &[f32], y: &[f32], f: impl Fn(S::f32s, S::f32s) -> S::f32s) -> f32 {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sums = [simd.splat_f32s(0.0); LANES];
    for (x, y) in x.iter().zip(y) {
        for ((sum, &x), &y) in sums.iter_mut().zip(vectors::<S>(x)).zip(vectors::<S>(y)) {
            *sum = simd.add_f32s(*sum, f(x, y));
        }
    }
    let mut lanes = [0.0; LANES];
    vectors_mut::<S>(&mut lanes).iter_mut().zip(sums).for_each(|(lanes, sum)| *lanes = sum);
    let last = padded(simd, x_rest, y_rest, f);
    lanes.iter_mut().zip(&last[..x_rest.len()]).for_each(|(lane, last)| *lane += last);
    across::<f32, Sum>(lanes)
}

/// `f` of every pair of elements.
#[inline(always)]
fn each<S: Simd>(
    simd: S,
    x: &[f32],
    y: &[f32],
    out: &mut [f32],
    f: impl Fn(S::f32s, S::f32s) -> S::f32s,
) {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let (out, out_rest) = out.as_chunks_mut::<LANES>();
    for ((x, y), out) in x.iter().zip(y).zip(out) {
        let operands = vectors::<S>(x).iter().zip(vectors::<S>(y));
        vectors_mut::<S>(out).iter_mut().zip(operands).for_each(|(out, (&x, &y))| *out = f(x, y));
    }
    out_rest.copy_from_slice(&padded(simd, x_rest, y_rest, f)[..x_rest.len()]);
}

/// `f` of fewer than [`LANES`] pairs of elements, and of zeros behind them.
#[inline(always)]
fn padded<S: Simd>(
    _: S,
    x: &[f32],
    y: &[f32],
    f: impl Fn(S::f32s, S::f32s) -> S::f32s,
) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    if !x.is_empty() {
        let mut pair = [[0.0; LANES]; 2];
        pair[0][..x.len()].copy_from_slice(x);
        pair[1][..y.len()].copy_from_slice(y);
        let operands = vectors::<S>(&pair[0]).iter().zip(vectors::<S>(&pair[1]));
        let outs = vectors_mut::<S>(&mut out).iter_mut();
        outs.zip(operands).for_each(|(out, (&x, &y))| *out = f(x, y));
    }
    out
}

#[inline(always)]
fn vectors<S: Simd>(x: &[f32; LANES]) -> &[S::f32s] {
    S::as_simd_f32s(x).0
}

#[inline(always)]
fn vectors_mut<S: Simd>(x: &mut [f32; LANES]) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(x).0
}
