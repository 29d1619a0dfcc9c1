//! Random changes of colours.

use gradus_tensor::Result;

use super::color::{brightness, contrast, gray, hue, saturation};
use super::pipeline::misuse;
use super::{Draws, Transform};
use crate::Image;

/// Changes brightness, contrast, saturation and hue at random, in a random order: torchvision's
/// `ColorJitter`. Without further options it changes nothing.
#[derive(Clone, Debug, Default)]
pub struct ColorJitter {
    brightness: f64,
    contrast: f64,
    saturation: f64,
    hue: f64,
}

impl ColorJitter {
    /// Multiplies brightness, contrast and saturation by factors between `1 − x` (at least 0) and
    /// `1 + x`, and turns the hue by up to so much of the wheel (at most ½) either way.
    pub fn new(brightness: f64, contrast: f64, saturation: f64, hue: f64) -> ColorJitter {
        ColorJitter { brightness, contrast, saturation, hue: hue.clamp(0.0, 0.5) }
    }
}

impl Transform for ColorJitter {
    fn apply(&self, mut image: Image, draws: &mut Draws) -> Result<Image> {
        let mut order = [0, 1, 2, 3];
        for last in (1..order.len()).rev() {
            order.swap(last, draws.below(last + 1));
        }
        // All are drawn, whether used or not: one option does not change what another draws.
        let mut factor = |x: f64| draws.between((1.0 - x).max(0.0), 1.0 + x);
        let factors = [factor(self.brightness), factor(self.contrast), factor(self.saturation)];
        let turn = draws.between(-self.hue, self.hue);
        for change in order {
            image = match change {
                0 if self.brightness > 0.0 => brightness(image, factors[0])?,
                1 if self.contrast > 0.0 => contrast(image, factors[1])?,
                2 if self.saturation > 0.0 => saturation(image, factors[2])?,
                3 if self.hue > 0.0 => hue(image, turn)?,
                _ => image,
            };
        }
        Ok(image)
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// Makes an image grey, of one channel or three equal ones: torchvision's `Grayscale`.
#[derive(Clone, Debug)]
pub struct Grayscale {
    channels: usize,
}

impl Grayscale {
    /// With 1 or 3 channels.
    pub fn new(channels: usize) -> Grayscale {
        Grayscale { channels }
    }
}

/// With one channel.
impl Default for Grayscale {
    fn default() -> Grayscale {
        Grayscale::new(1)
    }
}

impl Transform for Grayscale {
    fn apply(&self, image: Image, _: &mut Draws) -> Result<Image> {
        if ![1, 3].contains(&self.channels) {
            let message = format!("Grayscale: {} channels; give 1 or 3", self.channels);
            return Err(misuse(message));
        }
        let [_, height, width] = image.extent()?;
        let gray = gray(&image)?;
        image.with_pixels([self.channels, height, width], gray.repeat(self.channels))
    }
}

/// Makes an image grey at random, keeping its channels.
#[derive(Clone, Debug)]
pub struct RandomGrayscale {
    p: f64,
}

impl RandomGrayscale {
    /// With the probability `p`.
    pub fn new(p: f64) -> RandomGrayscale {
        RandomGrayscale { p }
    }
}

/// With the probability 0.1.
impl Default for RandomGrayscale {
    fn default() -> RandomGrayscale {
        RandomGrayscale::new(0.1)
    }
}

impl Transform for RandomGrayscale {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        let channels = image.extent()?[0];
        match draws.chance(self.p) && channels == 3 {
            true => Grayscale::new(channels).apply(image, draws),
            false => Ok(image),
        }
    }

    fn is_random(&self) -> bool {
        true
    }
}
