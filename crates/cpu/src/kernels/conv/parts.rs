//! A gradient summed over the batch in parts: one partial sum per part, added up in order by whoever is last.

use std::ops::Range;

use gradus_ir::schedule::ValueId;

use crate::fold::add_parts;
use crate::kernels::Slice;
use crate::memory::{Memory, Scratch};

/// Bytes of all partial sums, at most.
const BYTES: usize = 4 << 20;

/// How a batch is split, and where the partial sums go.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    batch: usize,
    parts: usize,
    /// Elements of the sum.
    len: usize,
    workspace: usize,
    counter: usize,
}

impl Parts {
    pub fn new(batch: usize, len: usize, scratch: &mut Scratch) -> Parts {
        let parts = Slice::count(batch).min(Parts::most(len)).max(1);
        let (mut workspace, mut counter) = (0, 0);
        if parts > 1 {
            workspace = scratch.reserve(parts * len * size_of::<f32>());
            counter = scratch.counters(1);
        }
        Parts { batch, parts, len, workspace, counter }
    }

    fn most(len: usize) -> usize {
        BYTES / (len * size_of::<f32>()).max(1)
    }

    /// Whether there are as many parts as slices of a batch.
    pub fn fits(batch: usize, len: usize) -> bool {
        Slice::count(batch) <= Parts::most(len)
    }

    pub fn count(&self) -> usize {
        self.parts
    }

    /// The images of a part.
    pub fn images(&self, part: usize) -> Range<usize> {
        Slice { slice: part, of: self.parts }.images(self.batch)
    }

    /// Where a part's sum is to be written, every element of it.
    pub fn sum(&self, part: usize, out: ValueId, memory: &Memory<'_>) -> *mut f32 {
        match self.parts {
            1 => memory.at(out),
            _ => memory.scratch::<f32>(self.workspace).wrapping_add(part * self.len),
        }
    }

    /// To be called when a part's sum is written; the last call adds them up.
    ///
    /// # Safety
    /// `out` must be valid for the sum and touched by the parts of this sum alone.
    pub unsafe fn done(&self, out: ValueId, memory: &Memory<'_>) {
        if self.parts == 1 || !memory.is_last(self.counter, self.parts) {
            return;
        }
        // SAFETY: all parts are written, one after the other, and only the last to arrive is here.
        unsafe {
            let total = std::slice::from_raw_parts_mut(memory.at::<f32>(out), self.len);
            add_parts(total, self.sum(0, out, memory), self.len, self.parts, |a, b| a + b);
        }
    }
}
