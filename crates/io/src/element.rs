//! Elements as bytes, little-endian, as files hold them.

use gradus_tensor::{DType, Element, Result, Shape, Tensor, bf16, f16};

/// Shows `f` the bytes of a tensor's elements, row-major, little-endian. Evaluates it.
///
/// # Errors
/// If the tensor cannot be evaluated.
#[track_caller]
pub fn with_bytes<R>(tensor: &Tensor, f: impl FnOnce(&[u8]) -> R) -> Result<R> {
    match tensor.dtype() {
        // Any byte but 0 may be true in memory.
        dtype if cfg!(target_endian = "little") && dtype != DType::Bool => tensor.with_bytes(f),
        _ => Ok(f(&to_bytes(tensor)?)),
    }
}

/// The bytes of a tensor's elements, element by element.
#[track_caller]
fn to_bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    match tensor.dtype() {
        DType::Bool => Ok(tensor.to_vec::<bool>()?.into_iter().map(u8::from).collect()),
        DType::U8 => tensor.to_vec::<u8>(),
        DType::I32 => Ok(flat(tensor.to_vec()?, i32::to_le_bytes)),
        DType::I64 => Ok(flat(tensor.to_vec()?, i64::to_le_bytes)),
        DType::F16 => Ok(flat(tensor.to_vec()?, f16::to_le_bytes)),
        DType::BF16 => Ok(flat(tensor.to_vec()?, bf16::to_le_bytes)),
        DType::F32 => Ok(flat(tensor.to_vec()?, f32::to_le_bytes)),
        DType::F64 => Ok(flat(tensor.to_vec()?, f64::to_le_bytes)),
    }
}

/// The tensor of bytes that are as many as its dtype and shape need.
pub(crate) fn from_bytes(bytes: &[u8], dtype: DType, shape: Shape) -> Tensor {
    match dtype {
        DType::Bool => tensor(bytes, shape, |[byte]| byte != 0),
        DType::U8 => Tensor::from_slice(bytes, shape),
        DType::I32 => tensor(bytes, shape, i32::from_le_bytes),
        DType::I64 => tensor(bytes, shape, i64::from_le_bytes),
        DType::F16 => tensor(bytes, shape, f16::from_le_bytes),
        DType::BF16 => tensor(bytes, shape, bf16::from_le_bytes),
        DType::F32 => tensor(bytes, shape, f32::from_le_bytes),
        DType::F64 => tensor(bytes, shape, f64::from_le_bytes),
    }
}

fn flat<T: Element, const N: usize>(data: Vec<T>, bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    // Whole elements at once: the compiler makes a copy of memory of it.
    data.into_iter().map(bytes).collect::<Vec<[u8; N]>>().into_flattened()
}

fn tensor<T: Element, const N: usize>(
    bytes: &[u8],
    shape: Shape,
    element: impl Fn([u8; N]) -> T,
) -> Tensor {
    let (elements, _) = bytes.as_chunks::<N>();
    Tensor::from_vec(elements.iter().map(|&bytes| element(bytes)).collect(), shape)
}

#[cfg(test)]
mod tests {
    use gradus_tensor::Device;

    use super::*;

    #[test]
    fn bytes_in_memory_are_those_of_the_elements() {
        for dtype in DType::ALL {
            let numbers = [0.0f32, 1.0, 2.5, 100.0, 7.0, 3.0];
            let tensor = Tensor::from_slice(&numbers, [2, 3]).cast(dtype);
            let bytes = with_bytes(&tensor, <[u8]>::to_vec).unwrap();
            assert_eq!(bytes, to_bytes(&tensor).unwrap(), "{dtype}");
            assert_eq!(bytes.len(), 6 * dtype.size());
            let elsewhere = tensor.to(Device::Reference);
            assert_eq!(with_bytes(&elsewhere, <[u8]>::to_vec).unwrap(), bytes, "{dtype}");
        }
        let empty = Tensor::zeros([0, 3], DType::F32);
        assert_eq!(with_bytes(&empty, <[u8]>::len).unwrap(), 0);
    }
}
