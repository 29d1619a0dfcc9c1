//! Devices, and the storage of evaluated tensors on them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use gradus_cpu::buffer::Buffer;
use gradus_ir::{Array, DType, Element, Scalar, Shape, Type, bf16, f16};

use crate::{Error, ErrorKind};

/// Where tensors live and plans run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The processor: compiled plans on all cores.
    #[default]
    Cpu,
    /// The reference interpreter: slow, obvious and in double precision. For finding out whether a kernel is
    /// at fault.
    Reference,
}

impl Device {
    /// Every device of this build.
    pub const ALL: [Device; 2] = [Device::Cpu, Device::Reference];
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Device::Cpu => "cpu",
            Device::Reference => "reference",
        })
    }
}

impl FromStr for Device {
    type Err = Error;
    fn from_str(name: &str) -> Result<Device, Error> {
        Device::ALL.into_iter().find(|d| d.to_string() == name).ok_or_else(|| {
            let known = Device::ALL.map(|d| d.to_string()).join(", ");
            Error::new(
                ErrorKind::Device,
                format!("there is no device `{name}`; this build has: {known}"),
            )
        })
    }
}

/// The elements of an evaluated tensor: contiguous, shared, immutable but for donation.
#[derive(Clone)]
pub(crate) enum Storage {
    Cpu(Arc<Buffer>),
    Reference(Arc<Array>),
}

impl Storage {
    pub(crate) fn new<T: Element>(device: Device, shape: &Shape, data: &[T]) -> Storage {
        match device {
            Device::Cpu => {
                let mut buffer = Buffer::stale(size_of_val(data));
                for (stored, x) in buffer.as_mut_slice::<T::Stored>().iter_mut().zip(data) {
                    *stored = x.store();
                }
                Storage::Cpu(Arc::new(buffer))
            }
            Device::Reference => {
                Storage::Reference(Arc::new(Array::from_slice(shape.clone(), data)))
            }
        }
    }

    pub(crate) fn zeroed(ty: &Type, device: Device) -> Storage {
        match device {
            Device::Cpu => Storage::Cpu(Arc::new(Buffer::zeroed(ty.bytes()))),
            Device::Reference => {
                Storage::Reference(Arc::new(Array::full(ty.clone(), Scalar::I64(0))))
            }
        }
    }

    /// Tells storages apart: aliases share an identity.
    pub(crate) fn identity(&self) -> usize {
        match self {
            Storage::Cpu(b) => Arc::as_ptr(b) as usize,
            Storage::Reference(a) => Arc::as_ptr(a) as usize,
        }
    }

    pub(crate) fn owners(&self) -> usize {
        match self {
            Storage::Cpu(b) => Arc::strong_count(b),
            Storage::Reference(a) => Arc::strong_count(a),
        }
    }

    /// The elements as `T`, cast where the dtype differs.
    pub(crate) fn to_vec<T: Element>(&self, ty: &Type) -> Vec<T> {
        match self {
            Storage::Cpu(b) if ty.dtype == T::DTYPE => {
                b.as_slice::<T::Stored>().iter().map(|&s| T::load(s)).collect()
            }
            Storage::Cpu(_) => self.to_array(ty).to_vec(),
            Storage::Reference(a) => a.to_vec(),
        }
    }

    /// The elements as the interpreter holds them.
    pub(crate) fn to_array(&self, ty: &Type) -> Array {
        fn read<T: Element>(buffer: &Buffer, ty: &Type) -> Array {
            let data: Vec<T> = buffer.as_slice::<T::Stored>().iter().map(|&s| T::load(s)).collect();
            Array::from_slice(ty.shape.clone(), &data)
        }
        match self {
            Storage::Reference(a) => (**a).clone(),
            Storage::Cpu(b) => match ty.dtype {
                DType::Bool => read::<bool>(b, ty),
                DType::U8 => read::<u8>(b, ty),
                DType::I32 => read::<i32>(b, ty),
                DType::I64 => read::<i64>(b, ty),
                DType::F16 => read::<f16>(b, ty),
                DType::BF16 => read::<bf16>(b, ty),
                DType::F32 => read::<f32>(b, ty),
                DType::F64 => read::<f64>(b, ty),
            },
        }
    }

    /// The elements of an array on a device.
    pub(crate) fn from_array(device: Device, array: &Array) -> Storage {
        fn write<T: Element>(device: Device, array: &Array) -> Storage {
            Storage::new(device, array.shape(), &array.to_vec::<T>())
        }
        match array.ty().dtype {
            DType::Bool => write::<bool>(device, array),
            DType::U8 => write::<u8>(device, array),
            DType::I32 => write::<i32>(device, array),
            DType::I64 => write::<i64>(device, array),
            DType::F16 => write::<f16>(device, array),
            DType::BF16 => write::<bf16>(device, array),
            DType::F32 => write::<f32>(device, array),
            DType::F64 => write::<f64>(device, array),
        }
    }
}
