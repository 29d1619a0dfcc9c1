//! What instructions do to strips: the loops that are compiled once per instruction tier.

use gradus_ir::ops::Distribution;
use gradus_ir::scalar::{ScalarOp, strip};
use gradus_ir::{DType, philox};

use super::program::Logic;
use super::register::{Register, Stored, round_f32, wrap_i64};
use crate::layout::{Layout, Run};
use crate::tier::Vectorized;

/// Calls `f` with each element.
#[inline(always)]
pub(super) fn each<A: Copy, B>(a: &[A], out: &mut [B], f: impl Fn(A) -> B) {
    for (o, &a) in out.iter_mut().zip(a) {
        *o = f(a);
    }
}

/// A register type with arithmetic.
pub(super) trait Arithmetic: Register + PartialOrd {
    fn unary(op: ScalarOp, a: &[Self], out: &mut [Self]);
    fn binary(op: ScalarOp, a: &[Self], b: &[Self], out: &mut [Self]);
    fn from_i64(i: i64) -> Self;
    /// Rounds or wraps results to a dtype of this class.
    fn settle(dtype: DType, out: &mut [Self]);
}

macro_rules! arithmetic {
    ($($t:ty, $unary:ident, $binary:ident, $settle:expr;)*) => {$(
        impl Arithmetic for $t {
            #[inline(always)]
            fn unary(op: ScalarOp, a: &[$t], out: &mut [$t]) { strip::$unary(op, a, out) }
            #[inline(always)]
            fn binary(op: ScalarOp, a: &[$t], b: &[$t], out: &mut [$t]) {
                strip::$binary(op, a, b, out)
            }
            #[inline(always)]
            fn from_i64(i: i64) -> $t { i as $t }
            #[inline(always)]
            fn settle(dtype: DType, out: &mut [$t]) { $settle(dtype, out) }
        }
    )*};
}
arithmetic! {
    f32, unary_f32, binary_f32, round_f32;
    f64, unary_f64, binary_f64, |_, _: &mut [f64]| {};
    i64, unary_i64, binary_i64, wrap_i64;
}

/// `out = op(a)`.
pub(super) struct Unary<'a, T> {
    pub op: ScalarOp,
    pub dtype: DType,
    pub a: &'a [T],
    pub out: &'a mut [T],
}

impl<T: Arithmetic> Vectorized for Unary<'_, T> {
    #[inline(always)]
    fn run(self) {
        T::unary(self.op, self.a, self.out);
        T::settle(self.dtype, self.out);
    }
}

/// `out = op(a, b)`.
pub(super) struct Binary<'a, T> {
    pub op: ScalarOp,
    pub dtype: DType,
    pub a: &'a [T],
    pub b: &'a [T],
    pub out: &'a mut [T],
}

impl<T: Arithmetic> Vectorized for Binary<'_, T> {
    #[inline(always)]
    fn run(self) {
        T::binary(self.op, self.a, self.b, self.out);
        T::settle(self.dtype, self.out);
    }
}

/// `out = a op b`, as bytes.
pub(super) struct Compare<'a, T> {
    pub op: ScalarOp,
    pub a: &'a [T],
    pub b: &'a [T],
    pub out: &'a mut [u8],
}

impl<T: Arithmetic> Vectorized for Compare<'_, T> {
    #[inline(always)]
    fn run(self) {
        strip::compare(self.op, self.a, self.b, self.out);
    }
}

/// `out = c ? a : b`.
pub(super) struct Select<'a, T> {
    pub c: &'a [u8],
    pub a: &'a [T],
    pub b: &'a [T],
    pub out: &'a mut [T],
}

impl<T: Register> Vectorized for Select<'_, T> {
    #[inline(always)]
    fn run(self) {
        strip::select(self.c, self.a, self.b, self.out);
    }
}

/// A function of two bits.
pub(super) struct Logical<'a> {
    pub table: Logic,
    pub a: &'a [u8],
    pub b: &'a [u8],
    pub out: &'a mut [u8],
}

impl Vectorized for Logical<'_> {
    #[inline(always)]
    fn run(self) {
        let Logic { k, ka, kb, kab } = self.table;
        for ((o, &a), &b) in self.out.iter_mut().zip(self.a).zip(self.b) {
            *o = k ^ (a & ka) ^ (b & kb) ^ (a & b & kab);
        }
    }
}

/// `a` as dtype `to`, into a register of that dtype's type.
pub(super) struct Cast<'a, T, U> {
    pub to: DType,
    pub a: &'a [T],
    pub out: &'a mut [U],
}

impl<T: Register> Vectorized for Cast<'_, T, u8> {
    #[inline(always)]
    fn run(self) {
        each(self.a, self.out, |x| x.to_bool());
    }
}

impl<T: Register> Vectorized for Cast<'_, T, i64> {
    #[inline(always)]
    fn run(self) {
        match self.to {
            DType::U8 => each(self.a, self.out, |x| x.to_int(DType::U8)),
            DType::I32 => each(self.a, self.out, |x| x.to_int(DType::I32)),
            _ => each(self.a, self.out, |x| x.to_int(DType::I64)),
        }
    }
}

impl<T: Register> Vectorized for Cast<'_, T, f32> {
    #[inline(always)]
    fn run(self) {
        match self.to {
            DType::F16 => each(self.a, self.out, |x| x.to_f32(DType::F16)),
            DType::BF16 => each(self.a, self.out, |x| x.to_f32(DType::BF16)),
            _ => each(self.a, self.out, |x| x.to_f32(DType::F32)),
        }
    }
}

impl<T: Register> Vectorized for Cast<'_, T, f64> {
    #[inline(always)]
    fn run(self) {
        each(self.a, self.out, |x| x.to_f64());
    }
}

/// Stored elements from the `start`-th on, brought into a register.
pub(super) struct Fetch<'a, S: Stored> {
    pub from: *const S::Raw,
    pub layout: &'a Layout,
    pub start: usize,
    pub out: &'a mut [S::Register],
}

impl<S: Stored> Vectorized for Fetch<'_, S> {
    #[inline(always)]
    fn run(self) {
        let Fetch { from, layout, start, out } = self;
        layout.runs(start, out.len(), |Run { at, stride, done, len }| {
            let out = &mut out[done..][..len];
            // SAFETY: whoever makes a `Fetch` answers for the elements.
            unsafe {
                // Element 0 may be nowhere, where only the elements of the strip are given.
                let from = from.wrapping_offset(at);
                match stride {
                    0 => out.fill(S::load(*from)),
                    1 => each(std::slice::from_raw_parts(from, len), out, |x| S::load(x)),
                    _ => {
                        for (i, o) in out.iter_mut().enumerate() {
                            *o = S::load(*from.offset(i as isize * stride));
                        }
                    }
                }
            }
        });
    }
}

/// A register, brought into memory.
pub(super) struct Keep<'a, S: Stored> {
    pub a: &'a [S::Register],
    pub out: &'a mut [S::Raw],
}

impl<S: Stored> Vectorized for Keep<'_, S> {
    #[inline(always)]
    fn run(self) {
        each(self.a, self.out, |x| S::store(x));
    }
}

/// Positions of a layout from the `start`-th on, as numbers.
pub(super) struct Count<'a, T> {
    pub layout: &'a Layout,
    pub dtype: DType,
    pub start: usize,
    pub out: &'a mut [T],
}

impl<T: Arithmetic> Vectorized for Count<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Count { layout, dtype, start, out } = self;
        layout.runs(start, out.len(), |Run { at, stride, done, len }| {
            for (i, o) in out[done..][..len].iter_mut().enumerate() {
                *o = T::from_i64((at + i as isize * stride) as i64);
            }
        });
        T::settle(dtype, out);
    }
}

/// Random numbers from the `start`-th on.
pub(super) struct Draw<'a, T> {
    pub distribution: Distribution,
    pub seed: u64,
    pub stream: u64,
    pub start: u64,
    pub out: &'a mut [T],
}

macro_rules! draw {
    ($($t:ty, $uniform:ident, $normal:ident;)*) => {$(
        impl Vectorized for Draw<'_, $t> {
            #[inline(always)]
            fn run(self) {
                let Draw { distribution, seed, stream, start, out } = self;
                match distribution {
                    Distribution::Uniform => philox::$uniform(seed, stream, start, out),
                    Distribution::Normal => philox::$normal(seed, stream, start, out),
                }
            }
        }
    )*};
}
draw! { f32, fill_uniform_f32, fill_normal_f32; f64, fill_uniform_f64, fill_normal_f64; }
