//! Pooling: the greatest or the average element of each window.

use std::panic::Location;

use gradus_ir::ops::{MaxPool, MaxPoolIndices, Op, PoolGeometry, Window};
use smallvec::smallvec;

use super::conv::Pair;
use crate::error::ErrorKind;
use crate::record::{fail, record};
use crate::tensor::Tensor;

/// How windows move over images: PyTorch's arguments, with its defaults. For one axis the columns count.
///
/// ```
/// use gradus_tensor::PoolOptions;
/// let options = PoolOptions::new(3).stride(2).padding(1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct PoolOptions {
    /// The sizes of a window.
    pub kernel_size: [usize; 2],
    /// From one window to the next (the sizes of a window).
    pub stride: [usize; 2],
    /// Places around the image, at most half a window: nothing for the maximum, zeros for the average (none).
    pub padding: [usize; 2],
    /// From one element of a window to the next; of maxima only (1).
    pub dilation: [usize; 2],
    /// Whether a window that reaches over the end counts (no).
    pub ceil_mode: bool,
    /// Whether the average counts the padding (yes).
    pub count_include_pad: bool,
}

impl PoolOptions {
    /// Windows of a size that neither overlap nor leave gaps.
    pub fn new(kernel_size: impl Into<Pair>) -> PoolOptions {
        let Pair(kernel_size) = kernel_size.into();
        PoolOptions {
            kernel_size,
            stride: kernel_size,
            padding: [0; 2],
            dilation: [1; 2],
            ceil_mode: false,
            count_include_pad: true,
        }
    }

    /// From one window to the next.
    pub fn stride(mut self, stride: impl Into<Pair>) -> PoolOptions {
        self.stride = stride.into().0;
        self
    }

    /// Places around the image.
    pub fn padding(mut self, padding: impl Into<Pair>) -> PoolOptions {
        self.padding = padding.into().0;
        self
    }

    /// From one element of a window to the next.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> PoolOptions {
        self.dilation = dilation.into().0;
        self
    }

    /// Whether a window that reaches over the end counts.
    pub fn ceil_mode(mut self, yes: bool) -> PoolOptions {
        self.ceil_mode = yes;
        self
    }

    /// Whether the average counts the padding.
    pub fn count_include_pad(mut self, yes: bool) -> PoolOptions {
        self.count_include_pad = yes;
        self
    }

    /// For an image of one row.
    fn for_one_axis(mut self) -> PoolOptions {
        self.kernel_size[0] = 1;
        self.stride[0] = 1;
        self.padding[0] = 0;
        self.dilation[0] = 1;
        self
    }

    /// The windows over an image: padding before and after, the latter such that the last window ends there.
    fn geometry(&self, op: &str, input: [usize; 2]) -> Result<PoolGeometry, String> {
        let PoolOptions { kernel_size: size, stride, padding, dilation, .. } = *self;
        let mut around = [[0; 2]; 2];
        for i in 0..2 {
            if size[i] == 0 || stride[i] == 0 || dilation[i] == 0 {
                return Err(format!(
                    "{op}: kernel size {size:?}, stride {stride:?} and dilation {dilation:?} must be at least 1"
                ));
            }
            if padding[i] > size[i] / 2 {
                return Err(format!(
                    "{op}: a padding of {padding:?} is more than half of the kernel size {size:?}"
                ));
            }
            let span = dilation[i] * (size[i] - 1) + 1;
            let Some(rest) = (input[i] + 2 * padding[i]).checked_sub(span) else {
                return Err(format!(
                    "{op}: a window of {size:?} does not fit into an image of {input:?} with padding {padding:?}"
                ));
            };
            let mut steps = rest / stride[i];
            if self.ceil_mode && !rest.is_multiple_of(stride[i]) {
                // The last window must start inside the image or the padding before it.
                let starts_inside = (steps + 1) * stride[i] < input[i] + padding[i];
                steps += usize::from(starts_inside);
            }
            let needed = steps * stride[i] + span;
            around[i] = [padding[i], needed.saturating_sub(input[i] + padding[i])];
        }
        Ok(PoolGeometry { size, stride, padding: around, dilation })
    }
}

impl Tensor {
    /// The greatest element of each window: `[n, c, h, w]` → `[n, c, oh, ow]`, or without the batch axis. NaN
    /// counts as the greatest; of equal elements the first takes the gradient.
    ///
    /// # Errors
    /// If no window fits, or the padding exceeds half a window.
    #[track_caller]
    pub fn max_pool2d(&self, options: PoolOptions) -> Tensor {
        pool("max_pool2d", self, options, 2, Location::caller(), max)
    }

    /// The greatest element of each window along the last axis: `[n, c, l]` → `[n, c, ol]`, or without the batch
    /// axis.
    ///
    /// # Errors
    /// As for [`max_pool2d`](Tensor::max_pool2d).
    #[track_caller]
    pub fn max_pool1d(&self, options: PoolOptions) -> Tensor {
        pool("max_pool1d", self, options.for_one_axis(), 1, Location::caller(), max)
    }

    /// Where in its plane, counted row by row, the greatest element of each window lies (int64): what
    /// `torch.nn.functional.max_pool2d` returns with `return_indices=True`.
    ///
    /// # Errors
    /// As for [`max_pool2d`](Tensor::max_pool2d).
    #[track_caller]
    pub fn max_pool2d_indices(&self, options: PoolOptions) -> Tensor {
        pool("max_pool2d_indices", self, options, 2, Location::caller(), max_indices)
    }

    /// The average of each window: `[n, c, h, w]` → `[n, c, oh, ow]`, or without the batch axis.
    ///
    /// # Errors
    /// If no window fits, the padding exceeds half a window, or a dilation is asked for.
    #[track_caller]
    pub fn avg_pool2d(&self, options: PoolOptions) -> Tensor {
        pool("avg_pool2d", self, options, 2, Location::caller(), average)
    }

    /// The average of each window along the last axis: `[n, c, l]` → `[n, c, ol]`, or without the batch axis.
    ///
    /// # Errors
    /// As for [`avg_pool2d`](Tensor::avg_pool2d).
    #[track_caller]
    pub fn avg_pool1d(&self, options: PoolOptions) -> Tensor {
        pool("avg_pool1d", self, options.for_one_axis(), 1, Location::caller(), average)
    }

    /// Averages over as many parts of the image as the result has places: `[…, h, w]` → `[…, oh, ow]`. Part `i` of
    /// `o` covers the elements from `⌊i·n/o⌋` up to but not including `⌈(i + 1)·n/o⌉`.
    ///
    /// # Errors
    /// If the tensor has fewer than two axes, no elements along one of them, or an output size is 0.
    #[track_caller]
    pub fn adaptive_avg_pool2d(&self, output: impl Into<Pair>) -> Tensor {
        adaptive("adaptive_avg_pool2d", self, &output.into().0, Location::caller())
    }

    /// Averages over as many parts of the last axis as the result has places: `[…, l]` → `[…, ol]`.
    ///
    /// # Errors
    /// As for [`adaptive_avg_pool2d`](Tensor::adaptive_avg_pool2d).
    #[track_caller]
    pub fn adaptive_avg_pool1d(&self, output: usize) -> Tensor {
        adaptive("adaptive_avg_pool1d", self, &[output], Location::caller())
    }
}

type Kind = fn(&Tensor, PoolGeometry, &PoolOptions) -> Result<Tensor, String>;

fn pool(
    op: &str,
    x: &Tensor,
    options: PoolOptions,
    axes: usize,
    location: &'static Location<'static>,
    kind: Kind,
) -> Tensor {
    let Ok(shape) = x.try_shape() else { return x.clone() };
    let rank = shape.rank();
    if rank != axes + 1 && rank != axes + 2 {
        let sizes = if axes == 1 { "length" } else { "height, width" };
        let message = format!("{op}: expected [batch, channels, {sizes}], not {shape}");
        return fail(ErrorKind::Shape, message, location);
    }
    let mut plane = x.clone();
    if rank == axes + 1 {
        plane = plane.unsqueeze(0);
    }
    if axes == 1 {
        plane = plane.unsqueeze(2);
    }
    let sizes = plane.shape();
    let result = options
        .geometry(op, [sizes[2], sizes[3]])
        .and_then(|geometry| kind(&plane, geometry, &options))
        .map_err(|message| {
            let named = message.replacen("max_pool:", &format!("{op}:"), 1);
            fail(ErrorKind::Shape, named, location)
        });
    let mut y = match result {
        Ok(y) => y,
        Err(failed) => return failed,
    };
    if axes == 1 {
        y = y.squeeze(2);
    }
    if rank == axes + 1 { y.squeeze(0) } else { y }
}

fn max(x: &Tensor, geometry: PoolGeometry, _: &PoolOptions) -> Result<Tensor, String> {
    recorded(x, &geometry, MaxPool(geometry.clone()))
}

fn max_indices(x: &Tensor, geometry: PoolGeometry, _: &PoolOptions) -> Result<Tensor, String> {
    recorded(x, &geometry, MaxPoolIndices(geometry.clone()))
}

fn recorded(x: &Tensor, geometry: &PoolGeometry, op: impl Into<Op>) -> Result<Tensor, String> {
    geometry.output([x.shape()[2], x.shape()[3]])?;
    Ok(record(op, smallvec![x.operand()]))
}

fn average(x: &Tensor, geometry: PoolGeometry, options: &PoolOptions) -> Result<Tensor, String> {
    if geometry.dilation != [1; 2] {
        return Err("avg_pool2d: windows of averages have no dilation".into());
    }
    if !x.dtype().is_float() {
        return Err(format!("avg_pool2d: averages are floats; cast from {} first", x.dtype()));
    }
    let mut windows = x.clone();
    let mut counts: [Vec<usize>; 2] = [vec![], vec![]];
    for (i, counts) in counts.iter_mut().enumerate() {
        let extent = x.shape()[2 + i];
        let [before, after] = geometry.padding[i];
        if before + after > 0 {
            windows = windows.pad(2 + i as isize, before, after);
        }
        let (size, step) = (geometry.size[i], geometry.stride[i]);
        let window = Window { axis: 2 + i, size, step, dilation: 1 };
        let n = window.count(extent + before + after).unwrap_or(0);
        // With the padding, as far as it was asked for: not what makes the last window whole.
        let (first, end) = if options.count_include_pad {
            (0, extent + before + options.padding[i])
        } else {
            (before, before + extent)
        };
        let count = |at: usize| (at * step + size).min(end) - (at * step).max(first);
        *counts = (0..n).map(count).collect();
        windows = record(window, smallvec![windows.operand()]);
    }
    let sum = windows.sum_axes(&[-1, -2], false);
    let [rows, columns] = &counts;
    let whole = geometry.size[0] * geometry.size[1];
    let products: Vec<f64> =
        rows.iter().flat_map(|r| columns.iter().map(move |c| (r * c) as f64)).collect();
    if products.iter().all(|&n| n == whole as f64) {
        return Ok(sum / whole);
    }
    Ok(&sum / x.constant(&products, [rows.len(), columns.len()]))
}

fn adaptive(
    op: &str,
    x: &Tensor,
    output: &[usize],
    location: &'static Location<'static>,
) -> Tensor {
    let Ok(shape) = x.try_shape().cloned() else { return x.clone() };
    let axes = output.len();
    if shape.rank() < axes || shape[shape.rank() - axes..].contains(&0) || output.contains(&0) {
        let message = format!("{op}: an image of shape {shape} cannot be averaged to {output:?}");
        return fail(ErrorKind::Shape, message, location);
    }
    if !x.dtype().is_float() {
        let message = format!("{op}: averages are floats; cast from {} first", x.dtype());
        return fail(ErrorKind::Shape, message, location);
    }
    let mut y = x.clone();
    for (i, &parts) in output.iter().enumerate() {
        let axis = shape.rank() - axes + i;
        y = averaged(&y, axis, parts);
    }
    y
}

/// Averages of `parts` parts of an axis.
fn averaged(x: &Tensor, axis: usize, parts: usize) -> Tensor {
    let n = x.shape()[axis];
    let at = axis as isize;
    if parts == n {
        return x.clone();
    }
    if n.is_multiple_of(parts) {
        let window = Window { axis, size: n / parts, step: n / parts, dilation: 1 };
        return record(window, smallvec![x.operand()]).mean_axes(&[-1], false);
    }
    // Parts that overlap, or are of two lengths: each is gathered, the shorter ones with a place to spare.
    let range = |part: usize| part * n / parts..((part + 1) * n).div_ceil(parts);
    let longest = (0..parts).map(|part| range(part).len()).max().unwrap_or(0);
    let mut places = Vec::with_capacity(parts * longest);
    let mut counts = Vec::with_capacity(parts);
    for part in 0..parts {
        let range = range(part);
        counts.push(range.len() as f64);
        places.extend((0..longest).map(|i| (range.start + i).min(n - 1) as i64));
    }
    let places = Tensor::from_vec(places, [parts * longest]).to(x.device());
    let gathered = x.index_select(at, &places);
    let mut apart = x.shape().to_vec();
    apart.splice(axis..=axis, [parts, longest]);
    let gathered = gathered.reshape(gradus_ir::Shape::from(apart));
    let mut spare = vec![1; x.rank() + 1];
    (spare[axis], spare[axis + 1]) = (parts, longest);
    let inside: Vec<bool> =
        counts.iter().flat_map(|&count| (0..longest).map(move |i| (i as f64) < count)).collect();
    let inside = Tensor::from_slice(&inside, spare).to(x.device());
    let sum = Tensor::where_(&inside, &gathered, 0.0).sum_axes(&[at + 1], false);
    let mut along = vec![1; x.rank()];
    along[axis] = parts;
    sum / x.constant(&counts, along)
}
