//! Host arrays: what samples are made of.
//!
//! An array shares its elements, so a dataset held in memory hands out rows of one large array
//! without copying them: the only copy is the one into the batch.

use std::fmt;
use std::sync::Arc;

use gradus_tensor::{Element, Error, ErrorKind, Result, Shape};

/// Elements in host memory and their shape, row-major. Clones and [rows](Array::row) share the
/// elements.
///
/// In a batch, arrays of shape `[…]` become a tensor `[batch, …]` of the same dtype.
///
/// ```
/// use gradus_data::Array;
///
/// let table = Array::new([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(table.row(1).data(), [4.0, 5.0, 6.0]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Array<T> {
    shape: Shape,
    elements: Arc<Vec<T>>,
    start: usize,
}

impl<T: Element> Array<T> {
    /// An array of `elements` in row-major order.
    ///
    /// # Errors
    /// If their number is not the product of the shape.
    pub fn new(shape: impl Into<Shape>, elements: Vec<T>) -> Result<Array<T>> {
        let shape = shape.into();
        let wanted = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if wanted != Some(elements.len()) {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "Array::new: {} elements do not fill the shape {shape}; give as many as the \
                     product of its sizes",
                    elements.len()
                ),
            ));
        }
        Ok(Array { shape, elements: Arc::new(elements), start: 0 })
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The elements, row-major.
    pub fn data(&self) -> &[T] {
        &self.elements[self.start..][..self.shape.numel()]
    }

    /// The `index`-th entry along the first axis, `[n, …]` → `[…]`, sharing the elements.
    ///
    /// # Panics
    /// If there is no such entry, as a slice does; the loader asks for none outside `0..len`.
    pub fn row(&self, index: usize) -> Array<T> {
        let rows = self.shape.first().copied().unwrap_or(0);
        assert!(index < rows, "row {index} of an array of shape {}", self.shape);
        let shape = Shape::from(&self.shape[1..]);
        let start = self.start + index * shape.numel();
        Array { shape, elements: Arc::clone(&self.elements), start }
    }
}

/// The shape and dtype; samples are too large to print.
impl<T: Element> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({}{})", T::DTYPE, self.shape)
    }
}

/// Bytes that mean brightness: `[channels, height, width]`, 0 is black.
///
/// In a batch, images become a float32 tensor `[batch, channels, height, width]` scaled to 0–1, as
/// torchvision's `ToTensor` does: each byte is divided by the [full scale](Image::full_scale), 255.
/// With a [normalisation](Normalization), `Normalize` follows.
#[derive(Clone, Debug)]
pub struct Image {
    pixels: Array<u8>,
    full_scale: u8,
    normalization: Option<Arc<Normalization>>,
}

impl Image {
    /// An image whose full scale is 255.
    pub fn new(pixels: Array<u8>) -> Image {
        Image { pixels, full_scale: 255, normalization: None }
    }

    /// The same image, with the byte that becomes 1.0 (0 counts as 1).
    pub fn with_full_scale(self, full_scale: u8) -> Image {
        Image { full_scale: full_scale.max(1), ..self }
    }

    /// The same image, normalised when it is put into a batch, or not.
    pub fn with_normalization(self, normalization: Option<Arc<Normalization>>) -> Image {
        Image { normalization, ..self }
    }

    /// The bytes.
    pub fn pixels(&self) -> &Array<u8> {
        &self.pixels
    }

    /// The byte that becomes 1.0.
    pub fn full_scale(&self) -> u8 {
        self.full_scale
    }

    /// As [`normalization`](Image::normalization), to share it with another image.
    pub(crate) fn shared_normalization(&self) -> Option<Arc<Normalization>> {
        self.normalization.clone()
    }

    /// What is done to the values between 0 and 1.
    pub fn normalization(&self) -> Option<&Normalization> {
        self.normalization.as_deref()
    }
}

/// `(x − mean) / std` for each channel of an image whose values lie between 0 and 1: torchvision's
/// `Normalize`.
///
/// ```
/// use gradus_data::Normalization;
///
/// let mnist = Normalization::new(&[0.1307], &[0.3081])?;
/// assert_eq!(mnist.mean(), [0.1307]);
/// assert!(Normalization::new(&[0.5, 0.5], &[0.5]).is_err());
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalization {
    /// A mean and a standard deviation for each channel.
    ///
    /// # Errors
    /// If there are not as many of both, or they are not finite, or a deviation is not positive.
    pub fn new(mean: &[f32], std: &[f32]) -> Result<Normalization> {
        let sound = mean.iter().all(|m| m.is_finite()) && std.iter().all(|&s| s > 0.0);
        if mean.len() == std.len() && sound && std.iter().all(|s| s.is_finite()) {
            return Ok(Normalization { mean: mean.to_vec(), std: std.to_vec() });
        }
        let message = format!(
            "mean {mean:?} and std {std:?}: give both, one finite number for each channel, and \
             deviations above 0"
        );
        Err(Error::new(ErrorKind::Usage, message))
    }

    /// The means, one for each channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviations, one for each channel.
    pub fn std(&self) -> &[f32] {
        &self.std
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_share_the_elements() {
        let array = Array::new([2, 2, 2], (0..8).collect::<Vec<u8>>()).unwrap();
        let row = array.row(1).row(0);
        assert_eq!(row.shape()[..], [2]);
        assert_eq!(row.data(), [4, 5]);
        assert!(std::ptr::eq(&array.data()[4], &row.data()[0]));
    }

    #[test]
    fn a_wrong_count_is_an_error() {
        let error = Array::new([2, 2], vec![0.0f32; 3]).unwrap_err().to_string();
        assert!(error.contains("3 elements") && error.contains("[2, 2]"), "{error}");
        assert!(Array::new([usize::MAX, 2], vec![0.0f32; 3]).is_err());
    }
}
