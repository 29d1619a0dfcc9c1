//! Variances and correlations.

use std::panic::Location;

use super::axes_of;
use crate::error::ErrorKind;
use crate::record::fail;
use crate::tensor::Tensor;

impl Tensor {
    /// The variance over axes (none: all): Σ (x − mean)² / max(0, n − correction). PyTorch's default correction is 1.
    ///
    /// # Errors
    /// Integers have no variance in their own dtype: cast first.
    #[track_caller]
    pub fn var(&self, axes: &[isize], correction: usize, keepdim: bool) -> Tensor {
        self.var_mean(axes, correction, keepdim).0
    }

    /// The standard deviation: the root of the [variance](Tensor::var). Its gradient at 0 is 0.
    #[track_caller]
    pub fn std(&self, axes: &[isize], correction: usize, keepdim: bool) -> Tensor {
        self.var(axes, correction, keepdim).sqrt_flat_at_zero()
    }

    /// The [variance](Tensor::var) and the mean.
    #[track_caller]
    pub fn var_mean(&self, axes: &[isize], correction: usize, keepdim: bool) -> (Tensor, Tensor) {
        let location = Location::caller();
        let reduced = match axes_of("var", self, axes, location) {
            Ok(reduced) => reduced,
            Err(failed) => return (failed.clone(), failed),
        };
        if !self.dtype().is_float() {
            let message = format!("var: of {} is no {0}; cast to a float first", self.dtype());
            let failed = fail(ErrorKind::Shape, message, location);
            return (failed.clone(), failed);
        }
        let shape = self.shape();
        let count: usize = reduced.iter().map(|&a| shape[a]).product();
        let every: Vec<isize> = reduced.iter().map(|&a| a as isize).collect();
        // Without axes to reduce, each element is its own mean.
        let mean = if every.is_empty() { self.clone() } else { self.mean_axes(&every, true) };
        let squares = (self - &mean).square();
        let sum = if every.is_empty() { squares } else { squares.sum_axes(&every, true) };
        let variance = sum / count.saturating_sub(correction) as f64;
        if keepdim {
            return (variance, mean);
        }
        let shape = shape.without(&reduced);
        (variance.reshape(&shape), mean.reshape(&shape))
    }

    /// The [standard deviation](Tensor::std) and the mean.
    #[track_caller]
    pub fn std_mean(&self, axes: &[isize], correction: usize, keepdim: bool) -> (Tensor, Tensor) {
        let (variance, mean) = self.var_mean(axes, correction, keepdim);
        (variance.sqrt_flat_at_zero(), mean)
    }

    /// The covariance matrix of variables in rows, observed in columns: `[v, n]` → `[v, v]`, and `[n]` → `[]`.
    /// PyTorch's default correction is 1.
    #[track_caller]
    pub fn cov(&self, correction: usize) -> Tensor {
        let rows = match self.try_shape() {
            Ok(shape) if shape.rank() <= 1 => self.reshape([1, shape.numel() as isize]),
            Ok(shape) if shape.rank() == 2 => self.clone(),
            Ok(shape) => {
                let message =
                    format!("cov: variables are rows of a matrix, this has shape {shape}");
                return fail(ErrorKind::Shape, message, Location::caller());
            }
            Err(_) => return self.clone(),
        };
        let rows = rows.floating();
        let centred = &rows - rows.mean_axes(&[1], true);
        let count = rows.shape()[1].saturating_sub(correction) as f64;
        let matrix = centred.matmul(&centred.t()) / count;
        if self.rank() < 2 { matrix.reshape([]) } else { matrix }
    }

    /// The correlation matrix of variables in rows: [`cov`](Tensor::cov) over the standard deviations, bounded to
    /// [−1, 1].
    #[track_caller]
    pub fn corrcoef(&self) -> Tensor {
        let cov = self.cov(1);
        match cov.try_shape() {
            Ok(shape) if shape.rank() == 2 => {
                let deviation = cov.diagonal(0, 0, 1).sqrt();
                let matrix = &cov / deviation.unsqueeze(1) / deviation.unsqueeze(0);
                matrix.clamp(-1.0, 1.0)
            }
            // One variable: 1, unless it does not vary.
            Ok(_) => &cov * cov.reciprocal(),
            Err(_) => cov,
        }
    }

    /// √x with gradient 0 at 0, as PyTorch has it for norms and deviations.
    #[track_caller]
    pub(super) fn sqrt_flat_at_zero(&self) -> Tensor {
        let zero = self.eq(0.0);
        Tensor::where_(&zero, 0.0, Tensor::where_(&zero, 1.0, self).sqrt())
    }
}
