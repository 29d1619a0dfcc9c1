//! What image classification datasets have in common once they are in memory.

use std::fmt;

use gradus_tensor::{Result, Shape};

use crate::{Array, Dataset, Image};

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
    /// `[n]`, each below the number of classes.
    labels: Array<u8>,
    classes: Vec<String>,
}

impl LabelledImages {
    /// The datasets' files have been checked: `images` and `labels` agree in number, and every
    /// label is a class.
    pub(super) fn new(
        name: String,
        images: Array<u8>,
        full_scale: u8,
        labels: Array<u8>,
        classes: &[&str],
    ) -> LabelledImages {
        let classes = classes.iter().map(|&class| class.to_string()).collect();
        LabelledImages { name, images, full_scale, labels, classes }
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
        Ok((image, i64::from(self.labels.data()[index])))
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
