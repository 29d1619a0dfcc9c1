//! What image classification datasets have in common once they are in memory.

use std::fmt;
use std::sync::Arc;

use gradus_tensor::{Error, ErrorKind, Result, Shape};

use crate::{Array, Dataset, Image, Normalization};

/// Images of one shape, each with a label, in memory: the samples are `(Image, i64)`, the batches a
/// float32 tensor `[batch, channels, height, width]` between 0 and 1 and an int64 tensor `[batch]`.
///
/// Clones share the images.
#[derive(Clone)]
pub struct LabelledImages {
    name: String,
    /// `[n, channels, height, width]`.
    images: Array<u8>,
    full_scale: u8,
    normalization: Option<Arc<Normalization>>,
    /// `[n]`, each below the number of classes.
    labels: Array<i64>,
    classes: Vec<String>,
}

impl LabelledImages {
    /// The datasets' files have been checked: `images` and `labels` agree in number, and every
    /// label is a class.
    pub(super) fn new(
        name: String,
        images: Array<u8>,
        full_scale: u8,
        labels: Array<i64>,
        classes: Vec<String>,
    ) -> LabelledImages {
        LabelledImages { name, images, full_scale, normalization: None, labels, classes }
    }

    /// The same images, [normalised](Normalization) when they are put into a batch, or not.
    ///
    /// # Errors
    /// If there is not one mean and deviation for each channel.
    pub fn normalize(self, normalization: Option<Normalization>) -> Result<LabelledImages> {
        let channels = self.image_shape()[0];
        if let Some(given) = normalization.as_ref().map(|n| n.mean().len())
            && given != channels
        {
            let message = format!(
                "{}: mean and std have {given} numbers each, but the images have {channels} \
                 channels; give one for each channel",
                self.name
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(LabelledImages { normalization: normalization.map(Arc::new), ..self })
    }

    /// The names of the classes; a label is a position in this list.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The shape of one image: `[channels, height, width]`.
    pub fn image_shape(&self) -> Shape {
        Shape::from(&self.images.shape()[1..])
    }
}

impl Dataset for LabelledImages {
    type Item = (Image, i64);

    fn len(&self) -> usize {
        self.labels.data().len()
    }

    fn get(&self, index: usize) -> Result<(Image, i64)> {
        let image = Image::new(self.images.row(index)).with_full_scale(self.full_scale);
        Ok((image.with_normalization(self.normalization.clone()), self.labels.data()[index]))
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Name and sizes; the images are too large to print.
impl fmt::Debug for LabelledImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, classes) = (self.len(), self.classes.len());
        write!(f, "{}: {n} images {}, {classes} classes", self.name, self.image_shape())
    }
}
