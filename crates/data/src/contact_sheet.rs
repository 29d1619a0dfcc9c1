//! Many images on one, each with its label below.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};

use crate::{Array, Image};

/// Pixels between images.
const GAP: usize = 4;
/// Small images are enlarged to about so many pixels.
const SIDE: usize = 64;
/// A letter is 3×5 dots of 2×2 pixels, and one dot apart from the next.
const DOT: usize = 2;
const LETTER: usize = 4 * DOT;
const LINE: usize = 7 * DOT;

/// Puts images with their labels on a sheet, row by row, as a picture of three channels. Letters are
/// capitals, and what does not fit below an image is left out.
///
/// # Errors
/// If there are no images, or one has no three axes.
pub fn contact_sheet(images: &[(Image, String)], columns: usize) -> Result<Image> {
    let mut cell = (0, 0);
    for (image, _) in images {
        let [_, height, width] = image.extent()?;
        cell = (cell.0.max(height), cell.1.max(width));
    }
    if images.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "a sheet needs at least one image"));
    }
    let zoom = (SIDE / cell.0.max(cell.1)).max(1);
    let columns = columns.clamp(1, images.len());
    let (cell_height, cell_width) = (cell.0 * zoom + LINE + GAP, cell.1 * zoom + GAP);
    let (height, width) =
        (GAP + images.len().div_ceil(columns) * cell_height, GAP + columns * cell_width);
    let mut sheet = vec![255u8; 3 * height * width];
    for (at, (image, label)) in images.iter().enumerate() {
        let (top, left) = (GAP + at / columns * cell_height, GAP + at % columns * cell_width);
        let image = image.clone().in_bytes()?;
        let [channels, h, w] = image.extent()?;
        let pixels = image.pixels().data();
        for channel in 0..3 {
            let plane = &pixels[(channel % channels) * h * w..][..h * w];
            let out = &mut sheet[channel * height * width..][..height * width];
            for y in 0..h * zoom {
                let row = &plane[y / zoom * w..][..w];
                let out = &mut out[(top + y) * width + left..][..w * zoom];
                out.iter_mut().enumerate().for_each(|(x, out)| *out = row[x / zoom]);
            }
            let line = (top + cell.0 * zoom + DOT) * width + left;
            write(&mut out[line..], width, cell_width - GAP, label);
        }
    }
    Ok(Image::new(Array::new([3, height, width], sheet)?))
}

fn write(out: &mut [u8], stride: usize, room: usize, text: &str) {
    let fits = (room + DOT) / LETTER;
    for (at, letter) in text.chars().take(fits).enumerate() {
        let rows = glyph(letter.to_ascii_uppercase());
        for (y, x) in (0..5 * DOT).flat_map(|y| (0..3 * DOT).map(move |x| (y, x))) {
            // Rows from the top are octal digits from the left, and dots are their bits.
            if rows >> (3 * (4 - y / DOT) + 2 - x / DOT) & 1 == 1 {
                out[y * stride + at * LETTER + x] = 0;
            }
        }
    }
}

/// Five rows of three dots.
#[rustfmt::skip]
fn glyph(letter: char) -> u16 {
    match letter {
        'A' => 0o25755, 'B' => 0o65656, 'C' => 0o34443, 'D' => 0o65556, 'E' => 0o74647,
        'F' => 0o74644, 'G' => 0o34553, 'H' => 0o55755, 'I' => 0o72227, 'J' => 0o11152,
        'K' => 0o55655, 'L' => 0o44447, 'M' => 0o57755, 'N' => 0o65555, 'O' => 0o25552,
        'P' => 0o65644, 'Q' => 0o25563, 'R' => 0o65655, 'S' => 0o34216, 'T' => 0o72222,
        'U' => 0o55557, 'V' => 0o55552, 'W' => 0o55775, 'X' => 0o55255, 'Y' => 0o55222,
        'Z' => 0o71247, '0' => 0o75557, '1' => 0o26227, '2' => 0o61247, '3' => 0o61216,
        '4' => 0o55711, '5' => 0o74616, '6' => 0o34757, '7' => 0o71222, '8' => 0o75757,
        '9' => 0o75716, '-' => 0o00700, '_' => 0o00007, '.' => 0o00002, '/' => 0o11244,
        ':' => 0o02020, '+' => 0o02720, '(' => 0o12221, ')' => 0o42224, ',' => 0o00024,
        '\'' => 0o22000, ' ' => 0,
        _ => 0o71202,
    }
}

/// Writes an image of 1 or 3 channels as a PNG file.
///
/// # Errors
/// If it has another number of channels, or the file cannot be written.
pub fn write_png(path: &Path, image: &Image) -> Result<()> {
    let [channels, height, width] = image.extent()?;
    let colour = match channels {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        _ => {
            let message = format!("{channels} channels make no picture; 1 or 3 do");
            return Err(Error::new(ErrorKind::Usage, message));
        }
    };
    let failed = |e: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Io, format!("cannot write {}: {e}", path.display()))
    };
    let file = File::create(path).map_err(|e| failed(&e))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width as u32, height as u32);
    encoder.set_color(colour);
    let planes = image.pixels().data();
    let pixels: Vec<u8> = (0..height * width)
        .flat_map(|at| (0..channels).map(move |channel| planes[channel * height * width + at]))
        .collect();
    let mut writer = encoder.write_header().map_err(|e| failed(&e))?;
    writer.write_image_data(&pixels).map_err(|e| failed(&e))?;
    writer.finish().map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_labels_stand_where_they_should() {
        let image = |byte| Image::new(Array::new([1, 2, 2], vec![byte; 4]).unwrap());
        let images =
            [(image(10), "i".to_owned()), (image(20), String::new()), (image(30), "x".into())];
        let sheet = contact_sheet(&images, 2).unwrap();
        // Enlarged 32 times; two rows and columns.
        let (cell_height, cell_width) = (64 + LINE + GAP, 64 + GAP);
        assert_eq!(sheet.pixels().shape()[..], [3, GAP + 2 * cell_height, GAP + 2 * cell_width]);
        let width = GAP + 2 * cell_width;
        let pixel = |y: usize, x: usize| sheet.pixels().data()[y * width + x];
        assert_eq!((pixel(0, 0), pixel(GAP, GAP), pixel(GAP + 63, GAP + 63)), (255, 10, 10));
        assert_eq!(pixel(GAP, GAP + cell_width), 20);
        assert_eq!(pixel(GAP + cell_height, GAP), 30);
        // The I: three dots above, one in the middle.
        let top = GAP + 64 + DOT;
        assert_eq!([0, 2, 4].map(|x| pixel(top, GAP + x)), [0, 0, 0]);
        assert_eq!([0, 2, 4].map(|x| pixel(top + DOT, GAP + x)), [255, 0, 255]);
        assert!(contact_sheet(&[], 3).is_err());
    }

    #[test]
    fn a_png_is_read_back() {
        let path = std::env::temp_dir().join(format!("gradus-sheet-{}.png", std::process::id()));
        let image = Image::new(Array::new([3, 1, 2], vec![1, 2, 3, 4, 5, 6]).unwrap());
        write_png(&path, &image).unwrap();
        let read = crate::datasets::read_image(&path, 3, None).unwrap();
        assert_eq!(read.pixels().data(), image.pixels().data());
        let _ = std::fs::remove_file(&path);
    }
}
