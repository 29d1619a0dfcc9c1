//! Cross-entropy of rows of logits, and its gradient.
//!
//! Short rows are taken many at a time, so that the exponentials of all of them are one long vector. A label
//! out of range gives a loss of NaN and a gradient of the softmax alone; the plan's check reports it.

use std::ops::{Div, Mul, Sub};

use gradus_ir::DType;
use gradus_ir::scalar::{ScalarOp, strip};
use gradus_ir::schedule::{ValueId, View};

use super::{Kernel, TASK};
use crate::fold::{Join, Max, Sum, fold_runs};
use crate::memory::{Memory, with_strips};
use crate::tier::{Vectorized, vectorize};

/// The loss of each row, or its gradient where `dy` is given.
pub(super) struct CrossEntropy {
    logits: View,
    labels: View,
    dy: Option<View>,
    out: ValueId,
    dtype: DType,
    rows: usize,
    classes: usize,
    rows_per_task: usize,
}

/// Elements whose exponentials are computed together.
const STRIP: usize = 1024;

impl CrossEntropy {
    pub fn new(
        logits: &View,
        labels: &View,
        dy: Option<&View>,
        out: ValueId,
        dtype: DType,
    ) -> CrossEntropy {
        let classes = logits.shape[1];
        CrossEntropy {
            logits: logits.clone(),
            labels: labels.clone(),
            dy: dy.cloned(),
            out,
            dtype,
            rows: logits.shape[0],
            classes,
            rows_per_task: (TASK / (classes * cost(dtype))).max(1),
        }
    }
}

/// What a class costs.
fn cost(dtype: DType) -> usize {
    if dtype == DType::F64 { 120 } else { 40 }
}

impl Kernel for CrossEntropy {
    fn tasks(&self) -> usize {
        self.rows.div_ceil(self.rows_per_task)
    }

    fn cost(&self) -> usize {
        self.rows * self.classes * cost(self.dtype)
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let start = task * self.rows_per_task;
        let end = (start + self.rows_per_task).min(self.rows);
        with_strips(4 * STRIP * self.dtype.size(), |scratch| {
            vectorize(Rows { op: self, memory, scratch, start, end });
        });
    }
}

struct Rows<'a> {
    op: &'a CrossEntropy,
    memory: &'a Memory<'a>,
    scratch: *mut u8,
    start: usize,
    end: usize,
}

impl Vectorized for Rows<'_> {
    #[inline(always)]
    fn run(self) {
        // SAFETY: the rows belong to one task; `scratch` holds four strips of the dtype.
        unsafe {
            match self.op.dtype {
                DType::F64 => self.run_typed::<f64>(),
                _ => self.run_typed::<f32>(),
            }
        }
    }
}

trait Float: Copy + PartialOrd + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> {
    const NAN: Self;
    fn apply(op: ScalarOp, a: &[Self], out: &mut [Self]);
}
macro_rules! float {
    ($($t:ident $unary:ident)*) => {$(
        impl Float for $t {
            const NAN: $t = $t::NAN;
            #[inline(always)]
            fn apply(op: ScalarOp, a: &[$t], out: &mut [$t]) { strip::$unary(op, a, out) }
        }
    )*};
}
float! { f32 unary_f32 f64 unary_f64 }

impl Rows<'_> {
    /// # Safety
    /// As for [`Kernel::run`]; `T` must be the logits' type.
    #[inline(always)]
    unsafe fn run_typed<T: Float>(&self)
    where
        Max: Join<T>,
        Sum: Join<T>,
    {
        let Rows { op, memory, scratch, start, end } = *self;
        let (n, classes) = (end - start, op.classes);
        // SAFETY: logits, labels and `dy` are contiguous, the results are this task's, and the four strips of
        // scratch memory do not overlap.
        unsafe {
            let logits = memory.view::<T>(&op.logits).add(start * classes);
            let logits = std::slice::from_raw_parts(logits, n * classes);
            let labels = memory.view::<i64>(&op.labels).add(start);
            let labels = std::slice::from_raw_parts(labels, n);
            let dy = op
                .dy
                .as_ref()
                .map(|dy| std::slice::from_raw_parts(memory.view::<T>(dy).add(start), n));
            let width = if dy.is_some() { classes } else { 1 };
            let out = memory.at::<T>(op.out).add(start * width);
            let out = std::slice::from_raw_parts_mut(out, n * width);
            let strip = |i: usize| {
                std::slice::from_raw_parts_mut(scratch.cast::<T>().add(i * STRIP), STRIP)
            };
            let (shifted, exps, maxima, sums) = (strip(0), strip(1), strip(2), strip(3));

            let rows = (STRIP / classes).max(1);
            for first in (0..n).step_by(rows) {
                let count = rows.min(n - first);
                let (maxima, sums) = (&mut maxima[..count], &mut sums[..count]);
                let logits = &logits[first * classes..][..count * classes];
                let labels = &labels[first..][..count];
                let keep = dy.map(|_| &mut out[first * classes..][..count * classes]);
                exponentials(logits, classes, shifted, exps, keep, maxima, sums);
                match dy {
                    Some(dy) => {
                        let grads =
                            out[first * classes..][..count * classes].chunks_exact_mut(classes);
                        let given = dy[first..].iter().zip(labels).zip(&*sums);
                        for (grad, ((&dy, &label), &sum)) in grads.zip(given) {
                            gradient(grad, label, sum, dy);
                        }
                    }
                    None => {
                        let logs = &mut exps[..count];
                        T::apply(ScalarOp::Log, sums, logs);
                        for (i, out) in out[first..][..count].iter_mut().enumerate() {
                            let row = &logits[i * classes..][..classes];
                            let x = usize::try_from(labels[i]).ok().and_then(|l| row.get(l));
                            *out = x.map_or(T::NAN, |&x| logs[i] - (x - maxima[i]));
                        }
                    }
                }
            }
        }
    }
}

/// The exponentials of rows less their maxima: `keep` takes them all, if given; the rows' maxima and sums.
#[inline(always)]
fn exponentials<T: Float>(
    logits: &[T],
    classes: usize,
    shifted: &mut [T],
    exps: &mut [T],
    mut keep: Option<&mut [T]>,
    maxima: &mut [T],
    sums: &mut [T],
) where
    Max: Join<T>,
    Sum: Join<T>,
{
    maxima.fill(<Max as Join<T>>::IDENTITY);
    for start in (0..logits.len()).step_by(STRIP) {
        let piece = &logits[start..][..STRIP.min(logits.len() - start)];
        fold_runs::<T, Max>(piece, maxima, classes.min(piece.len()));
    }
    sums.fill(<Sum as Join<T>>::IDENTITY);
    // All rows at once, or one row piece by piece.
    for start in (0..logits.len()).step_by(STRIP) {
        let len = STRIP.min(logits.len() - start);
        let (row, piece) = (classes.min(len), &logits[start..][..len]);
        let shifted = &mut shifted[..len];
        for ((s, x), &max) in
            shifted.chunks_exact_mut(row).zip(piece.chunks_exact(row)).zip(&*maxima)
        {
            for (s, &x) in s.iter_mut().zip(x) {
                *s = x - max;
            }
        }
        let exps = match &mut keep {
            Some(keep) => &mut keep[start..][..len],
            None => &mut exps[..len],
        };
        T::apply(ScalarOp::Exp, shifted, exps);
        fold_runs::<T, Sum>(exps, sums, row);
    }
}

/// Turns a row of exponentials into the gradient: `exp · dy / sum`, less `dy` for the label's class.
#[inline(always)]
fn gradient<T: Float>(row: &mut [T], label: i64, sum: T, dy: T) {
    let scale = dy / sum;
    for x in row.iter_mut() {
        *x = *x * scale;
    }
    if let Some(x) = usize::try_from(label).ok().and_then(|l| row.get_mut(l)) {
        *x = *x - dy;
    }
}
