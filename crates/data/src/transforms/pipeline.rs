//! Transforms one after the other, and a dataset seen through them.

use std::fmt;
use std::sync::Arc;

use gradus_tensor::{Error, ErrorKind, Result};

use super::Draws;
use crate::{Array, Collate, Dataset, Image, Part};

/// Something done to an image.
///
/// Implement it for an augmentation of your own, which takes its random numbers from `draws` and
/// nowhere else:
///
/// ```
/// use gradus_data::transforms::{Draws, Pipeline, Transform};
/// use gradus_data::{Array, Image};
/// use gradus_tensor::Result;
///
/// /// Salt: some pixels become white.
/// #[derive(Debug)]
/// struct Salt(f64);
///
/// impl Transform for Salt {
///     fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
///         let bytes = image.pixels().data().iter();
///         let salted = bytes.map(|&byte| if draws.chance(self.0) { 255 } else { byte });
///         let salted = salted.collect();
///         Ok(Image::new(Array::new(image.pixels().shape().clone(), salted)?))
///     }
///
///     fn is_random(&self) -> bool {
///         true
///     }
/// }
///
/// let image = Image::new(Array::new([1, 2, 2], vec![0; 4])?);
/// let salted = Pipeline::new(0).add(Salt(1.0)).apply(image, 0, 0)?;
/// assert_eq!(salted.pixels().data(), [255; 4]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub trait Transform: fmt::Debug + Send + Sync {
    /// The image afterwards.
    ///
    /// # Errors
    /// If it cannot be done to such an image.
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image>;

    /// Whether it uses `draws`: such transforms are for training alone.
    fn is_random(&self) -> bool {
        false
    }
}

/// One that is shared.
impl<T: Transform + ?Sized> Transform for Arc<T> {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        (**self).apply(image, draws)
    }

    fn is_random(&self) -> bool {
        (**self).is_random()
    }
}

/// Transforms one after the other: torchvision's `Compose`.
#[derive(Clone, Debug)]
pub struct Pipeline {
    seed: u64,
    steps: Vec<Arc<dyn Transform>>,
}

impl Pipeline {
    /// A pipeline without transforms, whose random ones will follow from `seed`.
    pub fn new(seed: u64) -> Pipeline {
        Pipeline { seed, steps: Vec::new() }
    }

    /// The same, with one more transform at the end.
    #[must_use]
    #[allow(clippy::should_implement_trait)] // As `Sequential` has it.
    pub fn add(mut self, transform: impl Transform + 'static) -> Pipeline {
        self.steps.push(Arc::new(transform));
        self
    }

    /// The same without its random transforms: what a test sees.
    #[must_use]
    pub fn deterministic(&self) -> Pipeline {
        let steps = self.steps.iter().filter(|step| !step.is_random()).cloned().collect();
        Pipeline { seed: self.seed, steps }
    }

    /// Whether there are no transforms.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The image of a sample as an epoch sees it.
    ///
    /// # Errors
    /// Those of the transforms.
    pub fn apply(&self, image: Image, epoch: u64, sample: usize) -> Result<Image> {
        self.steps.iter().enumerate().try_fold(image, |image, (position, step)| {
            // Transforms bring the image's extent with them, so it is looked at before each.
            image.extent()?;
            step.apply(image, &mut Draws::new(self.seed, epoch, sample as u64, position as u32))
        })
    }

    /// The dataset with each image transformed.
    pub fn over<D>(self, dataset: D) -> Transformed<D> {
        Transformed { dataset, pipeline: self }
    }
}

/// A dataset of images seen through a [`Pipeline`]: another augmentation each epoch.
#[derive(Clone, Debug)]
pub struct Transformed<D> {
    dataset: D,
    pipeline: Pipeline,
}

/// A sample with an image in it, which transforms change.
pub trait Pictured: Collate {
    /// The same sample with what `change` makes of its image; unchanged if it has none.
    ///
    /// # Errors
    /// Those of `change`.
    fn change(self, change: impl FnOnce(Image) -> Result<Image>) -> Result<Self>;
}

impl<Y> Pictured for (Image, Y)
where
    (Image, Y): Collate,
{
    fn change(self, change: impl FnOnce(Image) -> Result<Image>) -> Result<Self> {
        Ok((change(self.0)?, self.1))
    }
}

impl Pictured for (Part, Part) {
    fn change(self, change: impl FnOnce(Image) -> Result<Image>) -> Result<Self> {
        let input = match self.0 {
            Part::Image(image) => Part::Image(change(image)?),
            other => other,
        };
        Ok((input, self.1))
    }
}

impl<D: Dataset<Item: Pictured>> Dataset for Transformed<D> {
    type Item = D::Item;

    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn get(&self, index: usize) -> Result<D::Item> {
        self.visit(index, 0)
    }

    fn visit(&self, index: usize, epoch: u64) -> Result<D::Item> {
        let sample = self.dataset.visit(index, epoch)?;
        sample.change(|image| self.pipeline.apply(image, epoch, index))
    }

    fn describe(&self, index: usize) -> String {
        self.dataset.describe(index)
    }

    fn name(&self) -> String {
        self.dataset.name()
    }
}

/// Channels, rows and columns.
pub(super) type Extent = [usize; 3];

impl Image {
    /// Channels, rows and columns.
    pub(crate) fn extent(&self) -> Result<Extent> {
        match self.pixels().shape()[..] {
            [channels, height, width] if channels * height * width > 0 => {
                Ok([channels, height, width])
            }
            _ => {
                let shape = self.pixels().shape();
                let message = format!(
                    "an image of shape {shape}: transforms take [channels, height, width], none of \
                     them 0"
                );
                Err(Error::new(ErrorKind::Data, message))
            }
        }
    }

    /// The same kind of image with other pixels.
    pub(super) fn with_pixels(&self, extent: Extent, pixels: Vec<u8>) -> Result<Image> {
        let image = Image::new(Array::new(extent, pixels)?).with_full_scale(self.full_scale());
        Ok(image.with_normalization(self.shared_normalization()))
    }

    /// Each plane replaced by what `change` makes of it.
    pub(super) fn map_planes(
        &self,
        (height, width): (usize, usize),
        mut change: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> Result<Image> {
        let [channels, h, w] = self.extent()?;
        let mut pixels = Vec::with_capacity(channels * height * width);
        self.pixels().data().chunks_exact(h * w).for_each(|plane| change(plane, &mut pixels));
        self.with_pixels([channels, height, width], pixels)
    }

    /// The same image with 255 for white, as colours are computed with.
    pub(crate) fn in_bytes(self) -> Result<Image> {
        let white = u32::from(self.full_scale());
        if white == 255 {
            return Ok(self);
        }
        let scaled = |&x: &u8| ((u32::from(x) * 255 + white / 2) / white).min(255) as u8;
        let pixels = self.pixels().data().iter().map(scaled).collect();
        Ok(self.with_pixels(self.extent()?, pixels)?.with_full_scale(255))
    }
}

/// An error of an option that makes no sense.
pub(super) fn misuse(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}
