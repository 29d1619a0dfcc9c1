//! Positions of maxima.

use gradus_ir::DType;
use gradus_ir::schedule::{ValueId, View};

use super::{Kernel, TASK};
use crate::fold::{self, CHUNK, Join, Max};
use crate::layout::Layout;
use crate::loops::register::{Class, Stored, with_stored};
use crate::memory::Memory;
use crate::tier::{Vectorized, vectorize};

/// The first maximum, or the first NaN, of each line along an axis.
pub(super) struct ArgMax {
    x: View,
    out: ValueId,
    dtype: DType,
    /// Where each line starts.
    lines: Layout,
    count: usize,
    /// The length and the stride of a line.
    len: usize,
    stride: isize,
    per_task: usize,
}

impl ArgMax {
    pub fn new(x: &View, axis: usize, out: ValueId, dtype: DType) -> ArgMax {
        let shape = x.shape.keeping(&[axis]);
        let len = x.shape[axis];
        ArgMax {
            out,
            dtype,
            lines: Layout::new(&shape, &x.strides, 0),
            count: shape.numel(),
            len,
            stride: x.strides[axis],
            per_task: (TASK / (len.max(1) * dtype.size())).max(1),
            x: x.clone(),
        }
    }
}

impl Kernel for ArgMax {
    fn tasks(&self) -> usize {
        self.count.div_ceil(self.per_task)
    }

    fn cost(&self) -> usize {
        self.count * self.len * self.dtype.size()
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        vectorize(Lines { argmax: self, memory, start: task * self.per_task });
    }
}

struct Lines<'a> {
    argmax: &'a ArgMax,
    memory: &'a Memory<'a>,
    start: usize,
}

impl Vectorized for Lines<'_> {
    #[inline(always)]
    fn run(self) {
        let Lines { argmax, memory, start } = self;
        let n = argmax.per_task.min(argmax.count - start);
        // SAFETY: the lines are inside the view, and the results are this task's.
        unsafe {
            with_stored!(argmax.dtype, Class::of(argmax.dtype), S => {
                let x = memory.view::<<S as Stored>::Raw>(&argmax.x);
                let out = memory.at::<i64>(argmax.out).add(start);
                argmax.lines.runs(start, n, |run| {
                    for i in 0..run.len {
                        let line = x.offset(run.at + i as isize * run.stride);
                        let best = first_maximum::<S>(line, argmax.len, argmax.stride);
                        out.add(run.done + i).write(best as i64);
                    }
                });
            });
        }
    }
}

/// The position of the first maximum, or of the first NaN.
///
/// # Safety
/// The line must be valid for reads.
#[inline(always)]
unsafe fn first_maximum<S: Stored<Register: PartialOrd>>(
    line: *const S::Raw,
    len: usize,
    stride: isize,
) -> usize
where
    Max: Join<S::Register>,
{
    // SAFETY: passed on to the caller.
    let at = |i: usize| S::load(unsafe { *line.offset(i as isize * stride) });
    if stride == 1 && len > 64 {
        // In two passes that vectorise: what the maximum is, then where.
        let mut best = <Max as Join<S::Register>>::IDENTITY;
        let mut strip = [best; 256];
        for start in (0..len).step_by(strip.len()) {
            let n = strip.len().min(len - start);
            for (i, x) in strip[..n].iter_mut().enumerate() {
                *x = at(start + i);
            }
            best = Max::join(best, fold::fold::<S::Register, Max>(&strip[..n]));
        }
        const { assert!(CHUNK >= 256) };
        #[expect(clippy::eq_op, reason = "a NaN differs from itself")]
        let is_best = |x: S::Register| if best == best { x == best } else { x != x };
        return (0..len).find(|&i| is_best(at(i))).unwrap_or(0);
    }
    let mut best = 0;
    let mut leader = at(0);
    for i in 1..len {
        let x = at(i);
        #[expect(clippy::eq_op, reason = "a NaN differs from itself")]
        if x > leader || (x != x && leader == leader) {
            (best, leader) = (i, x);
        }
    }
    best
}
