//! 0, 1, 2, …

use super::{Primitive, Sample};
use crate::{Array, DType, Type};

/// The vector of the first `len` integers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    /// How many.
    pub len: usize,
    /// Their dtype.
    pub dtype: DType,
}

impl Primitive for Iota {
    const NAME: &'static str = "iota";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        match x {
            [] if self.dtype != DType::Bool => Ok(Type::new([self.len], self.dtype)),
            [] => Err("iota: bool cannot count".into()),
            _ => Err(format!("iota takes no operands, not {}", x.len())),
        }
    }

    fn reference(&self, _: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        Ok(if ty.dtype.is_float() {
            Array::float(ty.clone(), (0..self.len).map(|i| i as f64).collect())
        } else {
            Array::int(ty.clone(), (0..self.len as i64).collect())
        })
    }

    fn attributes(&self) -> String {
        format!("{}, {}", self.len, self.dtype)
    }

    fn samples() -> Vec<Sample> {
        let of = |len, dtype| Sample::new(Iota { len, dtype }, vec![]);
        vec![
            of(5, DType::I64),
            of(300, DType::U8),
            of(0, DType::F32),
            of(9, DType::F64),
            of(7, DType::F16),
        ]
    }
}
