//! Augmentations that choose among many: RandAugment, TrivialAugment, AutoAugment.

use gradus_tensor::Result;

use super::color::{
    autocontrast, brightness, contrast, equalize, invert, posterize, saturation, sharpness,
    solarize,
};
use super::warp::Affine;
use super::warps::affine;
use super::{Draws, Resampling, Transform};
use crate::Image;

/// What they choose among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

use Op::*;

/// The operations of RandAugment and TrivialAugment.
const OPS: [Op; 14] = [
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
];

/// How far operations go at the greatest magnitude.
struct Space {
    shear: f64,
    /// In pixels, for a side of so many.
    translate: fn(usize) -> f64,
    degrees: f64,
    color: f64,
    /// Bits that posterising takes away.
    bits: f64,
}

/// Of AutoAugment and RandAugment.
const NARROW: Space = Space {
    shear: 0.3,
    translate: |side| 150.0 / 331.0 * side as f64,
    degrees: 30.0,
    color: 0.9,
    bits: 4.0,
};

/// Of TrivialAugment.
const WIDE: Space =
    Space { shear: 0.99, translate: |_| 32.0, degrees: 135.0, color: 0.99, bits: 6.0 };

impl Op {
    /// Does it with a strength between 0 and 1, in a random direction where there are two.
    fn apply(self, image: Image, strength: f64, space: &Space, draws: &mut Draws) -> Result<Image> {
        let sign = if draws.chance(0.5) { -1.0 } else { 1.0 };
        let [_, height, width] = image.extent()?;
        let signed = |most: f64| sign * strength * most;
        let magnitude = match self {
            ShearX | ShearY => signed(space.shear),
            TranslateX => signed((space.translate)(width)),
            TranslateY => signed((space.translate)(height)),
            Rotate => signed(space.degrees),
            Brightness | Color | Contrast | Sharpness => signed(space.color),
            Posterize => (8.0 - strength * space.bits).round_ties_even(),
            Solarize => 1.0 - strength,
            Identity | AutoContrast | Equalize | Invert => 0.0,
        };
        self.with(image, magnitude)
    }

    /// Does it with a magnitude in its own unit.
    pub(super) fn with(self, image: Image, magnitude: f64) -> Result<Image> {
        let same = Affine::default();
        let moved = |map: Affine| affine(&image, map, Resampling::Nearest, 0);
        let sheared = |shear| moved(Affine { shear, center: Some((0.0, 0.0)), ..same });
        match self {
            Identity => Ok(image),
            ShearX => sheared((libm::atan(magnitude).to_degrees(), 0.0)),
            ShearY => sheared((0.0, libm::atan(magnitude).to_degrees())),
            TranslateX => moved(Affine { translate: (magnitude.trunc(), 0.0), ..same }),
            TranslateY => moved(Affine { translate: (0.0, magnitude.trunc()), ..same }),
            Rotate => moved(Affine { angle: -magnitude, ..same }),
            Brightness => brightness(image, 1.0 + magnitude),
            Color => saturation(image, 1.0 + magnitude),
            Contrast => contrast(image, 1.0 + magnitude),
            Sharpness => sharpness(image, 1.0 + magnitude),
            Posterize => posterize(image, magnitude as u32),
            Solarize => solarize(image, 255.0 * magnitude),
            AutoContrast => autocontrast(image),
            Equalize => equalize(image),
            Invert => invert(image),
        }
    }
}

/// A few random operations of one strength: torchvision's `RandAugment` (E. D. Cubuk et al., 2019).
#[derive(Clone, Debug)]
pub struct RandAugment {
    num_ops: usize,
    magnitude: usize,
    bins: usize,
}

impl RandAugment {
    /// `num_ops` operations of `magnitude` (0 to 30).
    pub fn new(num_ops: usize, magnitude: usize) -> RandAugment {
        RandAugment { num_ops, magnitude, bins: 31 }
    }
}

/// 2 operations of magnitude 9.
impl Default for RandAugment {
    fn default() -> RandAugment {
        RandAugment::new(2, 9)
    }
}

impl Transform for RandAugment {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        let strength = (self.magnitude as f64 / (self.bins - 1) as f64).min(1.0);
        (0..self.num_ops).try_fold(image, |image, _| {
            OPS[draws.below(OPS.len())].apply(image, strength, &NARROW, draws)
        })
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// One random operation of a random strength: torchvision's `TrivialAugmentWide` (S. Müller, F.
/// Hutter, 2021).
#[derive(Clone, Debug, Default)]
pub struct TrivialAugmentWide;

impl Transform for TrivialAugmentWide {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        let op = OPS[draws.below(OPS.len())];
        let strength = draws.below(31) as f64 / 30.0;
        op.apply(image, strength, &WIDE, draws)
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// Whose policy: what was found to serve a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AugmentPolicy {
    /// Photographs of ImageNet.
    #[default]
    ImageNet,
    /// The small photographs of CIFAR-10.
    Cifar10,
}

/// One of 25 pairs of operations, each with its probability and strength: torchvision's
/// `AutoAugment` (E. D. Cubuk et al., *AutoAugment: learning augmentation policies from data*, 2018).
#[derive(Clone, Debug, Default)]
pub struct AutoAugment {
    policy: AugmentPolicy,
}

impl AutoAugment {
    /// With the policy of a dataset.
    pub fn new(policy: AugmentPolicy) -> AutoAugment {
        AutoAugment { policy }
    }
}

impl Transform for AutoAugment {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        let policy = match self.policy {
            AugmentPolicy::ImageNet => &IMAGENET,
            AugmentPolicy::Cifar10 => &CIFAR10,
        };
        let pair = policy[draws.below(policy.len())];
        pair.into_iter().try_fold(image, |image, (op, tenths, magnitude)| {
            match draws.chance(f64::from(tenths) / 10.0) {
                true => op.apply(image, f64::from(magnitude) / 9.0, &NARROW, draws),
                false => Ok(image),
            }
        })
    }

    fn is_random(&self) -> bool {
        true
    }
}

/// Each of a pair: what, how often of ten times, and how strongly from 0 to 9 (0 where there is no
/// strength).
type Pairs = [[(Op, u8, u8); 2]; 25];

/// Appendix A, table 9 of the paper.
#[rustfmt::skip]
const IMAGENET: Pairs = [
    [(Posterize, 4, 8), (Rotate, 6, 9)],
    [(Solarize, 6, 5), (AutoContrast, 6, 0)],
    [(Equalize, 8, 0), (Equalize, 6, 0)],
    [(Posterize, 6, 7), (Posterize, 6, 6)],
    [(Equalize, 4, 0), (Solarize, 2, 4)],
    [(Equalize, 4, 0), (Rotate, 8, 8)],
    [(Solarize, 6, 3), (Equalize, 6, 0)],
    [(Posterize, 8, 5), (Equalize, 10, 0)],
    [(Rotate, 2, 3), (Solarize, 6, 8)],
    [(Equalize, 6, 0), (Posterize, 4, 6)],
    [(Rotate, 8, 8), (Color, 4, 0)],
    [(Rotate, 4, 9), (Equalize, 6, 0)],
    [(Equalize, 0, 0), (Equalize, 8, 0)],
    [(Invert, 6, 0), (Equalize, 10, 0)],
    [(Color, 6, 4), (Contrast, 10, 8)],
    [(Rotate, 8, 8), (Color, 10, 2)],
    [(Color, 8, 8), (Solarize, 8, 7)],
    [(Sharpness, 4, 7), (Invert, 6, 0)],
    [(ShearX, 6, 5), (Equalize, 10, 0)],
    [(Color, 4, 0), (Equalize, 6, 0)],
    [(Equalize, 4, 0), (Solarize, 2, 4)],
    [(Solarize, 6, 5), (AutoContrast, 6, 0)],
    [(Invert, 6, 0), (Equalize, 10, 0)],
    [(Color, 6, 4), (Contrast, 10, 8)],
    [(Equalize, 8, 0), (Equalize, 6, 0)],
];

/// Appendix A, table 7 of the paper.
#[rustfmt::skip]
const CIFAR10: Pairs = [
    [(Invert, 1, 0), (Contrast, 2, 6)],
    [(Rotate, 7, 2), (TranslateX, 3, 9)],
    [(Sharpness, 8, 1), (Sharpness, 9, 3)],
    [(ShearY, 5, 8), (TranslateY, 7, 9)],
    [(AutoContrast, 5, 0), (Equalize, 9, 0)],
    [(ShearY, 2, 7), (Posterize, 3, 7)],
    [(Color, 4, 3), (Brightness, 6, 7)],
    [(Sharpness, 3, 9), (Brightness, 7, 9)],
    [(Equalize, 6, 0), (Equalize, 5, 0)],
    [(Contrast, 6, 7), (Sharpness, 6, 5)],
    [(Color, 7, 7), (TranslateX, 5, 8)],
    [(Equalize, 3, 0), (AutoContrast, 4, 0)],
    [(TranslateY, 4, 3), (Sharpness, 2, 6)],
    [(Brightness, 9, 6), (Color, 2, 8)],
    [(Solarize, 5, 2), (Invert, 0, 0)],
    [(Equalize, 2, 0), (AutoContrast, 6, 0)],
    [(Equalize, 2, 0), (Equalize, 6, 0)],
    [(Color, 9, 9), (Equalize, 6, 0)],
    [(AutoContrast, 8, 0), (Solarize, 2, 8)],
    [(Brightness, 1, 3), (Color, 7, 0)],
    [(Solarize, 4, 5), (AutoContrast, 9, 0)],
    [(TranslateY, 9, 9), (TranslateY, 7, 9)],
    [(AutoContrast, 9, 0), (Solarize, 8, 3)],
    [(Equalize, 8, 0), (Invert, 1, 0)],
    [(TranslateY, 7, 9), (AutoContrast, 9, 0)],
];
