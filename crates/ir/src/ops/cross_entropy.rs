//! Softmax and cross-entropy in one: the loss of classification and its gradient.
//!
//! Both are fused ops: the body in ordinary ops is their meaning and their gradient; a backend may have one
//! kernel for each. The body subtracts the row's maximum first, so that no exponential overflows.

use smallvec::smallvec;

use super::{Grads, OneHot, Primitive, Sample, SampleInput, Vjp};
use crate::graph::Expr;
use crate::scalar::ScalarOp;
use crate::{DType, Shape, Type};

/// `loss[i] = log Σⱼ exp(logits[i, j]) − logits[i, label[i]]`: logits `[n, classes]`, labels `[n]` (int64) → `[n]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CrossEntropy;

/// The gradient of [`CrossEntropy`]: `(softmax(logits)[i, j] − [j = label[i]]) · dy[i]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CrossEntropyGrad;

impl Primitive for CrossEntropy {
    const NAME: &'static str = "cross_entropy";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        check_operands(x)?;
        Ok(Type { shape: x[1].shape.clone(), dtype: x[0].dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        Some(smallvec![Some(v.x[0].apply(CrossEntropyGrad, &[v.x[1], v.dy])), None])
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let (logits, labels) = (x[0], x[1]);
        let shifted = logits - logits.max(&[1], true);
        let log_sum = shifted.op(ScalarOp::Exp).sum(&[1], false).op(ScalarOp::Log);
        let column = labels.reshape([labels.shape()[0], 1].into());
        let picked = shifted.gather(1, column).reshape(labels.shape());
        Some(log_sum - picked)
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        4 * x[0].numel()
    }

    fn samples() -> Vec<Sample> {
        cases().map(|(n, c)| Sample::new(CrossEntropy, operands(n, c))).collect()
    }
}

impl Primitive for CrossEntropyGrad {
    const NAME: &'static str = "cross_entropy_grad";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let [logits, labels, dy] = x else {
            return Err(format!("cross_entropy_grad takes three operands, not {}", x.len()));
        };
        check_operands(&[logits, labels])?;
        if dy.shape != labels.shape || dy.dtype != logits.dtype {
            return Err(format!(
                "cross_entropy_grad: gradient {dy} for labels of shape {}",
                labels.shape
            ));
        }
        Ok((*logits).clone())
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let (logits, labels, dy) = (x[0], x[1], x[2]);
        let classes = logits.shape()[1];
        let exp = (logits - logits.max(&[1], true)).op(ScalarOp::Exp);
        let softmax = exp / exp.sum(&[1], true);
        let target = labels.apply(OneHot { classes }, &[]).cast(logits.dtype());
        Some((softmax - target) * dy.reshape([labels.shape()[0], 1].into()))
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        4 * x[0].numel()
    }

    fn samples() -> Vec<Sample> {
        let with_dy = |(n, c)| {
            let mut inputs = operands(n, c);
            inputs.push(SampleInput::float([n]));
            Sample::new(CrossEntropyGrad, inputs)
        };
        cases().map(with_dy).collect()
    }
}

fn cases() -> impl Iterator<Item = (usize, usize)> {
    [(4, 5), (1, 1), (64, 10), (3, 100), (0, 3)].into_iter()
}

fn operands(n: usize, classes: usize) -> Vec<SampleInput> {
    vec![SampleInput::float([n, classes]), SampleInput::index([n], classes)]
}

fn check_operands(x: &[&Type]) -> Result<(), String> {
    let [logits, labels] = x else {
        return Err(format!("cross_entropy takes logits and labels, not {} operands", x.len()));
    };
    if labels.dtype != DType::I64 {
        return Err(format!(
            "cross_entropy: labels are class indices and must be int64, not {}; cast them",
            labels.dtype
        ));
    }
    if !logits.dtype.is_float() {
        return Err(format!("cross_entropy: logits must be floats, not {}", logits.dtype));
    }
    if logits.shape.rank() != 2 || labels.shape.rank() != 1 || logits.shape[0] != labels.shape[0] {
        return Err(format!(
            "cross_entropy: logits {} and labels {}: expected [batch, classes] and [batch]",
            logits.shape, labels.shape
        ));
    }
    if logits.shape[1] == 0 {
        return Err("cross_entropy: the logits have no classes".into());
    }
    Ok(())
}
