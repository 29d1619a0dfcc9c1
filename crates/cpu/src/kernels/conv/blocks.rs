//! Weight gradients in blocks of channels and filters, each from several parts of the batch.
//!
//! Blocks are few where the weight is large, and so are the bytes of their partial results; the last task of a block
//! adds them up, in order.

use crate::fold::add_parts;
use crate::memory::{Memory, Scratch};

/// How a weight gradient is split.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// Channels, filters and taps of a group, and groups.
    channels: usize,
    filters: usize,
    taps: usize,
    groups: usize,
    /// Into how many parts the units of the batch are split.
    pub parts: usize,
    /// Where partial results go, and the first of the blocks' counters.
    partials: usize,
    counters: usize,
}

/// One task's share.
#[derive(Clone, Debug)]
pub(super) struct Share {
    block: usize,
    pub part: usize,
    pub group: usize,
    /// The first channel and filter of the block, in the group.
    pub channel: usize,
    pub filter: usize,
    /// How many channels and filters it has.
    pub sizes: [usize; 2],
}

/// Channels, and filters, of a block.
pub(super) const BLOCK: usize = 64;
/// How many tasks are enough for a handful of threads, with some to steal.
const TASKS: usize = 16;
/// How large all partial results may be.
const PARTIAL_BYTES: usize = 4 << 20;

impl Blocks {
    /// For a weight `[groups · filters, channels, taps]` and that many units of the batch.
    pub fn new(
        groups: usize,
        [filters, channels, taps]: [usize; 3],
        units: usize,
        scratch: &mut Scratch,
    ) -> Blocks {
        let mut parts =
            Blocks { channels, filters, taps, groups, parts: 1, partials: 0, counters: 0 };
        let bytes = parts.numbers() * size_of::<f32>();
        let wanted = TASKS.div_ceil(parts.blocks());
        parts.parts = wanted.min(PARTIAL_BYTES / bytes).clamp(1, units);
        if parts.parts > 1 {
            parts.partials = scratch.reserve(parts.parts * bytes);
            parts.counters = scratch.counters(parts.blocks());
        }
        parts
    }

    /// Blocks of all groups.
    pub fn blocks(&self) -> usize {
        self.groups * self.channels.div_ceil(BLOCK) * self.filters.div_ceil(BLOCK)
    }

    pub fn tasks(&self) -> usize {
        self.blocks() * self.parts
    }

    fn numbers(&self) -> usize {
        self.groups * self.filters * self.channels * self.taps
    }

    pub fn share(&self, task: usize) -> Share {
        let (block, part) = (task / self.parts, task % self.parts);
        let [down, across] = [self.channels, self.filters].map(|n| n.div_ceil(BLOCK));
        let (group, within) = (block / (down * across), block % (down * across));
        let (channel, filter) = (within / across * BLOCK, within % across * BLOCK);
        let sizes = [self.channels - channel, self.filters - filter].map(|n| n.min(BLOCK));
        Share { block, part, group, channel, filter, sizes }
    }

    /// Numbers from a filter to the next.
    pub fn row(&self) -> usize {
        self.channels * self.taps
    }

    /// Where a share's taps of its first filter and channel go.
    pub fn place(&self, share: &Share, out: *mut f32, memory: &Memory<'_>) -> *mut f32 {
        let at = self.start(share);
        match self.parts {
            1 => out.wrapping_add(at),
            _ => {
                let partials = memory.scratch::<f32>(self.partials);
                partials.wrapping_add(share.part * self.numbers() + at)
            }
        }
    }

    fn start(&self, share: &Share) -> usize {
        let filter = share.group * self.filters + share.filter;
        (filter * self.channels + share.channel) * self.taps
    }

    /// Says that a share is where [`Blocks::place`] said; the last of a block adds them up.
    ///
    /// # Safety
    /// The output must be valid for writes, and the block be written by its shares alone.
    pub unsafe fn finish(&self, share: &Share, out: *mut f32, memory: &Memory<'_>) {
        if self.parts == 1 || !memory.is_last(self.counters + share.block, self.parts) {
            return;
        }
        let [channels, filters] = share.sizes;
        for filter in 0..filters {
            let at = self.start(share) + filter * self.row();
            // SAFETY: rows of the block, in the result and in each partial one, which are all there.
            unsafe {
                let partials = memory.scratch::<f32>(self.partials).add(at);
                let sum = std::slice::from_raw_parts_mut(out.add(at), channels * self.taps);
                add_parts(sum, partials, self.numbers(), self.parts, |a, b| a + b);
            }
        }
    }
}
