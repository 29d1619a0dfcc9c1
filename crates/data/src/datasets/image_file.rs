//! Image files.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::panic::catch_unwind;
use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};

use crate::decode::{Decoded, LARGEST, decode};
use crate::transforms::{Resampling, resample};
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

/// Reads a PNG, JPEG, WebP or BMP file as an image of 1 channel (grey, with the weights of ITU-R
/// BT.601, as Pillow's `L`) or 3 (red, green, blue), whatever the file has; transparency is dropped.
/// With `resize`, it is scaled to that size: bilinear, with a support that widens when it shrinks,
/// as torchvision's antialiased `Resize`.
///
/// # Errors
/// If the file cannot be read, breaks off, is no such image, or has more than 67,108,864 pixels.
pub fn read_image(path: &Path, channels: usize, resize: Option<ImageSize>) -> Result<Image> {
    if ![1, 3].contains(&channels) {
        let message = format!(
            "{}: images have 1 channel (grey) or 3 (colour), not {channels}",
            path.display()
        );
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let decoded = read(path)?;
    let mut size = decoded.size;
    let mut planes = decoded.planes(channels);
    if let Some(wanted) = resize
        && wanted != size
    {
        let (from, to) = ((size.height, size.width), (wanted.height, wanted.width));
        if !(1..=LONGEST).contains(&to.0) || !(1..=LONGEST).contains(&to.1) {
            let message = format!("resize to {wanted}: give two sizes from 1 to {LONGEST}");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let mut scaled = Vec::with_capacity(channels * to.0 * to.1);
        for plane in planes.chunks_exact(from.0 * from.1) {
            resample(plane, from, to, Resampling::Bilinear, &mut scaled);
        }
        (planes, size) = (scaled, wanted);
    }
    Ok(Image::new(Array::new([channels, size.height, size.width], planes)?))
}

/// No image is scaled to longer sides.
pub(super) const LONGEST: usize = 1 << 14;

/// The size of an image.
pub(super) fn image_size(path: &Path) -> Result<ImageSize> {
    read(path).map(|decoded| decoded.size)
}

/// No image file is longer; the largest image is so many bytes when it is not compressed at all.
const LONGEST_FILE: u64 = 8 * LARGEST as u64;
/// What a thread keeps between files.
const KEPT: usize = 1 << 24;

thread_local! {
    /// The content of the file that a thread is at. Small files are many: without it, asking for
    /// their size and for memory takes a tenth of the time that decoding them does.
    static CONTENT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn read(path: &Path) -> Result<Decoded> {
    CONTENT.with_borrow_mut(|content| {
        content.clear();
        let outcome = File::open(path).and_then(|f| f.take(LONGEST_FILE).read_to_end(content));
        let decoded = match outcome {
            Err(e) => {
                let message = format!("{}: {e}; check the path", path.display());
                Err(Error::new(ErrorKind::Io, message))
            }
            Ok(_) => guarded(content).map_err(|why| {
                let message = format!(
                    "{}: no PNG, JPEG, WebP or BMP image that can be read ({why}); get it again, \
                     or convert it",
                    path.display()
                );
                Error::new(ErrorKind::Format, message)
            }),
        };
        content.shrink_to(KEPT);
        decoded
    })
}

/// The decoders are others' code: what no test has found in them is an error of the file, too.
fn guarded(content: &[u8]) -> std::result::Result<Decoded, String> {
    catch_unwind(|| decode(content)).unwrap_or_else(|_| Err("its decoder panics".to_owned()))
}
