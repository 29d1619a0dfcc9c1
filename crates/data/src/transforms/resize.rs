//! Resizing.

use gradus_tensor::Result;

use super::pipeline::misuse;
use super::{Draws, Resampling, Transform, resample};
use crate::Image;

/// No side becomes longer.
const LONGEST: usize = 1 << 14;

/// Scales images: torchvision's `Resize`, antialiased as on Pillow images.
#[derive(Clone, Debug)]
pub struct Resize {
    size: Size,
    interpolation: Resampling,
}

#[derive(Clone, Copy, Debug)]
enum Size {
    Shorter(usize),
    Both(usize, usize),
}

impl Resize {
    /// The shorter side becomes so long, the other follows.
    pub fn shorter(size: usize) -> Resize {
        Resize { size: Size::Shorter(size), interpolation: Resampling::default() }
    }

    /// Both sides become so long, whatever the proportions were.
    pub fn to(height: usize, width: usize) -> Resize {
        Resize { size: Size::Both(height, width), interpolation: Resampling::default() }
    }

    /// How; bilinear by default.
    #[must_use]
    pub fn interpolation(self, interpolation: Resampling) -> Resize {
        Resize { interpolation, ..self }
    }
}

impl Transform for Resize {
    fn apply(&self, image: Image, _: &mut Draws) -> Result<Image> {
        let [_, height, width] = image.extent()?;
        let to = match self.size {
            Size::Both(height, width) => (height, width),
            Size::Shorter(size) if height < width => (size, size * width / height),
            Size::Shorter(size) => (size * height / width, size),
        };
        resized(&image, to, self.interpolation)
    }
}

/// An image at another size.
pub(super) fn resized(image: &Image, to: (usize, usize), how: Resampling) -> Result<Image> {
    let [_, height, width] = image.extent()?;
    let sides = 1..=LONGEST;
    if !sides.contains(&to.0) || !sides.contains(&to.1) {
        let (h, w) = to;
        let message = format!(
            "an image of {height}×{width} would become {h}×{w}; sides are 1 to {LONGEST} long"
        );
        return Err(misuse(message));
    }
    image.map_planes(to, |plane, out| resample(plane, (height, width), to, how, out))
}
