//! Counter-based random numbers: element `i` is a pure function of (seed, stream, i), so that no thread,
//! worker or fusion can change it. Seed and stream are slots: drawing again never recompiles.

use super::{CheckFailure, Primitive, Sample, SampleInput};
use crate::{Array, DType, Scalar, Shape, Type, philox};

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Uniform on [0, 1).
    Uniform,
    /// Normal with mean 0 and standard deviation 1.
    Normal,
}

/// Independent draws. The operands are int64 scalars: the seed, the stream and, if the first element is not
/// number 0 of the stream, which it is. So the draws of a part of a batch can be those of the whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Random {
    /// From what.
    pub distribution: Distribution,
    /// How many.
    pub shape: Shape,
    /// `float32` or `float64`.
    pub dtype: DType,
}

impl Primitive for Random {
    const NAME: &'static str = "random";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let scalars = x.iter().all(|t| t.dtype == DType::I64 && t.shape.rank() == 0);
        if !matches!(x.len(), 2 | 3) || !scalars {
            return Err(
                "random takes a seed, a stream and maybe a first element, int64 scalars".into()
            );
        }
        if !matches!(self.dtype, DType::F32 | DType::F64) {
            return Err(format!("random: float32 or float64, not {}; cast the result", self.dtype));
        }
        Ok(Type { shape: self.shape.clone(), dtype: self.dtype })
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, CheckFailure> {
        let (seed, stream) = (x[0].ints()[0] as u64, x[1].ints()[0] as u64);
        let first = x.get(2).map_or(0, |first| first.ints()[0] as u64);
        let numbers = first..first + ty.shape.numel() as u64;
        let y = numbers.map(|i| match (self.distribution, ty.dtype) {
            (Distribution::Uniform, DType::F64) => philox::uniform_f64(seed, stream, i),
            (Distribution::Uniform, _) => f64::from(philox::uniform_f32(seed, stream, i)),
            (Distribution::Normal, DType::F64) => philox::normal_f64(seed, stream, i),
            (Distribution::Normal, _) => f64::from(philox::normal_f32(seed, stream, i)),
        });
        Ok(Array::float(ty.clone(), y.collect()))
    }

    fn attributes(&self) -> String {
        let name = match self.distribution {
            Distribution::Uniform => "uniform",
            Distribution::Normal => "normal",
        };
        format!("{name} {}", self.shape)
    }

    fn samples() -> Vec<Sample> {
        let number = |i: i64| SampleInput::Number(Scalar::I64(i));
        let mut all = Vec::new();
        for distribution in [Distribution::Uniform, Distribution::Normal] {
            for dtype in [DType::F32, DType::F64] {
                for (shape, stream) in [([3, 7], 0), ([41, 129], 1 << 40), ([0, 2], 5)] {
                    let op = Random { distribution, shape: shape.into(), dtype };
                    all.push(Sample::new(op.clone(), vec![number(-7), number(stream)]));
                    all.push(Sample::new(op, vec![number(-7), number(stream), number(13)]));
                }
            }
        }
        all
    }
}
