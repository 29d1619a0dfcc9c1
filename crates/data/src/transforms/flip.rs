//! Mirror images.

use gradus_tensor::Result;

use super::{Draws, Transform};
use crate::Image;

macro_rules! flip {
    ($(#[$doc:meta])* $Name:ident, $flipped:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $Name {
            p: f64,
        }

        impl $Name {
            /// With the probability `p`.
            pub fn new(p: f64) -> $Name {
                $Name { p }
            }
        }

        /// With the probability ½.
        impl Default for $Name {
            fn default() -> $Name {
                $Name { p: 0.5 }
            }
        }

        impl Transform for $Name {
            fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
                if !draws.chance(self.p) {
                    return Ok(image);
                }
                let [_, height, width] = image.extent()?;
                let flipped: fn(&[u8], usize, &mut Vec<u8>) = $flipped;
                image.map_planes((height, width), |plane, out| flipped(plane, width, out))
            }

            fn is_random(&self) -> bool {
                true
            }
        }
    };
}

flip!(
    /// Exchanges left and right, at random.
    RandomHorizontalFlip,
    |plane, width, out| plane.chunks_exact(width).for_each(|row| out.extend(row.iter().rev()))
);
flip!(
    /// Exchanges top and bottom, at random.
    RandomVerticalFlip,
    |plane, width, out| plane.chunks_exact(width).rev().for_each(|row| out.extend(row))
);
