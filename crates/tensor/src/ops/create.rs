//! Making tensors.

use std::panic::Location;

use gradus_ir::ops::{Distribution, Expand, Iota, Random};
use gradus_ir::{DType, Element, Scalar, Shape, Type};
use smallvec::smallvec;

use crate::device::{Device, Storage};
use crate::error::ErrorKind;
use crate::node::Operand;
use crate::random;
use crate::record::{fail, record, record_source};
use crate::tensor::Tensor;

impl Tensor {
    /// A tensor on the processor that holds `data`, row-major.
    ///
    /// # Errors
    /// If the shape has another number of elements.
    #[track_caller]
    pub fn from_slice<T: Element>(data: &[T], shape: impl Into<Shape>) -> Tensor {
        let (shape, location) = (shape.into(), Location::caller());
        if shape.numel() != data.len() {
            let message = format!(
                "from_slice: {} elements do not fill shape {shape}, which has {}",
                data.len(),
                shape.numel()
            );
            return fail(ErrorKind::Shape, message, location);
        }
        let storage = Storage::new(Device::Cpu, &shape, data);
        Tensor::leaf(storage, Type::new(shape, T::DTYPE), Device::Cpu, None, location)
    }

    /// As [`from_slice`](Tensor::from_slice).
    #[track_caller]
    pub fn from_vec<T: Element>(data: Vec<T>, shape: impl Into<Shape>) -> Tensor {
        Tensor::from_slice(&data, shape)
    }

    /// A number as a tensor without axes: `float32`, `int64` or `bool`.
    #[track_caller]
    pub fn scalar(x: impl Into<Scalar>) -> Tensor {
        match x.into() {
            Scalar::Bool(b) => Tensor::from_slice(&[b], []),
            Scalar::I64(i) => Tensor::from_slice(&[i], []),
            Scalar::F64(x) => Tensor::from_slice(&[x as f32], []),
        }
    }

    /// One number repeated.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: impl Into<Scalar>, dtype: DType) -> Tensor {
        record(Expand { shape: shape.into() }, smallvec![Operand::Slot(value.into(), dtype)])
    }

    /// Zeros.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>, dtype: DType) -> Tensor {
        constant(shape.into(), 0, dtype)
    }

    /// Ones.
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>, dtype: DType) -> Tensor {
        constant(shape.into(), 1, dtype)
    }

    /// Zeros of this tensor's shape and dtype, on its device.
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let zero = smallvec![Operand::Const(Scalar::I64(0), self.dtype())];
        record_source(Expand { shape: shape.clone() }, zero, self.device())
    }

    /// Ones of this tensor's shape and dtype, on its device.
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let one = smallvec![Operand::Const(Scalar::I64(1), self.dtype())];
        record_source(Expand { shape: shape.clone() }, one, self.device())
    }

    /// 0, 1, …, n − 1.
    #[track_caller]
    pub fn arange(n: usize, dtype: DType) -> Tensor {
        record_source(Iota { len: n, dtype }, smallvec![], Device::Cpu)
    }

    /// The identity matrix of n rows.
    #[track_caller]
    pub fn eye(n: usize, dtype: DType) -> Tensor {
        let i = Tensor::arange(n, DType::I64);
        i.unsqueeze(1).eq(&i).cast(dtype)
    }

    /// Uniform random numbers in [0, 1), from the thread's generator (see [`manual_seed`](crate::manual_seed)).
    #[track_caller]
    pub fn rand(shape: impl Into<Shape>, dtype: DType) -> Tensor {
        draw(Distribution::Uniform, shape.into(), dtype, Device::Cpu)
    }

    /// Normal random numbers with mean 0 and standard deviation 1.
    #[track_caller]
    pub fn randn(shape: impl Into<Shape>, dtype: DType) -> Tensor {
        draw(Distribution::Normal, shape.into(), dtype, Device::Cpu)
    }

    /// Uniform random numbers of this tensor's shape and dtype, on its device.
    #[track_caller]
    pub fn rand_like(&self) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        draw(Distribution::Uniform, shape.clone(), self.dtype(), self.device())
    }
}

#[track_caller]
fn constant(shape: Shape, value: i64, dtype: DType) -> Tensor {
    record(Expand { shape }, smallvec![Operand::Const(Scalar::I64(value), dtype)])
}

/// Half precision is drawn in single and rounded.
#[track_caller]
fn draw(distribution: Distribution, shape: Shape, dtype: DType, device: Device) -> Tensor {
    if !dtype.is_float() {
        let message = format!("rand: random numbers are floats, not {dtype}; cast the result");
        return fail(ErrorKind::Shape, message, Location::caller());
    }
    let drawn = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let op = Random { distribution, shape, dtype: drawn };
    record_source(op, random::next_key(), device).cast(dtype)
}
