//! PNG and JPEG files.

use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};
use image::imageops::FilterType;
use image::{DynamicImage, ImageReader};

use crate::{Array, Image};

/// Height and width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl std::fmt::Display for ImageSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}", self.height, self.width)
    }
}

/// Reads a PNG or JPEG file as an image of 1 channel (brightness, ITU-R BT.709 luma) or 3 (red,
/// green, blue), whatever the file has; transparency is dropped. With `resize`, it is scaled to
/// that size (bilinear, with a support that widens when it shrinks, as torchvision's antialiased
/// `Resize`).
///
/// # Errors
/// If the file cannot be read or is no such image.
pub fn read_image(path: &Path, channels: usize, resize: Option<ImageSize>) -> Result<Image> {
    let mut image = decode(path)?;
    if let Some(size) = resize {
        let (width, height) = (size.width as u32, size.height as u32);
        if (image.width(), image.height()) != (width, height) {
            image = image.resize_exact(width, height, FilterType::Triangle);
        }
    }
    let (height, width) = (image.height() as usize, image.width() as usize);
    let pixels = match channels {
        1 => image.into_luma8().into_raw(),
        3 => planes(&image.into_rgb8().into_raw()),
        _ => {
            let message = format!(
                "{}: images have 1 channel (grey) or 3 (colour), not {channels}",
                path.display()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
    };
    Ok(Image::new(Array::new([channels, height, width], pixels)?))
}

/// The size of an image, from the file's header.
pub(super) fn image_size(path: &Path) -> Result<ImageSize> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let size = reader.map_err(|e| unreadable(path, &e))?.into_dimensions();
    let (width, height) = size.map_err(|e| undecodable(path, &e))?;
    Ok(ImageSize { height: height as usize, width: width as usize })
}

fn decode(path: &Path) -> Result<DynamicImage> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    reader.map_err(|e| unreadable(path, &e))?.decode().map_err(|e| undecodable(path, &e))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {error}; check the path", path.display()))
}

fn undecodable(path: &Path, error: &image::ImageError) -> Error {
    let message = format!(
        "{}: no PNG or JPEG image that can be read ({error}); get it again, or convert it",
        path.display()
    );
    Error::new(ErrorKind::Format, message)
}

/// Red, green, blue, red, … → all red, all green, all blue.
fn planes(interleaved: &[u8]) -> Vec<u8> {
    (0..3).flat_map(|channel| interleaved.iter().skip(channel).step_by(3).copied()).collect()
}
