//! The weight gradient of a convolution of many channels.
//!
//! ```text
//! dw[tap][channel][filter] = Σ over outputs  x[pixel of output and tap][channel] · dy[output][filter]
//! ```
//!
//! A task computes a block of channels and filters, all taps of it, for a part of the batch.

use gradus_ir::DType;
use gradus_ir::ops::Op;
use gradus_ir::schedule::{ValueId, View};
use pulp::{Simd, WithSimd};

use super::super::blocks::{BLOCK, Blocks};
use super::super::panel::{Apart, Listed, PANEL, Product};
use super::places::{Places, row};
use crate::gemm::transpose;
use crate::kernels::Kernel;
use crate::memory::{Memory, Scratch, with_strips};
use crate::tier::with_simd;

/// The gradient of a convolution with respect to its weight.
pub(in super::super) struct WeightGrad {
    x: View,
    dy: View,
    out: ValueId,
    places: Places,
    parts: Blocks,
}

/// Outputs of a unit: the depth of one product.
const OUTPUTS: usize = 64;

impl WeightGrad {
    /// The kernel, if the convolution has many channels.
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
        let places = Places::new(&c.geometry, &size, OUTPUTS)?;
        let weight = [places.filters, places.channels, places.taps()];
        let (x, dy) = (x.clone(), dy.clone());
        // Larger kernels do not leave the cache to the windows.
        (dtype == DType::F32 && places.taps() <= TAPS).then(|| WeightGrad {
            parts: Blocks::new(places.groups, weight, places.units(), scratch),
            x,
            dy,
            out,
            places,
        })
    }

    /// Numbers of a task's own memory: pixels of the input, outputs, products.
    fn strips(&self) -> [usize; 3] {
        let [outputs, pixels] = self.places.most();
        [pixels * row(BLOCK), outputs * row(BLOCK), self.places.taps() * BLOCK * BLOCK]
    }

    /// # Safety
    /// As for [`Kernel::run`]; `strips` must have room for [`WeightGrad::strips`], `list` for a unit.
    #[inline(always)]
    unsafe fn run_with<S: Simd>(&self, simd: S, task: Task<'_>) {
        let Task { task, strips, list, memory, .. } = task;
        let (places, pitch) = (&self.places, row(BLOCK));
        let share = self.parts.share(task);
        let [channels, filters] = share.sizes;
        let [pixels, outputs, _] = self.strips();
        let (dy, products) = (strips.wrapping_add(pixels), strips.wrapping_add(pixels + outputs));
        let first = share.group * places.channels + share.channel;
        let channel = first..first + channels;
        let first = share.group * places.filters + share.filter;
        let filter = first..first + filters;
        let units = places.units();
        let units =
            share.part * units / self.parts.parts..(share.part + 1) * units / self.parts.parts;
        // SAFETY: passed on to the caller: the lists stay inside the windows.
        unsafe {
            for number in units.clone() {
                let unit = places.unit(number);
                let height = places.window(unit.rows.len())[0];
                let n = places.list(&unit, height, pitch, list);
                places.lay_out_input(&unit, memory.view(&self.x), channel.clone(), strips, pitch);
                places.lay_out_gradient(&unit, memory.view(&self.dy), filter.clone(), dy, pitch);
                for tap in 0..places.taps() {
                    for panel in (0..filters).step_by(PANEL) {
                        let product = Product {
                            rows: channels,
                            depth: n,
                            a: strips.wrapping_add(places.tap(tap) * pitch).cast_const(),
                            a_rows: Apart(1),
                            a_depth: Listed(&*list),
                            b: dy.wrapping_add(panel).cast_const(),
                            b_depth: pitch,
                            c: products.wrapping_add(tap * BLOCK * BLOCK + panel),
                            c_rows: Apart(BLOCK),
                            accumulate: number > units.start,
                        };
                        product.run(simd);
                    }
                }
            }
            let out = memory.at::<f32>(self.out);
            let to = self.parts.place(&share, out, memory);
            for channel in 0..channels {
                let from = products.add(channel * BLOCK);
                let to = to.add(channel * places.taps());
                transpose(from, BLOCK * BLOCK, to, self.parts.row(), filters, places.taps());
            }
            self.parts.finish(&share, out, memory);
        }
    }
}

/// The most taps of a kernel.
const TAPS: usize = 25;

impl Kernel for WeightGrad {
    fn tasks(&self) -> usize {
        self.parts.tasks()
    }

    fn cost(&self) -> usize {
        // A core multiplies about four times as many numbers as it moves bytes.
        let [height, width] = self.places.output;
        let outputs = self.places.batch * self.places.groups * height * width;
        outputs * self.places.taps() * self.places.channels * self.places.filters / 4
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        // Outside of the vectors' instructions, which no closure keeps.
        let bytes = self.strips().iter().sum::<usize>() * size_of::<f32>();
        let most = self.places.most()[0];
        with_strips(bytes + most * size_of::<u32>(), |strips| {
            // SAFETY: behind the numbers there is room for the list of a unit.
            let list = unsafe { std::slice::from_raw_parts_mut(strips.add(bytes).cast(), most) };
            with_simd(Task { kernel: self, task, strips: strips.cast(), list, memory });
        });
    }
}

/// One task, to be run with the vectors of the tier.
struct Task<'a> {
    kernel: &'a WeightGrad,
    task: usize,
    strips: *mut f32,
    list: &'a mut [u32],
    memory: &'a Memory<'a>,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: made by `Kernel::run`, under the same contract.
        unsafe { self.kernel.run_with(simd, self) };
    }
}
