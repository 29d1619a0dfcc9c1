//! The types that strips are held in, and how stored elements become them and back.

use gradus_ir::{DType, Scalar, array, bf16, f16};

use super::half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// What the registers of a dtype hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// f32: `float32`, and the half-precision types, rounded after every op.
    F32,
    /// f64.
    F64,
    /// i64: every integer type, wrapped after every op.
    I64,
    /// u8: `bool` as 0 or 1, and `uint8` that is only converted.
    Byte,
}

impl Class {
    /// The class of a dtype.
    pub fn of(dtype: DType) -> Class {
        match dtype {
            DType::Bool => Class::Byte,
            DType::U8 | DType::I32 | DType::I64 => Class::I64,
            DType::F16 | DType::BF16 | DType::F32 => Class::F32,
            DType::F64 => Class::F64,
        }
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Class::F32 => 4,
            Class::F64 | Class::I64 => 8,
            Class::Byte => 1,
        }
    }
}

/// Whether elements of a dtype lie in memory as they do in a register.
pub(super) fn is_native(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64 | DType::I64 | DType::Bool)
}

/// An element type in memory.
pub(crate) trait Stored {
    /// What lies in memory.
    type Raw: Copy;
    /// What lies in registers.
    type Register: Copy;
    /// To the register.
    fn load(raw: Self::Raw) -> Self::Register;
    /// From the register; integers wrap, floats round.
    fn store(register: Self::Register) -> Self::Raw;
}

macro_rules! stored {
    ($($(#[$doc:meta])* $name:ident, $raw:ty, $register:ty, $load:expr, $store:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;
        impl Stored for $name {
            type Raw = $raw;
            type Register = $register;
            #[inline(always)]
            fn load(raw: $raw) -> $register { let f: fn($raw) -> $register = $load; f(raw) }
            #[inline(always)]
            fn store(register: $register) -> $raw { let f: fn($register) -> $raw = $store; f(register) }
        }
    )*};
}
stored! {
    /// `bool`, or `uint8` as it is.
    Byte, u8, u8, |x| x, |x| x;
    /// `uint8`.
    U8, u8, i64, |x| i64::from(x), |x| x as u8;
    /// `int32`.
    I32, i32, i64, |x| i64::from(x), |x| x as i32;
    /// `int64`.
    I64, i64, i64, |x| x, |x| x;
    /// `float16`.
    F16, u16, f32, |x| f16_to_f32(x), |x| f32_to_f16(x);
    /// `bfloat16`.
    BF16, u16, f32, |x| bf16_to_f32(x), |x| f32_to_bf16(x);
    /// `float32`.
    F32, f32, f32, |x| x, |x| x;
    /// `float64`.
    F64, f64, f64, |x| x, |x| x;
}

/// Runs an expression with `$S` standing for the stored type of a dtype; `uint8` in byte registers is `$byte`.
macro_rules! with_stored {
    ($dtype:expr, $class:expr, $S:ident => $body:expr) => {{
        use $crate::loops::register as r;
        match $dtype {
            DType::Bool => {
                type $S = r::Byte;
                $body
            }
            DType::U8 if $class == r::Class::Byte => {
                type $S = r::Byte;
                $body
            }
            DType::U8 => {
                type $S = r::U8;
                $body
            }
            DType::I32 => {
                type $S = r::I32;
                $body
            }
            DType::I64 => {
                type $S = r::I64;
                $body
            }
            DType::F16 => {
                type $S = r::F16;
                $body
            }
            DType::BF16 => {
                type $S = r::BF16;
                $body
            }
            DType::F32 => {
                type $S = r::F32;
                $body
            }
            DType::F64 => {
                type $S = r::F64;
                $body
            }
        }
    }};
}
pub(crate) use with_stored;

/// Runs an expression with `$T` standing for the type of a class that has arithmetic.
macro_rules! with_number {
    ($class:expr, $T:ident => $body:expr) => {
        match $class {
            Class::F32 => {
                type $T = f32;
                $body
            }
            Class::F64 => {
                type $T = f64;
                $body
            }
            Class::I64 => {
                type $T = i64;
                $body
            }
            Class::Byte => unreachable!("bools have logic, not arithmetic"),
        }
    };
}
pub(super) use with_number;

/// Runs an expression with `$T` standing for the type of a class.
macro_rules! with_register {
    ($class:expr, $T:ident => $body:expr) => {
        match $class {
            Class::F32 => {
                type $T = f32;
                $body
            }
            Class::F64 => {
                type $T = f64;
                $body
            }
            Class::I64 => {
                type $T = i64;
                $body
            }
            Class::Byte => {
                type $T = u8;
                $body
            }
        }
    };
}
pub(super) use with_register;

/// Rounds a strip of f32 to a dtype of that class.
#[inline(always)]
pub(super) fn round_f32(dtype: DType, strip: &mut [f32]) {
    match dtype {
        DType::F16 => strip.iter_mut().for_each(|x| *x = f16_to_f32(f32_to_f16(*x))),
        DType::BF16 => strip.iter_mut().for_each(|x| *x = bf16_to_f32(f32_to_bf16(*x))),
        _ => {}
    }
}

/// Wraps a strip of i64 to a dtype of that class.
#[inline(always)]
pub(super) fn wrap_i64(dtype: DType, strip: &mut [i64]) {
    match dtype {
        DType::U8 => strip.iter_mut().for_each(|x| *x &= 0xff),
        DType::I32 => strip.iter_mut().for_each(|x| *x = i64::from(*x as i32)),
        _ => {}
    }
}

/// A type that registers hold, and how the others convert to it: as C and PyTorch convert.
pub(super) trait Register: Copy {
    /// A scalar as a dtype of this class holds it.
    fn from_scalar(scalar: Scalar, dtype: DType) -> Self;
    /// To `bool`: not zero.
    fn to_bool(self) -> u8;
    /// To `uint8`, `int32` or `int64`.
    fn to_int(self, dtype: DType) -> i64;
    /// To `float16`, `bfloat16` or `float32`.
    fn to_f32(self, dtype: DType) -> f32;
    /// To `float64`.
    fn to_f64(self) -> f64;
}

macro_rules! register {
    ($($t:ty, $from:ident, $zero:literal, $f16:expr, $bf16:expr;)*) => {$(
        impl Register for $t {
            #[inline(always)]
            fn from_scalar(scalar: Scalar, dtype: DType) -> $t { $from(scalar, dtype) as $t }
            #[inline(always)]
            fn to_bool(self) -> u8 { u8::from(self != $zero) }
            #[inline(always)]
            fn to_int(self, dtype: DType) -> i64 {
                match dtype {
                    DType::U8 => self as i64 & 0xff,
                    // As wide as the target first: floats saturate at its bounds, integers wrap.
                    DType::I32 => i64::from(self as i32),
                    _ => self as i64,
                }
            }
            #[inline(always)]
            fn to_f32(self, dtype: DType) -> f32 {
                match dtype {
                    DType::F16 => { let f: fn($t) -> u16 = $f16; f16_to_f32(f(self)) }
                    DType::BF16 => { let f: fn($t) -> u16 = $bf16; bf16_to_f32(f(self)) }
                    _ => self as f32,
                }
            }
            #[inline(always)]
            fn to_f64(self) -> f64 { self as f64 }
        }
    )*};
}
register! {
    f32, float, 0.0, |x| f32_to_f16(x), |x| f32_to_bf16(x);
    // Not through f32: rounding twice may miss the nearest.
    f64, float, 0.0, |x| f16::from_f64(x).to_bits(), |x| bf16::from_f64(x).to_bits();
    i64, int, 0, |x| f16::from_f64(x as f64).to_bits(), |x| bf16::from_f64(x as f64).to_bits();
    u8, int, 0, |x| f32_to_f16(f32::from(x)), |x| f32_to_bf16(f32::from(x));
}

fn float(scalar: Scalar, dtype: DType) -> f64 {
    array::round_float(dtype, scalar.to_f64())
}

fn int(scalar: Scalar, dtype: DType) -> i64 {
    array::wrap_int(dtype, scalar.to_i64())
}
