//! Inverse trigonometric functions, special functions and exact remainders in f32.
//!
//! All of them compute in f64 lanes, with the same straight-line arithmetic as the rest of `math`, and round
//! once: what is left of an error is the rounding. The polynomials interpolate at Chebyshev nodes; each states
//! its relative error.

use std::f64::consts::{FRAC_PI_2, LN_2, LOG2_E, PI};

use super::{EXP2_52, ROUND_64, exp2_wide, poly64};

/// The angle of the point (x, y) in [−π, π], with C's special cases, within 1 ulp.
#[inline(always)]
pub fn atan2(y: f32, x: f32) -> f32 {
    angle(f64::from(y), f64::from(x)) as f32
}

/// The angle in [−π/2, π/2] whose sine is x, within 1 ulp.
#[inline(always)]
pub fn asin(x: f32) -> f32 {
    let x = f64::from(x);
    angle(x, (1.0 - x * x).sqrt()) as f32
}

/// The angle in [0, π] whose cosine is x, within 1 ulp.
#[inline(always)]
pub fn acos(x: f32) -> f32 {
    let x = f64::from(x);
    angle((1.0 - x * x).sqrt(), x) as f32
}

/// 1 − erf x, within 1 ulp.
#[inline(always)]
pub fn erfc(x: f32) -> f32 {
    let x = f64::from(x);
    // erfc a = e^(−a²) p(t); at 10.2 the result has long rounded to 0.
    let a = if x.abs() > 10.2 { 10.2 } else { x.abs() };
    let t = (a - 3.75) / (a + 3.75);
    // Within 3e-10.
    let p = poly64(
        t,
        [
            0.14558972126325126,
            -0.2734219314605806,
            0.22600806910819146,
            -0.1635718955703897,
            0.10260424560148394,
            -0.05480239461250318,
            0.024143911650910226,
            -0.008219357964892433,
            0.0018005772069542873,
            -3.304170516875769e-05,
            -0.00015400368254383994,
            6.1003318535567564e-05,
            1.9860852908352817e-05,
        ],
    );
    let y = exp2_wide(-(a * a) * LOG2_E) * p;
    (if x < 0.0 { 2.0 - y } else { y }) as f32
}

/// The inverse of erf, within 1 ulp: ±∞ at ±1, NaN beyond.
#[inline(always)]
pub fn erfinv(x: f32) -> f32 {
    let x = f64::from(x);
    // As in Giles, "Approximating the erfinv function" (2010): x p(w) near 0, x q(√w) in the tails.
    let w = -ln_wide((1.0 - x) * (1.0 + x));
    // Within 6e-10 for w < 5.
    let near = poly64(
        w - 2.5,
        [
            1.5014093517481764,
            0.24664027674858424,
            -0.004177325080457763,
            -0.0012527079573557702,
            0.0002182641252155226,
            -4.996000110143956e-06,
            -3.426266209734268e-06,
            4.786897084558858e-07,
            1.650364404121373e-08,
            -1.0861761271594343e-08,
            4.340626803853993e-10,
            1.2346577114502573e-10,
        ],
    );
    // Within 1.3e-9 for w from 5 to 16.7, where the f32 next to 1 is.
    let far = poly64(
        w.sqrt() - 3.2,
        [
            3.0336365727586716,
            1.004692454316017,
            0.005973303886375257,
            -0.004294544698198349,
            0.0029490386950160874,
            -0.0019897901170661094,
            0.0010871213687224687,
            -0.00036922729031626877,
            -3.128470996239411e-05,
            0.00011295814255032176,
            -3.475092235144665e-05,
            -5.699473883532956e-06,
        ],
    );
    let y = x * if w < 5.0 { near } else { far };
    let edge = if x.abs() == 1.0 { f64::INFINITY.copysign(x) } else { f64::NAN };
    (if x.abs() < 1.0 { y } else { edge }) as f32
}

/// log |Γ(x)|, within 1 ulp for x ≥ 0, and within 1e-7 of max(1, |result|) for x < 0.
#[inline(always)]
pub fn lgamma(x: f32) -> f32 {
    let x = f64::from(x);
    let a = x.abs();
    let log = ln_wide(a);
    // From 1 to 3: (a − 1)(a − 2) p(a − 2), with p within 1.2e-10. Below: log Γ(a) = log Γ(a + 1) − log a.
    let small = a < 1.0;
    let shifted = if small { a + 1.0 } else { a };
    let u = (if shifted > 3.0 { 3.0 } else { shifted }) - 2.0;
    let p = poly64(
        u,
        [
            0.422784335098467,
            -0.10031730153001821,
            0.03296500055213648,
            -0.012384199088411981,
            0.004998644461914063,
            -0.0021080354202493846,
            0.0009153312967964316,
            -0.0004062952108244314,
            0.00018283370280390283,
            -8.119753686100794e-05,
            3.726166191063526e-05,
            -2.1069867673657713e-05,
            9.851314828810272e-06,
            -4.892146044701243e-07,
            2.034526982961324e-07,
            -2.449431116074312e-06,
            1.1660439210465488e-06,
        ],
    );
    let near = u * (u + 1.0) * p + if small { -log } else { 0.0 };
    // From 3 on: Stirling's series.
    const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;
    let r = 1.0 / if a < 3.0 { 3.0 } else { a };
    let series = poly64(
        r * r,
        [
            1.0 / 12.0,
            -1.0 / 360.0,
            1.0 / 1260.0,
            -1.0 / 1680.0,
            1.0 / 1188.0,
            -691.0 / 360360.0,
            1.0 / 156.0,
        ],
    );
    let far = (a - 0.5) * log - a + HALF_LN_TAU + r * series;
    let y = if a < 3.0 { near } else { far };
    // log |Γ(−a)| = log(π / (a |sin πa|)) − log Γ(a).
    let (sin, cos) = half_turns(a);
    let reflected = ln_wide(PI / (a * (2.0 * sin * cos).abs())) - y;
    let y = if x < 0.0 { reflected } else { y };
    (if a < f64::INFINITY { y } else { a }) as f32
}

/// The derivative of log Γ(x), within 1 ulp for x ≥ 0 (and 1e-13, where its zero at 1.4616 makes ulps smaller),
/// and within 1e-7 of max(1, |result|) for x < 0. NaN at negative integers, ∓∞ at ±0.
#[inline(always)]
pub fn digamma(x: f32) -> f32 {
    let x = f64::from(x);
    let negative = x < 0.0;
    // ψ(x) = ψ(1 − x) − π / tan πx; ψ(z) = ψ(z + 6) − Σ 1 / (z + k); then the asymptotic series.
    let z = if negative { 1.0 - x } else { x };
    let mut sum = 1.0 / z;
    for k in 1..6 {
        sum += 1.0 / (z + f64::from(k));
    }
    let w = z + 6.0;
    let r = 1.0 / (w * w);
    let series = r * poly64(r, DIGAMMA_SERIES);
    let y = ln_wide(w) - 0.5 / w - series - sum;
    let (sin, cos) = half_turns(x);
    let cotangent = PI * (cos * cos - sin * sin) / (2.0 * sin * cos);
    let reflected = if sin == 0.0 { f64::NAN } else { y - cotangent };
    (if negative { reflected } else { y }) as f32
}

/// The remainder of x / y with the sign of x, exactly.
#[inline(always)]
pub fn fmod(x: f32, y: f32) -> f32 {
    const STEP: i32 = 28;
    let power = |n: i32| f64::from_bits(((1023 + n) as u64) << 52);
    let (a, b) = (f64::from(x.abs()), f64::from(y.abs()));
    // An infinite divisor leaves x as it is, and so does any beyond every f32.
    let b = if b > power(129) { power(129) } else { b };
    let inverse = 1.0 / b;
    // Long division, 28 bits at a time: the quotient has at most 277. A digit is rounded, not cut, so that
    // remainders may be negative; it has so few bits that product and difference are exact.
    let mut r = a;
    for k in (0..10).rev() {
        let digit = r * (inverse * power(-STEP * k));
        r -= ((digit + ROUND_64) - ROUND_64) * (b * power(STEP * k));
    }
    let r = if r < 0.0 { r + b } else { r };
    (r as f32).copysign(x)
}

/// The inverse of erf in f64: ±∞ at ±1, NaN beyond.
pub fn erfinv_f64(x: f64) -> f64 {
    if x.abs() >= 1.0 || x.is_nan() {
        return if x.abs() == 1.0 { f64::INFINITY.copysign(x) } else { f64::NAN };
    }
    // Winitzki's approximation, then Halley's method; near 1, erfc knows the difference better than erf.
    const A: f64 = 0.147;
    let log = libm::log1p(-x * x);
    let t = 2.0 / (PI * A) + log / 2.0;
    let mut y = if x.abs() < 1e-3 {
        x / std::f64::consts::FRAC_2_SQRT_PI
    } else {
        ((t * t - log / A).sqrt() - t).sqrt().copysign(x)
    };
    for _ in 0..3 {
        let error = if x.abs() < 0.5 {
            libm::erf(y) - x
        } else {
            // erf |y| − |x|, with the sign of x.
            ((1.0 - x.abs()) - libm::erfc(y.abs())) * x.signum()
        };
        let step = error / (std::f64::consts::FRAC_2_SQRT_PI * libm::exp(-y * y));
        y -= step / (1.0 + y * step);
    }
    y
}

/// The derivative of log Γ(x) in f64.
pub fn digamma_f64(x: f64) -> f64 {
    if x < 0.0 {
        if x == x.trunc() {
            return f64::NAN;
        }
        return digamma_f64(1.0 - x) - PI / libm::tan(PI * (x - x.round()));
    }
    let (mut z, mut sum) = (x, 0.0);
    while z < 12.0 {
        sum += 1.0 / z;
        z += 1.0;
    }
    let r = 1.0 / (z * z);
    libm::log(z) - 0.5 / z - r * poly64(r, DIGAMMA_SERIES) - sum
}

/// a · 2ᵇ, wrapping; 0 where b is negative or above 63.
#[inline(always)]
pub fn shift_left(a: i64, b: i64) -> i64 {
    let shifted = a.wrapping_shl(b as u32);
    if b as u64 > 63 { 0 } else { shifted }
}

/// a / 2ᵇ, rounded down; b counts as 63 where it is negative or greater.
#[inline(always)]
pub fn shift_right(a: i64, b: i64) -> i64 {
    a.wrapping_shr(if b as u64 > 63 { 63 } else { b as u32 })
}

/// Coefficients of 1/x², 1/x⁴, … in log x − 1/2x − ψ(x): B₂ₖ / 2k.
const DIGAMMA_SERIES: [f64; 7] = [
    1.0 / 12.0,
    -1.0 / 120.0,
    1.0 / 252.0,
    -1.0 / 240.0,
    1.0 / 132.0,
    -691.0 / 32760.0,
    1.0 / 12.0,
];

/// The angle of the point (x, y).
#[inline(always)]
fn angle(y: f64, x: f64) -> f64 {
    let (a, b) = (x.abs(), y.abs());
    let steep = b > a;
    let (low, high) = if steep { (a, b) } else { (b, a) };
    let t = low / high;
    let t = if low == 0.0 && high == 0.0 { 0.0 } else { t };
    let t = if low == f64::INFINITY && high == f64::INFINITY { 1.0 } else { t };
    // atan t / t in t², within 5e-10 on [0, 1].
    let r = t * poly64(
        t * t,
        [
            0.9999999995535376,
            -0.33333322488911593,
            0.19999558100363982,
            -0.14278576024807985,
            0.1105077127584966,
            -0.08785043282362845,
            0.06685281517877424,
            -0.04392841073326746,
            0.021912945865448393,
            -0.007030669470424213,
            0.001057607438057242,
        ],
    );
    let r = if steep { FRAC_PI_2 - r } else { r };
    let r = if x.is_sign_negative() { PI - r } else { r };
    r.copysign(y)
}

/// The natural logarithm of x ≥ 0 in f64, within 2e-16 of max(|log x|, 1): as good near 1, where it is near 0.
#[inline(always)]
fn ln_wide(x: f64) -> f64 {
    // x = 2ᵉ m, with m in [√½, √2); log m is odd in s = (m − 1) / (m + 1).
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = x.to_bits().wrapping_sub(SQRT_HALF);
    let e = f64::from_bits((bits.wrapping_add(1023 << 52) >> 52) | EXP2_52.to_bits())
        - (EXP2_52 + 1023.0);
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) + SQRT_HALF);
    let s = (m - 1.0) / (m + 1.0);
    let log = e * LN_2
        + s * poly64(
            s * s,
            [
                2.0,
                0.6666666666666666,
                0.40000000000007496,
                0.28571428568817636,
                0.22222222677146836,
                0.18181773720945538,
                0.15387161664597038,
                0.13248746535494305,
                0.1326225363958399,
            ],
        );
    let log = if x == 0.0 { f64::NEG_INFINITY } else { log };
    if x < f64::INFINITY { log } else { x }
}

/// Sine and cosine of half of πx, up to their common sign.
#[inline(always)]
fn half_turns(x: f64) -> (f64, f64) {
    let q = x - ((x + ROUND_64) - ROUND_64);
    // From 2⁵¹ on every number is an integer.
    let q = if x.abs() < EXP2_52 / 2.0 { q } else { 0.0 };
    let z = q * q;
    let sin = q * poly64(
        z,
        [
            FRAC_PI_2,
            -0.6459640975062443,
            0.07969262624604301,
            -0.004681754132340976,
            0.0001604411507421909,
            -3.59864335298231e-06,
            5.633933781537854e-08,
        ],
    );
    let cos = poly64(
        z,
        [
            1.0,
            -1.2337005501361513,
            0.25366950789986475,
            -0.02086348073494657,
            0.000919259950041661,
            -2.520013526428479e-05,
            4.6552961874867623e-07,
        ],
    );
    (sin, cos)
}
