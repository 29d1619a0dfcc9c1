//! Comparing with golden numbers.

use gradus_tensor::{DType, Tensor};

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
