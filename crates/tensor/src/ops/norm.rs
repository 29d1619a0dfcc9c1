//! Norms, distances and angles.

use std::panic::Location;

use crate::error::ErrorKind;
use crate::record::fail;
use crate::tensor::Tensor;

impl Tensor {
    /// The p-norm (Σ |x|ᵖ)^(1/p) over axes (none: all): `torch.linalg.vector_norm`. For p = 0 the number of elements
    /// that are not zero, for p = ±∞ the greatest or the least |x|. Where the norm is 0, so is its gradient.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let x = Tensor::from_slice(&[3.0f32, -4.0], [2]);
    /// assert_eq!(x.norm(2.0, &[], false).item::<f32>()?, 5.0);
    /// assert_eq!(x.norm(1.0, &[], false).item::<f32>()?, 7.0);
    /// assert_eq!(x.norm(f64::INFINITY, &[], false).item::<f32>()?, 4.0);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// Integers have no norm in their own dtype: cast first.
    #[track_caller]
    pub fn norm(&self, p: f64, axes: &[isize], keepdim: bool) -> Tensor {
        if self.try_shape().is_ok() && (!self.dtype().is_float() || p.is_nan()) {
            let message = if p.is_nan() {
                "norm: p is NaN".to_owned()
            } else {
                format!("norm: of {} is no {0}; cast to a float first", self.dtype())
            };
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        if p == 2.0 {
            return self.square().sum_axes(axes, keepdim).sqrt_flat_at_zero();
        }
        if p == 0.0 {
            return self.ne(0.0).cast(self.dtype()).sum_axes(axes, keepdim);
        }
        let a = self.abs();
        if p == 1.0 {
            return a.sum_axes(axes, keepdim);
        }
        if p.is_infinite() {
            return if p > 0.0 { a.amax(axes, keepdim) } else { a.amin(axes, keepdim) };
        }
        if p < 0.0 {
            return a.pow(p).sum_axes(axes, keepdim).pow(1.0 / p);
        }
        // Roots and powers with a finite slope at 0.
        let power = |x: &Tensor, p: f64| {
            let zero = x.eq(0.0);
            Tensor::where_(&zero, 0.0, Tensor::where_(&zero, 1.0, x).pow(p))
        };
        power(&power(&a, p).sum_axes(axes, keepdim), 1.0 / p)
    }

    /// The p-norms of the differences of all pairs of rows: `[…, n, d]` and `[…, m, d]` → `[…, n, m]`.
    #[track_caller]
    pub fn cdist(&self, other: &Tensor, p: f64) -> Tensor {
        let (Ok(a), Ok(b)) = (self.try_shape(), other.try_shape()) else {
            return if self.try_shape().is_err() { self.clone() } else { other.clone() };
        };
        if a.rank() < 2 || b.rank() < 2 || a[a.rank() - 1] != b[b.rank() - 1] {
            let message =
                format!("cdist: needs two lists of rows of one length, not shapes {a} and {b}");
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        (self.unsqueeze(-2) - other.unsqueeze(-3)).norm(p, &[-1], false)
    }

    /// The cosine of the angle along an axis: Σ xy / (max(‖x‖, eps) · max(‖y‖, eps)). PyTorch's default eps is 1e-8.
    #[track_caller]
    pub fn cosine_similarity(&self, other: &Tensor, axis: isize, eps: f64) -> Tensor {
        let (x, y) = self.paired(&super::Operator::Borrowed(other), true);
        // Before the norms: operands broadcast, and the axis counts in the common shape.
        let (x, y) = match (x.try_shape(), y.try_shape()) {
            (Ok(a), Ok(b)) => match a.broadcast(b) {
                Some(shape) => (x.expand(&shape), y.expand(&shape)),
                None => (x, y),
            },
            _ => (x, y),
        };
        let unit = |t: &Tensor| t / t.norm(2.0, &[axis], true).clamp_min(eps);
        (unit(&x) * unit(&y)).sum_axes(&[axis], false)
    }
}
