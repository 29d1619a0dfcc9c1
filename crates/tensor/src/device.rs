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

/// Evaluates an expression with `$T` as the Rust type of a dtype.
macro_rules! with_element {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::Bool => {
                type $T = bool;
                $body
            }
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::F16 => {
                type $T = f16;
                $body
            }
            DType::BF16 => {
                type $T = bf16;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
        }
    };
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

    /// `numel` elements on the processor that `write` sets in place.
    pub(crate) fn from_writer<T: Element<Stored = T>>(
        numel: usize,
        write: impl FnOnce(&mut [T]) -> crate::Result<()>,
    ) -> crate::Result<Storage> {
        // Out here, where `Stored` is not known to be `T`, it is known to be plain data.
        fn elements<T: Element>(buffer: &mut Buffer) -> &mut [T::Stored] {
            buffer.as_mut_slice()
        }
        let mut buffer = Buffer::stale(numel * size_of::<T>());
        write(elements::<T>(&mut buffer))?;
        Ok(Storage::Cpu(Arc::new(buffer)))
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

    /// The bytes of the elements.
    pub(crate) fn with_bytes<R>(&self, ty: &Type, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Storage::Cpu(b) => f(&b.as_slice::<u8>()[..ty.bytes()]),
            Storage::Reference(a) => Storage::from_array(Device::Cpu, a).with_bytes(ty, f),
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
            Storage::Cpu(b) => with_element!(ty.dtype, T => read::<T>(b, ty)),
        }
    }

    /// The elements of an array on a device.
    pub(crate) fn from_array(device: Device, array: &Array) -> Storage {
        fn write<T: Element>(device: Device, array: &Array) -> Storage {
            Storage::new(device, array.shape(), &array.to_vec::<T>())
        }
        with_element!(array.ty().dtype, T => write::<T>(device, array))
    }
}

/// The vector instructions that kernels run with, such as `avx2`: products of matrices may round otherwise with
/// others, so that this belongs to the receipt of a run.
pub fn instruction_tier() -> &'static str {
    gradus_cpu::tier().name()
}
