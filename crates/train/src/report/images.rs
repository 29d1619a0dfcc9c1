//! Images inside a page.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gradus_data::{Image, Part};

/// An image as the address of a PNG that is its own content; none for what is no image.
pub(super) fn data_uri(part: &Part) -> Option<String> {
    let Part::Image(image) = part else { return None };
    let png = encode(image)?;
    Some(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png)))
}

/// One channel is grey and three are colours; others are no picture.
fn encode(image: &Image) -> Option<Vec<u8>> {
    let [channels, height, width] = image.pixels().shape().dims().try_into().ok()?;
    let colour = match channels {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        _ => return None,
    };
    let (pixels, scale) = (image.pixels().data(), 255.0 / f32::from(image.full_scale()));
    let plane = height * width;
    let interleaved = (0..plane).flat_map(|at| (0..channels).map(move |c| c * plane + at));
    let bytes: Vec<u8> =
        interleaved.map(|at| (f32::from(pixels[at]) * scale).round() as u8).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.write_header().ok()?.write_image_data(&bytes).ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use gradus_data::Array;

    use super::*;

    #[test]
    fn pixels_survive() {
        let pixels = vec![0u8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15];
        let image = Image::new(Array::new([3, 2, 2], pixels).unwrap()).with_full_scale(15);
        let file = encode(&image).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut found = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut found).unwrap();
        assert_eq!(found, [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 15].map(|x: u8| x * 17));
    }

    #[test]
    fn only_pictures_are_images() {
        assert_eq!(data_uri(&Part::Label(3)), None);
        let odd = Image::new(Array::new([2, 1, 1], vec![0u8, 0]).unwrap());
        assert_eq!(data_uri(&Part::Image(odd)), None);
    }
}
