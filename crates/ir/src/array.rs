//! Values in the reference interpreter: f64 or i64 whatever the dtype, rounded to it after every op.

use crate::{DType, Element, Scalar, Shape, Type, bf16, f16};

/// The elements of an [`Array`], row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floats of any width.
    Float(Vec<f64>),
    /// Integers of any width, and `bool` as 0 or 1.
    Int(Vec<i64>),
}

/// A host tensor: its type and its elements. Slow and obvious on purpose.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    ty: Type,
    values: Values,
}

impl Array {
    /// An array of floats, rounded to `ty`'s dtype.
    ///
    /// # Panics
    /// If the count does not match the shape or the dtype is not a float.
    pub fn float(ty: Type, mut values: Vec<f64>) -> Array {
        assert!(ty.dtype.is_float(), "{ty} does not hold floats");
        assert_eq!(values.len(), ty.shape.numel(), "{ty}");
        if ty.dtype != DType::F64 {
            for v in &mut values {
                *v = round_float(ty.dtype, *v);
            }
        }
        Array { ty, values: Values::Float(values) }
    }

    /// An array of integers or booleans, wrapped to `ty`'s dtype.
    ///
    /// # Panics
    /// If the count does not match the shape or the dtype is a float.
    pub fn int(ty: Type, mut values: Vec<i64>) -> Array {
        assert!(!ty.dtype.is_float(), "{ty} holds floats");
        assert_eq!(values.len(), ty.shape.numel(), "{ty}");
        for v in &mut values {
            *v = wrap_int(ty.dtype, *v);
        }
        Array { ty, values: Values::Int(values) }
    }

    /// One number repeated.
    pub fn full(ty: Type, value: Scalar) -> Array {
        let n = ty.shape.numel();
        if ty.dtype.is_float() {
            Array::float(ty, vec![value.to_f64(); n])
        } else {
            Array::int(ty, vec![value.to_i64(); n])
        }
    }

    /// From elements of a Rust type.
    pub fn from_slice<T: Element>(shape: impl Into<Shape>, data: &[T]) -> Array {
        let ty = Type::new(shape, T::DTYPE);
        if T::DTYPE.is_float() {
            Array::float(ty, data.iter().map(|x| x.to_f64()).collect())
        } else {
            Array::int(ty, data.iter().map(|x| x.to_i64()).collect())
        }
    }

    /// To elements of a Rust type, cast where it differs.
    pub fn to_vec<T: Element>(&self) -> Vec<T> {
        match &self.values {
            Values::Float(v) => v.iter().map(|&x| T::from_f64(x)).collect(),
            Values::Int(v) => v.iter().map(|&x| T::from_i64(x)).collect(),
        }
    }

    /// Its shape and dtype.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// Its shape.
    pub fn shape(&self) -> &Shape {
        &self.ty.shape
    }

    /// The elements.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The floats.
    ///
    /// # Panics
    /// If the array holds integers.
    pub fn floats(&self) -> &[f64] {
        match &self.values {
            Values::Float(v) => v,
            Values::Int(_) => panic!("{} does not hold floats", self.ty),
        }
    }

    /// The integers.
    ///
    /// # Panics
    /// If the array holds floats.
    pub fn ints(&self) -> &[i64] {
        match &self.values {
            Values::Int(v) => v,
            Values::Float(_) => panic!("{} does not hold integers", self.ty),
        }
    }

    /// The same elements under another shape of equal size.
    pub fn reshaped(&self, shape: Shape) -> Array {
        assert_eq!(shape.numel(), self.ty.shape.numel());
        Array { ty: Type { shape, dtype: self.ty.dtype }, values: self.values.clone() }
    }

    /// A new array of `shape` whose element at each index is this one's at `source(index)`: the meaning of
    /// every movement op.
    pub fn gathered(&self, shape: Shape, mut source: impl FnMut(&[usize]) -> usize) -> Array {
        let mut picks = Vec::with_capacity(shape.numel());
        for_each_index(&shape, |index| picks.push(source(index)));
        let values = match &self.values {
            Values::Float(v) => Values::Float(picks.iter().map(|&i| v[i]).collect()),
            Values::Int(v) => Values::Int(picks.iter().map(|&i| v[i]).collect()),
        };
        Array { ty: Type { shape, dtype: self.ty.dtype }, values }
    }
}

/// Calls `f` with every index of `shape`, row-major.
pub fn for_each_index(shape: &[usize], mut f: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    loop {
        f(&index);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// The position of `index` in a row-major array of `shape`.
pub fn ravel(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |at, (&d, &i)| at * d + i)
}

/// `x` rounded to what `dtype` can hold; to half precision by way of f32, in which its arithmetic runs.
pub fn round_float(dtype: DType, x: f64) -> f64 {
    match dtype {
        DType::F16 => f16::from_f32(x as f32).to_f64(),
        DType::BF16 => bf16::from_f32(x as f32).to_f64(),
        DType::F32 => f64::from(x as f32),
        _ => x,
    }
}

/// `x` wrapped to what `dtype` can hold; `bool` is "not zero".
pub fn wrap_int(dtype: DType, x: i64) -> i64 {
    match dtype {
        DType::Bool => i64::from(x != 0),
        DType::U8 => i64::from(x as u8),
        DType::I32 => i64::from(x as i32),
        _ => x,
    }
}
