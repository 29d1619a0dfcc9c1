//! Normal numbers within bounds.

use std::f64::consts::SQRT_2;

use gradus_tensor::{DType, Result, Shape, Tensor};

use super::refuse;

/// Normal with a mean and a standard deviation, within `low..=high`: PyTorch's `trunc_normal_`, whose
/// default bounds are −2 and 2 (not multiples of the standard deviation).
///
/// # Errors
/// If the standard deviation is not positive or the bounds are not in order.
///
/// ```
/// use gradus_nn::init;
/// let w = init::trunc_normal([100], 0.0, 1.0, -0.5, 0.5).to_vec::<f32>()?;
/// assert!(w.iter().all(|x| x.abs() <= 0.5));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[track_caller]
pub fn trunc_normal(shape: impl Into<Shape>, mean: f64, std: f64, low: f64, high: f64) -> Tensor {
    let shape = shape.into();
    // NaN is refused with the rest.
    if !(std > 0.0 && low < high) {
        return refuse(format!(
            "trunc_normal: the standard deviation is {std} and the bounds are {low} and {high}; it \
             must be positive, and they in order"
        ));
    }
    match draw(&shape, (low - mean) / std, (high - mean) / std) {
        Ok(drawn) => {
            let within = |z: f64| (mean + std * z).clamp(low, high) as f32;
            Tensor::from_vec(drawn.into_iter().map(within).collect(), shape)
        }
        Err(error) => Tensor::from_error(error),
    }
}

/// Standard normal numbers between two bounds: the quantiles of uniform probabilities.
fn draw(shape: &Shape, low: f64, high: f64) -> Result<Vec<f64>> {
    // In the lower tail, where probabilities near 0 keep their digits.
    let mirrored = low > 0.0;
    let (low, high) = if mirrored { (-high, -low) } else { (low, high) };
    let (from, to) = (distribution(low)?, distribution(high)?);
    let drawn: Vec<f64> = Tensor::rand(shape.clone(), DType::F64).to_vec()?;
    let quantiles = drawn.into_iter().map(|u| {
        let z = quantile(from + u * (to - from)).clamp(low, high);
        if mirrored { -z } else { z }
    });
    Ok(quantiles.collect())
}

/// Φ(z), the probability that a standard normal number is below `z`.
fn distribution(z: f64) -> Result<f64> {
    let erf = Tensor::from_slice(&[z / SQRT_2], [1]).erf().item::<f64>()?;
    Ok(0.5 * (1.0 + erf))
}

/// Φ⁻¹(p) to a relative error of 1.2e-9: Acklam's rational approximation ("An algorithm for
/// computing the inverse normal cumulative distribution function", 2003).
fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.38357751867269e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 5] = [
        7.784695709041462e-03,
        3.224671290700398e-01,
        2.445134137142996e+00,
        3.754408661907416e+00,
        1.0,
    ];
    const TAIL: f64 = 0.02425;
    let polynomial =
        |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p <= 0.0 {
        f64::NEG_INFINITY
    } else if p >= 1.0 {
        f64::INFINITY
    } else if p < TAIL {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    } else if p > 1.0 - TAIL {
        -quantile(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / polynomial(&B, r)
    }
}

#[cfg(test)]
mod tests {
    use super::{distribution, quantile};

    #[test]
    fn quantiles_invert_the_distribution() {
        for p in [1e-9, 1e-5, 0.01, 0.024, 0.0243, 0.1, 0.3, 0.5, 0.7, 0.97, 0.976, 0.999] {
            let found = distribution(quantile(p)).unwrap();
            assert!((found - p).abs() < 2e-8 * p.min(1.0 - p) + 1e-16, "{p}: {found}");
        }
        assert_eq!((quantile(0.0), quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
    }
}
