//! Normalisation: mean 0 and variance 1, or length 1, over chosen axes. What normalises each sample by itself is one
//! op over rows; the rest are composites.
//!
//! Statistics of half precision are computed in single, as PyTorch does; the result has the dtype of the input.

use std::panic::Location;

use gradus_ir::ops::Normalize;
use gradus_ir::{DType, Scalar, Shape};
use smallvec::smallvec;

use crate::error::ErrorKind;
use crate::record::{fail, record};
use crate::tensor::Tensor;

impl Tensor {
    /// `(x − mean) / √(variance + eps) · weight + bias` over the last axes, which must have the sizes
    /// `normalized_shape` (Ba et al., "Layer normalization", 2016). The variance is the biased one. PyTorch's
    /// default `eps` is 1e-5.
    ///
    /// # Errors
    /// If the last axes have other sizes, or weight or bias another shape than `normalized_shape`.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let x = Tensor::from_slice(&[1.0f64, 3.0, -5.0, 5.0], [2, 2]);
    /// let y = x.layer_norm(&[2], None, None, 0.0);
    /// assert_eq!(y.to_vec::<f64>()?, [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn layer_norm(
        &self,
        normalized_shape: &[usize],
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Tensor {
        if let Err(failed) = trailing("layer_norm", self, normalized_shape, weight, bias) {
            return failed;
        }
        let normal = wide(self).normal_rows(normalized_shape.iter().product(), eps);
        scaled(normal, weight, bias, self.dtype())
    }

    /// `x / √(mean(x²) + eps) · weight` over the last axes, which must have the sizes `normalized_shape` (Zhang and
    /// Sennrich, "Root mean square layer normalization", NeurIPS 2019). Without `eps`, the machine epsilon of the
    /// input's dtype, as in PyTorch.
    ///
    /// # Errors
    /// If the last axes have other sizes, or the weight another shape than `normalized_shape`.
    #[track_caller]
    pub fn rms_norm(
        &self,
        normalized_shape: &[usize],
        weight: Option<&Tensor>,
        eps: Option<f64>,
    ) -> Tensor {
        let axes = match trailing("rms_norm", self, normalized_shape, weight, None) {
            Ok(axes) => axes,
            Err(failed) => return failed,
        };
        let x = wide(self);
        let mean_square = (&x * &x).mean_axes(&axes, true);
        let eps = eps.unwrap_or_else(|| epsilon(self.dtype()));
        scaled(x * (mean_square + eps).rsqrt(), weight, None, self.dtype())
    }

    /// Normalises each of `groups` groups of channels of each sample: `[batch, channels, …]`; then scales and shifts
    /// by channel (Wu and He, "Group normalization", ECCV 2018). PyTorch's default `eps` is 1e-5.
    ///
    /// # Errors
    /// If the channels cannot be divided into the groups, or weight or bias is not `[channels]`.
    #[track_caller]
    pub fn group_norm(
        &self,
        groups: usize,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Tensor {
        let shape = match channels("group_norm", self, &[("weight", weight), ("bias", bias)]) {
            Ok(shape) => shape,
            Err(failed) => return failed,
        };
        let (batch, count) = (shape[0], shape[1]);
        if groups == 0 || !count.is_multiple_of(groups) {
            let message = format!(
                "group_norm: {count} channels (axis 1 of shape {shape}) cannot be divided into \
                 {groups} groups; the number of groups must divide that of channels"
            );
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        let size = shape.numel() / (batch * groups).max(1);
        let normal = wide(self).normal_rows(size, eps);
        let weight = weight.map(|w| w.by_channel(&shape));
        let bias = bias.map(|b| b.by_channel(&shape));
        scaled(normal, weight.as_ref(), bias.as_ref(), self.dtype())
    }

    /// Batch normalisation in evaluation: `(x − mean) / √(variance + eps) · weight + bias` with given statistics
    /// `[channels]` of the input `[batch, channels, …]` (Ioffe and Szegedy, "Batch normalization", ICML 2015).
    ///
    /// # Errors
    /// If the statistics, weight or bias are not `[channels]`.
    #[track_caller]
    pub fn batch_norm(
        &self,
        mean: &Tensor,
        variance: &Tensor,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Tensor {
        let parts = [
            ("mean", Some(mean)),
            ("variance", Some(variance)),
            ("weight", weight),
            ("bias", bias),
        ];
        let shape = match channels("batch_norm", self, &parts) {
            Ok(shape) => shape,
            Err(failed) => return failed,
        };
        let scale = (variance + eps).rsqrt();
        let normal = (wide(self) - mean.by_channel(&shape)) * scale.by_channel(&shape);
        let weight = weight.map(|w| w.by_channel(&shape));
        let bias = bias.map(|b| b.by_channel(&shape));
        scaled(normal, weight.as_ref(), bias.as_ref(), self.dtype())
    }

    /// Batch normalisation in training: the output, normalised with the statistics of the batch, and these, each
    /// `[channels]`: the mean and the *unbiased* variance, which running statistics take up. (The output is made
    /// with the biased variance.)
    ///
    /// # Errors
    /// If a channel has fewer than two values, whose variance says nothing, or weight or bias is not `[channels]`.
    #[track_caller]
    pub fn batch_norm_training(
        &self,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> (Tensor, Tensor, Tensor) {
        let all = |failed: Tensor| (failed.clone(), failed.clone(), failed);
        let shape = match channels("batch_norm", self, &[("weight", weight), ("bias", bias)]) {
            Ok(shape) => shape,
            Err(failed) => return all(failed),
        };
        let values = shape.numel() / shape[1].max(1);
        if values < 2 {
            let message = format!(
                "batch_norm: training needs more than one value per channel, and an input of shape \
                 {shape} has {values}; use larger batches (drop the last, smaller one) or `eval()`"
            );
            return all(fail(ErrorKind::Shape, message, Location::caller()));
        }
        let axes: Vec<isize> = (0..shape.rank() as isize).filter(|&axis| axis != 1).collect();
        let (mean, centred, variance) = wide(self).centred(&axes);
        let normal = centred * (&variance + eps).rsqrt();
        let (weight, bias) =
            (weight.map(|w| w.by_channel(&shape)), bias.map(|b| b.by_channel(&shape)));
        let output = scaled(normal, weight.as_ref(), bias.as_ref(), self.dtype());
        let unbiased = variance * (values as f64 / (values - 1) as f64);
        let flat = [shape[1] as isize];
        (output, mean.reshape(flat), unbiased.reshape(flat))
    }

    /// Divided by its length along an axis: `x / max(‖x‖ₚ, eps)`. PyTorch's defaults are `p` 2, axis 1 and `eps`
    /// 1e-12.
    #[track_caller]
    pub fn normalize(&self, p: f64, axis: isize, eps: f64) -> Tensor {
        self / self.norm(p, &[axis], true).clamp_min(eps)
    }

    /// The distance of the last axes' vectors: `‖a − b + eps‖ₚ`. PyTorch's defaults are `p` 2 and `eps` 1e-6.
    #[track_caller]
    pub fn pairwise_distance(&self, other: &Tensor, p: f64, eps: f64) -> Tensor {
        (self - other + eps).norm(p, &[-1], false)
    }

    /// Every `size` elements, counted in order, with mean 0 and variance 1.
    #[track_caller]
    fn normal_rows(&self, size: usize, eps: f64) -> Tensor {
        let shape = self.shape();
        if shape.numel() == 0 {
            return self.clone();
        }
        let rows = self.reshape(Shape::from([shape.numel() / size, size]));
        let eps = Scalar::F64(eps);
        record(Normalize { eps }, smallvec![rows.operand()]).reshape(shape)
    }

    /// The mean over axes, the deviations from it, and the biased variance.
    #[track_caller]
    fn centred(&self, axes: &[isize]) -> (Tensor, Tensor, Tensor) {
        let mean = self.mean_axes(axes, true);
        let centred = self - &mean;
        let variance = (&centred * &centred).mean_axes(axes, true);
        (mean, centred, variance)
    }

    /// A vector `[channels]` along axis 1 of `shape`.
    #[track_caller]
    fn by_channel(&self, shape: &Shape) -> Tensor {
        let mut dims = vec![1isize; shape.rank()];
        dims[1] = shape[1] as isize;
        self.reshape(&dims[..])
    }
}

#[track_caller]
fn scaled(normal: Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>, dtype: DType) -> Tensor {
    let scaled = match weight {
        Some(weight) => normal * weight,
        None => normal,
    };
    let shifted = match bias {
        Some(bias) => scaled + bias,
        None => scaled,
    };
    if shifted.error().is_some() { shifted } else { shifted.cast(dtype) }
}

#[track_caller]
fn wide(x: &Tensor) -> Tensor {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.cast(DType::F32),
        _ => x.clone(),
    }
}

fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        _ => f64::from(f32::EPSILON),
    }
}

#[track_caller]
fn floats(op: &str, x: &Tensor) -> Result<Shape, Tensor> {
    let Ok(shape) = x.try_shape() else { return Err(x.clone()) };
    if !x.dtype().is_float() {
        let message = format!("{op}: normalises floats, not {}; cast the input", x.dtype());
        return Err(fail(ErrorKind::Shape, message, Location::caller()));
    }
    Ok(shape.clone())
}

/// The last axes, counted from the back, if they have the sizes `normalized`.
#[track_caller]
fn trailing(
    op: &str,
    x: &Tensor,
    normalized: &[usize],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
) -> Result<Vec<isize>, Tensor> {
    let shape = floats(op, x)?;
    let wanted = Shape::from(normalized);
    let fits = !normalized.is_empty()
        && shape.rank() >= normalized.len()
        && shape[shape.rank() - normalized.len()..] == *normalized;
    if !fits {
        let message = format!(
            "{op}: an input of shape {shape} does not end in the normalized shape {wanted}, \
             the sizes of the last axes"
        );
        return Err(fail(ErrorKind::Shape, message, Location::caller()));
    }
    for (name, part) in [("weight", weight), ("bias", bias)] {
        let Some(part) = part else { continue };
        let Ok(given) = part.try_shape() else { return Err(part.clone()) };
        if *given != wanted {
            let message =
                format!("{op}: the {name} has shape {given}; it must be the normalized {wanted}");
            return Err(fail(ErrorKind::Shape, message, Location::caller()));
        }
    }
    Ok((-(normalized.len() as isize)..0).collect())
}

/// The shape of an input `[batch, channels, …]`, if every part is `[channels]`.
#[track_caller]
fn channels(op: &str, x: &Tensor, parts: &[(&str, Option<&Tensor>)]) -> Result<Shape, Tensor> {
    let shape = floats(op, x)?;
    if shape.rank() < 2 {
        let message = format!(
            "{op}: expects [batch, channels, …], not {shape}; add the axis that is missing with \
             `unsqueeze`"
        );
        return Err(fail(ErrorKind::Shape, message, Location::caller()));
    }
    for (name, part) in parts {
        let Some(part) = part else { continue };
        let Ok(given) = part.try_shape() else { return Err((*part).clone()) };
        if given[..] != [shape[1]] {
            let message = format!(
                "{op}: the input of shape {shape} has {} channels (axis 1), the {name} of shape \
                 {given} is for {}",
                shape[1],
                given.numel()
            );
            return Err(fail(ErrorKind::Shape, message, Location::caller()));
        }
    }
    Ok(shape)
}
