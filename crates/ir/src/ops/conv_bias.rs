//! A convolution with what comes right behind it as a rule: its bias, and ReLU.
//!
//! `passes::epilogues` puts it where both follow a convolution whose result nobody else reads. A kernel that adds the
//! bias while the sums are at hand saves two ways through memory; the rounding is that of three ops.

use super::{Conv, Op, Primitive, Sample, SampleInput};
use crate::graph::Expr;
use crate::scalar::ScalarOp;
use crate::{Shape, Type};

/// `relu(conv(x, w) + bias)`: input, weight, bias `[filters, 1, 1]` → as [`Conv`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvBias {
    /// The convolution.
    pub conv: Conv,
    /// Whether ReLU follows.
    pub relu: bool,
}

impl Primitive for ConvBias {
    const NAME: &'static str = "conv_bias";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let [x, w, bias] = x else {
            return Err(format!("{} takes three operands, not {}", Self::NAME, x.len()));
        };
        let y = self.conv.infer(&[x, w])?;
        if bias.shape != Shape::from([y.shape[1], 1, 1]) || bias.dtype != y.dtype {
            return Err(format!("{}: bias {bias} for a result {y}", Self::NAME));
        }
        Ok(y)
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let y = x[0].apply(self.conv.clone(), &[x[1]]).apply(ScalarOp::Add, &[x[2]]);
        Some(if self.relu { y.op(ScalarOp::Relu) } else { y })
    }

    fn attributes(&self) -> String {
        let conv = self.conv.attributes();
        if self.relu { format!("relu {conv}") } else { conv }
    }

    fn flops(&self, x: &[&Shape], y: &Shape) -> usize {
        self.conv.flops(&x[..2], y) + y.numel() * (1 + usize::from(self.relu))
    }

    fn samples() -> Vec<Sample> {
        let samples = Conv::samples().into_iter().filter_map(|sample| {
            let Op::Conv(conv) = sample.op else { return None };
            let mut inputs = sample.inputs;
            let [SampleInput::Float(x), SampleInput::Float(weight)] = &inputs[..] else {
                return None;
            };
            // Few elements, so that finite differences meet none near ReLU's kink.
            let relu = x.numel() < 50;
            inputs.push(SampleInput::float([weight[0], 1, 1]));
            Some(Sample::new(ConvBias { conv, relu }, inputs))
        });
        samples.collect()
    }
}
