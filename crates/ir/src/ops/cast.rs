//! Conversion between dtypes, as C and PyTorch convert: floats to integers truncate, anything to `bool` is
//! "not zero", narrower floats round to nearest even.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, SampleInput, Vjp, one};
use crate::{Array, DType, Type, Values};

/// Converts every element to another dtype.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    /// The result's dtype.
    pub to: DType,
}

impl Primitive for Cast {
    const NAME: &'static str = "cast";

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        Ok(Type { shape: one(Self::NAME, x)?.shape.clone(), dtype: self.to })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let from = v.x[0].dtype();
        let through = from.is_float() && self.to.is_float();
        Some(smallvec![through.then(|| v.dy.cast(from))])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        Ok(match x[0].values() {
            Values::Float(v) if ty.dtype.is_float() => Array::float(ty.clone(), v.clone()),
            Values::Float(v) if ty.dtype == DType::Bool => {
                Array::int(ty.clone(), v.iter().map(|&x| i64::from(x != 0.0)).collect())
            }
            // As wide as the target first: i32 saturates at its own bounds, not at those of i64.
            Values::Float(v) if ty.dtype == DType::I32 => {
                Array::int(ty.clone(), v.iter().map(|&x| i64::from(x as i32)).collect())
            }
            Values::Float(v) => Array::int(ty.clone(), v.iter().map(|&x| x as i64).collect()),
            Values::Int(v) if ty.dtype.is_float() => {
                Array::float(ty.clone(), v.iter().map(|&x| x as f64).collect())
            }
            Values::Int(v) => Array::int(ty.clone(), v.clone()),
        })
    }

    fn attributes(&self) -> String {
        self.to.to_string()
    }

    fn samples() -> Vec<Sample> {
        let from_index = |to| Sample::new(Cast { to }, vec![SampleInput::index([2, 5], 300)]);
        DType::ALL
            .into_iter()
            .flat_map(|to| {
                [
                    Sample::unary(Cast { to }, [3, 5]),
                    Sample::unary(Cast { to }, [0]),
                    from_index(to),
                ]
            })
            .collect()
    }
}
