//! Making tensors.

use std::panic::Location;

use gradus_ir::ops::{Distribution, Expand, Iota, Random};
use gradus_ir::{DType, Element, Scalar, Shape, Type};
use smallvec::smallvec;

use crate::device::{Device, Storage};
use crate::error::{ErrorKind, Result};
use crate::node::{Operand, Operands};
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

    /// A tensor on the processor whose elements `write` puts where they stay, in memory aligned to cache lines:
    /// for who assembles a batch and would otherwise copy it once more. `write` must set every element; what it
    /// finds there is arbitrary.
    ///
    /// # Errors
    /// That of `write`.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let x = Tensor::from_writer([2, 2], |elements: &mut [f32]| {
    ///     elements.iter_mut().zip(1..).for_each(|(x, i)| *x = i as f32);
    ///     Ok(())
    /// })?;
    /// assert_eq!(x.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn from_writer<T: Element<Stored = T>>(
        shape: impl Into<Shape>,
        write: impl FnOnce(&mut [T]) -> Result<()>,
    ) -> Result<Tensor> {
        let (shape, location) = (shape.into(), Location::caller());
        let storage = Storage::from_writer(shape.numel(), write)?;
        Ok(Tensor::leaf(storage, Type::new(shape, T::DTYPE), Device::Cpu, None, location))
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

    /// One number repeated, in this tensor's shape and dtype and on its device.
    #[track_caller]
    pub fn full_like(&self, value: impl Into<Scalar>) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        self.number(value.into(), self.dtype()).expand(shape)
    }

    /// From `start` to `end`, which is left out, in steps of `step`.
    ///
    /// ```
    /// use gradus_tensor::{DType, Tensor};
    /// let x = Tensor::arange_step(1, -5, -2, DType::I64);
    /// assert_eq!(x.to_vec::<i64>()?, [1, -1, -3]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// If steps in this direction never lead to the end.
    #[track_caller]
    pub fn arange_step(
        start: impl Into<Scalar>,
        end: impl Into<Scalar>,
        step: impl Into<Scalar>,
        dtype: DType,
    ) -> Tensor {
        let (start, end, step) = (start.into(), end.into(), step.into());
        let (from, to, by) = (start.to_f64(), end.to_f64(), step.to_f64());
        let steps = ((to - from) / by).ceil();
        if by == 0.0 || !steps.is_finite() || steps < 0.0 {
            let message = format!("arange_step: steps of {step} do not lead from {start} to {end}");
            return fail(ErrorKind::Usage, message, Location::caller());
        }
        let counted = Tensor::arange(steps as usize, dtype);
        let (step, start) = (counted.number(step, dtype), counted.number(start, dtype));
        counted * step + start
    }

    /// `count` floats at equal distances from `start` to `end`, both included.
    ///
    /// # Errors
    /// If the dtype is not a float.
    #[track_caller]
    pub fn linspace(start: f64, end: f64, count: usize, dtype: DType) -> Tensor {
        if !dtype.is_float() {
            let message = format!("linspace: equal distances need floats, not {dtype}");
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        let step = if count > 1 { (end - start) / (count - 1) as f64 } else { 0.0 };
        let at = Tensor::arange(count, dtype);
        // From the nearer end, so that both ends are exact.
        let forward = &at * step + start;
        let backward = end - ((count.max(1) - 1) as f64 - &at) * step;
        Tensor::where_(
            &at.lt((count / 2) as f64),
            &forward,
            if count > 1 { &backward } else { &forward },
        )
    }

    /// `base` raised to `count` exponents at equal distances from `start` to `end`, both included.
    ///
    /// # Errors
    /// If the dtype is not a float.
    #[track_caller]
    pub fn logspace(start: f64, end: f64, count: usize, base: f64, dtype: DType) -> Tensor {
        let exponents = Tensor::linspace(start, end, count, dtype);
        if exponents.error().is_some() {
            return exponents;
        }
        exponents.number(Scalar::F64(base), dtype).pow(exponents)
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

    /// Uniform random numbers of a shape, of this tensor's dtype on its device, keyed by sample: in a part of a
    /// batch (see [`with_samples`](crate::with_samples)) they are those that the whole batch would draw.
    #[track_caller]
    pub fn rand_by_sample(&self, shape: impl Into<Shape>) -> Tensor {
        if self.try_shape().is_err() {
            return self.clone();
        }
        let shape = shape.into();
        let key = random::next_key_by_sample(shape.numel());
        draw_keyed(Distribution::Uniform, shape, self.dtype(), self.device(), key)
    }
}

#[track_caller]
fn constant(shape: Shape, value: i64, dtype: DType) -> Tensor {
    record(Expand { shape }, smallvec![Operand::Const(Scalar::I64(value), dtype)])
}

/// Half precision is drawn in single and rounded.
#[track_caller]
fn draw(distribution: Distribution, shape: Shape, dtype: DType, device: Device) -> Tensor {
    draw_keyed(distribution, shape, dtype, device, random::next_key())
}

#[track_caller]
fn draw_keyed(
    distribution: Distribution,
    shape: Shape,
    dtype: DType,
    device: Device,
    key: Operands,
) -> Tensor {
    if !dtype.is_float() {
        let message = format!("rand: random numbers are floats, not {dtype}; cast the result");
        return fail(ErrorKind::Shape, message, Location::caller());
    }
    let drawn = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let op = Random { distribution, shape, dtype: drawn };
    record_source(op, key, device).cast(dtype)
}
