//! Images in the formats that datasets come in: PNG, JPEG, WebP and BMP. Which one, the first bytes
//! tell, whatever the file's name says.
//!
//! The decoders are small crates of their own. A file that breaks off is an error, never a half-grey
//! image, and one that claims to be larger than any photograph is refused before memory is asked
//! for.

use std::io::Cursor;

use image_webp::WebPDecoder;
use png::{ColorType, Transformations};
use pulp::{Arch, Simd, WithSimd};
use zune_bmp::{BmpDecoder, BmpDecoderErrors};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use crate::datasets::ImageSize;

/// Images with more pixels are refused.
pub(crate) const LARGEST: usize = 1 << 26;
/// No deflate stream expands further.
const DEFLATE_EXPANSION: usize = 1032;

/// Pixels in a byte of a JPEG, at most: each block of 64 has a code of at least one bit.
const JPEG_EXPANSION: usize = 512;

/// Pixels in a byte of a WebP, at most: images of one colour take next to none, but those are no
/// photographs, and beyond [`WEBP_SMALL`] they are refused.
const WEBP_EXPANSION: usize = 512;
const WEBP_SMALL: usize = 1 << 20;

/// An image as it is in its file.
pub(crate) struct Decoded {
    pub(crate) size: ImageSize,
    /// 1 to 4; the second of 2 and the last of 4 are opacity.
    pub(crate) channels: usize,
    /// Row by row, the channels of a pixel side by side.
    pub(crate) pixels: Vec<u8>,
}

impl Decoded {
    /// What a decoder put out, if it is as long as it must be.
    fn new(size: ImageSize, channels: usize, pixels: Vec<u8>) -> Result<Decoded, String> {
        let wanted = size.height * size.width * channels;
        if pixels.len() != wanted {
            return Err(format!("it has {} bytes of pixels instead of {wanted}", pixels.len()));
        }
        Ok(Decoded { size, channels, pixels })
    }

    /// Each channel by itself, as 1 (grey) or 3 planes, one after the other.
    pub(crate) fn planes(self, channels: usize) -> Vec<u8> {
        let Decoded { channels: has, pixels, .. } = self;
        let count = pixels.len() / has;
        let mut planes = Vec::with_capacity(channels * count);
        match (channels, has) {
            (1, 1) => return pixels,
            (1, 2) => planes.extend(pixels.chunks_exact(2).map(|pixel| pixel[0])),
            (1, _) => planes.extend(
                pixels
                    .chunks_exact(has)
                    .map(|pixel| crate::transforms::gray_level(pixel[0], pixel[1], pixel[2])),
            ),
            (_, 1 | 2) => {
                for _ in 0..channels {
                    planes.extend(pixels.chunks_exact(has).map(|pixel| pixel[0]));
                }
            }
            (_, 3) => {
                planes.resize(3 * count, 0);
                Arch::new().dispatch(Separate { pixels: &pixels, planes: &mut planes });
            }
            _ => {
                for channel in 0..channels {
                    planes.extend(pixels.as_chunks::<4>().0.iter().map(|pixel| pixel[channel]));
                }
            }
        }
        planes
    }
}

/// Pixels of three bytes to three planes.
struct Separate<'a> {
    pixels: &'a [u8],
    planes: &'a mut [u8],
}

impl WithSimd for Separate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        /// Pixels that are separated at once: as many as a vector has bytes.
        const LANES: usize = 32;
        let (red, rest) = self.planes.split_at_mut(self.planes.len() / 3);
        let (green, blue) = rest.split_at_mut(rest.len() / 2);
        let (pixels, last) = self.pixels.as_chunks::<{ 3 * LANES }>();
        let (reds, last_red) = red.as_chunks_mut::<LANES>();
        let (greens, last_green) = green.as_chunks_mut::<LANES>();
        let (blues, last_blue) = blue.as_chunks_mut::<LANES>();
        for (((pixels, red), green), blue) in pixels.iter().zip(reds).zip(greens).zip(blues) {
            for i in 0..LANES {
                red[i] = pixels[3 * i];
                green[i] = pixels[3 * i + 1];
                blue[i] = pixels[3 * i + 2];
            }
        }
        let last = last.as_chunks::<3>().0.iter();
        for (((pixel, red), green), blue) in last.zip(last_red).zip(last_green).zip(last_blue) {
            [*red, *green, *blue] = *pixel;
        }
    }
}

/// Decodes an image; the error says why it cannot be.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => decode_png(bytes),
        [0xff, 0xd8, ..] => decode_jpeg(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => decode_webp(bytes),
        [b'B', b'M', ..] => decode_bmp(bytes),
        [] => Err("it is empty".to_owned()),
        [b'<', ..] => Err("it is text, such as a web page saved in its place".to_owned()),
        _ => Err("its first bytes are those of another format".to_owned()),
    }
}

fn decode_png(bytes: &[u8]) -> Result<Decoded, String> {
    let wrong = |e: png::DecodingError| match e {
        png::DecodingError::IoError(_) => truncated(bytes),
        // Of a chunk, it says everything there is.
        e => match e.to_string().split_once("ChunkType { type: ") {
            Some((what, of)) => format!("{what}{}", of.split(',').next().unwrap_or(of)),
            None => e.to_string(),
        },
    };
    let limits = png::Limits { bytes: LARGEST * 8 };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(wrong)?;
    let info = reader.info();
    let size = size_of(info.width as usize, info.height as usize)?;
    // The decoder takes it for granted that there is a whole colour, and panics.
    if let Some(palette) = info.palette.as_ref().filter(|p| p.is_empty() || p.len() % 3 != 0) {
        return Err(format!("its palette has {} bytes; colours have 3", palette.len()));
    }
    let raw = info.raw_row_length().saturating_mul(size.height);
    if raw > bytes.len().saturating_mul(DEFLATE_EXPANSION) {
        return Err(format!("its size is {size}, more than its {} bytes can hold", bytes.len()));
    }
    let length = reader.output_buffer_size().ok_or("it is too large")?;
    let mut pixels = vec![0; length];
    let frame = reader.next_frame(&mut pixels).map_err(wrong)?;
    // What is left holds checksums.
    reader.finish().map_err(wrong)?;
    pixels.truncate(frame.buffer_size());
    let channels = match frame.color_type {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb | ColorType::Indexed => 3,
        ColorType::Rgba => 4,
    };
    Decoded::new(size, channels, pixels)
}

/// What zune's decoders may do.
fn options() -> DecoderOptions {
    DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
}

fn decode_jpeg(bytes: &[u8]) -> Result<Decoded, String> {
    // The decoder is content with what there is of the last blocks: a file must end with its mark, or
    // have one somewhere after the beginning of its pixels.
    let mark = |code: u8| move |pair: &[u8]| pair == [0xff, code];
    if !bytes.ends_with(&[0xff, 0xd9])
        && let Some(scan) = bytes.windows(2).position(mark(0xda))
        && !bytes[scan..].windows(2).any(mark(0xd9))
    {
        return Err(format!("{} without a mark", truncated(bytes)));
    }
    let wrong = |e: DecodeErrors| match e {
        DecodeErrors::IoErrors(_) | DecodeErrors::ExhaustedData => truncated(bytes),
        DecodeErrors::Format(what) => what,
        DecodeErrors::FormatStatic(what) => what.to_owned(),
        e => e.to_string(),
    };
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options());
    decoder.decode_headers().map_err(wrong)?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    let size = size_of(width, height)?;
    if width * height > bytes.len().saturating_mul(JPEG_EXPANSION) {
        return Err(format!("its size is {size}, more than its {} bytes can hold", bytes.len()));
    }
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (channels, colour) = if grey { (1, ColorSpace::Luma) } else { (3, ColorSpace::RGB) };
    decoder.set_options(options().jpeg_set_out_colorspace(colour));
    Decoded::new(size, channels, decoder.decode().map_err(wrong)?)
}

fn decode_webp(bytes: &[u8]) -> Result<Decoded, String> {
    let claimed = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    if u64::from(claimed) + 8 > bytes.len() as u64 {
        let (claimed, len) = (u64::from(claimed) + 8, bytes.len());
        return Err(format!("truncated: it claims {claimed} bytes, but ends at offset {len}"));
    }
    let wrong = |e: image_webp::DecodingError| match e {
        image_webp::DecodingError::IoError(_) => "a part of it is longer than the file".to_owned(),
        e => e.to_string(),
    };
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(wrong)?;
    let (width, height) = decoder.dimensions();
    let size = size_of(width as usize, height as usize)?;
    let room = WEBP_SMALL.max(bytes.len().saturating_mul(WEBP_EXPANSION));
    let canvas = (width as usize, height as usize);
    if let Some((w, h)) = webp_sizes(bytes).into_iter().chain([canvas]).find(|(w, h)| w * h > room)
    {
        let size = ImageSize { height: h, width: w };
        return Err(format!("its size is {size}, more than its {} bytes can hold", bytes.len()));
    }
    decoder.set_memory_limit(LARGEST * 4);
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let mut pixels = vec![0; decoder.output_buffer_size().ok_or("it is too large")?];
    decoder.read_image(&mut pixels).map_err(wrong)?;
    Decoded::new(size, channels, pixels)
}

/// Width and height of each picture in a WebP: the decoder asks for their memory, whatever size the
/// whole claims to have.
fn webp_sizes(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut sizes = Vec::new();
    let mut at = 12;
    while let Some([a, b, c, d, size @ ..]) =
        bytes.get(at..).and_then(|rest| rest.first_chunk::<8>())
    {
        let content = &bytes[at + 8..];
        match (&[*a, *b, *c, *d], content) {
            (b"VP8 ", [_, _, _, _, _, _, w, v, h, g, ..]) => {
                let side =
                    |low: u8, high: u8| usize::from(u16::from_le_bytes([low, high]) & 0x3fff);
                sizes.push((side(*w, *v), side(*h, *g)));
            }
            (b"VP8L", [_, rest @ ..]) => {
                if let Some(word) = rest.first_chunk::<4>() {
                    let word = u32::from_le_bytes(*word) as usize;
                    sizes.push(((word & 0x3fff) + 1, (word >> 14 & 0x3fff) + 1));
                }
            }
            _ => {}
        }
        // A frame of an animation has a header of 16 bytes, and then chunks of its own.
        let size =
            if [*a, *b, *c, *d] == *b"ANMF" { 16 } else { u32::from_le_bytes(*size) as usize };
        at = at.saturating_add(8).saturating_add(size.next_multiple_of(2));
    }
    sizes
}

fn decode_bmp(bytes: &[u8]) -> Result<Decoded, String> {
    let wrong = |e: BmpDecoderErrors| match e {
        BmpDecoderErrors::IoErrors(_) => truncated(bytes),
        e => format!("{e:?}").trim().to_owned(),
    };
    let mut decoder = BmpDecoder::new_with_options(ZCursor::new(bytes), options());
    decoder.decode_headers().map_err(wrong)?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    let size = size_of(width, height)?;
    // The decoder makes room for all pixels, and goes through them even if there are none.
    if least_bmp(bytes, size).is_none_or(|least| least > bytes.len()) {
        return Err(truncated(bytes));
    }
    let pixels = decoder.decode().map_err(wrong)?;
    let channels = pixels.len() / (size.height * size.width);
    if !(1..=4).contains(&channels) {
        return Err("it breaks off".to_owned());
    }
    Decoded::new(size, channels, pixels)
}

/// How many bytes a BMP of a size has at least; none if it has no whole header.
fn least_bmp(bytes: &[u8], size: ImageSize) -> Option<usize> {
    let short = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let start = long(10)? as usize;
    // The header of OS/2 is short, and its pixels are as they are.
    let (bits, compression) = match long(14)? {
        12 => (short(24)?, 0),
        _ => (short(28)?, long(30)?),
    };
    let row = size.width.checked_mul(bits.into())?;
    Some(start.saturating_add(match compression {
        // Runs of up to 255 pixels in two bytes.
        1 | 2 => size.width.checked_mul(size.height)? / 128,
        // Rows of whole words, but that of the last one may end early.
        _ => row.div_ceil(32).checked_mul(4 * (size.height - 1))?.checked_add(row.div_ceil(8))?,
    }))
}

fn truncated(bytes: &[u8]) -> String {
    format!("truncated: it ends at offset {}", bytes.len())
}

fn size_of(width: usize, height: usize) -> Result<ImageSize, String> {
    let size = ImageSize { height, width };
    match width.checked_mul(height) {
        Some(1..=LARGEST) => Ok(size),
        Some(0) => Err(format!("its size is {size}")),
        _ => Err(format!("its size is {size}, but at most {LARGEST} pixels are read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG with sound checksums that claims a size and holds a few bytes.
    fn png_bomb(side: u32) -> Vec<u8> {
        let chunk = |kind: &[u8], content: &[u8]| {
            let mut crc = flate2::Crc::new();
            crc.update(kind);
            crc.update(content);
            let length = (content.len() as u32).to_be_bytes();
            [&length[..], kind, content, &crc.sum().to_be_bytes()].concat()
        };
        let size = [side.to_be_bytes(), side.to_be_bytes()].concat();
        let header = [&size[..], &[8, 6, 0, 0, 0]].concat();
        let data = [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1];
        [
            &b"\x89PNG\r\n\x1a\n"[..],
            &chunk(b"IHDR", &header),
            &chunk(b"IDAT", &data),
            &chunk(b"IEND", &[]),
        ]
        .concat()
    }

    #[test]
    fn colours_are_separated_at_any_width() {
        for count in [1, 31, 32, 33, 100] {
            let pixels: Vec<u8> = (0..3 * count).map(|i| i as u8).collect();
            let decoded =
                Decoded { size: ImageSize { height: 1, width: count }, channels: 3, pixels };
            let wanted = (0..3).flat_map(|c| (0..count).map(move |i| (3 * i + c) as u8));
            assert_eq!(decoded.planes(3), wanted.collect::<Vec<u8>>());
        }
    }

    #[test]
    fn bombs_are_refused_before_memory_is_asked_for() {
        let error = |bytes: &[u8]| decode(bytes).err().unwrap();
        let claimed = error(&png_bomb(8000));
        assert!(claimed.contains("8000×8000, more than its 65 bytes can hold"), "{claimed}");
        // A sound JPEG of 9×12 that claims 4096×4096.
        let mut jpeg = include_bytes!("../tests/golden/picture.jpg").to_vec();
        let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[16, 0, 16, 0]);
        assert!(error(&jpeg).contains("4096×4096, more than its 682 bytes"), "{}", error(&jpeg));
        let large = error(&png_bomb(9000));
        assert!(large.contains("at most 67108864 pixels are read"), "{large}");
        assert!(error(&png_bomb(0)).contains("dimensions"), "{}", error(&png_bomb(0)));
    }
}
