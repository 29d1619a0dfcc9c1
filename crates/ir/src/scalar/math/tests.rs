//! Every function against its oracle in f64, within the documented bound.

use super::*;

type Function = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64);

/// Name, f32 function, f64 oracle, documented bound.
const FUNCTIONS: [Function; 13] = [
    ("exp", |x| exp(x), libm::exp, 1.0),
    ("expm1", |x| expm1(x), libm::expm1, 2.0),
    ("ln", |x| ln(x), libm::log, 1.0),
    ("log1p", |x| log1p(x), libm::log1p, 2.0),
    ("tanh", |x| tanh(x), libm::tanh, 3.0),
    ("sigmoid", |x| sigmoid(x), |x| 1.0 / (1.0 + libm::exp(-x)), 3.0),
    ("erf", |x| erf(x), libm::erf, 4.0),
    ("sin", |x| sin(x), libm::sin, 1.0),
    ("cos", |x| cos(x), libm::cos, 1.0),
    ("asin", |x| asin(x), libm::asin, 1.0),
    ("acos", |x| acos(x), libm::acos, 1.0),
    ("erfc", |x| erfc(x), libm::erfc, 1.0),
    ("erfinv", |x| erfinv(x), erfinv_f64, 1.0),
];

const SPECIAL: [f32; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    3.0,
    -3.0,
    0.5,
    -0.5,
    1.5,
    -1.5,
    1e-45,
    -1e-45,
    1e-10,
    -1e-10,
    f32::MIN_POSITIVE,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// The distance of `got` from `want` in units of `want`'s last place; 0 where both are NaN or
/// the same infinity or zero of the same sign, infinite where only one is.
fn ulps(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if rounded.is_nan() || rounded.is_infinite() || rounded == 0.0 || !got.is_finite() {
        let same = got.is_nan() && rounded.is_nan()
            || got == rounded && got.is_sign_negative() == rounded.is_sign_negative();
        return if same { 0.0 } else { f64::INFINITY };
    }
    let exponent = u64::from(rounded.abs().to_bits() >> 23).max(1);
    let ulp = f64::from_bits((exponent + 1023 - 127 - 23) << 52);
    (f64::from(got) - want).abs() / ulp
}

/// Asserts the bound over every `stride`th bit pattern.
fn sweep(stride: usize) {
    for (name, f, oracle, bound) in FUNCTIONS {
        let mut worst = (0.0, 0.0);
        let patterns = (0..=u32::MAX).step_by(stride).map(f32::from_bits);
        for x in patterns.chain(SPECIAL) {
            let error = ulps(f(x), oracle(f64::from(x)));
            if error > worst.0 {
                worst = (error, x);
            }
        }
        let (error, x) = worst;
        println!("{name}: {error:.3} ulp at {x:e}");
        assert!(error <= bound, "{name}({x:e}) = {:e} is off by {error} ulp", f(x));
    }
}

#[test]
fn errors_are_within_the_documented_bounds() {
    sweep(499);
}

#[test]
#[ignore = "all 2³² arguments take minutes"]
fn errors_are_within_the_documented_bounds_everywhere() {
    sweep(1);
}

/// Where the result is a subnormal number, to its last place.
#[test]
fn ndtr_is_within_the_documented_bound() {
    for x in (0..=u32::MAX).step_by(499).map(f32::from_bits).chain(SPECIAL) {
        let (got, want) = (ndtr(x), ndtr_f64(f64::from(x)));
        let same = f64::from(got) == want || got.is_nan() && want.is_nan();
        let near = (f64::from(got) - want).abs() < 1e-37;
        let bound = 16.0 + f64::from(x * x);
        assert!(same || near || ulps(got, want) <= bound, "ndtr({x:e}) = {got:e}, not {want:e}");
    }
}

#[test]
fn pow_is_within_the_documented_bound() {
    for x in SPECIAL {
        for y in SPECIAL {
            let (got, want) = (pow(x, y), libm::pow(f64::from(x), f64::from(y)));
            assert!(ulps(got, want) <= 1.0, "pow({x:e}, {y:e}) = {got:e}, not {want:e}");
        }
    }
    // Bases over all magnitudes and near 1, exponents that bring the result into every range.
    let mut state = 1_u64;
    let mut unit = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / EXP2_52 - 1.0
    };
    let mut worst = 0.0_f64;
    for i in 0..4_000_000 {
        let x =
            if i % 2 == 0 { libm::exp2(150.0 * unit()) } else { libm::exp(unit() / 64.0) } as f32;
        let y = (160.0 * unit() / libm::log2(f64::from(x))) as f32;
        let (got, want) = (pow(x, y), libm::pow(f64::from(x), f64::from(y)));
        worst = worst.max(ulps(got, want));
        assert!(ulps(got, want) <= 1.0, "pow({x:e}, {y:e}) = {got:e}, not {want:e}");
    }
    println!("pow: {worst:.3} ulp");
}

/// Their zeros at negative x are crossed between two f32, where no relative bound holds.
#[test]
fn gamma_functions_are_within_the_documented_bounds() {
    let functions: [Function; 2] = [
        ("lgamma", |x| lgamma(x), libm::lgamma, 1.0),
        ("digamma", |x| digamma(x), digamma_f64, 1.0),
    ];
    for (name, f, oracle, bound) in functions {
        let near_zero = if name == "digamma" { 1e-13 } else { 0.0 };
        let mut worst = 0.0_f64;
        // Beside the zeros of digamma and lgamma too.
        let zeros = [1.461_632_1, 1.461_632, 0.999_999_94, 1.000_000_1, 1.999_999_9, 2.000_000_2];
        for x in (0..=u32::MAX).step_by(499).map(f32::from_bits).chain(SPECIAL).chain(zeros) {
            let (got, want) = (f(x), oracle(f64::from(x)));
            if (f64::from(got) - want).abs() < near_zero {
                continue;
            }
            if x >= 0.0 || !(want as f32).is_finite() {
                let error = ulps(got, want);
                worst = worst.max(error);
                assert!(error <= bound, "{name}({x:e}) = {got:e}, not {want:e}: {error} ulp");
            } else {
                let error = (f64::from(got) - want).abs() / want.abs().max(1.0);
                assert!(error <= 1e-7, "{name}({x:e}) = {got:e}, not {want:e}");
            }
        }
        println!("{name}: {worst:.3} ulp");
    }
}

#[test]
fn the_inverse_of_erf_in_double_precision_is_one() {
    for i in -999..=999 {
        let x = f64::from(i) / 1000.0;
        let back = libm::erf(erfinv_f64(x));
        assert!((back - x).abs() <= 4.0 * f64::EPSILON * x.abs(), "{x}: {back}");
    }
    for x in [1e-300, 1e-20, 1e-9, 1e-4] {
        let slope = erfinv_f64(x) / x;
        assert!((slope - std::f64::consts::PI.sqrt() / 2.0).abs() < 1e-8, "{x}: {slope}");
    }
}

#[test]
fn digamma_in_double_precision_knows_its_values() {
    const EULER: f64 = 0.577_215_664_901_532_9;
    for (x, want) in [
        (1.0, -EULER),
        (0.5, -EULER - 2.0 * std::f64::consts::LN_2),
        (2.0, 1.0 - EULER),
        (-0.5, 2.0 - EULER - 2.0 * std::f64::consts::LN_2),
        (100.0, 4.600_161_852_738_087),
    ] {
        assert!((digamma_f64(x) - want).abs() < 1e-14, "{x}: {}", digamma_f64(x));
    }
}

/// Arguments of a function of two numbers: every pair of special ones, and magnitudes of all kinds.
fn pairs() -> Vec<(f32, f32)> {
    let mut pairs: Vec<_> =
        SPECIAL.iter().flat_map(|&a| SPECIAL.iter().map(move |&b| (a, b))).collect();
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 32) as u32
    };
    for i in 0..400_000 {
        let (a, b) = (f32::from_bits(next()), f32::from_bits(next()));
        // Of like size, so that quotients are small too.
        let near = a * (1.0 + (b.to_bits() as f32) / 1e9);
        pairs.push((a, if i % 2 == 0 { b } else { near }));
    }
    pairs
}

#[test]
fn atan2_is_within_the_documented_bound() {
    for (y, x) in pairs() {
        let (got, want) = (atan2(y, x), libm::atan2(f64::from(y), f64::from(x)));
        assert!(ulps(got, want) <= 1.0, "atan2({y:e}, {x:e}) = {got:e}, not {want:e}");
    }
}

#[test]
fn fmod_is_exact() {
    for (a, b) in pairs() {
        let (got, want) = (fmod(a, b), a % b);
        let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
        assert!(same, "fmod({a:e}, {b:e}) = {got:e}, not {want:e}");
    }
}

#[test]
fn exact_powers_are_exact() {
    for i in -40..=40 {
        let x = i as f32;
        assert_eq!(pow(x, 2.0), x * x);
        assert_eq!(pow(x, 3.0), x * x * x);
        assert_eq!(pow(x * x, 0.5), x.abs());
        assert_eq!(pow(2.0, x), libm::exp2(f64::from(i)) as f32);
    }
}
