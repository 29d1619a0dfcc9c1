//! Reading golden numbers and comparing with them.

use gradus_tensor::{DType, Tensor, bf16, f16};
use safetensors::{Dtype, SafeTensors};

/// A tensor of a golden file.
pub fn tensor(numbers: &SafeTensors<'_>, name: &str) -> Tensor {
    let view = numbers.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (bytes, shape) = (view.data(), view.shape().to_vec());
    macro_rules! read {
        ($t:ty) => {{
            let items = bytes.chunks_exact(size_of::<$t>());
            let data: Vec<$t> = items.map(|b| <$t>::from_le_bytes(b.try_into().unwrap())).collect();
            Tensor::from_vec(data, shape)
        }};
    }
    match view.dtype() {
        Dtype::BOOL => {
            Tensor::from_vec(bytes.iter().map(|&b| b != 0).collect::<Vec<bool>>(), shape)
        }
        Dtype::U8 => Tensor::from_slice(bytes, shape),
        Dtype::I32 => read!(i32),
        Dtype::I64 => read!(i64),
        Dtype::F16 => read!(f16),
        Dtype::BF16 => read!(bf16),
        Dtype::F32 => read!(f32),
        Dtype::F64 => read!(f64),
        other => panic!("{name}: {other:?}"),
    }
}

/// Compares f64 to 1e-8, f32 to 1e-4 (4e-6 where elements stand for themselves), half precision to two units:
/// relative to each element if `each`, else to the largest.
pub fn close(got: &Tensor, want: &Tensor, each: bool) -> Result<(), String> {
    if let Some(error) = got.error() {
        return Err(format!("failed: {error}"));
    }
    if got.dtype() != want.dtype() || got.shape() != want.shape() {
        let (g, w) = (got, want);
        return Err(format!(
            "is {}{}, PyTorch has {}{}",
            g.dtype(),
            g.shape(),
            w.dtype(),
            w.shape()
        ));
    }
    if want.dtype() == DType::I64 {
        // Wider than f64 is exact.
        let (g, w) = (got.to_vec::<i64>().map_err(|e| e.to_string())?, want.to_vec::<i64>());
        return match g == w.unwrap() {
            true => Ok(()),
            false => Err(format!("is {got}, PyTorch has {want}")),
        };
    }
    let (g, w) = (got.to_vec::<f64>().map_err(|e| e.to_string())?, want.to_vec::<f64>().unwrap());
    let largest = w.iter().filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
    let tolerance = match want.dtype() {
        DType::F64 => 1e-8,
        DType::F32 if each => 4e-6,
        DType::F32 => 1e-4,
        DType::F16 => 2e-3,
        DType::BF16 => 1.6e-2,
        _ => 0.0,
    };
    let same = |a: f64, b: f64| {
        let scale = if each { b.abs() } else { largest };
        (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= tolerance * scale
    };
    match g.iter().zip(&w).position(|(&a, &b)| !same(a, b)) {
        Some(i) => Err(format!("at {i} is {:?}, PyTorch has {:?}", g[i], w[i])),
        None => Ok(()),
    }
}
