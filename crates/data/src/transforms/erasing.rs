//! Erasing.

use gradus_tensor::Result;

use super::{Draws, Transform};
use crate::Image;

/// Erases a random rectangle: torchvision's `RandomErasing` (Z. Zhong et al., *Random erasing data
/// augmentation*, 2017), on bytes, before normalisation.
#[derive(Clone, Debug)]
pub struct RandomErasing {
    p: f64,
    scale: (f64, f64),
    ratio: (f64, f64),
    /// Noise if there is none.
    value: Option<u8>,
}

impl RandomErasing {
    /// With the probability `p`.
    pub fn new(p: f64) -> RandomErasing {
        RandomErasing { p, scale: (0.02, 0.33), ratio: (0.3, 3.3), value: Some(0) }
    }

    /// The least and the greatest share of the area: 0.02 to 0.33 by default.
    #[must_use]
    pub fn scale(self, least: f64, greatest: f64) -> RandomErasing {
        RandomErasing { scale: (least, greatest), ..self }
    }

    /// The least and the greatest height divided by width: 0.3 to 3.3 by default.
    #[must_use]
    pub fn ratio(self, least: f64, greatest: f64) -> RandomErasing {
        RandomErasing { ratio: (least, greatest), ..self }
    }

    /// With this byte; 0 by default. With `None`, with noise.
    #[must_use]
    pub fn value(self, value: Option<u8>) -> RandomErasing {
        RandomErasing { value, ..self }
    }
}

/// With the probability ½.
impl Default for RandomErasing {
    fn default() -> RandomErasing {
        RandomErasing::new(0.5)
    }
}

impl Transform for RandomErasing {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        if !draws.chance(self.p) {
            return Ok(image);
        }
        let [_, height, width] = image.extent()?;
        let area = (height * width) as f64;
        let ratio = (libm::log(self.ratio.0), libm::log(self.ratio.1));
        for _ in 0..10 {
            let target = area * draws.between(self.scale.0, self.scale.1);
            let aspect = libm::exp(draws.between(ratio.0, ratio.1));
            let h = (target * aspect).sqrt().round_ties_even() as usize;
            let w = (target / aspect).sqrt().round_ties_even() as usize;
            if h >= height || w >= width {
                continue;
            }
            let (top, left) = (draws.below(height - h + 1), draws.below(width - w + 1));
            return image.map_planes((height, width), |plane, out| {
                let start = out.len();
                out.extend_from_slice(plane);
                for row in top..top + h {
                    for x in &mut out[start + row * width + left..][..w] {
                        *x = self.value.unwrap_or_else(|| draws.below(256) as u8);
                    }
                }
            });
        }
        Ok(image)
    }

    fn is_random(&self) -> bool {
        true
    }
}
