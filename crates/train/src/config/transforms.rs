//! The transforms of images that a configuration may choose.

use std::sync::Arc;

use gradus_data::transforms::{
    AugmentPolicy, AutoAugment, CenterCrop, ColorJitter, GaussianBlur, Grayscale, Normalize, Pad,
    PaddingMode, RandAugment, RandomAffine, RandomCrop, RandomErasing, RandomGrayscale,
    RandomHorizontalFlip, RandomPerspective, RandomResizedCrop, RandomRotation, RandomVerticalFlip,
    Resampling, Resize, Transform, TrivialAugmentWide,
};
use gradus_tensor::{Error, ErrorKind, Result};

use super::table::table;
use super::value::{NotNegative, Probability, Setting, Value};

/// A transform made from a configuration.
pub type AnyTransform = Arc<dyn Transform>;

table! {
    /// Every transform of images known by name. One more is one more row.
    pub const TRANSFORMS: fn(_input: ()) -> AnyTransform;

    /// To `size`: one number for the shorter side, or [height, width]
    "Resize" { size: Sides, interpolation: Resampling = Resampling::Bilinear } => {
        let resize = match size {
            Sides::Shorter(size) => Resize::shorter(size),
            Sides::Both([height, width]) => Resize::to(height, width),
        };
        done(resize.interpolation(interpolation))
    };
    /// The middle
    "CenterCrop" { size: [usize; 2] } => done(CenterCrop::size(size[0], size[1]));
    /// A margin on all sides; `padding_mode` is "constant", "edge", "reflect" or "symmetric"
    "Pad" { padding: usize, fill: Byte = Byte(0), padding_mode: Margins = Margins::Constant } => {
        done(Pad::new(padding).mode(padding_mode.with(fill)))
    };
    /// A window at a random place, after a margin of `padding` has been added
    "RandomCrop" {
        size: [usize; 2],
        padding: usize = 0,
        fill: Byte = Byte(0),
        padding_mode: Margins = Margins::Constant,
    } => {
        let crop = RandomCrop::size(size[0], size[1]).padding(padding);
        done(crop.padding_mode(padding_mode.with(fill)))
    };
    /// A random part of a random shape, scaled to `size`
    "RandomResizedCrop" {
        size: [usize; 2],
        scale: (f64, f64) = (0.08, 1.0),
        ratio: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Resampling = Resampling::Bilinear,
    } => {
        range("scale", scale, 0.0, 1.0)?;
        range("ratio", ratio, f64::MIN_POSITIVE, f64::MAX)?;
        let crop = RandomResizedCrop::size(size[0], size[1]).interpolation(interpolation);
        done(crop.scale(scale.0, scale.1).ratio(ratio.0, ratio.1))
    };
    /// Left and right exchanged, at random
    "RandomHorizontalFlip" { p: Probability = Probability(0.5) } => {
        done(RandomHorizontalFlip::new(p.0))
    };
    /// Top and bottom exchanged, at random
    "RandomVerticalFlip" { p: Probability = Probability(0.5) } => {
        done(RandomVerticalFlip::new(p.0))
    };
    /// Rotated by up to `degrees` either way
    "RandomRotation" {
        degrees: Angles,
        interpolation: Resampling = Resampling::Nearest,
        fill: Byte = Byte(0),
    } => {
        done(RandomRotation::between(degrees.0, degrees.1).interpolation(interpolation).fill(fill.0))
    };
    /// Rotated, shifted (by shares of the sides), scaled and sheared (by degrees) at random
    "RandomAffine" {
        degrees: NotNegative,
        translate: (f64, f64) = (0.0, 0.0),
        scale: (f64, f64) = (1.0, 1.0),
        shear: Angles = Angles(0.0, 0.0),
        interpolation: Resampling = Resampling::Nearest,
        fill: Byte = Byte(0),
    } => {
        range("scale", scale, f64::MIN_POSITIVE, f64::MAX)?;
        let affine = RandomAffine::new(degrees.0).translate(translate.0, translate.1);
        let affine = affine.scale(scale.0, scale.1).shear([shear.0, shear.1, 0.0, 0.0]);
        done(affine.interpolation(interpolation).fill(fill.0))
    };
    /// Corners moved inwards at random
    "RandomPerspective" {
        distortion_scale: Probability = Probability(0.5),
        p: Probability = Probability(0.5),
        interpolation: Resampling = Resampling::Bilinear,
        fill: Byte = Byte(0),
    } => {
        let perspective = RandomPerspective::new(distortion_scale.0, p.0);
        done(perspective.interpolation(interpolation).fill(fill.0))
    };
    /// Brightness, contrast, saturation and hue changed at random
    "ColorJitter" {
        brightness: NotNegative = NotNegative(0.0),
        contrast: NotNegative = NotNegative(0.0),
        saturation: NotNegative = NotNegative(0.0),
        hue: Probability = Probability(0.0),
    } => {
        if hue.0 > 0.5 {
            let message = format!("`hue` is {}; give 0 to 0.5, which is all hues, half of them either way", hue.0);
            return Err(Error::new(ErrorKind::Usage, message));
        }
        done(ColorJitter::new(brightness.0, contrast.0, saturation.0, hue.0))
    };
    /// Grey, with 1 or 3 channels
    "Grayscale" { num_output_channels: usize = 1 } => done(Grayscale::new(num_output_channels));
    /// Grey at random, with as many channels as before
    "RandomGrayscale" { p: Probability = Probability(0.1) } => done(RandomGrayscale::new(p.0));
    /// Blurred with a random standard deviation
    "GaussianBlur" { kernel_size: usize, sigma: (f64, f64) = (0.1, 2.0) } => {
        range("sigma", sigma, f64::MIN_POSITIVE, f64::MAX)?;
        done(GaussianBlur::new(kernel_size).sigma(sigma.0, sigma.1))
    };
    /// A random rectangle erased
    "RandomErasing" {
        p: Probability = Probability(0.5),
        scale: (f64, f64) = (0.02, 0.33),
        ratio: (f64, f64) = (0.3, 3.3),
        value: Byte = Byte(0),
    } => {
        range("scale", scale, 0.0, 1.0)?;
        range("ratio", ratio, f64::MIN_POSITIVE, f64::MAX)?;
        let erasing = RandomErasing::new(p.0).value(Some(value.0));
        done(erasing.scale(scale.0, scale.1).ratio(ratio.0, ratio.1))
    };
    /// `num_ops` random operations of one strength, 0 to 30
    "RandAugment" { num_ops: usize = 2, magnitude: usize = 9 } => {
        done(RandAugment::new(num_ops, magnitude))
    };
    /// One random operation of a random strength
    "TrivialAugmentWide" { } => done(TrivialAugmentWide);
    /// A learned policy: "imagenet" or "cifar10"
    "AutoAugment" { policy: AugmentPolicy = AugmentPolicy::ImageNet } => {
        done(AutoAugment::new(policy))
    };
    /// (x − mean) / std for each channel, of values from 0 to 1
    "Normalize" { mean: Vec<f64>, std: Vec<f64> } => {
        let single = |numbers: Vec<f64>| -> Vec<f32> { numbers.iter().map(|&x| x as f32).collect() };
        done(Normalize::new(&single(mean), &single(std))?)
    };
}

fn done(transform: impl Transform + 'static) -> Result<AnyTransform> {
    Ok(Arc::new(transform))
}

/// Looks whether a range is one, within limits.
fn range(key: &str, (from, to): (f64, f64), least: f64, most: f64) -> Result<()> {
    if least <= from && from <= to && to <= most {
        return Ok(());
    }
    let message =
        format!("`{key}` is [{from}, {to}]; give the lower end first, within what is possible");
    Err(Error::new(ErrorKind::Usage, message))
}

/// The shorter side, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// The shorter one; the other follows.
    Shorter(usize),
    /// Height and width.
    Both([usize; 2]),
}

impl Setting for Sides {
    const WANTED: &'static str = "the length of the shorter side, or two: [height, width]";
    fn read(value: &Value) -> Option<Sides> {
        match value {
            Value::List(_) => <[usize; 2]>::read(value).map(Sides::Both),
            one => usize::read(one).map(Sides::Shorter),
        }
    }
    fn write(&self) -> Option<Value> {
        match self {
            Sides::Shorter(size) => size.write(),
            // Not as one number, which would mean the shorter side.
            Sides::Both([a, b]) => Some(Value::List(vec![a.write()?, b.write()?])),
        }
    }
}

/// Between which angles, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Angles(pub f64, pub f64);

impl Setting for Angles {
    const WANTED: &'static str = "degrees either way, or two numbers: [from, to]";
    fn read(value: &Value) -> Option<Angles> {
        let angles = match value {
            Value::List(_) => <(f64, f64)>::read(value),
            one => f64::read(one).map(|angle| (-angle, angle)),
        };
        angles.filter(|(from, to)| from <= to).map(|(from, to)| Angles(from, to))
    }
    fn write(&self) -> Option<Value> {
        (self.0, self.1).write()
    }
}

/// A number from 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Byte(pub u8);

impl Setting for Byte {
    const WANTED: &'static str = "a whole number from 0 to 255";
    fn read(value: &Value) -> Option<Byte> {
        if let Value::Integer(i) = value { u8::try_from(*i).ok().map(Byte) } else { None }
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Integer(self.0.into()))
    }
}

/// A choice among words.
macro_rules! words {
    ($Type:ty, $wanted:literal, { $($word:literal => $value:path),* $(,)? }) => {
        impl Setting for $Type {
            const WANTED: &'static str = $wanted;
            fn read(value: &Value) -> Option<$Type> {
                match value {
                    Value::Text(word) => match word.as_str() {
                        $($word => Some($value),)*
                        _ => None,
                    },
                    _ => None,
                }
            }
            fn write(&self) -> Option<Value> {
                let word = match self { $($value => $word),* };
                Some(Value::Text(word.to_owned()))
            }
        }
    };
}
pub(super) use words;

/// How a margin is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Margins {
    /// Of one byte.
    Constant,
    /// Of the edge.
    Edge,
    /// Mirrored at the pixels of the edge.
    Reflect,
    /// Mirrored at the edge.
    Symmetric,
}

impl Margins {
    fn with(self, fill: Byte) -> PaddingMode {
        match self {
            Margins::Constant => PaddingMode::Constant(fill.0),
            Margins::Edge => PaddingMode::Edge,
            Margins::Reflect => PaddingMode::Reflect,
            Margins::Symmetric => PaddingMode::Symmetric,
        }
    }
}

words!(Margins, "\"constant\", \"edge\", \"reflect\" or \"symmetric\"", {
    "constant" => Margins::Constant,
    "edge" => Margins::Edge,
    "reflect" => Margins::Reflect,
    "symmetric" => Margins::Symmetric,
});
words!(Resampling, "\"nearest\", \"bilinear\" or \"bicubic\"", {
    "nearest" => Resampling::Nearest,
    "bilinear" => Resampling::Bilinear,
    "bicubic" => Resampling::Bicubic,
});
words!(AugmentPolicy, "\"imagenet\" or \"cifar10\"", {
    "imagenet" => AugmentPolicy::ImageNet,
    "cifar10" => AugmentPolicy::Cifar10,
});
