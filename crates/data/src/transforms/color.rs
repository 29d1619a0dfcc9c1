//! What is done to the colours of an image. A factor of 1 changes nothing, 0 leaves black, grey or
//! blurred.
//!
//! Bytes are computed with as torchvision's kernels for `uint8` tensors do, which agree with Pillow to
//! one grey level (Pillow's hue has only 256 steps and is coarser).

use gradus_tensor::Result;

use crate::Image;

/// The brightness of red, green and blue, in 16 bits of fraction, as Pillow computes it (ITU-R
/// BT.601).
#[inline(always)]
pub(crate) fn gray_level(red: u8, green: u8, blue: u8) -> u8 {
    let weighted = 19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue);
    ((weighted + 0x8000) >> 16) as u8
}

/// The plane of grey of an image: the first one where there are not three.
pub(super) fn gray(image: &Image) -> Result<Vec<u8>> {
    let [channels, height, width] = image.extent()?;
    let plane = height * width;
    let pixels = image.pixels().data();
    if channels != 3 {
        return Ok(pixels[..plane].to_vec());
    }
    let (red, rest) = pixels.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    Ok(red.iter().zip(green).zip(blue).map(|((&r, &g), &b)| gray_level(r, g, b)).collect())
}

/// `factor · x + (1 − factor) · other`, within bytes.
fn blend(x: u8, other: f32, factor: f32) -> u8 {
    (f32::from(x) * factor + other * (1.0 - factor)).clamp(0.0, 255.0) as u8
}

/// Each byte replaced by what a table says.
fn looked_up(image: Image, table: impl Fn(u8) -> u8) -> Result<Image> {
    let image = image.in_bytes()?;
    let table: [u8; 256] = std::array::from_fn(|x| table(x as u8));
    let pixels = image.pixels().data().iter().map(|&x| table[usize::from(x)]).collect();
    image.with_pixels(image.extent()?, pixels)
}

pub(super) fn brightness(image: Image, factor: f64) -> Result<Image> {
    looked_up(image, |x| blend(x, 0.0, factor as f32))
}

pub(super) fn contrast(image: Image, factor: f64) -> Result<Image> {
    let image = image.in_bytes()?;
    let gray = gray(&image)?;
    let sum: u64 = gray.iter().map(|&x| u64::from(x)).sum();
    let mean = sum as f64 / gray.len() as f64;
    looked_up(image, |x| blend(x, mean as f32, factor as f32))
}

pub(super) fn saturation(image: Image, factor: f64) -> Result<Image> {
    if image.extent()?[0] != 3 {
        return Ok(image);
    }
    let image = image.in_bytes()?;
    let gray = gray(&image)?;
    let [_, height, width] = image.extent()?;
    image.map_planes((height, width), |plane, out| {
        let pixels = plane.iter().zip(&gray);
        out.extend(pixels.map(|(&x, &grey)| blend(x, grey.into(), factor as f32)));
    })
}

/// Turns the wheel of colours by `shift`, of 1.
pub(super) fn hue(image: Image, shift: f64) -> Result<Image> {
    if image.extent()?[0] != 3 {
        return Ok(image);
    }
    let image = image.in_bytes()?;
    let mut pixels = image.pixels().data().to_vec();
    let plane = pixels.len() / 3;
    let (red, rest) = pixels.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        [*r, *g, *b] = turned([*r, *g, *b], shift as f32);
    }
    image.with_pixels(image.extent()?, pixels)
}

fn turned(rgb: [u8; 3], shift: f32) -> [u8; 3] {
    let [r, g, b] = rgb.map(|x| f32::from(x) / 255.0);
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return rgb;
    }
    let range = most - least;
    let [rc, gc, bc] = [r, g, b].map(|x| (most - x) / range);
    let sixths = if most == r {
        bc - gc
    } else if most == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    let hue = ((sixths / 6.0 + 1.0) % 1.0 + shift).rem_euclid(1.0);
    let (saturation, value) = (range / most, most);
    let sector = (hue * 6.0).floor();
    let f = hue * 6.0 - sector;
    let p = value * (1.0 - saturation);
    let q = value * (1.0 - saturation * f);
    let t = value * (1.0 - saturation * (1.0 - f));
    let rgb = match sector as u8 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    };
    // torchvision's conversion of a float to a byte: 256 equal parts, all but the last open.
    rgb.map(|x| (x.clamp(0.0, 1.0) * (256.0 - 1e-3)) as u8)
}

pub(super) fn invert(image: Image) -> Result<Image> {
    looked_up(image, |x| 255 - x)
}

/// Keeps so many bits of each byte.
pub(super) fn posterize(image: Image, bits: u32) -> Result<Image> {
    let mask = !(0xffu16 >> bits.min(8)) as u8;
    looked_up(image, |x| x & mask)
}

/// Inverts what is at least as bright as `threshold`.
pub(super) fn solarize(image: Image, threshold: f64) -> Result<Image> {
    looked_up(image, |x| if f64::from(x) >= threshold { 255 - x } else { x })
}

/// Stretches each channel from black to white.
pub(super) fn autocontrast(image: Image) -> Result<Image> {
    by_plane(image, |plane| {
        let (least, most) = (plane.iter().min()?, plane.iter().max()?);
        let (least, range) = (f64::from(*least), f64::from(most - least));
        let scale = 255.0 / range;
        let stretched = |x: usize| (x as f64 * scale - least * scale).clamp(0.0, 255.0) as u8;
        (range > 0.0).then(|| std::array::from_fn(stretched))
    })
}

/// Gives every brightness of a channel the same share.
pub(super) fn equalize(image: Image) -> Result<Image> {
    by_plane(image, |plane| {
        let mut counts = [0usize; 256];
        plane.iter().for_each(|&x| counts[usize::from(x)] += 1);
        let last = counts.iter().rposition(|&count| count > 0)?;
        let step = (plane.len() - counts[last]) / 255;
        if step == 0 {
            return None;
        }
        let mut sum = step / 2;
        Some(counts.map(|count| {
            let level = (sum / step).min(255) as u8;
            sum += count;
            level
        }))
    })
}

/// Each plane through a table of its own; without one, it stays.
fn by_plane(image: Image, table: impl Fn(&[u8]) -> Option<[u8; 256]>) -> Result<Image> {
    let image = image.in_bytes()?;
    let [_, height, width] = image.extent()?;
    image.map_planes((height, width), |plane, out| match table(plane) {
        Some(table) => out.extend(plane.iter().map(|&x| table[usize::from(x)])),
        None => out.extend_from_slice(plane),
    })
}

pub(super) fn sharpness(image: Image, factor: f64) -> Result<Image> {
    let image = image.in_bytes()?;
    let [_, height, width] = image.extent()?;
    if height <= 2 || width <= 2 {
        return Ok(image);
    }
    image.map_planes((height, width), |plane, out| {
        let start = out.len();
        out.extend_from_slice(plane);
        let out = &mut out[start..];
        for row in 1..height - 1 {
            for column in 1..width - 1 {
                let at = row * width + column;
                let three = |at: usize| plane[at - 1..=at + 1].iter().map(|&x| u32::from(x));
                let nine = three(at - width).chain(three(at)).chain(three(at + width));
                let sum = nine.sum::<u32>() + 4 * u32::from(plane[at]);
                // Pillow's `SMOOTH`: 5 in the middle, 1 around it.
                let smooth = (sum as f32 / 13.0).round_ties_even();
                out[at] = blend(plane[at], smooth, factor as f32);
            }
        }
    })
}
