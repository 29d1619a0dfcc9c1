//! The gradients of a convolution whose output was max-pooled: only the winners of the windows have one.
//!
//! `passes::winners` puts them where [`MaxPoolGrad`] feeds [`ConvInputGrad`] or [`ConvWeightGrad`]. A kernel that
//! goes from winner to winner does a fraction of the work, a quarter for windows of 2 × 2, and the gradient of
//! the whole plane, nearly all zeros, need not exist.

use super::{ConvInputGrad, ConvSize, ConvWeightGrad, MaxPoolGrad, Primitive, Sample, SampleInput};
use crate::graph::Expr;
use crate::{DType, Shape, Type};

/// [`ConvInputGrad`] of [`MaxPoolGrad`]: places, gradient of the pooled output `[n, filters, ph, pw]`, weight →
/// `[n, channels, h, w]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvInputGradPooled {
    /// Of the convolution.
    pub conv: ConvInputGrad,
    /// The convolution's output plane.
    pub output: [usize; 2],
}

/// [`ConvWeightGrad`] of [`MaxPoolGrad`]: input, places, gradient of the pooled output `[n, filters, ph, pw]` →
/// weight gradient.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvWeightGradPooled {
    /// Of the convolution.
    pub conv: ConvWeightGrad,
    /// The convolution's output plane.
    pub output: [usize; 2],
}

/// The type of the gradient of the whole plane.
fn whole(
    name: &str,
    places: &Type,
    dy: &Type,
    [oh, ow]: [usize; 2],
    other: &Type,
) -> Result<Type, String> {
    let fits = places.shape == dy.shape && dy.shape.rank() == 4 && places.dtype == DType::I64;
    if !fits || dy.dtype != other.dtype || !dy.dtype.is_float() {
        return Err(format!("{name}: places {places}, gradient {dy} and {other} do not fit"));
    }
    Ok(Type { shape: [dy.shape[0], dy.shape[1], oh, ow].into(), dtype: dy.dtype })
}

/// Multiplications and additions: a kernel's worth of them for each winner.
fn flops(dy: &Shape, taps: usize) -> usize {
    2 * dy.numel() * taps
}

impl Primitive for ConvInputGradPooled {
    const NAME: &'static str = "conv_input_grad_pooled";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let [places, dy, w] = x else {
            return Err(format!("{} takes three operands, not {}", Self::NAME, x.len()));
        };
        let dy = whole(Self::NAME, places, dy, self.output, w)?;
        self.conv.infer(&[&dy, w])
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let dy = x[0].apply(MaxPoolGrad { input: self.output }, &[x[1]]);
        Some(dy.apply(self.conv.clone(), &[x[2]]))
    }

    fn attributes(&self) -> String {
        format!("{:?} {}", self.output, super::Op::from(self.conv.clone()))
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        flops(x[1], x[2].iter().skip(1).product())
    }

    fn samples() -> Vec<Sample> {
        ConvInputGrad::samples()
            .into_iter()
            .filter_map(|sample| {
                let super::Op::ConvInputGrad(conv) = sample.op else { return None };
                let [SampleInput::Float(dy), SampleInput::Float(w)] = &sample.inputs[..] else {
                    return None;
                };
                let output = [dy[2], dy[3]];
                let [places, dy] = pooled(dy);
                let inputs = vec![places, dy, SampleInput::Float(w.clone())];
                Some(Sample::new(ConvInputGradPooled { conv, output }, inputs))
            })
            .collect()
    }
}

impl ConvInputGradPooled {
    /// The sizes of the convolution that this is the gradient of.
    pub fn size(&self, dy: &Shape, w: &Shape) -> Result<ConvSize, String> {
        let [oh, ow] = self.output;
        self.conv.size(&[dy[0], dy[1], oh, ow].into(), w)
    }
}

impl Primitive for ConvWeightGradPooled {
    const NAME: &'static str = "conv_weight_grad_pooled";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let [x, places, dy] = x else {
            return Err(format!("{} takes three operands, not {}", Self::NAME, x.len()));
        };
        let dy = whole(Self::NAME, places, dy, self.output, x)?;
        self.conv.infer(&[x, &dy])
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let dy = x[1].apply(MaxPoolGrad { input: self.output }, &[x[2]]);
        Some(x[0].apply(self.conv.clone(), &[dy]))
    }

    fn attributes(&self) -> String {
        format!("{:?} {}", self.output, super::Op::from(self.conv.clone()))
    }

    fn flops(&self, x: &[&Shape], dw: &Shape) -> usize {
        flops(x[2], dw.iter().skip(1).product())
    }

    fn samples() -> Vec<Sample> {
        ConvWeightGrad::samples()
            .into_iter()
            .filter_map(|sample| {
                let super::Op::ConvWeightGrad(conv) = sample.op else { return None };
                let [SampleInput::Float(x), SampleInput::Float(dy)] = &sample.inputs[..] else {
                    return None;
                };
                let output = [dy[2], dy[3]];
                let [places, dy] = pooled(dy);
                let inputs = vec![SampleInput::Float(x.clone()), places, dy];
                Some(Sample::new(ConvWeightGradPooled { conv, output }, inputs))
            })
            .collect()
    }
}

impl ConvWeightGradPooled {
    /// The sizes of the convolution that this is the gradient of.
    pub fn size(&self, x: &Shape, dy: &Shape) -> Result<ConvSize, String> {
        let [oh, ow] = self.output;
        self.conv.size(x, &[dy[0], dy[1], oh, ow].into())
    }
}

/// Places in a plane, which may coincide, and a gradient for them.
fn pooled(plane: &Shape) -> [SampleInput; 2] {
    let shape = [plane[0], plane[1], plane[2].div_ceil(2), plane[3].div_ceil(2)];
    [SampleInput::index(shape, plane[2] * plane[3]), SampleInput::float(shape)]
}
