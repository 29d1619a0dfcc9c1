//! The convolution and its gradient with respect to the input.

use gradus_ir::DType;
use gradus_ir::ops::Op;
use gradus_ir::schedule::{ValueId, View};
use pulp::Simd;

use super::super::panel::{Apart, PANEL, Product};
use super::super::strips::{InStrips, run_in_strips};
use super::tiles::{Planes, Spread, Tiles, Unit, spread};
use super::transform::{Input, Output, POINTS, SIDE, STEP, both};
use super::weight::{WEIGHTS, Weight};
use super::{SKEW, applies};
use crate::gemm::transpose;
use crate::kernels::Kernel;
use crate::memory::{Memory, Scratch};

/// A convolution, or the gradient of one with respect to its input.
pub(in super::super) struct Winograd {
    a: View,
    b: View,
    out: ValueId,
    /// Whether it is the gradient: the weight is read the other way round.
    transposed: bool,
    /// Channels that are summed up, and those that come out.
    inputs: usize,
    outputs: usize,
    input: [usize; 2],
    output: [usize; 2],
    /// How far the first tile reaches out of the input plane.
    shift: [usize; 2],
    tiles: Tiles,
    /// Panels of outputs, and how many of them a task computes.
    panels: usize,
    group: usize,
    /// Whether the tiles are transformed before the products, and the weight.
    tiles_ahead: bool,
    weight_ahead: bool,
    /// Where the transformed weight and tiles go.
    weight: usize,
    spread: usize,
}

/// Tiles of a unit: enough to use a transformed weight often while it is in the cache.
const TILES: usize = 32;
/// How many tasks are enough for a handful of threads, with some to steal.
const TASKS: usize = 16;
/// Inputs that are summed up at a time where their weights are transformed in the cache.
const DEPTH: usize = 64;

impl Winograd {
    /// The kernel of a convolution or of its gradient with respect to the input, if the method suits it.
    pub fn new(
        op: &Op,
        a: &View,
        b: &View,
        out: ValueId,
        dtype: DType,
        scratch: &mut Scratch,
    ) -> Option<Winograd> {
        let (transposed, geometry, size) = match op {
            Op::Conv(c) => (false, &c.0, c.0.size(&a.shape, &b.shape).ok()?),
            Op::ConvInputGrad(c) => (true, &c.geometry, c.size(&a.shape, &b.shape).ok()?),
            _ => return None,
        };
        let tiled = if transposed { size.input } else { size.output };
        if dtype != DType::F32 || !applies(geometry, &size, tiled) {
            return None;
        }
        let before = [0, 1].map(|i| geometry.padding[i][0]);
        let (inputs, outputs, input, output, shift) = if transposed {
            (size.filters, size.channels, size.output, size.input, before.map(|p| 2 - p))
        } else {
            (size.channels, size.filters, size.input, size.output, before)
        };
        let tiles = Tiles::new(size.batch, output, TILES);
        let panels = outputs.div_ceil(PANEL);
        let group = panels.div_ceil(TASKS.div_ceil(tiles.units()).min(panels));
        let mut kernel = Winograd {
            a: a.clone(),
            b: b.clone(),
            out,
            transposed,
            inputs,
            outputs,
            input,
            output,
            shift,
            tiles,
            panels,
            group,
            tiles_ahead: group < panels,
            // One unit uses a transformed weight once: while it is in the cache.
            weight_ahead: tiles.units() > 1,
            weight: 0,
            spread: 0,
        };
        if kernel.weight_ahead {
            kernel.weight = scratch.reserve(panels * kernel.panel() * size_of::<f32>());
        }
        if kernel.tiles_ahead {
            let tiles = POINTS * kernel.pitch(kernel.tiles.len());
            kernel.spread = scratch.reserve(tiles * size_of::<f32>());
        }
        Some(kernel)
    }

    /// Inputs whose products are summed up at a time: all, or as many as weights are transformed for in the cache.
    fn depth(&self) -> usize {
        if self.weight_ahead { self.inputs } else { self.inputs.min(DEPTH) }
    }

    /// Numbers of the transformed weight of a panel, and of a point of it.
    fn panel(&self) -> usize {
        POINTS * self.point()
    }

    fn point(&self) -> usize {
        self.depth() * PANEL + SKEW
    }

    /// Numbers of a transformed tile's row of channels, and from a point of such tiles to the next.
    fn row(&self) -> usize {
        self.inputs.next_multiple_of(PANEL) + SKEW
    }

    fn pitch(&self, tiles: usize) -> usize {
        tiles * self.row() + SKEW
    }

    /// How many tasks transform the weight of a panel ahead.
    fn weight_tasks(&self) -> usize {
        if self.weight_ahead { self.inputs.div_ceil(WEIGHTS) } else { 0 }
    }

    fn groups(&self) -> usize {
        self.panels.div_ceil(self.group)
    }

    fn weight_of(&self, memory: &Memory<'_>) -> Weight {
        let Winograd { inputs, outputs, transposed, .. } = *self;
        Weight { at: memory.view(&self.b), inputs, outputs, transposed }
    }

    fn planes(&self, memory: &Memory<'_>) -> Planes {
        let at = memory.view(&self.a);
        Planes { at, channels: self.inputs, size: self.input, shift: self.shift }
    }

    /// Where the tiles that are transformed ahead lie, from one on.
    fn spread_at(&self, memory: &Memory<'_>, tile: usize) -> Spread {
        let at = memory.scratch::<f32>(self.spread).wrapping_add(tile * self.row());
        Spread { at, pitch: self.pitch(self.tiles.len()), row: self.row() }
    }

    /// Transforms the tiles of a unit for a block of channels.
    ///
    /// # Safety
    /// As for [`spread`].
    #[inline(always)]
    unsafe fn spread<S: Simd>(
        &self,
        simd: S,
        unit: &Unit,
        block: usize,
        pixels: *mut f32,
        mut to: Spread,
        memory: &Memory<'_>,
    ) {
        let channels = block * PANEL..((block + 1) * PANEL).min(self.inputs);
        to.at = to.at.wrapping_add(channels.start);
        // SAFETY: passed on to the caller.
        unsafe { spread::<S, Input, SIDE>(simd, unit, &self.planes(memory), channels, pixels, to) };
    }

    /// Numbers of a task's own memory: pixels, products and, if the task transforms them, tiles and weights.
    fn strips(&self) -> [usize; 4] {
        let most = self.tiles.most();
        let pixels = self.tiles.pixels(self.input).max(self.tiles.pixels(self.output));
        let tiles = if self.tiles_ahead { 0 } else { POINTS * self.pitch(most) };
        let weights = if self.weight_ahead { 0 } else { self.panel() };
        [pixels * PANEL, POINTS * (most * PANEL + SKEW), tiles, weights]
    }

    /// The products and the output of a unit of tiles for a group of panels.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; `strips` must have room for [`Winograd::strips`].
    #[inline(always)]
    unsafe fn products<S: Simd>(
        &self,
        simd: S,
        unit: &Unit,
        group: usize,
        strips: *mut f32,
        memory: &Memory<'_>,
    ) {
        let [pixels, products, tiles, _] = self.strips();
        let products_at = strips.wrapping_add(pixels);
        let v = if self.tiles_ahead {
            self.spread_at(memory, unit.first)
        } else {
            let at = products_at.wrapping_add(products);
            let v = Spread { at, pitch: self.pitch(unit.len()), row: self.row() };
            for block in 0..self.inputs.div_ceil(PANEL) {
                // SAFETY: passed on to the caller; there is room for the tiles of a unit.
                unsafe { self.spread(simd, unit, block, strips, v, memory) };
            }
            v
        };
        let weight = memory.scratch::<f32>(self.weight);
        let pitch = unit.len() * PANEL + SKEW;
        for panel in group * self.group..((group + 1) * self.group).min(self.panels) {
            for first in (0..self.inputs).step_by(self.depth()) {
                let depth = self.depth().min(self.inputs - first);
                let u = if self.weight_ahead {
                    weight.wrapping_add(panel * self.panel())
                } else {
                    let u = products_at.wrapping_add(products + tiles);
                    for start in (first..first + depth).step_by(WEIGHTS) {
                        let inputs = start..(start + WEIGHTS).min(first + depth);
                        let to = u.wrapping_add((start - first) * PANEL);
                        // SAFETY: passed on to the caller; there is room for a panel.
                        unsafe {
                            self.weight_of(memory).transform(simd, panel, inputs, to, self.point());
                        }
                    }
                    u
                };
                for point in 0..POINTS {
                    let product = Product {
                        rows: unit.len(),
                        depth,
                        a: v.at.wrapping_add(point * v.pitch + first),
                        a_rows: Apart(v.row),
                        a_depth: Apart(1),
                        b: u.wrapping_add(point * self.point()),
                        b_depth: PANEL,
                        c: products_at.wrapping_add(point * pitch),
                        c_rows: Apart(PANEL),
                        accumulate: first > 0,
                    };
                    // SAFETY: tiles, weight and room for the products are as large as the sizes say.
                    unsafe { product.run(simd) };
                }
            }
            // SAFETY: passed on to the caller.
            unsafe { self.output(simd, unit, panel, products_at, pitch, strips, memory) };
        }
    }

    /// Transforms the products of a unit of tiles and a panel, and writes them where they belong.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; `pixels` must have room for the pixels of an image that the unit writes.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn output<S: Simd>(
        &self,
        simd: S,
        unit: &Unit,
        panel: usize,
        products: *const f32,
        pitch: usize,
        pixels: *mut f32,
        memory: &Memory<'_>,
    ) {
        let [height, width] = self.output;
        let (top, bottom) = (unit.rows.start * STEP, (unit.rows.end * STEP).min(height));
        let outputs = panel * PANEL..((panel + 1) * PANEL).min(self.outputs);
        let mut tile = 0;
        for image in unit.images.clone() {
            for row in unit.rows.clone() {
                for column in 0..unit.across {
                    let (y, x) = (row * STEP, column * STEP);
                    for lane in (0..PANEL).step_by(S::F32_LANES) {
                        // SAFETY: products of this unit, and pixels that it writes.
                        unsafe {
                            let from = products.add(tile * PANEL + lane);
                            both::<S, Output, SIDE, STEP>(
                                simd,
                                |i, j| {
                                    let from = from.add((i * SIDE + j) * pitch);
                                    from.cast::<S::f32s>().read_unaligned()
                                },
                                |i, j, value| {
                                    if y + i < height && x + j < width {
                                        let at = ((y + i - top) * width + x + j) * PANEL + lane;
                                        pixels.add(at).cast::<S::f32s>().write_unaligned(value);
                                    }
                                },
                            );
                        }
                    }
                    tile += 1;
                }
            }
            // SAFETY: the rows are those of this unit, in planes of this panel.
            unsafe {
                let at = (image * self.outputs + outputs.start) * height * width + top * width;
                let to = memory.at::<f32>(self.out).add(at);
                let n = (bottom - top) * width;
                transpose(pixels, PANEL, to, height * width, outputs.len(), n);
            }
        }
    }
}

impl InStrips for Winograd {
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
        let weights = self.panels * self.weight_tasks();
        let before = self.before();
        // SAFETY: passed on to the caller.
        unsafe {
            if task < weights {
                let (panel, part) = (task / self.weight_tasks(), task % self.weight_tasks());
                let inputs = part * WEIGHTS..((part + 1) * WEIGHTS).min(self.inputs);
                let to = memory.scratch::<f32>(self.weight);
                let to = to.add(panel * self.panel() + inputs.start * PANEL);
                self.weight_of(memory).transform(simd, panel, inputs, to, self.point());
            } else if task < before {
                let blocks = self.inputs.div_ceil(PANEL);
                let (unit, block) = ((task - weights) / blocks, (task - weights) % blocks);
                let unit = self.tiles.unit(unit);
                let to = self.spread_at(memory, unit.first);
                self.spread(simd, &unit, block, strips, to, memory);
            } else {
                let (unit, group) =
                    ((task - before) / self.groups(), (task - before) % self.groups());
                self.products(simd, &self.tiles.unit(unit), group, strips, memory);
            }
        }
    }
}

impl Kernel for Winograd {
    fn tasks(&self) -> usize {
        self.before() + self.tiles.units() * self.groups()
    }

    fn before(&self) -> usize {
        let tiles =
            if self.tiles_ahead { self.tiles.units() * self.inputs.div_ceil(PANEL) } else { 0 };
        self.panels * self.weight_tasks() + tiles
    }

    fn cost(&self) -> usize {
        // A core multiplies about four times as many numbers as it moves bytes.
        self.tiles.len() * POINTS * self.inputs * self.outputs / 4
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe { run_in_strips(self, task, memory) };
    }
}
