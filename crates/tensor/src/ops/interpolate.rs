//! Images made larger or smaller.

use std::panic::Location;

use gradus_ir::DType;

use crate::error::ErrorKind;
use crate::record::fail;
use crate::tensor::Tensor;

/// How new places are filled, as the modes of `torch.nn.functional.interpolate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// From the element at `⌊i · old / new⌋`: `"nearest"`.
    Nearest,
    /// From the element whose centre is nearest: `"nearest-exact"`.
    NearestExact,
    /// From the two neighbours along each axis, by distance: `"linear"`, `"bilinear"`.
    Linear {
        /// Whether the centres of the outermost elements stay in place, rather than the borders.
        align_corners: bool,
    },
    /// From the four neighbours along each axis, by the cubic kernel with a = −0.75 (Keys, 1981): `"bicubic"`.
    Cubic {
        /// As for [`Linear`](Interpolation::Linear).
        align_corners: bool,
    },
}

impl Tensor {
    /// Images of another size: `[n, c, l]` → `[n, c, size[0]]` or `[n, c, h, w]` → `[n, c, size[0], size[1]]`, as
    /// `torch.nn.functional.interpolate`.
    ///
    /// ```
    /// use gradus_tensor::{Interpolation, Tensor};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], [1, 1, 2]);
    /// let y = x.interpolate(&[4], Interpolation::Linear { align_corners: false });
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 1.25, 1.75, 2.0]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is not one size for every axis after the second, or a size is 0.
    #[track_caller]
    pub fn interpolate(&self, size: &[usize], mode: Interpolation) -> Tensor {
        let location = Location::caller();
        let Ok(shape) = self.try_shape() else { return self.clone() };
        if shape.rank() < 3 || size.len() != shape.rank() - 2 {
            let message = format!(
                "interpolate: {} sizes for a tensor of shape {shape}; expected one for each axis after batch and \
                 channels",
                size.len()
            );
            return fail(ErrorKind::Shape, message, location);
        }
        if size.contains(&0) || shape[2..].contains(&0) {
            let message =
                format!("interpolate: from shape {shape} to {size:?}: sizes must be at least 1");
            return fail(ErrorKind::Shape, message, location);
        }
        if !self.dtype().is_float() {
            let message = format!("interpolate: needs floats, not {}; cast first", self.dtype());
            return fail(ErrorKind::Shape, message, location);
        }
        size.iter().enumerate().fold(self.clone(), |x, (i, &new)| resized(&x, 2 + i, new, mode))
    }
}

/// Another size along one axis.
#[track_caller]
fn resized(x: &Tensor, axis: usize, new: usize, mode: Interpolation) -> Tensor {
    let old = x.shape()[axis];
    let at = axis as isize;
    let nearest = |half: bool| {
        let twice = |i: usize| 2 * i + usize::from(half);
        let places = (0..new).map(|i| (twice(i) * old / (2 * new)).min(old - 1) as i64);
        x.index_select(at, &Tensor::from_vec(places.collect(), [new]).to(x.device()))
    };
    let (align_corners, cubic) = match mode {
        Interpolation::Nearest => return nearest(false),
        Interpolation::NearestExact => return nearest(true),
        Interpolation::Linear { align_corners } => (align_corners, false),
        Interpolation::Cubic { align_corners } => (align_corners, true),
    };
    if old == new {
        return x.clone();
    }
    // Each new place is a mean of a few old ones: neighbour by neighbour, where they lie and their shares.
    let offsets: &[f64] = if cubic { &[-1.0, 0.0, 1.0, 2.0] } else { &[0.0, 1.0] };
    let source = |i: usize| {
        let source = match (align_corners, new) {
            (true, 1) => 0.0,
            (true, _) => (i * (old - 1)) as f64 / (new - 1) as f64,
            (false, _) => (i as f64 + 0.5) * old as f64 / new as f64 - 0.5,
        };
        if cubic { source } else { source.max(0.0) }
    };
    let mut sizes = vec![1; x.rank()];
    sizes[axis] = new;
    let part = |offset: f64| {
        let (mut places, mut shares) = (Vec::with_capacity(new), Vec::with_capacity(new));
        for i in 0..new {
            let floor = source(i).floor();
            let distance = (source(i) - floor - offset).abs();
            places.push((floor + offset).clamp(0.0, (old - 1) as f64) as i64);
            shares.push(if cubic { keys(distance) } else { 1.0 - distance });
        }
        let neighbours = x.index_select(at, &Tensor::from_vec(places, [new]).to(x.device()));
        neighbours * x.constant(&shares, sizes.clone())
    };
    let rest = offsets[1..].iter();
    rest.fold(part(offsets[0]), |sum, &offset| sum + part(offset))
}

/// The cubic convolution kernel with a = −0.75.
fn keys(d: f64) -> f64 {
    const A: f64 = -0.75;
    if d <= 1.0 {
        ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0
    } else {
        ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A
    }
}

impl Tensor {
    /// A constant of this tensor's dtype and device, made on the host.
    #[track_caller]
    pub(super) fn constant(&self, values: &[f64], shape: impl Into<gradus_ir::Shape>) -> Tensor {
        let dtype = if self.dtype().is_float() { self.dtype() } else { DType::F32 };
        Tensor::from_slice(values, shape).to(self.device()).cast(dtype)
    }
}
