//! Which tiles a task works on, and how planes become transformed tiles.

use std::ops::Range;

use pulp::Simd;

use super::super::panel::PANEL;
use super::transform::{SIDE, STEP, Transform, both};
use crate::gemm::transpose;

/// The tiles of a batch of planes, and how they are cut into units: rows of tiles of an image, or whole images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    batch: usize,
    /// Tiles of an image.
    down: usize,
    across: usize,
    /// Images of a unit, and its rows of tiles in each.
    images: usize,
    rows: usize,
}

/// Some tiles, numbered image by image and row by row.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub images: Range<usize>,
    /// Rows of tiles in each image.
    pub rows: Range<usize>,
    /// Tiles in a row.
    pub across: usize,
    /// The number of its first tile in the batch.
    pub first: usize,
}

impl Tiles {
    /// Those that cover a plane, in units of about `wanted`.
    pub fn new(batch: usize, plane: [usize; 2], wanted: usize) -> Tiles {
        let [down, across] = plane.map(|n| n.div_ceil(STEP).max(1));
        let rows = (wanted / across).clamp(1, down);
        // Of equal height, as far as that goes.
        let rows = down.div_ceil(down.div_ceil(rows));
        let images = if rows < down { 1 } else { (wanted / (down * across)).max(1) };
        Tiles { batch, down, across, images: images.min(batch.max(1)), rows }
    }

    fn bands(&self) -> usize {
        self.down.div_ceil(self.rows)
    }

    pub fn units(&self) -> usize {
        if self.images > 1 { self.batch.div_ceil(self.images) } else { self.batch * self.bands() }
    }

    pub fn unit(&self, unit: usize) -> Unit {
        let (image, band) = (unit / self.bands() * self.images, unit % self.bands());
        let rows = band * self.rows..((band + 1) * self.rows).min(self.down);
        Unit {
            images: image..(image + self.images).min(self.batch),
            first: (image * self.down + rows.start) * self.across,
            rows,
            across: self.across,
        }
    }

    /// Tiles of the batch.
    pub fn len(&self) -> usize {
        self.batch * self.down * self.across
    }

    /// The most tiles of a unit.
    pub fn most(&self) -> usize {
        self.images * self.rows * self.across
    }

    /// The most pixels of a plane that a unit reads or writes at a time.
    pub fn pixels(&self, plane: [usize; 2]) -> usize {
        plane[0].min(self.rows * STEP + SIDE - STEP) * plane[1]
    }
}

impl Unit {
    pub fn len(&self) -> usize {
        self.images.len() * self.rows.len() * self.across
    }
}

/// Planes of a batch of images: `[batch, channels, height, width]`.
#[derive(Clone, Copy)]
pub(super) struct Planes {
    pub at: *const f32,
    pub channels: usize,
    pub size: [usize; 2],
    /// How far the first tile reaches out of the plane.
    pub shift: [usize; 2],
}

/// Transformed tiles: `POINTS` matrices, `pitch` apart, of a row of channels for each tile.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    pub at: *mut f32,
    pub pitch: usize,
    pub row: usize,
}

/// What lies outside of a plane.
static ZEROS: [f32; PANEL] = [0.0; PANEL];

/// Transforms the tiles of a unit, `N` × `N` pixels each, for at most [`PANEL`] channels; there are zeros for the
/// channels that are missing. `pixels` is room for [`Tiles::pixels`] × [`PANEL`] numbers.
///
/// # Safety
/// The planes must be valid for reads; `pixels` and the result, from the first of the channels on, for writes.
#[inline(always)]
pub(super) unsafe fn spread<S: Simd, T: Transform<N, SIDE>, const N: usize>(
    simd: S,
    unit: &Unit,
    planes: &Planes,
    channels: Range<usize>,
    pixels: *mut f32,
    to: Spread,
) {
    let [height, width] = planes.size;
    let [down, right] = planes.shift;
    let top = (unit.rows.start * STEP).saturating_sub(down).min(height);
    let bottom =
        (unit.rows.end.saturating_sub(1) * STEP + N).saturating_sub(down).clamp(top, height);
    let mut tile = 0;
    for image in unit.images.clone() {
        // SAFETY: the rows are inside the planes, and `pixels` has room for them.
        unsafe {
            let at = (image * planes.channels + channels.start) * height * width + top * width;
            let (n, from) = ((bottom - top) * width, planes.at.add(at));
            if channels.len() < PANEL {
                std::slice::from_raw_parts_mut(pixels, n * PANEL).fill(0.0);
            }
            transpose(from, height * width, pixels, PANEL, n, channels.len());
        }
        for row in unit.rows.clone() {
            for column in 0..unit.across {
                let mut at = [[ZEROS.as_ptr(); N]; N];
                for (i, at) in at.iter_mut().enumerate() {
                    let y = (row * STEP + i).wrapping_sub(down);
                    for (j, at) in at.iter_mut().enumerate() {
                        let x = (column * STEP + j).wrapping_sub(right);
                        if y < height && x < width {
                            *at = pixels.wrapping_add(((y - top) * width + x) * PANEL);
                        }
                    }
                }
                for lane in (0..PANEL).step_by(S::F32_LANES) {
                    // SAFETY: pixels and zeros are `PANEL` numbers each; the result has a row for each tile.
                    unsafe {
                        let first = to.at.add(tile * to.row + lane);
                        both::<S, T, N, SIDE>(
                            simd,
                            |i, j| at[i][j].add(lane).cast::<S::f32s>().read_unaligned(),
                            |i, j, y| {
                                let at = first.add((i * SIDE + j) * to.pitch);
                                at.cast::<S::f32s>().write_unaligned(y);
                            },
                        );
                    }
                }
                tile += 1;
            }
        }
    }
}
