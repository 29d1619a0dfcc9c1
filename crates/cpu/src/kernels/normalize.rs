//! Rows with mean 0 and variance 1, and their gradient, row by row.
//!
//! Sums run in [`LANES`] lanes, as those of loops do: the same bits on every instruction tier.

use gradus_ir::schedule::{ValueId, View};

use super::{Kernel, TASK};
use crate::fold::{Sum, across};
use crate::memory::Memory;
use crate::tier::{Vectorized, vectorize};

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
            vectorize(Rows { x, dy, out, size: self.size, eps: self.eps });
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

impl Vectorized for Rows<'_> {
    #[inline(always)]
    fn run(self) {
        let Rows { x, dy, out, size, eps } = self;
        let part = 1.0 / size as f32;
        for (i, out) in out.chunks_exact_mut(size).enumerate() {
            let x = &x[i * size..][..size];
            let mean = sum(x, x, |x, _| x) * part;
            let variance = sum(x, x, |x, _| (x - mean) * (x - mean)) * part;
            let scale = 1.0 / (variance + eps).sqrt();
            match dy {
                None => {
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = (x - mean) * scale;
                    }
                }
                Some(dy) => {
                    let dy = &dy[i * size..][..size];
                    let shift = sum(dy, dy, |dy, _| dy) * part;
                    let slope = sum(x, dy, |x, dy| dy * (x - mean)) * scale * part;
                    for ((out, &x), &dy) in out.iter_mut().zip(x).zip(dy) {
                        *out = (dy - shift - (x - mean) * scale * slope) * scale;
                    }
                }
            }
        }
    }
}

/// How many elements are summed side by side.
const LANES: usize = crate::fold::LANES;

/// The sum of `f` over pairs of elements.
#[inline(always)]
fn sum(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for ((sum, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *sum += f(x, y);
        }
    }
    for ((sum, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *sum += f(x, y);
    }
    across::<f32, Sum>(lanes)
}
