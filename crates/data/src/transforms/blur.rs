//! Blurring.

use gradus_tensor::Result;

use super::pipeline::misuse;
use super::{Draws, Transform};
use crate::Image;

/// Blurs with a Gaussian of a random width: torchvision's `GaussianBlur`. The image is mirrored at
/// its edge.
#[derive(Clone, Debug)]
pub struct GaussianBlur {
    kernel_size: usize,
    sigma: (f64, f64),
}

impl GaussianBlur {
    /// With a kernel of `kernel_size` pixels, an odd number, and a standard deviation of 0.1 to 2
    /// pixels.
    pub fn new(kernel_size: usize) -> GaussianBlur {
        GaussianBlur { kernel_size, sigma: (0.1, 2.0) }
    }

    /// The least and the greatest standard deviation; if they are equal, nothing is random.
    #[must_use]
    pub fn sigma(self, least: f64, greatest: f64) -> GaussianBlur {
        GaussianBlur { sigma: (least, greatest), ..self }
    }
}

impl Transform for GaussianBlur {
    fn apply(&self, image: Image, draws: &mut Draws) -> Result<Image> {
        let [_, height, width] = image.extent()?;
        let (size, sigma) = (self.kernel_size, draws.between(self.sigma.0, self.sigma.1));
        if size.is_multiple_of(2) || size / 2 >= height.min(width) || sigma.is_nan() || sigma <= 0.0
        {
            let message = format!(
                "GaussianBlur: a kernel of {size} pixels with a deviation of {sigma} on an image of \
                 {height}×{width}; give an odd number below twice the shorter side, and a deviation \
                 above 0"
            );
            return Err(misuse(message));
        }
        let half = (size / 2) as f64;
        let gauss = |i: usize| libm::exp(-0.5 * ((i as f64 - half) / sigma).powi(2));
        let kernel: Vec<f32> = (0..size).map(|i| gauss(i) as f32).collect();
        let sum: f32 = kernel.iter().sum();
        let kernel: Vec<f32> = kernel.iter().map(|weight| weight / sum).collect();
        let mirrored = |at: usize, size: usize| {
            let at = (at as isize - half as isize).unsigned_abs();
            if at < size { at } else { 2 * size - 2 - at }
        };
        image.map_planes((height, width), |plane, out| {
            let mut rows = vec![0.0f32; plane.len()];
            let mut padded = vec![0.0f32; width + size - 1];
            for (row, blurred) in plane.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
                let columns = (0..padded.len()).map(|at| f32::from(row[mirrored(at, width)]));
                padded.iter_mut().zip(columns).for_each(|(x, y)| *x = y);
                for (shift, &weight) in kernel.iter().enumerate() {
                    blurred.iter_mut().zip(&padded[shift..]).for_each(|(x, y)| *x += weight * y);
                }
            }
            let mut sums = vec![0.0f32; width];
            for row in 0..height {
                sums.fill(0.0);
                for (shift, &weight) in kernel.iter().enumerate() {
                    let source = &rows[mirrored(row + shift, height) * width..][..width];
                    sums.iter_mut().zip(source).for_each(|(x, y)| *x += weight * y);
                }
                out.extend(sums.iter().map(|x| x.round_ties_even().clamp(0.0, 255.0) as u8));
            }
        })
    }

    fn is_random(&self) -> bool {
        self.sigma.0 < self.sigma.1
    }
}
