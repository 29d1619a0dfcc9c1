//! Normalisation.

use std::sync::Arc;

use gradus_tensor::Result;

use super::pipeline::misuse;
use super::{Draws, Transform};
use crate::{Image, Normalization};

/// `(x − mean) / std` for each channel: torchvision's `Normalize`. It happens when the image is put
/// into a batch, in the pass that makes its bytes numbers, wherever it stands among transforms.
#[derive(Clone, Debug)]
pub struct Normalize(Arc<Normalization>);

impl Normalize {
    /// With the mean and the standard deviation of each channel, of values from 0 to 1.
    ///
    /// # Errors
    /// As [`Normalization::new`].
    pub fn new(mean: &[f32], std: &[f32]) -> Result<Normalize> {
        Ok(Normalize(Arc::new(Normalization::new(mean, std)?)))
    }
}

impl Transform for Normalize {
    fn apply(&self, image: Image, _: &mut Draws) -> Result<Image> {
        if image.normalization().is_some_and(|known| *known != *self.0) {
            let message = "Normalize: the images are normalised already; do so in one place";
            return Err(misuse(message.to_owned()));
        }
        Ok(image.with_normalization(Some(Arc::clone(&self.0))))
    }
}
