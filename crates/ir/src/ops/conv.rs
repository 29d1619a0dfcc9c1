//! Convolution of planes, and its two transposes: the gradients with respect to input and weight.
//!
//! All three are linear in each operand and closed under differentiation: the gradients of any of them are the
//! other two. The bodies spell a convolution out as windows times a matrix; a backend has kernels that make no
//! copy of the windows. "Convolution" is the field's word for cross-correlation: the kernel is not flipped.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, SampleInput, Slice, Vjp, Window};
use crate::graph::Expr;
use crate::{Shape, Type};

/// How a kernel moves over a plane. Each pair is (rows, columns).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvGeometry {
    /// From one position to the next.
    pub stride: [usize; 2],
    /// Zeros before and after the plane.
    pub padding: [[usize; 2]; 2],
    /// From one element of the kernel to the next.
    pub dilation: [usize; 2],
    /// Into how many independent groups the channels are divided.
    pub groups: usize,
}

impl Default for ConvGeometry {
    fn default() -> ConvGeometry {
        ConvGeometry { stride: [1; 2], padding: [[0; 2]; 2], dilation: [1; 2], groups: 1 }
    }
}

/// The sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSize {
    /// Images.
    pub batch: usize,
    /// Input channels, over all groups.
    pub channels: usize,
    /// Output channels, over all groups.
    pub filters: usize,
    /// The input plane.
    pub input: [usize; 2],
    /// The kernel.
    pub kernel: [usize; 2],
    /// The output plane.
    pub output: [usize; 2],
}

/// `y[n, o] = Σ w[o, c, i, j] · x[n, c, · stride + i · dilation − padding, …]`: input `[n, channels, h, w]`,
/// weight `[filters, channels / groups, kh, kw]` → `[n, filters, oh, ow]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conv(pub ConvGeometry);

/// The gradient of [`Conv`] with respect to its input, which is the transposed convolution: output gradient
/// `[n, filters, oh, ow]`, weight → `[n, channels, h, w]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvInputGrad {
    /// Of the convolution.
    pub geometry: ConvGeometry,
    /// The plane `[h, w]`; it does not follow from the output where the stride leaves a rest.
    pub input: [usize; 2],
}

/// The gradient of [`Conv`] with respect to its weight: input, output gradient → weight gradient.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvWeightGrad {
    /// Of the convolution.
    pub geometry: ConvGeometry,
    /// The kernel `[kh, kw]`; it does not follow from the planes where the stride leaves a rest.
    pub kernel: [usize; 2],
}

impl ConvGeometry {
    /// The output plane, or why there is none.
    pub fn output(&self, input: [usize; 2], kernel: [usize; 2]) -> Result<[usize; 2], String> {
        let mut output = [0; 2];
        for i in 0..2 {
            let window = self.window(i, kernel)?;
            let padded = input[i] + self.padding[i][0] + self.padding[i][1];
            output[i] = window.count(padded).ok_or_else(|| {
                format!(
                    "conv: a kernel of {kernel:?} with dilation {:?} spans {} elements, but the input plane \
                     {input:?} with padding has only {padded}: pad more, or use a smaller kernel",
                    self.dilation,
                    window.span(),
                )
            })?;
        }
        Ok(output)
    }

    fn window(&self, i: usize, kernel: [usize; 2]) -> Result<Window, String> {
        let (size, step, dilation) = (kernel[i], self.stride[i], self.dilation[i]);
        if size == 0 || step == 0 || dilation == 0 {
            return Err(format!(
                "conv: kernel {kernel:?}, stride {:?} and dilation {:?} must be at least 1",
                self.stride, self.dilation
            ));
        }
        Ok(Window { axis: 2 + i, size, step, dilation })
    }

    /// The sizes of the convolution of an input with a weight.
    pub fn size(&self, x: &Shape, w: &Shape) -> Result<ConvSize, String> {
        if x.rank() != 4 || w.rank() != 4 {
            return Err(format!(
                "conv: input {x} and weight {w}: expected [batch, channels, height, width] and \
                 [filters, channels / groups, kernel height, kernel width]"
            ));
        }
        let groups = self.groups;
        if groups == 0 || !x[1].is_multiple_of(groups) || !w[0].is_multiple_of(groups) {
            return Err(format!(
                "conv: {groups} groups must divide the {} input channels and the {} filters",
                x[1], w[0]
            ));
        }
        if x[1] / groups != w[1] {
            return Err(format!(
                "conv: the input {x} has {} channels, the weight {w} is for {}{}",
                x[1],
                w[1] * groups,
                if groups == 1 {
                    String::new()
                } else {
                    format!(" ({} in each of {groups} groups)", w[1])
                },
            ));
        }
        let (input, kernel) = ([x[2], x[3]], [w[2], w[3]]);
        let output = self.output(input, kernel)?;
        Ok(ConvSize { batch: x[0], channels: x[1], filters: w[0], input, kernel, output })
    }

    fn attributes(&self) -> String {
        let mut all = Vec::new();
        let default = ConvGeometry::default();
        if self.stride != default.stride {
            all.push(format!("stride={:?}", self.stride));
        }
        if self.padding != default.padding {
            all.push(format!("padding={:?}", self.padding));
        }
        if self.dilation != default.dilation {
            all.push(format!("dilation={:?}", self.dilation));
        }
        if self.groups != 1 {
            all.push(format!("groups={}", self.groups));
        }
        all.join(" ")
    }

    /// The windows of an input as rows: `[groups, n · oh · ow, channels / groups · kh · kw]`.
    fn windows<'g>(&self, x: Expr<'g>, size: &ConvSize) -> Expr<'g> {
        let ConvSize { batch, channels, kernel: [kh, kw], output: [oh, ow], .. } = *size;
        let (g, c) = (self.groups, channels / self.groups);
        let mut x = x;
        for (i, [before, after]) in self.padding.into_iter().enumerate() {
            if before + after > 0 {
                x = x.pad(super::Pad { axis: 2 + i, before, after, step: 1 });
            }
        }
        let [rows, columns] = self.pair(size.kernel);
        x.apply(rows, &[])
            .apply(columns, &[])
            .reshape([batch, g, c, oh, ow, kh, kw].into())
            .permute(&[1, 0, 3, 4, 2, 5, 6])
            .reshape([g, batch * oh * ow, c * kh * kw].into())
    }

    /// The transpose of [`windows`](ConvGeometry::windows).
    fn add_windows<'g>(&self, windows: Expr<'g>, size: &ConvSize) -> Expr<'g> {
        let ConvSize { batch, channels, kernel: [kh, kw], output: [oh, ow], input, .. } = *size;
        let (g, c) = (self.groups, channels / self.groups);
        let mut x = windows
            .reshape([g, batch, oh, ow, c, kh, kw].into())
            .permute(&[1, 0, 4, 2, 3, 5, 6])
            .reshape([batch, channels, oh, ow, kh, kw].into());
        let windows = self.pair(size.kernel);
        for i in [1, 0] {
            let [before, after] = self.padding[i];
            x = x.overlap_add(&windows[i], input[i] + before + after);
            if before + after > 0 {
                x = x.slice(Slice { axis: 2 + i, start: before, len: input[i], step: 1 });
            }
        }
        x
    }

    fn pair(&self, kernel: [usize; 2]) -> [Window; 2] {
        [0, 1].map(|i| Window {
            axis: 2 + i,
            size: kernel[i],
            step: self.stride[i],
            dilation: self.dilation[i],
        })
    }

    /// A weight as a matrix per group: `[groups, filters / groups, channels / groups · kh · kw]`.
    fn matrix<'g>(&self, w: Expr<'g>, size: &ConvSize) -> Expr<'g> {
        let taps = size.channels / self.groups * size.kernel[0] * size.kernel[1];
        w.reshape([self.groups, size.filters / self.groups, taps].into())
    }

    /// An output as rows: `[groups, n · oh · ow, filters / groups]`.
    fn rows<'g>(&self, y: Expr<'g>, size: &ConvSize) -> Expr<'g> {
        let ConvSize { batch, filters, output: [oh, ow], .. } = *size;
        let (g, o) = (self.groups, filters / self.groups);
        y.reshape([batch, g, o, oh, ow].into())
            .permute(&[1, 0, 3, 4, 2])
            .reshape([g, batch * oh * ow, o].into())
    }
}

impl Primitive for Conv {
    const NAME: &'static str = "conv";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let (x, w) = two(Self::NAME, x)?;
        let ConvSize { batch, filters, output: [oh, ow], .. } = self.0.size(&x.shape, &w.shape)?;
        Ok(Type { shape: [batch, filters, oh, ow].into(), dtype: x.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let (x, w) = (v.x[0], v.x[1]);
        let dx = v.needs[0].then(|| v.dy.apply(self.0.input_grad(&x.shape()), &[w]));
        let dw = v.needs[1].then(|| x.apply(self.0.weight_grad(&w.shape()), &[v.dy]));
        Some(smallvec![dx, dw])
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let size = self.0.size(&x[0].shape(), &x[1].shape()).ok()?;
        let ConvSize { batch, filters, output: [oh, ow], .. } = size;
        let (g, o) = (self.0.groups, filters / self.0.groups);
        let weight = self.0.matrix(x[1], &size).transposed();
        let y = self.0.windows(x[0], &size).matmul(weight);
        let y = y.reshape([g, batch, oh, ow, o].into()).permute(&[1, 0, 4, 2, 3]);
        Some(y.reshape([batch, filters, oh, ow].into()))
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        self.0.size(x[0], x[1]).map_or(0, |size| self.0.flops(&size))
    }

    fn samples() -> Vec<Sample> {
        cases()
            .map(|(g, x, w)| {
                Sample::new(Conv(g), vec![SampleInput::float(x), SampleInput::float(w)])
            })
            .collect()
    }
}

impl Primitive for ConvInputGrad {
    const NAME: &'static str = "conv_input_grad";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let (dy, w) = two(Self::NAME, x)?;
        let size = self.size(&dy.shape, &w.shape)?;
        let [h, w] = size.input;
        Ok(Type { shape: [size.batch, size.channels, h, w].into(), dtype: dy.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let (g, w) = (v.x[0], v.x[1]);
        let dg = v.needs[0].then(|| v.dy.apply(Conv(self.geometry.clone()), &[w]));
        let dw = v.needs[1].then(|| v.dy.apply(self.geometry.weight_grad(&w.shape()), &[g]));
        Some(smallvec![dg, dw])
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let size = self.size(&x[0].shape(), &x[1].shape()).ok()?;
        let rows = self.geometry.rows(x[0], &size);
        let windows = rows.matmul(self.geometry.matrix(x[1], &size));
        Some(self.geometry.add_windows(windows, &size))
    }

    fn attributes(&self) -> String {
        format!("input={:?} {}", self.input, self.geometry.attributes())
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        self.size(x[0], x[1]).map_or(0, |size| self.geometry.flops(&size))
    }

    fn samples() -> Vec<Sample> {
        let sample = |(g, x, w): Case| {
            let size = g.size(&x.into(), &w.into()).expect("a sample fits");
            let dy = SampleInput::float([size.batch, size.filters, size.output[0], size.output[1]]);
            Sample::new(g.input_grad(&x.into()), vec![dy, SampleInput::float(w)])
        };
        cases().map(sample).collect()
    }
}

impl ConvInputGrad {
    /// The sizes of the convolution that this is the gradient of.
    pub fn size(&self, dy: &Shape, w: &Shape) -> Result<ConvSize, String> {
        if dy.rank() != 4 || w.rank() != 4 {
            return Err(format!(
                "conv_transpose: input {dy} and weight {w}: expected [batch, filters, height, width] and \
                 [filters, channels / groups, kernel height, kernel width]"
            ));
        }
        let [h, width] = self.input;
        let x = Shape::from([dy[0], w[1] * self.geometry.groups, h, width]);
        let size = self.geometry.size(&x, w)?;
        if dy[1] != size.filters || [dy[2], dy[3]] != size.output {
            return Err(format!(
                "conv_transpose: input {dy} and weight {w} do not fit a plane of {:?}: expected {} channels of \
                 {:?}",
                self.input, size.filters, size.output
            ));
        }
        Ok(size)
    }
}

impl Primitive for ConvWeightGrad {
    const NAME: &'static str = "conv_weight_grad";
    const CONTIGUOUS: bool = true;
    const SUMS_PRODUCTS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let (x, dy) = two(Self::NAME, x)?;
        let size = self.size(&x.shape, &dy.shape)?;
        let channels = size.channels / self.geometry.groups;
        let [kh, kw] = size.kernel;
        Ok(Type { shape: [size.filters, channels, kh, kw].into(), dtype: x.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let (x, g) = (v.x[0], v.x[1]);
        let dx = v.needs[0].then(|| g.apply(self.geometry.input_grad(&x.shape()), &[v.dy]));
        let dg = v.needs[1].then(|| x.apply(Conv(self.geometry.clone()), &[v.dy]));
        Some(smallvec![dx, dg])
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let size = self.size(&x[0].shape(), &x[1].shape()).ok()?;
        let rows = self.geometry.rows(x[1], &size).transposed();
        let dw = rows.matmul(self.geometry.windows(x[0], &size));
        let [kh, kw] = size.kernel;
        Some(dw.reshape([size.filters, size.channels / self.geometry.groups, kh, kw].into()))
    }

    fn attributes(&self) -> String {
        format!("kernel={:?} {}", self.kernel, self.geometry.attributes())
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        self.size(x[0], x[1]).map_or(0, |size| self.geometry.flops(&size))
    }

    fn samples() -> Vec<Sample> {
        let sample = |(g, x, w): Case| {
            let size = g.size(&x.into(), &w.into()).expect("a sample fits");
            let dy = SampleInput::float([size.batch, size.filters, size.output[0], size.output[1]]);
            Sample::new(g.weight_grad(&w.into()), vec![SampleInput::float(x), dy])
        };
        cases().map(sample).collect()
    }
}

impl ConvWeightGrad {
    /// The sizes of the convolution that this is the gradient of.
    pub fn size(&self, x: &Shape, dy: &Shape) -> Result<ConvSize, String> {
        let groups = self.geometry.groups.max(1);
        if x.rank() != 4 || dy.rank() != 4 || x[0] != dy[0] {
            return Err(format!(
                "conv_weight_grad: input {x} and gradient {dy}: expected [batch, channels, height, width] of \
                 one batch"
            ));
        }
        let [kh, kw] = self.kernel;
        let size = self.geometry.size(x, &[dy[1], x[1] / groups, kh, kw].into())?;
        if [dy[2], dy[3]] != size.output {
            return Err(format!(
                "conv_weight_grad: gradient {dy} for an output plane of {:?}",
                size.output
            ));
        }
        Ok(size)
    }
}

impl ConvGeometry {
    fn flops(&self, size: &ConvSize) -> usize {
        let [[oh, ow], [kh, kw]] = [size.output, size.kernel];
        2 * size.batch * size.filters * oh * ow * (size.channels / self.groups) * kh * kw
    }

    fn input_grad(&self, x: &Shape) -> ConvInputGrad {
        ConvInputGrad { geometry: self.clone(), input: [x[2], x[3]] }
    }

    fn weight_grad(&self, w: &Shape) -> ConvWeightGrad {
        ConvWeightGrad { geometry: self.clone(), kernel: [w[2], w[3]] }
    }
}

fn two<'a>(name: &str, x: &[&'a Type]) -> Result<(&'a Type, &'a Type), String> {
    let [a, b] = x else {
        return Err(format!("{name} takes two operands, not {}", x.len()));
    };
    if a.dtype != b.dtype || !a.dtype.is_float() {
        return Err(format!("{name}: needs two floats of one dtype: {} and {}", a.dtype, b.dtype));
    }
    Ok((a, b))
}

type Case = (ConvGeometry, [usize; 4], [usize; 4]);

fn cases() -> impl Iterator<Item = Case> {
    let plain = ConvGeometry::default;
    [
        (plain(), [2, 3, 5, 6], [4, 3, 3, 2]),
        (ConvGeometry { padding: [[1, 1]; 2], ..plain() }, [2, 2, 4, 5], [3, 2, 3, 3]),
        (ConvGeometry { stride: [2, 3], ..plain() }, [1, 2, 8, 9], [2, 2, 3, 2]),
        (
            ConvGeometry { dilation: [2, 1], padding: [[2, 1], [0, 1]], ..plain() },
            [2, 1, 6, 4],
            [2, 1, 3, 2],
        ),
        (
            ConvGeometry { groups: 2, stride: [2, 2], padding: [[1, 1]; 2], ..plain() },
            [2, 4, 5, 5],
            [6, 2, 3, 3],
        ),
        (ConvGeometry { groups: 3, ..plain() }, [1, 3, 4, 4], [3, 1, 2, 2]),
        (plain(), [1, 1, 1, 1], [1, 1, 1, 1]),
        (plain(), [0, 2, 4, 4], [3, 2, 3, 3]),
        (plain(), [3, 17, 12, 9], [19, 17, 1, 1]),
        (ConvGeometry { stride: [1, 2], ..plain() }, [1, 2, 1, 40], [2, 2, 1, 5]),
    ]
    .into_iter()
}
