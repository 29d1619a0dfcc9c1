//! Elementary functions in f32.
//!
//! libm's functions neither vectorise nor agree across systems, so the scalar table uses these:
//! straight-line code of `+`, `−`, `·`, `/`, selects and bit operations, which LLVM vectorises in
//! any loop they are inlined into. There is no fused multiply-add and no call, so every instruction
//! set gives the same bits (but for the payload of a NaN). Infinities, NaN, signed zeros and
//! subnormals are treated as C's functions treat them.
//!
//! Each bound, in units of the last place of the true result, holds for every f32 (`pow`, `atan2`,
//! `lgamma` and `digamma`: for all arguments tried); `cargo test --release -- --ignored` checks all
//! 2³² of them. `sin`, `cos`, `pow` and the functions of `special` compute in f64, which halves the
//! lanes; the others are on the paths of activations and losses and stay in f32. The polynomials are
//! minimax fits.

mod special;
#[cfg(test)]
mod tests;

pub use special::{
    acos, asin, atan2, digamma, digamma_f64, erfc, erfinv, erfinv_f64, fmod, lgamma, shift_left,
    shift_right,
};

/// eˣ, within 1 ulp.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these, the result is infinite or rounds to 0.
    let (m, n) = expm1_reduced(clamp(x, -104.0, 89.0));
    // In two steps, because 2ⁿ itself overflows for the largest results and underflows for
    // subnormal ones.
    let half = n >> 1;
    (1.0 + m) * exp2_int(half) * exp2_int(n.wrapping_sub(half))
}

/// eˣ − 1, within 2 ulp.
#[inline(always)]
pub fn expm1(x: f32) -> f32 {
    let (m, n) = expm1_reduced(clamp(x, -18.0, 89.0));
    // Halved, because 2ⁿ itself overflows for the largest results.
    let s = exp2_int(n.wrapping_sub(1));
    let y = 2.0 * (s * m + (s - 0.5));
    if x.abs() < f32::EPSILON / 2.0 { x } else { y }
}

/// The natural logarithm, within 1 ulp.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    // x = 2ᵉ (1 + f), with 1 + f in [√½, √2).
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let subnormal = x < f32::MIN_POSITIVE;
    let bits = if subnormal { x * (1 << 23) as f32 } else { x }.to_bits().wrapping_sub(SQRT_HALF);
    let e = ((bits as i32) >> 23) as f32 - if subnormal { 23.0 } else { 0.0 };
    let f = f32::from_bits((bits & 0x007f_ffff) + SQRT_HALF) - 1.0;
    let p = poly(
        f,
        [
            0.33333313,
            -0.2500001,
            0.20002134,
            -0.16668007,
            0.14219224,
            -0.12405135,
            0.118903205,
            -0.11679656,
            0.06746608,
        ],
    );
    let f2 = f * f;
    let y = f + (f2 * f * p + e * LN_2_LOW - 0.5 * f2) + e * LN_2_HIGH;
    let edge = if x == 0.0 { f32::NEG_INFINITY } else { f32::NAN };
    let y = if x > 0.0 { y } else { edge };
    if x < f32::INFINITY { y } else { x }
}

/// ln(1 + x), within 2 ulp.
#[inline(always)]
pub fn log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    // What rounding 1 + x lost is worth lost / u to the logarithm.
    let y = ln(u) + (x - (u - 1.0)) / u;
    let y = if u == 1.0 { x } else { y };
    let inside = x > -1.0 && x < f32::INFINITY;
    if inside { y } else { ln(u) }
}

/// The hyperbolic tangent, within 3 ulp.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    // tanh |x| = m / (m + 2), with m = e^(2|x|) − 1. At 10 the result has long rounded to 1.
    let (m, n) = expm1_reduced(clamp(2.0 * x.abs(), 0.0, 20.0));
    let s = exp2_int(n);
    let m = s * m + (s - 1.0);
    (m / (m + 2.0)).copysign(x)
}

/// 1 / (1 + e⁻ˣ), within 3 ulp.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// The error function, 2/√π ∫₀ˣ e^(−t²) dt, within 4 ulp.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    // erf |x| = 1 − e^(−|x| q(|x|)): the polynomial q = −ln(erfc |x|) / |x| serves small and large
    // x alike. At 4 the result has rounded to 1.
    let a = clamp(x.abs(), 0.0, 4.0);
    let q = poly(
        a,
        [
            std::f32::consts::FRAC_2_SQRT_PI,
            std::f32::consts::FRAC_2_PI,
            0.102771275,
            -0.019117694,
            -0.00025306086,
            0.0017993536,
            -0.0007406857,
            0.00016748083,
            -2.1354555e-05,
            1.1932942e-06,
        ],
    );
    let (m, n) = expm1_reduced(-a * q);
    let s = exp2_int(n);
    ((1.0 - s) - s * m).copysign(x)
}

/// The distribution function of the normal distribution, Φ(x), within 16 + x² ulp.
#[inline(always)]
pub fn ndtr(x: f32) -> f32 {
    // Φ(−|x|) is e^(−x²/2) times a polynomial of 1 / (1 + 0.35 |x|), which tends to 0 as slowly as it does. What
    // x² is rounded by is what the exponential is off by far out.
    let t = 1.0 / (1.0 + 0.35 * x.abs());
    let p = poly(
        t,
        [
            -2.731_174e-5,
            0.140_270_28,
            0.133_355_56,
            0.155_959_76,
            -0.017_019_758,
            0.240_636_35,
            -0.202_116_4,
            0.048_941_683,
        ],
    );
    let tail = exp(x * x * -0.5) * p;
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// [`ndtr`] in f64.
pub fn ndtr_f64(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// The density of the normal distribution at its mean, 1/√(2π).
pub const NORMAL_PEAK: f64 = 0.398_942_280_401_432_7;

/// sin x, within 1 ulp for every finite x.
#[inline(always)]
pub fn sin(x: f32) -> f32 {
    let y = sin_quarters(x.abs(), 0);
    f32::from_bits(y.to_bits() ^ (x.to_bits() & 0x8000_0000))
}

/// cos x, within 1 ulp for every finite x.
#[inline(always)]
pub fn cos(x: f32) -> f32 {
    sin_quarters(x.abs(), 1)
}

/// xʸ, within 1 ulp, with the special cases of C's `pow`: x⁰ = 1ʸ = 1 even for NaN, a negative x
/// needs an integer y, an odd y keeps the sign of x.
#[inline(always)]
pub fn pow(x: f32, y: f32) -> f32 {
    let a = f64::from(x.abs());
    // Beyond 2⁴⁰ every y is an even integer that leaves only 0, 1 and infinity; the clamp keeps 0 ·
    // ∞ away.
    let w = f64::from(y);
    let w = if w > EXP2_40 { EXP2_40 } else { w };
    let w = if w < -EXP2_40 { -EXP2_40 } else { w };

    // a = 2ᵉ m, with m in [√½, √2); log₂ m is odd in s = (m − 1) / (m + 1).
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = a.to_bits().wrapping_sub(SQRT_HALF);
    // Biased into the mantissa of 2⁵², because few instruction sets convert 64-bit integers to
    // floats.
    let e = f64::from_bits((bits.wrapping_add(1023 << 52) >> 52) | EXP2_52.to_bits())
        - (EXP2_52 + 1023.0);
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) + SQRT_HALF);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let log2 = e + s * poly64(
        z,
        [
            2.885390081777927,
            0.9617966939243144,
            0.5770780172548617,
            0.4121984007287275,
            0.32061647998986137,
            0.26144131263271725,
            0.24295118186575176,
        ],
    );
    let log2 = if a == 0.0 { f64::NEG_INFINITY } else { log2 };
    let log2 = if a < f64::INFINITY { log2 } else { a };

    // The cast to f32 overflows and underflows.
    let magnitude = exp2_wide(w * log2) as f32;

    let shifted = w + ROUND_64;
    let integer = shifted - ROUND_64 == w;
    let odd = integer && shifted.to_bits() & 1 == 1;
    let sign = if odd { x.to_bits() & 0x8000_0000 } else { 0 };
    let power = f32::from_bits(magnitude.to_bits() | sign);
    let undefined = x < 0.0 && x > f32::NEG_INFINITY && !integer;
    let power = if undefined { f32::NAN } else { power };
    if x == 1.0 || y == 0.0 { 1.0 } else { power }
}

/// ln 2 in two parts: the first has so few bits that its product with any exponent is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// 1.5 · 2²³ and 1.5 · 2⁵²: adding and subtracting one rounds to an integer, which the sum's low
/// bits hold.
const ROUND: f32 = 12_582_912.0;
const ROUND_64: f64 = 6_755_399_441_055_744.0;
const EXP2_23: f64 = (1_u64 << 23) as f64;
const EXP2_40: f64 = (1_u64 << 40) as f64;
const EXP2_52: f64 = (1_u64 << 52) as f64;

/// (m, n) with eˣ = 2ⁿ (1 + m) and m in about [−0.3, 0.42].
#[inline(always)]
fn expm1_reduced(x: f32) -> (f32, i32) {
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let p = poly(r, [0.5, 0.16666666, 0.041666295, 0.008333498, 0.0013944758, 0.00019790245]);
    (r + r * r * p, shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32)
}

/// 2ᶻ in f64, good for an f32; far beyond an f32's range the exponent stops.
#[inline(always)]
fn exp2_wide(z: f64) -> f64 {
    let z = if z > 130.0 { 130.0 } else { z };
    let z = if z < -160.0 { -160.0 } else { z };
    // The integer part of z goes into the exponent.
    let shifted = z + ROUND_64;
    let r = z - (shifted - ROUND_64);
    let p = poly64(
        r,
        [
            0.9999999999616211,
            0.6931471807287097,
            0.24022651198756717,
            0.055504103528483374,
            0.009618027172528519,
            0.0013333922842530053,
            0.0001546931737615743,
            1.520190420019912e-05,
        ],
    );
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0_f64.to_bits()));
    p * scale
}

/// 2ⁿ for n in −126 ..= 127.
#[inline(always)]
fn exp2_int(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// 1 / 2ᵏ and, in three parts, 2ᵏ · 2/π modulo 4. The first two parts have so few bits that their
/// products with a number of 24 bits are exact.
const QUARTERS: [(f64, [f64; 3]); 5] = [
    (1.0, [0.6366197764873505, -4.119769081434299e-09, -3.935735335036497e-17]),
    (
        1.0 / (1_u128 << 21) as f64,
        [0.42886021733283997, 6.159536214411787e-10, -4.277299443043567e-17],
    ),
    (
        1.0 / (1_u128 << 42) as f64,
        [1.0637917518615723, -3.582161123283356e-09, -2.340465345931435e-18],
    ),
    (
        1.0 / (1_u128 << 63) as f64,
        [0.9924876689910889, -5.360013100030869e-09, -1.5589282983320628e-17],
    ),
    (
        1.0 / (1_u128 << 84) as f64,
        [1.488759234547615, 3.2269359406811304e-09, -2.5513992449377375e-17],
    ),
];

/// The sine of x ≥ 0 plus `quarters` quarter turns.
#[inline(always)]
fn sin_quarters(x: f32, quarters: u64) -> f32 {
    // x is counted in quarter turns, of which multiples of 4 may be left out: where x / 2ᵏ is an
    // integer, which it is from 2ᵏ⁺²³ on, 2ᵏ · 2/π is needed modulo 4 only.
    let x = f64::from(x);
    let (mut scale, mut factor) = QUARTERS[0];
    for row in &QUARTERS[1..] {
        (scale, factor) = if x >= EXP2_23 / row.0 { *row } else { (scale, factor) };
    }
    let x = x * scale;
    let (high, low) = (x * factor[0], x * factor[1]);
    let shifted = (high + low) + ROUND_64;
    let q = ((high - (shifted - ROUND_64)) + low) + x * factor[2];
    let z = q * q;
    let sin = q * poly64(
        z,
        [
            1.5707963267877356,
            -0.6459640961001603,
            0.07969258178941484,
            -0.004681260232138097,
            0.00015819417707426113,
        ],
    );
    let cos = poly64(
        z,
        [
            0.9999999999525059,
            -1.2337005406322346,
            0.25366920357588807,
            -0.02086006860522414,
            0.0009036255007710098,
        ],
    );
    let quarter = shifted.to_bits().wrapping_add(quarters);
    let y = if quarter & 1 == 1 { cos } else { sin };
    f64::from_bits(y.to_bits() ^ ((quarter & 2) << 62)) as f32
}

/// x within the bounds; NaN stays NaN.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// c₀ + c₁x + c₂x² + …
#[inline(always)]
fn poly<const N: usize>(x: f32, c: [f32; N]) -> f32 {
    c[..N - 1].iter().rev().fold(c[N - 1], |sum, c| sum * x + c)
}

/// c₀ + c₁x + c₂x² + …
#[inline(always)]
fn poly64<const N: usize>(x: f64, c: [f64; N]) -> f64 {
    c[..N - 1].iter().rev().fold(c[N - 1], |sum, c| sum * x + c)
}

/// `aᵇ` on integers, wrapping; with a negative exponent the quotient 1 / a⁻ᵇ truncates towards 0.
#[inline(always)]
pub fn pow_i64(a: i64, b: i64) -> i64 {
    match (a, b) {
        (_, 0..) => {
            let (mut result, mut square, mut left) = (1i64, a, b);
            while left > 0 {
                if left & 1 == 1 {
                    result = result.wrapping_mul(square);
                }
                square = square.wrapping_mul(square);
                left >>= 1;
            }
            result
        }
        (1, _) => 1,
        (-1, _) => 1 - 2 * (b & 1),
        _ => 0,
    }
}
