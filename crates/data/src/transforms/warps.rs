//! Random rotations, affine and perspective maps.

use gradus_tensor::Result;

use super::warp::{Affine, Map, warp};
use super::{Draws, Resampling, Transform};
use crate::Image;

/// Rotates about the middle by a random angle: torchvision's `RandomRotation`. The corners that are
/// left are black.
#[derive(Clone, Debug)]
pub struct RandomRotation {
    degrees: (f64, f64),
    interpolation: Resampling,
    fill: u8,
}

impl RandomRotation {
    /// By an angle between −`degrees` and `degrees`.
    pub fn new(degrees: f64) -> RandomRotation {
        RandomRotation::between(-degrees, degrees)
    }

    /// By an angle between these, counterclockwise.
    pub fn between(least: f64, greatest: f64) -> RandomRotation {
        RandomRotation { degrees: (least, greatest), interpolation: Resampling::Nearest, fill: 0 }
    }

    /// How pixels between pixels are found: nearest by default.
    #[must_use]
    pub fn interpolation(self, interpolation: Resampling) -> RandomRotation {
        RandomRotation { interpolation, ..self }
    }

    /// What the corners are filled with.
    #[must_use]
    pub fn fill(self, fill: u8) -> RandomRotation {
        RandomRotation { fill, ..self }
    }
}

impl Transform for RandomRotation {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        let angle = -draws.between(self.degrees.0, self.degrees.1);
        affine(&image, Affine { angle, ..Affine::default() }, self.interpolation, self.fill)
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// Rotates, shifts, scales and shears about the middle, at random: torchvision's `RandomAffine`.
/// What is left is black.
#[derive(Clone, Debug)]
pub struct RandomAffine {
    degrees: (f64, f64),
    translate: (f64, f64),
    scale: (f64, f64),
    shear: [f64; 4],
    interpolation: Resampling,
    fill: u8,
}

impl RandomAffine {
    /// Rotates by up to `degrees` either way.
    pub fn new(degrees: f64) -> RandomAffine {
        RandomAffine {
            degrees: (-degrees, degrees),
            translate: (0.0, 0.0),
            scale: (1.0, 1.0),
            shear: [0.0; 4],
            interpolation: Resampling::Nearest,
            fill: 0,
        }
    }

    /// Shifts by up to these shares of width and height either way.
    #[must_use]
    pub fn translate(self, x: f64, y: f64) -> RandomAffine {
        RandomAffine { translate: (x, y), ..self }
    }

    /// Scales by a factor between these.
    #[must_use]
    pub fn scale(self, least: f64, greatest: f64) -> RandomAffine {
        RandomAffine { scale: (least, greatest), ..self }
    }

    /// Shears by angles in degrees: between the first two along x, between the last two along y.
    #[must_use]
    pub fn shear(self, degrees: [f64; 4]) -> RandomAffine {
        RandomAffine { shear: degrees, ..self }
    }

    /// How pixels between pixels are found: nearest by default.
    #[must_use]
    pub fn interpolation(self, interpolation: Resampling) -> RandomAffine {
        RandomAffine { interpolation, ..self }
    }

    /// What is left is filled with.
    #[must_use]
    pub fn fill(self, fill: u8) -> RandomAffine {
        RandomAffine { fill, ..self }
    }
}

impl Transform for RandomAffine {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        let [_, height, width] = image.extent()?;
        let angle = draws.between(self.degrees.0, self.degrees.1);
        let mut shift = |share: f64, size: usize| {
            let most = share * size as f64;
            draws.between(-most, most).round_ties_even()
        };
        let translate = (shift(self.translate.0, width), shift(self.translate.1, height));
        let scale = draws.between(self.scale.0, self.scale.1);
        let [x0, x1, y0, y1] = self.shear;
        let shear = (draws.between(x0, x1), draws.between(y0, y1));
        let map = Affine { angle, translate, scale, shear, center: None };
        affine(&image, map, self.interpolation, self.fill)
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// Moves the corners inwards at random: torchvision's `RandomPerspective`. What is left is black.
#[derive(Clone, Debug)]
pub struct RandomPerspective {
    distortion_scale: f64,
    p: f64,
    interpolation: Resampling,
    fill: u8,
}

impl RandomPerspective {
    /// By up to `distortion_scale` (0 to 1) of half the image, with the probability `p`.
    pub fn new(distortion_scale: f64, p: f64) -> RandomPerspective {
        RandomPerspective { distortion_scale, p, interpolation: Resampling::Bilinear, fill: 0 }
    }

    /// How pixels between pixels are found: bilinear by default.
    #[must_use]
    pub fn interpolation(self, interpolation: Resampling) -> RandomPerspective {
        RandomPerspective { interpolation, ..self }
    }

    /// What is left is filled with.
    #[must_use]
    pub fn fill(self, fill: u8) -> RandomPerspective {
        RandomPerspective { fill, ..self }
    }
}

/// By up to half of half the image, every other time.
impl Default for RandomPerspective {
    fn default() -> RandomPerspective {
        RandomPerspective::new(0.5, 0.5)
    }
}

impl Transform for RandomPerspective {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        let [_, height, width] = image.extent()?;
        // A side of one pixel has no two corners.
        if !draws.chance(self.p) || height < 2 || width < 2 {
            return Ok(image);
        }
        let scale = self.distortion_scale.clamp(0.0, 1.0);
        let bound = |size: usize| (scale * (size / 2) as f64) as usize + 1;
        let (bound_y, bound_x) = (bound(height), bound(width));
        let mut corner = |right: bool, bottom: bool| {
            let (x, y) = (draws.below(bound_x), draws.below(bound_y));
            let x = if right { width - bound_x + x } else { x };
            let y = if bottom { height - bound_y + y } else { y };
            (x as f64, y as f64)
        };
        let end =
            [corner(false, false), corner(true, false), corner(true, true), corner(false, true)];
        let (right, bottom) = ((width - 1) as f64, (height - 1) as f64);
        let start = [(0.0, 0.0), (right, 0.0), (right, bottom), (0.0, bottom)];
        // With the whole distortion of a small image, corners may meet: there is nothing to see.
        match Map::of_corners(start, end) {
            Ok(map) => warp(&image, map, self.interpolation, self.fill),
            Err(_) => Ok(image),
        }
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// The image through an affine map.
pub(super) fn affine(image: &Image, affine: Affine, how: Resampling, fill: u8) -> Result<Image> {
    let [_, height, width] = image.extent()?;
    warp(image, affine.map(height, width), how, fill)
}
