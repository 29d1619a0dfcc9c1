//! Cuts out of images, and margins around them.

use gradus_tensor::Result;

use super::pipeline::misuse;
use super::{Draws, Transform};
use crate::Image;

/// What is in a margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaddingMode {
    /// One byte.
    Constant(u8),
    /// The pixel at the edge.
    Edge,
    /// The image mirrored at the pixels of its edge, which are not repeated.
    Reflect,
    /// The image mirrored at its edge.
    Symmetric,
}

impl Default for PaddingMode {
    fn default() -> PaddingMode {
        PaddingMode::Constant(0)
    }
}

impl PaddingMode {
    /// Where in `0..size` the pixel at `at` comes from; nothing for the constant.
    fn source(self, at: isize, size: usize) -> Option<usize> {
        let n = size as isize;
        match self {
            _ if (0..n).contains(&at) => Some(at as usize),
            PaddingMode::Constant(_) => None,
            PaddingMode::Edge => Some(at.clamp(0, n - 1) as usize),
            PaddingMode::Reflect if n == 1 => Some(0),
            PaddingMode::Reflect => {
                let at = at.rem_euclid(2 * n - 2);
                Some(at.min(2 * n - 2 - at) as usize)
            }
            PaddingMode::Symmetric => {
                let at = at.rem_euclid(2 * n);
                Some(at.min(2 * n - 1 - at) as usize)
            }
        }
    }
}

/// The window of `size` (height, width) whose first pixel is at `origin` (row, column), which may
/// lie outside the image.
pub(super) fn window(
    image: &Image,
    origin: (isize, isize),
    size: (usize, usize),
    mode: PaddingMode,
) -> Result<Image> {
    let [_, height, width] = image.extent()?;
    let rows = (0..size.0).map(|row| mode.source(origin.0 + row as isize, height));
    let rows: Vec<Option<usize>> = rows.collect();
    let columns = (0..size.1).map(|column| mode.source(origin.1 + column as isize, width));
    let columns: Vec<Option<usize>> = columns.collect();
    let fill = if let PaddingMode::Constant(fill) = mode { fill } else { 0 };
    // The columns that are in the image, where they stand together: the usual case is a copy.
    let before = (-origin.1).clamp(0, size.1 as isize) as usize;
    let inside = (width as isize - origin.1.max(0)).clamp(0, (size.1 - before) as isize) as usize;
    let first = origin.1.max(0) as usize;
    image.map_planes(size, |plane, out| {
        for row in &rows {
            let Some(row) = row else {
                out.resize(out.len() + size.1, fill);
                continue;
            };
            let row = &plane[row * width..][..width];
            let pixel = |column: &Option<usize>| column.map_or(fill, |column| row[column]);
            out.extend(columns[..before].iter().map(pixel));
            if inside > 0 {
                out.extend_from_slice(&row[first..first + inside]);
            }
            out.extend(columns[before + inside..].iter().map(pixel));
        }
    })
}

/// Adds a margin: torchvision's `Pad`.
#[derive(Clone, Debug)]
pub struct Pad {
    /// Left, top, right and bottom.
    margins: [usize; 4],
    mode: PaddingMode,
}

/// No margin is wider.
const WIDEST: usize = 1 << 14;

impl Pad {
    /// The same margin on all sides, black.
    pub fn new(margin: usize) -> Pad {
        Pad::sides([margin; 4])
    }

    /// Margins at the left, the top, the right and the bottom.
    pub fn sides(margins: [usize; 4]) -> Pad {
        Pad { margins, mode: PaddingMode::default() }
    }

    /// What is in it.
    #[must_use]
    pub fn mode(self, mode: PaddingMode) -> Pad {
        Pad { mode, ..self }
    }
}

impl Transform for Pad {
    fn apply(&self, image: Image, _: &mut Draws) -> Result<Image> {
        let [_, height, width] = image.extent()?;
        if let Some(margin) = self.margins.iter().find(|margin| **margin > WIDEST) {
            return Err(misuse(format!("Pad: a margin of {margin} pixels; at most {WIDEST}")));
        }
        let [left, top, right, bottom] = self.margins;
        let size = (height + top + bottom, width + left + right);
        window(&image, (-(top as isize), -(left as isize)), size, self.mode)
    }
}

/// Cuts out the middle: torchvision's `CenterCrop`. A smaller image gets a black margin.
#[derive(Clone, Debug)]
pub struct CenterCrop {
    size: (usize, usize),
}

impl CenterCrop {
    /// A square.
    pub fn new(side: usize) -> CenterCrop {
        CenterCrop::size(side, side)
    }

    /// Of this height and width.
    pub fn size(height: usize, width: usize) -> CenterCrop {
        CenterCrop { size: (height, width) }
    }
}

impl Transform for CenterCrop {
    fn apply(&self, image: Image, _: &mut Draws) -> Result<Image> {
        let [_, height, width] = image.extent()?;
        check("CenterCrop", self.size)?;
        let origin = |have: usize, want: usize| match want > have {
            // As torchvision has it: the odd pixel of a margin is at the end, that of a crop is
            // rounded to the even.
            true => -(((want - have) / 2) as isize),
            false => ((have - want) as f64 / 2.0).round_ties_even() as isize,
        };
        let start = (origin(height, self.size.0), origin(width, self.size.1));
        window(&image, start, self.size, PaddingMode::default())
    }
}

/// Cuts out a window at a random place: torchvision's `RandomCrop`.
#[derive(Clone, Debug)]
pub struct RandomCrop {
    size: (usize, usize),
    padding: usize,
    mode: PaddingMode,
}

impl RandomCrop {
    /// A square.
    pub fn new(side: usize) -> RandomCrop {
        RandomCrop::size(side, side)
    }

    /// Of this height and width.
    pub fn size(height: usize, width: usize) -> RandomCrop {
        RandomCrop { size: (height, width), padding: 0, mode: PaddingMode::default() }
    }

    /// After a margin of so many pixels has been added on all sides; by default, none.
    #[must_use]
    pub fn padding(self, padding: usize) -> RandomCrop {
        RandomCrop { padding, ..self }
    }

    /// What is in it; by default, it is black.
    #[must_use]
    pub fn padding_mode(self, mode: PaddingMode) -> RandomCrop {
        RandomCrop { mode, ..self }
    }
}

impl Transform for RandomCrop {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        let [_, height, width] = image.extent()?;
        check("RandomCrop", self.size)?;
        let padding = self.padding.min(WIDEST);
        let (h, w) = (height + 2 * padding, width + 2 * padding);
        if h < self.size.0 || w < self.size.1 {
            let message = format!(
                "RandomCrop: no window of {}×{} fits an image of {height}×{width} with a padding of \
                 {padding}; resize before it, or pad more",
                self.size.0, self.size.1
            );
            return Err(misuse(message));
        }
        let row = draws.below(h - self.size.0 + 1) as isize - padding as isize;
        let column = draws.below(w - self.size.1 + 1) as isize - padding as isize;
        window(&image, (row, column), self.size, self.mode)
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// Looks whether a size makes sense.
pub(super) fn check(what: &str, (height, width): (usize, usize)) -> Result<()> {
    let sides = 1..=WIDEST;
    if sides.contains(&height) && sides.contains(&width) {
        return Ok(());
    }
    Err(misuse(format!("{what}: a size of {height}×{width}; sides are 1 to {WIDEST} long")))
}
