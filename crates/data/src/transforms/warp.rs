//! Images seen through a map of the plane, as Pillow's `Image.transform` computes it: the centre of
//! each new pixel is mapped back to where it comes from; what comes from outside is filled.

use gradus_tensor::Result;

use super::Resampling;
use super::pipeline::misuse;
use crate::Image;

/// Where the point (x, y) of the new image comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Map {
    /// `(a·x + b·y + c, d·x + e·y + f)`.
    Affine([f64; 6]),
    /// As before, divided by `g·x + h·y + 1`.
    Perspective([f64; 8]),
}

/// What an affine map does, about the middle of the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    /// In degrees, clockwise.
    pub(super) angle: f64,
    /// To the right and downwards, in pixels.
    pub(super) translate: (f64, f64),
    pub(super) scale: f64,
    /// In degrees, along x and along y.
    pub(super) shear: (f64, f64),
    /// What stays in place; the middle if none is given.
    pub(super) center: Option<(f64, f64)>,
}

impl Default for Affine {
    fn default() -> Affine {
        let (translate, shear) = ((0.0, 0.0), (0.0, 0.0));
        Affine { angle: 0.0, translate, scale: 1.0, shear, center: None }
    }
}

impl Affine {
    /// The inverse map, from the new image to the old: torchvision's `_get_inverse_affine_matrix`
    /// says why.
    pub(super) fn map(&self, height: usize, width: usize) -> Map {
        let (cx, cy) = self.center.unwrap_or((width as f64 * 0.5, height as f64 * 0.5));
        let (tx, ty) = self.translate;
        let [rotation, sx, sy] = [self.angle, self.shear.0, self.shear.1].map(f64::to_radians);
        let (cos, sin) = (libm::cos(rotation - sy), libm::sin(rotation - sy));
        let a = cos / libm::cos(sy);
        let b = -cos * libm::tan(sx) / libm::cos(sy) - libm::sin(rotation);
        let c = sin / libm::cos(sy);
        let d = -sin * libm::tan(sx) / libm::cos(sy) + libm::cos(rotation);
        // Rounded as Pillow does it: the cosine of a right angle is then 0, and its turn exact.
        let rounded = |x: f64| (x * 1e15).round_ties_even() / 1e15;
        let [a, b, c, d] = [d, -b, -c, a].map(|x| rounded(x / self.scale));
        Map::Affine([
            a,
            b,
            a * (-cx - tx) + b * (-cy - ty) + cx,
            c,
            d,
            c * (-cx - tx) + d * (-cy - ty) + cy,
        ])
    }
}

impl Map {
    /// The map that takes the corners `start` of an image to `end`, in the order of the corners.
    pub(super) fn of_corners(start: [(f64, f64); 4], end: [(f64, f64); 4]) -> Result<Map> {
        let mut rows = [[0.0; 9]; 8];
        for (i, ((x, y), (u, v))) in end.into_iter().zip(start).enumerate() {
            rows[2 * i] = [x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u];
            rows[2 * i + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v];
        }
        solve(rows)
            .map(Map::Perspective)
            .ok_or_else(|| misuse(format!("the corners {end:?} are those of no quadrilateral")))
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        match *self {
            Map::Affine([a, b, c, d, e, f]) => (a * x + b * y + c, d * x + e * y + f),
            Map::Perspective([a, b, c, d, e, f, g, h]) => {
                let w = g * x + h * y + 1.0;
                ((a * x + b * y + c) / w, (d * x + e * y + f) / w)
            }
        }
    }
}

/// The solution of 8 equations, by elimination with pivots.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let size = |row: &usize| rows[*row][column].abs();
        let pivot = (column..8).max_by(|a, b| size(a).total_cmp(&size(b)))?;
        if rows[pivot][column].abs() < 1e-9 {
            return None;
        }
        rows.swap(column, pivot);
        let upper = rows[column];
        for (at, row) in rows.iter_mut().enumerate() {
            if at != column {
                let factor = row[column] / upper[column];
                row.iter_mut().zip(upper).for_each(|(x, above)| *x -= factor * above);
            }
        }
    }
    Some(std::array::from_fn(|i| rows[i][8] / rows[i][i]))
}

/// The image through a map, with `fill` where there is nothing.
pub(super) fn warp(image: &Image, map: Map, how: Resampling, fill: u8) -> Result<Image> {
    let [_, height, width] = image.extent()?;
    match how {
        Resampling::Nearest => {
            // Which pixel each one is, found once for all planes.
            let sources = nearest(map, height, width);
            image.map_planes((height, width), |plane, out| {
                out.extend(sources.iter().map(|&at| plane.get(at).copied().unwrap_or(fill)));
            })
        }
        _ => {
            let sources: Vec<(f64, f64)> =
                places(height, width).map(|(x, y)| map.at(x, y)).collect();
            image.map_planes((height, width), |plane, out| {
                let pixel = |&(x, y): &(f64, f64)| bilinear(plane, height, width, x, y);
                out.extend(sources.iter().map(|at| pixel(at).unwrap_or(fill)));
            })
        }
    }
}

/// The centres of the pixels.
fn places(height: usize, width: usize) -> impl Iterator<Item = (f64, f64)> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (x as f64 + 0.5, y as f64 + 0.5)))
}

/// Outside of any plane.
const NOWHERE: usize = usize::MAX;

fn nearest(map: Map, height: usize, width: usize) -> Vec<usize> {
    let index = |x: i64, y: i64| match (0..width as i64).contains(&x) {
        true if (0..height as i64).contains(&y) => y as usize * width + x as usize,
        _ => NOWHERE,
    };
    let Map::Affine([a, b, c, d, e, f]) = map else {
        let floor = |x: f64| if x < 0.0 { -1 } else { x as i64 };
        return places(height, width)
            .map(|(x, y)| map.at(x, y))
            .map(|(x, y)| index(floor(x), floor(y)))
            .collect();
    };
    // In 16 bits of fraction, as Pillow has it: ties between pixels fall as they do there.
    let fixed = |x: f64| (x * 65536.0 + 0.5).floor() as i64;
    let (x0, y0) = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
    let [a, b, d, e] = [a, b, d, e].map(fixed);
    let mut sources = Vec::with_capacity(height * width);
    for row in 0..height as i64 {
        let start = (x0 + row * b, y0 + row * e);
        let source = |column| index((start.0 + column * a) >> 16, (start.1 + column * d) >> 16);
        sources.extend((0..width as i64).map(source));
    }
    sources
}

fn bilinear(plane: &[u8], height: usize, width: usize, x: f64, y: f64) -> Option<u8> {
    if !(0.0..width as f64).contains(&x) || !(0.0..height as f64).contains(&y) {
        return None;
    }
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let (dx, dy) = (x - left, y - top);
    let column = |at: f64| at.clamp(0.0, (width - 1) as f64) as usize;
    let row = |at: f64| &plane[at.clamp(0.0, (height - 1) as f64) as usize * width..][..width];
    let (left, right) = (column(left), column(left + 1.0));
    let along = |row: &[u8]| {
        let (a, b) = (f64::from(row[left]), f64::from(row[right]));
        a + (b - a) * dx
    };
    let (upper, lower) = (along(row(top)), along(row(top + 1.0)));
    Some((upper + (lower - upper) * dy) as u8)
}
