//! Element types, PyTorch's promotion table, and the scalars that appear in code.
//!
//! The list is closed: an op states which *classes* it accepts, and every backend stores exactly these
//! eight types. Half-precision types are storage types: arithmetic on them runs in f32 and rounds after each
//! op, so that fusing ops never changes a bit.

use std::fmt;
use std::hash::{Hash, Hasher};

pub use half::{bf16, f16};

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// `bool`, stored as one byte, 0 or 1.
    Bool,
    /// Unsigned 8-bit integer (images, bytes).
    U8,
    /// 32-bit integer.
    I32,
    /// 64-bit integer: the type of labels and indices.
    I64,
    /// IEEE half precision; arithmetic runs in f32.
    F16,
    /// bfloat16; arithmetic runs in f32.
    BF16,
    /// Single precision: the default for parameters and data.
    F32,
    /// Double precision.
    F64,
}

impl DType {
    /// Every element type, in promotion order.
    pub const ALL: [DType; 8] = [
        DType::Bool,
        DType::U8,
        DType::I32,
        DType::I64,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
    ];

    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 => 1,
            DType::F16 | DType::BF16 => 2,
            DType::I32 | DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    /// Whether this is a floating-point type (the only ones that carry gradients).
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }

    /// Whether this is an integer type; `bool` is not.
    pub const fn is_int(self) -> bool {
        matches!(self, DType::U8 | DType::I32 | DType::I64)
    }

    /// PyTorch's name without the prefix: `float32`, `int64`, `bool` …
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "uint8",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::F32 => "float32",
            DType::F64 => "float64",
        }
    }

    /// The type of an op on two *tensors* of these types: PyTorch's `torch.promote_types`.
    ///
    /// Floats win over integers, integers over `bool`; `float16` with `bfloat16` gives `float32`.
    pub fn promote(self, other: DType) -> DType {
        use DType::*;
        match (self, other) {
            (F16, BF16) | (BF16, F16) => F32,
            (a, b) => a.max(b),
        }
    }

    /// The type of an op on a tensor of this type and a *scalar in the code*, which is weak: it changes
    /// the class (bool → integer → float) but never the width, as in PyTorch.
    pub fn promote_scalar(self, scalar: Scalar) -> DType {
        match scalar {
            Scalar::Bool(_) => self,
            Scalar::I64(_) if self == DType::Bool => DType::I64,
            Scalar::I64(_) => self,
            Scalar::F64(_) if self.is_float() => self,
            Scalar::F64(_) => DType::F32,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number written in the code: weakly typed, it takes the width of the tensor it meets.
#[derive(Clone, Copy, Debug)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    I64(i64),
    /// A float.
    F64(f64),
}

impl Scalar {
    /// The value as f64 (integers beyond 2⁵³ round).
    pub fn to_f64(self) -> f64 {
        match self {
            Scalar::Bool(b) => f64::from(u8::from(b)),
            Scalar::I64(i) => i as f64,
            Scalar::F64(x) => x,
        }
    }

    /// The value as i64 (floats truncate towards zero and saturate).
    pub fn to_i64(self) -> i64 {
        match self {
            Scalar::Bool(b) => i64::from(b),
            Scalar::I64(i) => i,
            Scalar::F64(x) => x as i64,
        }
    }

    /// The dtype a tensor made of this scalar alone has: `bool`, `int64` or `float32`.
    pub fn dtype(self) -> DType {
        match self {
            Scalar::Bool(_) => DType::Bool,
            Scalar::I64(_) => DType::I64,
            Scalar::F64(_) => DType::F32,
        }
    }

    fn bits(self) -> (u8, u64) {
        match self {
            Scalar::Bool(b) => (0, u64::from(b)),
            Scalar::I64(i) => (1, i as u64),
            Scalar::F64(x) => (2, x.to_bits()),
        }
    }
}

/// Bitwise: `0.0` and `-0.0` differ and a NaN equals itself, as a cache key needs.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}
impl Eq for Scalar {}
impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(b) => write!(f, "{b}"),
            Scalar::I64(i) => write!(f, "{i}"),
            Scalar::F64(x) => write!(f, "{x:?}"),
        }
    }
}

macro_rules! scalar_from {
    ($($t:ty => $variant:ident as $wide:ty),*) => {$(
        impl From<$t> for Scalar {
            fn from(x: $t) -> Scalar {
                Scalar::$variant(x as $wide)
            }
        }
    )*};
}
scalar_from!(bool => Bool as bool, u8 => I64 as i64, i32 => I64 as i64, i64 => I64 as i64,
    usize => I64 as i64, f32 => F64 as f64, f64 => F64 as f64);

/// A Rust type that a tensor can hold.
pub trait Element: Copy + Default + Send + Sync + fmt::Debug + PartialEq + 'static {
    /// Its dtype.
    const DTYPE: DType;
    /// What is stored: the type itself, or `u8` for `bool`.
    type Stored: bytemuck::Pod;
    /// To the stored form.
    fn store(self) -> Self::Stored;
    /// From the stored form.
    fn load(stored: Self::Stored) -> Self;
    /// The value as f64, for the reference interpreter and for printing.
    fn to_f64(self) -> f64;
    /// The value as i64; floats truncate and saturate.
    fn to_i64(self) -> i64;
    /// From f64, rounding as a cast does.
    fn from_f64(x: f64) -> Self;
    /// From i64; integers wrap.
    fn from_i64(x: i64) -> Self;
}

macro_rules! element {
    ($($t:ty, $dtype:ident, $stored:ty, $store:expr, $load:expr, $to_f64:expr, $to_i64:expr, $from_f64:expr, $from_i64:expr;)*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            type Stored = $stored;
            #[inline(always)]
            fn store(self) -> $stored { let f: fn($t) -> $stored = $store; f(self) }
            #[inline(always)]
            fn load(stored: $stored) -> $t { let f: fn($stored) -> $t = $load; f(stored) }
            #[inline(always)]
            fn to_f64(self) -> f64 { let f: fn($t) -> f64 = $to_f64; f(self) }
            #[inline(always)]
            fn to_i64(self) -> i64 { let f: fn($t) -> i64 = $to_i64; f(self) }
            #[inline(always)]
            fn from_f64(x: f64) -> $t { let f: fn(f64) -> $t = $from_f64; f(x) }
            #[inline(always)]
            fn from_i64(x: i64) -> $t { let f: fn(i64) -> $t = $from_i64; f(x) }
        }
    )*};
}
element! {
    bool, Bool, u8, |x| u8::from(x), |s| s != 0, |x| f64::from(u8::from(x)), |x| i64::from(x), |x| x != 0.0, |x| x != 0;
    u8, U8, u8, |x| x, |s| s, |x| f64::from(x), |x| i64::from(x), |x| x as i64 as u8, |x| x as u8;
    i32, I32, i32, |x| x, |s| s, |x| f64::from(x), |x| i64::from(x), |x| x as i32, |x| x as i32;
    i64, I64, i64, |x| x, |s| s, |x| x as f64, |x| x, |x| x as i64, |x| x;
    f16, F16, f16, |x| x, |s| s, |x| x.to_f64(), |x| x.to_f64() as i64, |x| f16::from_f32(x as f32), |x| f16::from_f32(x as f32);
    bf16, BF16, bf16, |x| x, |s| s, |x| x.to_f64(), |x| x.to_f64() as i64, |x| bf16::from_f32(x as f32), |x| bf16::from_f32(x as f32);
    f32, F32, f32, |x| x, |s| s, |x| f64::from(x), |x| x as i64, |x| x as f32, |x| x as f32;
    f64, F64, f64, |x| x, |s| s, |x| x, |x| x as i64, |x| x, |x| x as f64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotion_follows_pytorch() {
        assert_eq!(DType::F16.promote(DType::BF16), DType::F32);
        assert_eq!(DType::I64.promote(DType::F16), DType::F16);
        assert_eq!(DType::U8.promote(DType::I32), DType::I32);
        assert_eq!(DType::Bool.promote(DType::U8), DType::U8);
        assert_eq!(DType::F32.promote_scalar(Scalar::F64(0.1)), DType::F32);
        assert_eq!(DType::I32.promote_scalar(Scalar::F64(0.1)), DType::F32);
        assert_eq!(DType::Bool.promote_scalar(Scalar::I64(1)), DType::I64);
        assert_eq!(DType::U8.promote_scalar(Scalar::I64(300)), DType::U8);
    }

    #[test]
    fn scalars_compare_by_bits() {
        assert_ne!(Scalar::F64(0.0), Scalar::F64(-0.0));
        assert_eq!(Scalar::F64(f64::NAN), Scalar::F64(f64::NAN));
        assert_ne!(Scalar::F64(1.0), Scalar::I64(1));
    }
}
