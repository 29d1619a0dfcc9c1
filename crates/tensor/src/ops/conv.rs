//! Convolution, and its transpose.

use std::panic::Location;

use gradus_ir::ops::{Conv, ConvGeometry, ConvInputGrad, Window};
use smallvec::smallvec;

use crate::error::ErrorKind;
use crate::record::{fail, record};
use crate::tensor::Tensor;

/// Two sizes, of rows and of columns: one number for both, or a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub [usize; 2]);

impl From<usize> for Pair {
    fn from(both: usize) -> Pair {
        Pair([both; 2])
    }
}
impl From<(usize, usize)> for Pair {
    fn from((rows, columns): (usize, usize)) -> Pair {
        Pair([rows, columns])
    }
}
impl From<[usize; 2]> for Pair {
    fn from(pair: [usize; 2]) -> Pair {
        Pair(pair)
    }
}

/// Zeros around an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As many rows above and below, and columns left and right.
    Zeros([usize; 2]),
    /// As many as keep the size of the image; the stride must be 1. An odd one goes below or right.
    Same,
}

impl<P: Into<Pair>> From<P> for Padding {
    fn from(pair: P) -> Padding {
        Padding::Zeros(pair.into().0)
    }
}

/// How a kernel moves over images: PyTorch's arguments, with its defaults. For one axis the columns count.
///
/// ```
/// use gradus_tensor::ConvOptions;
/// let options = ConvOptions::default().stride(2).padding((0, 1)).groups(4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct ConvOptions {
    /// From one position to the next (1).
    pub stride: [usize; 2],
    /// Zeros around the image (none).
    pub padding: Padding,
    /// From one element of the kernel to the next (1).
    pub dilation: [usize; 2],
    /// Into how many independent groups the channels are divided (1).
    pub groups: usize,
    /// Rows and columns added to the result of a transposed convolution, below and right (0).
    pub output_padding: [usize; 2],
}

impl Default for ConvOptions {
    fn default() -> ConvOptions {
        ConvOptions {
            stride: [1; 2],
            padding: Padding::Zeros([0; 2]),
            dilation: [1; 2],
            groups: 1,
            output_padding: [0; 2],
        }
    }
}

impl ConvOptions {
    /// From one position to the next.
    pub fn stride(mut self, stride: impl Into<Pair>) -> ConvOptions {
        self.stride = stride.into().0;
        self
    }

    /// Zeros around the image, or [`Padding::Same`].
    pub fn padding(mut self, padding: impl Into<Padding>) -> ConvOptions {
        self.padding = padding.into();
        self
    }

    /// From one element of the kernel to the next.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> ConvOptions {
        self.dilation = dilation.into().0;
        self
    }

    /// Into how many independent groups the channels are divided.
    pub fn groups(mut self, groups: usize) -> ConvOptions {
        self.groups = groups;
        self
    }

    /// Rows and columns added to the result of a transposed convolution.
    pub fn output_padding(mut self, added: impl Into<Pair>) -> ConvOptions {
        self.output_padding = added.into().0;
        self
    }

    fn geometry(&self, op: &str, kernel: [usize; 2]) -> Result<ConvGeometry, String> {
        let padding = match self.padding {
            Padding::Zeros(zeros) => zeros.map(|n| [n, n]),
            Padding::Same if self.stride != [1, 1] => {
                return Err(format!(
                    "{op}: padding \"same\" keeps the size of the image, which a stride of {:?} does not; give \
                     the padding as a number",
                    self.stride
                ));
            }
            Padding::Same => [0, 1].map(|i| {
                let total = self.dilation[i] * kernel[i].saturating_sub(1);
                [total / 2, total - total / 2]
            }),
        };
        let ConvOptions { stride, dilation, groups, .. } = *self;
        Ok(ConvGeometry { stride, padding, dilation, groups })
    }
}

impl Tensor {
    /// 2-D convolution: input `[n, c, h, w]`, weight `[filters, c / groups, kh, kw]`, bias `[filters]` →
    /// `[n, filters, oh, ow]` with `oh = (h + 2·padding − dilation·(kh − 1) − 1) / stride + 1`. As in the whole
    /// field the kernel is not flipped. An input without batch axis gives a result without.
    ///
    /// ```
    /// use gradus_tensor::{ConvOptions, DType, Tensor};
    /// let (x, w) = (Tensor::ones([1, 3, 8, 8], DType::F32), Tensor::ones([4, 3, 3, 3], DType::F32));
    /// let y = x.conv2d(&w, None, ConvOptions::default().padding(1));
    /// assert_eq!(y.shape().dims(), [1, 4, 8, 8]);
    /// ```
    ///
    /// # Errors
    /// If channels and weight do not match, groups do not divide them, or the kernel is larger than the padded
    /// image.
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvOptions) -> Tensor {
        conv("conv2d", self, weight, bias, &options, 2, Location::caller())
    }

    /// 1-D convolution: input `[n, c, l]`, weight `[filters, c / groups, k]`, bias `[filters]` → `[n, filters, ol]`.
    /// Of pairs among the options the columns count.
    ///
    /// # Errors
    /// As for [`conv2d`](Tensor::conv2d).
    #[track_caller]
    pub fn conv1d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvOptions) -> Tensor {
        conv("conv1d", self, weight, bias, &options, 1, Location::caller())
    }

    /// Transposed 2-D convolution, the gradient of a convolution with respect to its input: input `[n, c, h, w]`,
    /// weight `[c, filters / groups, kh, kw]`, bias `[filters]` → `[n, filters, oh, ow]` with
    /// `oh = (h − 1)·stride − 2·padding + dilation·(kh − 1) + output_padding + 1`.
    ///
    /// # Errors
    /// As for [`conv2d`](Tensor::conv2d); the output padding must be smaller than stride or dilation.
    #[track_caller]
    pub fn conv_transpose2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        options: ConvOptions,
    ) -> Tensor {
        conv("conv_transpose2d", self, weight, bias, &options, 2, Location::caller())
    }

    /// Transposed 1-D convolution: as [`conv_transpose2d`](Tensor::conv_transpose2d), over `[n, c, l]`.
    ///
    /// # Errors
    /// As for [`conv_transpose2d`](Tensor::conv_transpose2d).
    #[track_caller]
    pub fn conv_transpose1d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        options: ConvOptions,
    ) -> Tensor {
        conv("conv_transpose1d", self, weight, bias, &options, 1, Location::caller())
    }
}

fn conv(
    op: &str,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: &ConvOptions,
    axes: usize,
    location: &'static Location<'static>,
) -> Tensor {
    if let Some(failed) = [Some(x), Some(weight), bias]
        .into_iter()
        .flatten()
        .find(|tensor| tensor.try_shape().is_err())
    {
        return failed.clone();
    }
    let transposed = op.starts_with("conv_transpose");
    let of = |what: &str| {
        let sizes = if axes == 1 { "length" } else { "height, width" };
        format!("[{what}, {sizes}]")
    };
    let (xs, ws) = (x.shape().clone(), weight.shape().clone());
    let unbatched = xs.rank() == axes + 1;
    let per_group = if transposed { ws.first() } else { xs.get(usize::from(!unbatched)) };
    let divides = |n: &usize| options.groups > 0 && n.is_multiple_of(options.groups);
    let filters =
        if transposed { ws.get(1).map(|n| n * options.groups) } else { ws.first().copied() };
    let message = if !unbatched && xs.rank() != axes + 2 {
        Some(format!("expected an input {}, not {xs}", of("batch, channels")))
    } else if ws.rank() != axes + 2 {
        let kind =
            if transposed { "channels, filters / groups" } else { "filters, channels / groups" };
        Some(format!("expected a weight {}, not {ws}", of(kind)))
    } else if !x.dtype().is_float() || x.dtype() != weight.dtype() {
        Some(format!(
            "input and weight must be floats of one dtype, not {} and {}; cast one",
            x.dtype(),
            weight.dtype()
        ))
    } else if !per_group.is_some_and(divides) {
        Some(format!(
            "{} groups do not divide the {} input channels; input {xs}, weight {ws}",
            options.groups,
            per_group.copied().unwrap_or(0)
        ))
    } else {
        bias.filter(|b| b.shape().rank() != 1 || Some(b.shape()[0]) != filters).map(|bias| {
            format!("the bias has shape {}, expected [{}]", bias.shape(), filters.unwrap_or(0))
        })
    };
    if let Some(message) = message {
        return fail(ErrorKind::Shape, format!("{op}: {message}"), location);
    }
    // One axis is a plane of one row.
    let mut options = *options;
    let (mut x, mut w) = (x.clone(), weight.clone());
    if unbatched {
        x = x.unsqueeze(0);
    }
    if axes == 1 {
        (x, w) = (x.unsqueeze(2), w.unsqueeze(2));
        options.stride[0] = 1;
        options.dilation[0] = 1;
        options.output_padding[0] = 0;
        if let Padding::Zeros(zeros) = &mut options.padding {
            zeros[0] = 0;
        }
    }
    let y =
        if transposed { transpose(op, &x, &w, &options) } else { forward(op, &x, &w, &options) };
    let mut y = match y {
        Ok(y) => y,
        Err(message) => return fail(ErrorKind::Shape, message, location),
    };
    if let Some(bias) = bias {
        y = y + bias.reshape([1, -1, 1, 1]);
    }
    if axes == 1 {
        y = y.squeeze(2);
    }
    if unbatched { y.squeeze(0) } else { y }
}

fn forward(op: &str, x: &Tensor, w: &Tensor, options: &ConvOptions) -> Result<Tensor, String> {
    let (xs, ws) = (x.shape(), w.shape());
    let geometry = options.geometry(op, [ws[2], ws[3]])?;
    // What does not fit is found here, so that the message carries the name that the user knows.
    geometry.size(xs, ws).map_err(|e| e.replacen("conv:", &format!("{op}:"), 1))?;
    Ok(record(Conv(geometry), smallvec![x.operand(), w.operand()]))
}

fn transpose(op: &str, x: &Tensor, w: &Tensor, options: &ConvOptions) -> Result<Tensor, String> {
    let (xs, ws) = (x.shape(), w.shape());
    let kernel = [ws[2], ws[3]];
    let Padding::Zeros(padding) = options.padding else {
        return Err(format!("{op}: give the padding as a number; \"same\" is for convolutions"));
    };
    let geometry = options.geometry(op, kernel)?;
    let ConvOptions { stride, dilation, groups, output_padding, .. } = *options;
    if groups == 0 || !xs[1].is_multiple_of(groups) || xs[1] != ws[0] {
        return Err(format!(
            "{op}: input {xs} has {} channels, the weight {ws} is for {}, in {groups} groups that must divide them",
            xs[1], ws[0]
        ));
    }
    let mut plane = [0; 2];
    for i in 0..2 {
        if output_padding[i] > 0 && output_padding[i] >= stride[i].max(dilation[i]) {
            return Err(format!(
                "{op}: the output padding {output_padding:?} must be smaller than the stride {stride:?} or the \
                 dilation {dilation:?}"
            ));
        }
        let spread = xs[2 + i].max(1) - 1;
        let size = spread * stride[i]
            + dilation[i] * kernel[i].max(1).saturating_sub(1)
            + output_padding[i]
            + 1;
        plane[i] = size.checked_sub(2 * padding[i]).filter(|&n| n > 0).ok_or_else(|| {
            format!("{op}: nothing is left of an image of {size} after a padding of {}", padding[i])
        })?;
    }
    let grad = ConvInputGrad { geometry, input: plane };
    grad.size(xs, ws).map_err(|e| e.replacen("conv:", &format!("{op}:"), 1))?;
    Ok(record(grad, smallvec![x.operand(), w.operand()]))
}

impl Tensor {
    /// Sliding windows along an axis, as `torch.Tensor.unfold`: window `i` starts at element `i · step`, and its
    /// `size` elements lie along a new last axis.
    ///
    /// # Errors
    /// If `size` or `step` is 0 or no window fits.
    #[track_caller]
    pub fn unfold(&self, axis: isize, size: usize, step: usize) -> Tensor {
        let location = Location::caller();
        match super::axis_of("unfold", self, axis, 0, location) {
            Ok(axis) => {
                let op = Window { axis, size, step, dilation: 1 };
                record(op, smallvec![self.operand()])
            }
            Err(failed) => failed,
        }
    }
}
