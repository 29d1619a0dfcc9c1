//! Convolutions of many channels, of any kernel and stride, as products that read the windows where they are.
//!
//! ```text
//! output      y[output][filter]  = Σ over taps  x[pixel of output and tap][channel] · w[tap][channel][filter]
//! input grad  dx[pixel of output and tap][channel] += dy[output][filter] · w[tap][filter][channel]
//! ```
//!
//! The input is laid out with a row of channels for each pixel; the windows of a tap then are a list of such rows, and
//! nothing is copied for each tap. The gradient with respect to the input adds to the rows of the list instead.
//! [`weight_grad`] is that with respect to the weight. Vectors run along the filters, or along the channels.
//!
//! Tasks are units of outputs times groups of panels; those that lay out the weight come before.

mod places;
mod weight_grad;

pub(super) use self::weight_grad::WeightGrad;

use gradus_ir::DType;
use gradus_ir::ops::Op;
use gradus_ir::schedule::{ValueId, View};
use pulp::{Simd, WithSimd};

use self::places::{Places, Unit, row};
use super::panel::{Apart, Listed, PANEL, Product};
use crate::gemm::transpose;
use crate::kernels::Kernel;
use crate::memory::{Memory, Scratch, with_strips};
use crate::tier::with_simd;

/// A convolution, or the gradient of one with respect to its input.
pub(super) struct Implicit {
    a: View,
    b: View,
    out: ValueId,
    /// Whether it is the gradient.
    transposed: bool,
    places: Places,
    /// Channels that are summed up and those that come out, of a group.
    inputs: usize,
    outputs: usize,
    /// Panels of outputs, and how many of them a task computes.
    panels: usize,
    group: usize,
    /// Where the weight goes.
    weight: usize,
}

/// Outputs of a unit: enough to use a weight often while it is in the cache.
const OUTPUTS: usize = 64;
/// How many tasks are enough for a handful of threads, with some to steal.
const TASKS: usize = 16;
/// Bytes of its own that a task may have: larger planes are for other kernels.
const STRIPS: usize = 8 << 20;
/// Inputs whose weights one task lays out.
const WEIGHTS: usize = 32;

impl Implicit {
    /// The kernel of a convolution or of its gradient with respect to the input, if it has many channels.
    pub fn new(
        op: &Op,
        a: &View,
        b: &View,
        out: ValueId,
        dtype: DType,
        scratch: &mut Scratch,
    ) -> Option<Implicit> {
        let (transposed, geometry, size) = match op {
            Op::Conv(c) => (false, &c.0, c.0.size(&a.shape, &b.shape).ok()?),
            Op::ConvInputGrad(c) => (true, &c.geometry, c.size(&a.shape, &b.shape).ok()?),
            _ => return None,
        };
        if dtype != DType::F32 {
            return None;
        }
        let mut places = Places::new(geometry, &size, OUTPUTS)?;
        let (mut inputs, mut outputs) = (places.channels, places.filters);
        if transposed {
            places = places.whole_images();
            (inputs, outputs) = (outputs, inputs);
        }
        let panels = outputs.div_ceil(PANEL);
        let units = places.units() * places.groups;
        let group = panels.div_ceil(TASKS.div_ceil(units).min(panels));
        let [from, to] = places.most();
        if (from * row(places.channels) + to * row(places.filters)) * size_of::<f32>() > STRIPS {
            return None;
        }
        let numbers = places.groups * panels * places.taps() * inputs * PANEL;
        Some(Implicit {
            a: a.clone(),
            b: b.clone(),
            out,
            transposed,
            places,
            inputs,
            outputs,
            panels,
            group,
            weight: scratch.reserve(numbers * size_of::<f32>()),
        })
    }

    /// Numbers of the weight of a panel.
    fn panel(&self) -> usize {
        self.places.taps() * self.inputs * PANEL
    }

    /// Rows and columns of the room for a unit's windows of an image.
    fn window(&self) -> [usize; 2] {
        self.places.window(self.places.unit(0).rows.len())
    }

    fn weight_tasks(&self) -> usize {
        self.inputs.div_ceil(WEIGHTS)
    }

    /// Numbers of a task's own memory: what is summed up, and what comes out.
    fn strips(&self) -> [usize; 2] {
        let [outputs, pixels] = self.places.most();
        let (from, to) = if self.transposed { (outputs, pixels) } else { (pixels, outputs) };
        [from * row(self.inputs), to * PANEL]
    }

    /// Lays out a part of the weight of a panel: `[tap][input][output]`.
    ///
    /// # Safety
    /// As for [`Kernel::run`].
    unsafe fn weight(&self, panel: usize, part: usize, memory: &Memory<'_>) {
        let taps = self.places.taps();
        let (group, first) = (panel / self.panels, panel % self.panels * PANEL);
        let outputs = PANEL.min(self.outputs - first);
        let to = memory.scratch::<f32>(self.weight).wrapping_add(panel * self.panel());
        let w = memory.view::<f32>(&self.b).wrapping_add(group * self.inputs * self.outputs * taps);
        // The strides of the weight, which lies `[filter][channel][tap]`.
        let (input_step, output_step) =
            if self.transposed { (self.outputs * taps, taps) } else { (taps, self.inputs * taps) };
        for input in part * WEIGHTS..((part + 1) * WEIGHTS).min(self.inputs) {
            // SAFETY: the taps of an input are inside the weight; the result has room for a panel.
            unsafe {
                let from = w.add(input * input_step + first * output_step);
                let to = to.add(input * PANEL);
                transpose(from, output_step, to, self.inputs * PANEL, taps, outputs);
            }
        }
    }

    /// A unit of the output for a group of panels.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; `strips` must have room for [`Implicit::strips`], `list` be the unit's.
    #[inline(always)]
    unsafe fn run_with<S: Simd>(&self, simd: S, task: &Task<'_>) {
        let Task { ref unit, group, panels: ref range, strips, list, memory, .. } = *task;
        let places = &self.places;
        let (pitch, taps) = (row(self.inputs), places.taps());
        let n = list.len();
        let [from, to] = self.strips();
        let sums = strips.wrapping_add(from);
        let inputs = group * self.inputs..(group + 1) * self.inputs;
        let a = memory.view::<f32>(&self.a);
        // SAFETY: passed on to the caller: the lists stay inside the windows.
        unsafe {
            if self.transposed {
                places.lay_out_gradient(unit, a, inputs, strips, pitch);
            } else {
                places.lay_out_input(unit, a, inputs, strips, pitch);
            }
            for panel in range.clone() {
                let w = memory.scratch::<f32>(self.weight);
                let w = w.wrapping_add((group * self.panels + panel) * self.panel());
                if self.transposed {
                    std::slice::from_raw_parts_mut(sums, to).fill(0.0);
                }
                for tap in 0..taps {
                    let b = w.wrapping_add(tap * self.inputs * PANEL);
                    if self.transposed {
                        let product = Product {
                            rows: n,
                            depth: self.inputs,
                            a: strips.cast_const(),
                            a_rows: Apart(pitch),
                            a_depth: Apart(1),
                            b,
                            b_depth: PANEL,
                            c: sums.wrapping_add(places.tap(tap) * PANEL),
                            c_rows: Listed(list),
                            accumulate: true,
                        };
                        product.run(simd);
                    } else {
                        let product = Product {
                            rows: n,
                            depth: self.inputs,
                            a: strips.wrapping_add(places.tap(tap) * pitch).cast_const(),
                            a_rows: Listed(list),
                            a_depth: Apart(1),
                            b,
                            b_depth: PANEL,
                            c: sums,
                            c_rows: Apart(PANEL),
                            accumulate: tap > 0,
                        };
                        product.run(simd);
                    }
                }
                let first = panel * PANEL;
                let outputs = first..(first + PANEL).min(self.outputs);
                let all = places.groups * self.outputs;
                for (i, image) in unit.images.clone().enumerate() {
                    let plane = image * all + group * self.outputs + first;
                    if self.transposed {
                        self.input_rows(sums, i, plane, outputs.len(), memory);
                    } else {
                        let [height, width] = places.output;
                        let n = unit.rows.len() * width;
                        let to = memory.at::<f32>(self.out);
                        let to = to.add((plane * height + unit.rows.start) * width);
                        let from = sums.add(i * n * PANEL);
                        transpose(from, PANEL, to, height * width, outputs.len(), n);
                    }
                }
            }
        }
    }

    /// Writes the gradient of some planes of the `i`-th image of a unit.
    ///
    /// # Safety
    /// The windows must be valid for reads, and the planes belong to this task.
    unsafe fn input_rows(
        &self,
        windows: *const f32,
        i: usize,
        plane: usize,
        planes: usize,
        memory: &Memory<'_>,
    ) {
        let places = &self.places;
        let ([height, width], window) = (places.input, self.window());
        // What no window reaches has no gradient.
        let columns = width.min(window[1].saturating_sub(places.padding[1]));
        for y in 0..height {
            let row = y + places.padding[0];
            let reached = if row < window[0] { columns } else { 0 };
            // SAFETY: passed on to the caller.
            unsafe {
                let to = memory.at::<f32>(self.out).add((plane * height + y) * width);
                if reached > 0 {
                    let at = (i * window[0] + row) * window[1] + places.padding[1];
                    let from = windows.add(at * PANEL);
                    transpose(from, PANEL, to, height * width, planes, reached);
                }
                for p in 0..planes {
                    let to = to.add(p * height * width + reached);
                    std::slice::from_raw_parts_mut(to, width - reached).fill(0.0);
                }
            }
        }
    }
}

impl Kernel for Implicit {
    fn tasks(&self) -> usize {
        let places = &self.places;
        self.before() + places.units() * places.groups * self.panels.div_ceil(self.group)
    }

    fn before(&self) -> usize {
        self.places.groups * self.panels * self.weight_tasks()
    }

    fn cost(&self) -> usize {
        // A core multiplies about four times as many numbers as it moves bytes.
        let [height, width] = self.places.output;
        let outputs = self.places.batch * self.places.groups * height * width;
        outputs * self.places.taps() * self.inputs * self.outputs / 4
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let Some(task) = task.checked_sub(self.before()) else {
            // SAFETY: passed on to the caller.
            return unsafe {
                self.weight(task / self.weight_tasks(), task % self.weight_tasks(), memory)
            };
        };
        let splits = self.panels.div_ceil(self.group);
        let (rest, split) = (task / splits, task % splits);
        let (unit, group) = (rest / self.places.groups, rest % self.places.groups);
        let unit = self.places.unit(unit);
        let panels = split * self.group..((split + 1) * self.group).min(self.panels);
        let pitch = if self.transposed { PANEL } else { row(self.inputs) };
        let height = self.places.window(unit.rows.len())[0];
        // Outside of the vectors' instructions, which no closure keeps.
        let bytes = self.strips().iter().sum::<usize>() * size_of::<f32>();
        let list = self.places.most()[0] * size_of::<u32>();
        with_strips(bytes + list, |strips| {
            // SAFETY: behind the numbers there is room for the list of a unit.
            let list = unsafe {
                std::slice::from_raw_parts_mut(
                    strips.add(bytes).cast::<u32>(),
                    self.places.most()[0],
                )
            };
            let n = self.places.list(&unit, height, pitch, list);
            let list = &list[..n];
            let strips = strips.cast();
            with_simd(Task { kernel: self, unit, group, panels, strips, list, memory });
        });
    }
}

/// One task, to be run with the vectors of the tier.
struct Task<'a> {
    kernel: &'a Implicit,
    unit: Unit,
    group: usize,
    panels: std::ops::Range<usize>,
    strips: *mut f32,
    list: &'a [u32],
    memory: &'a Memory<'a>,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: made by `Kernel::run`, under the same contract.
        unsafe { self.kernel.run_with(simd, &self) };
    }
}
