//! Half-precision formats as bits, without branches, so that strips of them convert in vectors.

/// The f32 equal to an IEEE half-precision number.
#[inline(always)]
pub(super) fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let magnitude = u32::from(half & 0x7fff) << 13;
    // Read as an f32, the number is 2¹¹² times too small; the product is exact, subnormals included.
    let finite = (f32::from_bits(magnitude) * f32::from_bits(239 << 23)).to_bits();
    let special = magnitude | 0x7f80_0000;
    f32::from_bits(sign | if half & 0x7c00 == 0x7c00 { special } else { finite })
}

/// An f32 rounded to IEEE half precision, halves to even.
#[inline(always)]
pub(super) fn f32_to_f16(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16) & 0x8000;
    let abs = x.to_bits() & 0x7fff_ffff;
    let odd = (abs >> 13) & 1;
    let normal = abs.wrapping_sub(112 << 23).wrapping_add(0xfff + odd) >> 13;
    // The last place of 0.5 is the smallest half-precision subnormal: adding it rounds there.
    let subnormal = (f32::from_bits(abs) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let finite = if abs < 113 << 23 { subnormal } else { normal };
    let bounded = if abs < 143 << 23 { finite } else { 0x7c00 };
    (sign | if abs > 0x7f80_0000 { 0x7e00 } else { bounded }) as u16
}

/// The f32 equal to a bfloat16.
#[inline(always)]
pub(super) fn bf16_to_f32(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// An f32 rounded to bfloat16, halves to even.
#[inline(always)]
pub(super) fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let odd = (bits >> 16) & 1;
    let rounded = bits.wrapping_add(0x7fff + odd) >> 16;
    let nan = bits & 0x7fff_ffff > 0x7f80_0000;
    (if nan { (bits >> 16) | 0x40 } else { rounded }) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn every_half_converts_exactly_and_back() {
        for bits in 0..=u16::MAX {
            let (wide, expected) = (f16_to_f32(bits), f16::from_bits(bits).to_f32());
            assert!(wide == expected || wide.is_nan() && expected.is_nan(), "{bits:#x}");
            assert!(
                f32_to_f16(wide) == bits || wide.is_nan() && f16_to_f32(f32_to_f16(wide)).is_nan()
            );
            let (wide, expected) = (bf16_to_f32(bits), bf16::from_bits(bits).to_f32());
            assert!(wide == expected || wide.is_nan() && expected.is_nan(), "{bits:#x}");
            assert!(f32_to_bf16(wide) == bits || bf16_to_f32(f32_to_bf16(wide)).is_nan());
        }
    }

    #[test]
    fn rounding_is_to_nearest_even() {
        // Between any two neighbours: the middle, and the numbers on both sides of it.
        for bits in (0..=u32::MAX).step_by(997).chain((0..1 << 19).map(|i| i << 12)) {
            for x in [bits.wrapping_sub(1), bits, bits.wrapping_add(1)].map(f32::from_bits) {
                if !x.is_nan() {
                    assert_eq!(f32_to_f16(x), f16::from_f32(x).to_bits(), "{x:e}");
                    assert_eq!(f32_to_bf16(x), bf16::from_f32(x).to_bits(), "{x:e}");
                }
            }
        }
    }
}
