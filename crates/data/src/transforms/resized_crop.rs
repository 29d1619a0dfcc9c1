//! The crop that networks for photographs are trained with.

use gradus_tensor::Result;

use super::crop::{PaddingMode, check, window};
use super::resize::resized;
use super::{Draws, Resampling, Transform};
use crate::Image;

/// Cuts out a random part of a random shape and scales it to one size: torchvision's
/// `RandomResizedCrop` (C. Szegedy et al., *Going deeper with convolutions*, 2015).
#[derive(Clone, Debug)]
pub struct RandomResizedCrop {
    size: (usize, usize),
    scale: (f64, f64),
    ratio: (f64, f64),
    interpolation: Resampling,
}

impl RandomResizedCrop {
    /// To a square.
    pub fn new(side: usize) -> RandomResizedCrop {
        RandomResizedCrop::size(side, side)
    }

    /// To this height and width.
    pub fn size(height: usize, width: usize) -> RandomResizedCrop {
        RandomResizedCrop {
            size: (height, width),
            scale: (0.08, 1.0),
            ratio: (3.0 / 4.0, 4.0 / 3.0),
            interpolation: Resampling::default(),
        }
    }

    /// The least and the greatest share of the area: 0.08 to 1 by default.
    #[must_use]
    pub fn scale(self, least: f64, greatest: f64) -> RandomResizedCrop {
        RandomResizedCrop { scale: (least, greatest), ..self }
    }

    /// The least and the greatest width divided by height: ¾ to 4/3 by default.
    #[must_use]
    pub fn ratio(self, least: f64, greatest: f64) -> RandomResizedCrop {
        RandomResizedCrop { ratio: (least, greatest), ..self }
    }

    /// How it is scaled; bilinear by default.
    #[must_use]
    pub fn interpolation(self, interpolation: Resampling) -> RandomResizedCrop {
        RandomResizedCrop { interpolation, ..self }
    }

    /// First row, first column, height and width of the part.
    fn part(&self, height: usize, width: usize, draws: &mut Draws) -> [usize; 4] {
        let area = (height * width) as f64;
        let ratio = (libm::log(self.ratio.0), libm::log(self.ratio.1));
        for _ in 0..10 {
            let target = area * draws.between(self.scale.0, self.scale.1);
            let aspect = libm::exp(draws.between(ratio.0, ratio.1));
            let w = (target * aspect).sqrt().round_ties_even() as usize;
            let h = (target / aspect).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                return [draws.below(height - h + 1), draws.below(width - w + 1), h, w];
            }
        }
        // None fitted: the middle, as near to the proportions as can be.
        let shape = width as f64 / height as f64;
        let (h, w) = if shape < self.ratio.0 {
            ((width as f64 / self.ratio.0).round_ties_even() as usize, width)
        } else if shape > self.ratio.1 {
            (height, (height as f64 * self.ratio.1).round_ties_even() as usize)
        } else {
            (height, width)
        };
        let (h, w) = (h.clamp(1, height), w.clamp(1, width));
        [(height - h) / 2, (width - w) / 2, h, w]
    }
}

impl Transform for RandomResizedCrop {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        check("RandomResizedCrop", self.size)?;
        let [_, height, width] = image.extent()?;
        let [row, column, h, w] = self.part(height, width, draws);
        let origin = (row as isize, column as isize);
        let part = window(&image, origin, (h, w), PaddingMode::default())?;
        resized(&part, self.size, self.interpolation)
    }

    fn is_random(&self) -> bool {
        true
    }
}
