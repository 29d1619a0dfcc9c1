//! Classes as vectors of one 1 among 0s.

use super::{Iota, Primitive, Sample, SampleInput, one};
use crate::graph::Expr;
use crate::{DType, Type};

/// `[…] → […, classes]`, 1 at the class and 0 elsewhere, as `torch.nn.functional.one_hot`. A class out of
/// range gives zeros; a [`Check`](super::Check) before it says which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OneHot {
    /// The number of classes.
    pub classes: usize,
}

impl Primitive for OneHot {
    const NAME: &'static str = "one_hot";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        if x.dtype != DType::I64 {
            return Err(format!("one_hot: the classes must be int64, not {}", x.dtype));
        }
        let shape = x.shape.iter().copied().chain([self.classes]).collect();
        Ok(Type { shape, dtype: DType::I64 })
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let column = x[0].shape().iter().copied().chain([1]).collect();
        let classes = x[0].source(Iota { len: self.classes, dtype: DType::I64 });
        Some(x[0].reshape(column).equals(classes).cast(DType::I64))
    }

    fn attributes(&self) -> String {
        format!("classes={}", self.classes)
    }

    fn samples() -> Vec<Sample> {
        vec![
            Sample::new(OneHot { classes: 5 }, vec![SampleInput::index([4], 5)]),
            Sample::new(OneHot { classes: 3 }, vec![SampleInput::index([2, 2], 3)]),
            Sample::new(OneHot { classes: 3 }, vec![SampleInput::index([0], 3)]),
        ]
    }
}
