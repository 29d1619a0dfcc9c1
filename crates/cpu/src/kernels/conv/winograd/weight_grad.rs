//! The weight gradient of a convolution of 3 × 3, by Winograd's method.
//!
//! ```text
//! input tiles      V[p][tile][channel] = Bᵀ d B       6 × 6 pixels, 4 apart
//! gradient tiles   D[p][tile][filter]  = G δ Gᵀ       4 × 4 pixels of the output's gradient
//! products         M[p][channel][filter] = Σ V[p][tile][channel] · D[p][tile][filter]
//! weight gradient  Aᵀ M A                             3 × 3
//! ```
//!
//! A task computes a block of channels and filters for a part of the batch. Where there are several blocks, the tiles
//! are transformed by tasks that come before, once for all, unless they are too many for the cache.

use gradus_ir::DType;
use gradus_ir::ops::Op;
use gradus_ir::schedule::{ValueId, View};
use pulp::Simd;

use super::super::blocks::{BLOCK, Blocks, Share};
use super::super::panel::{Apart, PANEL, Product};
use super::super::strips::{InStrips, run_in_strips};
use super::tiles::{Planes, Spread, Tiles, Unit, spread};
use super::transform::{Filter, Input, Output, POINTS, SIDE, STEP, both};
use super::{SKEW, applies};
use crate::gemm::transpose;
use crate::kernels::Kernel;
use crate::memory::{Memory, Scratch};

/// The gradient of a convolution with respect to its weight.
pub(in super::super) struct WeightGrad {
    x: View,
    dy: View,
    out: ValueId,
    channels: usize,
    filters: usize,
    input: [usize; 2],
    output: [usize; 2],
    shift: [usize; 2],
    tiles: Tiles,
    parts: Blocks,
    /// Whether the tiles are transformed before the products.
    ahead: bool,
    /// Where the transformed tiles go.
    spread: [usize; 2],
}

/// Tiles of a unit.
const TILES: usize = 32;
/// How large the tiles that are transformed ahead may be.
const AHEAD_BYTES: usize = 12 << 20;
const TAPS: usize = 9;

impl WeightGrad {
    /// The kernel, if the method suits the convolution.
    pub fn new(
        op: &Op,
        x: &View,
        dy: &View,
        out: ValueId,
        dtype: DType,
        scratch: &mut Scratch,
    ) -> Option<WeightGrad> {
        let Op::ConvWeightGrad(c) = op else { return None };
        let size = c.size(&x.shape, &dy.shape).ok()?;
        if dtype != DType::F32 || !applies(&c.geometry, &size, size.output) {
            return None;
        }
        let tiles = Tiles::new(size.batch, size.output, TILES);
        let weight = [size.filters, size.channels, TAPS];
        let parts = Blocks::new(1, weight, tiles.units(), scratch);
        let mut kernel = WeightGrad {
            x: x.clone(),
            dy: dy.clone(),
            out,
            channels: size.channels,
            filters: size.filters,
            input: size.input,
            output: size.output,
            shift: [0, 1].map(|i| c.geometry.padding[i][0]),
            tiles,
            parts,
            ahead: false,
            spread: [0; 2],
        };
        let rows = [size.channels, size.filters].map(row);
        let bytes = rows.map(|row| POINTS * (tiles.len() * row + SKEW) * size_of::<f32>());
        kernel.ahead = parts.blocks() > 1 && bytes[0] + bytes[1] <= AHEAD_BYTES;
        if kernel.ahead {
            kernel.spread = bytes.map(|bytes| scratch.reserve(bytes));
        }
        Some(kernel)
    }

    /// Panels of channels, and of filters.
    fn panels(&self) -> [usize; 2] {
        [self.channels, self.filters].map(|n| n.div_ceil(PANEL))
    }

    fn planes(&self, memory: &Memory<'_>) -> [Planes; 2] {
        let planes =
            |view, channels, size, shift| Planes { at: memory.view(view), channels, size, shift };
        [
            planes(&self.x, self.channels, self.input, self.shift),
            planes(&self.dy, self.filters, self.output, [0; 2]),
        ]
    }

    /// Where the tiles that are transformed ahead lie, from one on.
    fn spread_at(&self, memory: &Memory<'_>, tile: usize) -> [Spread; 2] {
        [(self.channels, 0), (self.filters, 1)].map(|(channels, i)| {
            let row = row(channels);
            let at = memory.scratch::<f32>(self.spread[i]).wrapping_add(tile * row);
            Spread { at, pitch: self.tiles.len() * row + SKEW, row }
        })
    }

    /// Transforms the input of a unit of tiles for a panel of channels, into the row that `to` has for all.
    ///
    /// # Safety
    /// As for [`spread`].
    #[inline(always)]
    unsafe fn input_tiles<S: Simd>(
        &self,
        simd: S,
        unit: &Unit,
        panel: usize,
        pixels: *mut f32,
        mut to: Spread,
        memory: &Memory<'_>,
    ) {
        let channels = panel * PANEL..((panel + 1) * PANEL).min(self.channels);
        let [x, _] = self.planes(memory);
        to.at = to.at.wrapping_add(channels.start);
        // SAFETY: passed on to the caller.
        unsafe { spread::<S, Input, SIDE>(simd, unit, &x, channels, pixels, to) };
    }

    /// Transforms the output's gradient likewise.
    ///
    /// # Safety
    /// As for [`spread`].
    #[inline(always)]
    unsafe fn gradient_tiles<S: Simd>(
        &self,
        simd: S,
        unit: &Unit,
        panel: usize,
        pixels: *mut f32,
        mut to: Spread,
        memory: &Memory<'_>,
    ) {
        let filters = panel * PANEL..((panel + 1) * PANEL).min(self.filters);
        let [_, dy] = self.planes(memory);
        to.at = to.at.wrapping_add(filters.start);
        // SAFETY: passed on to the caller.
        unsafe { spread::<S, Filter, STEP>(simd, unit, &dy, filters, pixels, to) };
    }

    /// Numbers of a task's own memory: pixels, products and, if the task transforms them, tiles of each kind.
    fn strips(&self) -> [usize; 4] {
        let pixels = self.tiles.pixels(self.input).max(self.tiles.pixels(self.output));
        let tiles = POINTS * (self.tiles.most() * row(BLOCK) + SKEW);
        let tiles = if self.ahead { 0 } else { tiles };
        let products = POINTS * (BLOCK * BLOCK + SKEW);
        [(pixels * PANEL).max(BLOCK * TAPS * PANEL), products, tiles, tiles]
    }

    /// One block of the gradient, from one part of the batch.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; `strips` must have room for [`WeightGrad::strips`].
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, simd: S, share: &Share, strips: *mut f32, memory: &Memory<'_>) {
        let Share { part, channel, filter, sizes, .. } = *share;
        let [pixels, products_size, tiles, _] = self.strips();
        let products = strips.wrapping_add(pixels);
        let tiles_at = products.wrapping_add(products_size);
        let units = self.tiles.units();
        let units = part * units / self.parts.parts..(part + 1) * units / self.parts.parts;
        // SAFETY: passed on to the caller; there is room for the products and the tiles of a unit.
        unsafe {
            if self.ahead {
                let first = self.tiles.unit(units.start).first;
                let last = self.tiles.unit(units.end - 1);
                let [mut v, mut d] = self.spread_at(memory, first);
                (v.at, d.at) = (v.at.add(channel), d.at.add(filter));
                let depth = last.first + last.len() - first;
                add_products(simd, [v, d], sizes, depth, products, false);
            } else {
                for number in units.clone() {
                    let unit = self.tiles.unit(number);
                    let pitch = unit.len() * row(BLOCK) + SKEW;
                    let v = Spread { at: tiles_at, pitch, row: row(BLOCK) };
                    let d = Spread { at: tiles_at.add(tiles), ..v };
                    // The rows hold the block alone.
                    let whole = |of: Spread, skip| Spread { at: of.at.wrapping_sub(skip), ..of };
                    for panel in 0..sizes[0].div_ceil(PANEL) {
                        let panel = channel / PANEL + panel;
                        self.input_tiles(simd, &unit, panel, strips, whole(v, channel), memory);
                    }
                    for panel in 0..sizes[1].div_ceil(PANEL) {
                        let panel = filter / PANEL + panel;
                        self.gradient_tiles(simd, &unit, panel, strips, whole(d, filter), memory);
                    }
                    let begun = number > units.start;
                    add_products(simd, [v, d], sizes, unit.len(), products, begun);
                }
            }
            let out = memory.at::<f32>(self.out);
            let to = self.parts.place(share, out, memory);
            for first in (0..sizes[1]).step_by(PANEL) {
                let width = PANEL.min(sizes[1] - first);
                let to = to.add(first * self.parts.row());
                self.output(simd, products.add(first), [sizes[0], width], strips, to);
            }
            self.parts.finish(share, out, memory);
        }
    }

    /// Transforms the products of some channels and a panel of filters to taps, `[filter][channel][3][3]`.
    ///
    /// # Safety
    /// The products must be valid for reads, `rows` for a row of each channel's taps, and the result for writes.
    #[inline(always)]
    unsafe fn output<S: Simd>(
        &self,
        simd: S,
        products: *const f32,
        [channels, filters]: [usize; 2],
        rows: *mut f32,
        to: *mut f32,
    ) {
        for channel in 0..channels {
            for lane in (0..PANEL).step_by(S::F32_LANES) {
                // SAFETY: passed on to the caller.
                unsafe {
                    let from = products.add(channel * BLOCK + lane);
                    let to = rows.add(channel * TAPS * PANEL + lane);
                    both::<S, Output, SIDE, 3>(
                        simd,
                        |i, j| {
                            let from = from.add((i * SIDE + j) * (BLOCK * BLOCK + SKEW));
                            from.cast::<S::f32s>().read_unaligned()
                        },
                        |i, j, y| {
                            let to = to.add((i * 3 + j) * PANEL);
                            to.cast::<S::f32s>().write_unaligned(y);
                        },
                    );
                }
            }
        }
        // SAFETY: as above.
        unsafe { transpose(rows, PANEL, to, self.parts.row(), filters, channels * TAPS) };
    }
}

/// Numbers from a tile's row of channels to the next: the rows of a panel must not start on the same cache set.
fn row(channels: usize) -> usize {
    channels.next_multiple_of(PANEL) + SKEW
}

/// The products of a block of channels and filters over some tiles, `[point][channel][filter]`.
///
/// # Safety
/// Tiles and products must be as large as the sizes say.
#[inline(always)]
unsafe fn add_products<S: Simd>(
    simd: S,
    [v, d]: [Spread; 2],
    [channels, filters]: [usize; 2],
    depth: usize,
    products: *mut f32,
    accumulate: bool,
) {
    for point in 0..POINTS {
        for panel in 0..filters.div_ceil(PANEL) {
            let product = Product {
                rows: channels,
                depth,
                a: v.at.wrapping_add(point * v.pitch),
                a_rows: Apart(1),
                a_depth: Apart(v.row),
                b: d.at.wrapping_add(point * d.pitch + panel * PANEL),
                b_depth: d.row,
                c: products.wrapping_add(point * (BLOCK * BLOCK + SKEW) + panel * PANEL),
                c_rows: Apart(BLOCK),
                accumulate,
            };
            // SAFETY: passed on to the caller.
            unsafe { product.run(simd) };
        }
    }
}

impl InStrips for WeightGrad {
    fn numbers(&self) -> usize {
        self.strips().iter().sum()
    }

    #[inline(always)]
    unsafe fn run_with<S: Simd>(
        &self,
        simd: S,
        task: usize,
        strips: *mut f32,
        memory: &Memory<'_>,
    ) {
        if let Some(task) = task.checked_sub(self.before()) {
            // SAFETY: passed on to the caller.
            return unsafe { self.block(simd, &self.parts.share(task), strips, memory) };
        }
        let [channels, filters] = self.panels();
        let (unit, panel) = (task / (channels + filters), task % (channels + filters));
        let unit = self.tiles.unit(unit);
        let [v, d] = self.spread_at(memory, unit.first);
        // SAFETY: passed on to the caller; there is room for all tiles.
        unsafe {
            match panel.checked_sub(channels) {
                None => self.input_tiles(simd, &unit, panel, strips, v, memory),
                Some(panel) => self.gradient_tiles(simd, &unit, panel, strips, d, memory),
            }
        }
    }
}

impl Kernel for WeightGrad {
    fn tasks(&self) -> usize {
        self.before() + self.parts.tasks()
    }

    fn before(&self) -> usize {
        let [channels, filters] = self.panels();
        if self.ahead { self.tiles.units() * (channels + filters) } else { 0 }
    }

    fn cost(&self) -> usize {
        // A core multiplies about four times as many numbers as it moves bytes.
        self.tiles.len() * POINTS * self.channels * self.filters / 4
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe { run_in_strips(self, task, memory) };
    }
}
