//! PNG and JPEG files.
//!
//! The decoders are small crates of their own; what follows them is ours, so that pixels are the
//! same on every platform. A file that breaks off is an error, never a half-grey image.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};
use png::{ColorType, Transformations};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::{Array, Image};

/// Images with more pixels are refused before memory is asked for.
const LARGEST: usize = 1 << 28;

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

/// Reads a PNG or JPEG file as an image of 1 channel (grey, with the weights of ITU-R BT.601, as
/// Pillow's `L`) or 3 (red, green, blue), whatever the file has; transparency is dropped. With
/// `resize`, it is scaled to that size: bilinear, with a support that widens when it shrinks, as
/// torchvision's antialiased `Resize`.
///
/// # Errors
/// If the file cannot be read, breaks off, or is no such image.
pub fn read_image(path: &Path, channels: usize, resize: Option<ImageSize>) -> Result<Image> {
    let decoded = decode(path)?;
    let plane = |channel| -> Vec<u8> {
        decoded.pixels.iter().skip(channel).step_by(decoded.channels).copied().collect()
    };
    let mut planes = match (channels, decoded.channels) {
        (1, 1 | 2) => vec![plane(0)],
        (1, _) => vec![decoded.pixels.chunks_exact(decoded.channels).map(grey).collect()],
        (3, 1 | 2) => vec![plane(0); 3],
        (3, _) => (0..3).map(plane).collect(),
        _ => {
            let message = format!(
                "{}: images have 1 channel (grey) or 3 (colour), not {channels}",
                path.display()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
    };
    let mut size = decoded.size;
    if let Some(wanted) = resize
        && wanted != size
    {
        if wanted.height * wanted.width == 0 {
            let message = format!("resize to {wanted}: give two sizes above 0");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        planes = planes.iter().map(|plane| scale(plane, size, wanted)).collect();
        size = wanted;
    }
    Ok(Image::new(Array::new([channels, size.height, size.width], planes.concat())?))
}

/// The size of an image.
pub(super) fn image_size(path: &Path) -> Result<ImageSize> {
    decode(path).map(|decoded| decoded.size)
}

/// An image as it is in its file.
struct Decoded {
    size: ImageSize,
    /// 1 to 4; the second of 2 and the last of 4 are opacity.
    channels: usize,
    /// Row by row, the channels of a pixel side by side.
    pixels: Vec<u8>,
}

fn decode(path: &Path) -> Result<Decoded> {
    let bytes = fs::read(path).map_err(|e| {
        Error::new(ErrorKind::Io, format!("{}: {e}; check the path", path.display()))
    })?;
    let decoded = match bytes[..] {
        [0x89, b'P', b'N', b'G', ..] => decode_png(&bytes),
        [0xff, 0xd8, ..] => decode_jpeg(&bytes),
        _ => Err("its first bytes are those of another format".to_owned()),
    };
    decoded.map_err(|why| {
        let message = format!(
            "{}: no PNG or JPEG image that can be read ({why}); get it again, or convert it",
            path.display()
        );
        Error::new(ErrorKind::Format, message)
    })
}

fn decode_png(bytes: &[u8]) -> Result<Decoded, String> {
    let wrong = |e: png::DecodingError| e.to_string();
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(wrong)?;
    let size = size_of(reader.info().width as usize, reader.info().height as usize)?;
    let length = reader.output_buffer_size().ok_or("it is too large")?;
    let mut pixels = vec![0; length];
    let frame = reader.next_frame(&mut pixels).map_err(wrong)?;
    pixels.truncate(frame.buffer_size());
    let channels = match frame.color_type {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb | ColorType::Indexed => 3,
        ColorType::Rgba => 4,
    };
    Ok(Decoded { size, channels, pixels })
}

fn decode_jpeg(bytes: &[u8]) -> Result<Decoded, String> {
    let wrong = |e: zune_jpeg::errors::DecodeErrors| format!("{e:?}");
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(wrong)?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    let size = size_of(width, height)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (channels, colour) = if grey { (1, ColorSpace::Luma) } else { (3, ColorSpace::RGB) };
    decoder.set_options(options.jpeg_set_out_colorspace(colour));
    Ok(Decoded { size, channels, pixels: decoder.decode().map_err(wrong)? })
}

fn size_of(width: usize, height: usize) -> Result<ImageSize, String> {
    match width.checked_mul(height) {
        Some(1..=LARGEST) => Ok(ImageSize { height, width }),
        _ => Err(format!("its size is {height}×{width}")),
    }
}

/// The brightness of red, green and blue, in 16 bits of fraction, as Pillow computes it.
fn grey(pixel: &[u8]) -> u8 {
    let weighted: u32 =
        pixel.iter().zip([19595, 38470, 7471]).map(|(&x, weight)| weight * u32::from(x)).sum();
    ((weighted + 0x8000) >> 16) as u8
}

/// A plane at another size, rounded to the nearest byte, to the even one of two.
fn scale(plane: &[u8], from: ImageSize, to: ImageSize) -> Vec<u8> {
    let columns = weights(from.width, to.width);
    let rows = weights(from.height, to.height);
    // Along the rows first.
    let narrow: Vec<f64> = plane
        .chunks_exact(from.width)
        .flat_map(|row| {
            columns.iter().map(|(start, weights)| {
                row[*start..].iter().zip(weights).map(|(&x, w)| f64::from(x) * w).sum::<f64>()
            })
        })
        .collect();
    let mut scaled = Vec::with_capacity(to.height * to.width);
    for (start, weights) in &rows {
        for column in 0..to.width {
            let column = narrow[start * to.width + column..].iter().step_by(to.width);
            let value: f64 = column.zip(weights).map(|(x, w)| x * w).sum();
            scaled.push(value.round_ties_even().clamp(0.0, 255.0) as u8);
        }
    }
    scaled
}

/// For each place of an axis of `to`, where its sources begin in an axis of `from`, and their
/// weights: a triangle that is as wide as a place is, but no narrower than a source.
fn weights(from: usize, to: usize) -> Vec<(usize, Vec<f64>)> {
    let ratio = from as f64 / to as f64;
    let support = ratio.max(1.0);
    (0..to)
        .map(|place| {
            let centre = ratio * (place as f64 + 0.5);
            let start = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let triangle =
                |source: usize| (1.0 - ((source as f64 + 0.5 - centre) / support).abs()).max(0.0);
            let weights: Vec<f64> = (start..end).map(triangle).collect();
            let sum: f64 = weights.iter().sum();
            (start, weights.into_iter().map(|weight| weight / sum).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `F.interpolate(x, size=…, mode="bilinear", antialias=True).round()` in PyTorch 2.15.
    #[test]
    fn scaling_is_that_of_pytorch() {
        let plane = [
            [0, 50, 200, 255, 30],
            [10, 90, 120, 250, 0],
            [70, 20, 210, 5, 100],
            [33, 66, 99, 132, 165],
        ]
        .concat();
        let from = ImageSize { height: 4, width: 5 };
        let cases: [((usize, usize), &[u8]); 5] = [
            ((2, 3), &[35, 155, 109, 47, 115, 105]),
            ((3, 3), &[28, 168, 121, 46, 132, 83, 48, 106, 123]),
            (
                (6, 7),
                &[
                    0, 29, 93, 200, 239, 159, 30, 5, 42, 96, 160, 226, 151, 15, 20, 53, 95, 135,
                    188, 127, 17, 60, 44, 78, 195, 88, 62, 83, 52, 47, 75, 154, 93, 96, 132, 33,
                    52, 75, 99, 123, 146, 165,
                ],
            ),
            ((4, 5), &plane),
            ((1, 1), &[102]),
        ];
        for ((height, width), expected) in cases {
            assert_eq!(
                scale(&plane, from, ImageSize { height, width }),
                expected,
                "{height}×{width}"
            );
        }
    }

    /// `Image.new("RGB", (1, 1), colour).convert("L")` in Pillow.
    #[test]
    fn grey_is_that_of_pillow() {
        assert_eq!(grey(&[255, 0, 0]), 76);
        assert_eq!(grey(&[0, 255, 0]), 150);
        assert_eq!(grey(&[0, 0, 255]), 29);
        assert_eq!(grey(&[255, 255, 255, 7]), 255);
    }
}
