//! Which outputs a task works on, and how planes become rows of channels, one for each pixel.

use std::ops::Range;

use gradus_ir::ops::{ConvGeometry, ConvSize};

use super::super::panel::PANEL;
use super::super::winograd::SKEW;
use crate::gemm::transpose;

/// The sizes of a convolution, those of channels and filters for one group, and how its outputs are cut into units:
/// rows of an image, or whole images.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub batch: usize,
    pub groups: usize,
    pub channels: usize,
    pub filters: usize,
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Zeros before the plane.
    pub padding: [usize; 2],
    images: usize,
    rows: usize,
}

/// Some outputs, image by image and row by row.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub images: Range<usize>,
    /// Rows of the output in each image.
    pub rows: Range<usize>,
}

/// Fewer channels, or filters, of a group fill too little of a panel; with few taps they take less time elsewhere.
const CHANNELS: usize = 16;
const OF_FEW_TAPS: usize = 48;
const FEW_TAPS: usize = 4;

/// Numbers from a pixel's row of channels to the next: neighbours must not start on the same cache set.
pub(super) fn row(channels: usize) -> usize {
    channels.next_multiple_of(PANEL) + SKEW
}

impl Places {
    /// The units of a convolution of many channels, of about `wanted` outputs each.
    pub fn new(geometry: &ConvGeometry, size: &ConvSize, wanted: usize) -> Option<Places> {
        let groups = geometry.groups;
        let (channels, filters) = (size.channels / groups, size.filters / groups);
        let [height, width] = size.output;
        let few = size.kernel[0] * size.kernel[1] <= FEW_TAPS;
        let least = if few { OF_FEW_TAPS } else { CHANNELS };
        if channels.min(filters) < least || size.batch * height * width == 0 {
            return None;
        }
        let rows = (wanted / width).clamp(1, height);
        let rows = height.div_ceil(height.div_ceil(rows));
        let images = if rows < height { 1 } else { (wanted / (height * width)).max(1) };
        Some(Places {
            batch: size.batch,
            groups,
            channels,
            filters,
            input: size.input,
            output: size.output,
            kernel: size.kernel,
            stride: geometry.stride,
            dilation: geometry.dilation,
            padding: [0, 1].map(|i| geometry.padding[i][0]),
            images: images.min(size.batch),
            rows,
        })
    }

    /// The same in units of whole images.
    pub fn whole_images(mut self) -> Places {
        self.rows = self.output[0];
        self
    }

    fn bands(&self) -> usize {
        self.output[0].div_ceil(self.rows)
    }

    pub fn units(&self) -> usize {
        self.batch.div_ceil(self.images) * self.bands()
    }

    pub fn unit(&self, unit: usize) -> Unit {
        let (image, band) = (unit / self.bands() * self.images, unit % self.bands());
        Unit {
            images: image..(image + self.images).min(self.batch),
            rows: band * self.rows..((band + 1) * self.rows).min(self.output[0]),
        }
    }

    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Rows and columns of the input, padding included, that some rows of the output see.
    pub fn window(&self, rows: usize) -> [usize; 2] {
        let span = |i: usize, n: usize| {
            (n.max(1) - 1) * self.stride[i] + (self.kernel[i] - 1) * self.dilation[i] + 1
        };
        [span(0, rows), span(1, self.output[1])]
    }

    /// The most outputs of a unit, and the most pixels of the input that they see.
    pub fn most(&self) -> [usize; 2] {
        let [height, width] = self.window(self.rows);
        [self.images * self.rows * self.output[1], self.images * height * width]
    }

    /// Where a tap's pixel lies from the first tap's on.
    pub fn tap(&self, tap: usize) -> usize {
        let [_, width] = self.window(1);
        let (i, j) = (tap / self.kernel[1], tap % self.kernel[1]);
        i * self.dilation[0] * width + j * self.dilation[1]
    }

    /// Writes where the first tap's pixel of each output of a unit lies, times `pitch`, in windows of `height` rows, and
    /// gives how many there are.
    pub fn list(&self, unit: &Unit, height: usize, pitch: usize, list: &mut [u32]) -> usize {
        let [_, width] = self.window(1);
        let mut n = 0;
        for image in 0..unit.images.len() {
            for row in 0..unit.rows.len() {
                let first = (image * height + row * self.stride[0]) * width;
                for column in 0..self.output[1] {
                    list[n] = ((first + column * self.stride[1]) * pitch) as u32;
                    n += 1;
                }
            }
        }
        n
    }

    /// Lays out the part of the input that a unit sees, padding included, `[pixel][channel]`; `channels` of the input,
    /// numbered over all groups.
    ///
    /// # Safety
    /// `x` must be valid for the input, and `to` for the pixels, `pitch` apart.
    pub unsafe fn lay_out_input(
        &self,
        unit: &Unit,
        x: *const f32,
        channels: Range<usize>,
        to: *mut f32,
        pitch: usize,
    ) {
        let [height, width] = self.input;
        let window = self.window(unit.rows.len());
        let padding = self.padding;
        let columns = width.min(window[1].saturating_sub(padding[1]));
        let seen = |row: usize| {
            let taps = (0..self.kernel[0]).map(|i| i * self.dilation[0]);
            taps.into_iter().any(|i| row >= i && (row - i).is_multiple_of(self.stride[0]))
        };
        // SAFETY: passed on to the caller: every pixel is inside the window, every row inside its plane.
        unsafe {
            for (i, image) in unit.images.clone().enumerate() {
                for row in (0..window[0]).filter(|&row| seen(row)) {
                    let to = to.add((i * window[0] + row) * window[1] * pitch);
                    let zero = |columns: Range<usize>| {
                        for column in columns {
                            let pixel = to.add(column * pitch);
                            std::slice::from_raw_parts_mut(pixel, channels.len()).fill(0.0);
                        }
                    };
                    let y = (unit.rows.start * self.stride[0] + row).wrapping_sub(padding[0]);
                    if y >= height {
                        zero(0..window[1]);
                        continue;
                    }
                    zero(0..padding[1].min(window[1]));
                    zero((padding[1] + columns).min(window[1])..window[1]);
                    let all = self.groups * self.channels;
                    let from = x.add(((image * all + channels.start) * height + y) * width);
                    let to = to.wrapping_add(padding[1] * pitch);
                    transpose(from, height * width, to, pitch, columns, channels.len());
                }
            }
        }
    }

    /// Lays out a unit of the output's gradient, `[output][filter]`; `filters` numbered over all groups.
    ///
    /// # Safety
    /// `dy` must be valid for the gradient, and `to` for the unit's outputs, `pitch` apart.
    pub unsafe fn lay_out_gradient(
        &self,
        unit: &Unit,
        dy: *const f32,
        filters: Range<usize>,
        to: *mut f32,
        pitch: usize,
    ) {
        let [height, width] = self.output;
        let n = unit.rows.len() * width;
        for (i, image) in unit.images.clone().enumerate() {
            let at = (image * self.groups * self.filters + filters.start) * height;
            // SAFETY: passed on to the caller.
            unsafe {
                let from = dy.add((at + unit.rows.start) * width);
                transpose(from, height * width, to.add(i * n * pitch), pitch, n, filters.len());
            }
        }
    }
}
