//! Which vector instructions kernels use: the best that the processor has, or fewer where asked for.
//!
//! A kernel is written once, as a function that is inlined into one caller per tier; the compiler vectorises
//! it anew for each. Nothing is contracted or reordered on the way, so that element-wise results have the
//! same bits on every tier.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use pulp::{Simd, WithSimd};

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// What every processor of the architecture has: SSE2 on x86-64.
    Baseline,
    /// NEON, which every AArch64 processor has: there is nothing below it.
    Neon,
    /// AVX2, FMA, BMI and what came with them.
    Avx2,
    /// AVX-512 F, BW, CD, DQ and VL.
    Avx512,
}

impl Tier {
    /// Every tier of the architecture, narrowest first.
    #[cfg(target_arch = "aarch64")]
    pub const ALL: [Tier; 1] = [Tier::Neon];
    /// Every tier of the architecture, narrowest first.
    #[cfg(not(target_arch = "aarch64"))]
    pub const ALL: [Tier; 3] = [Tier::Baseline, Tier::Avx2, Tier::Avx512];

    /// The name, as the environment variable `GRADUS_TIER` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Baseline => "baseline",
            Tier::Neon => "neon",
            Tier::Avx2 => "avx2",
            Tier::Avx512 => "avx512",
        }
    }

    /// Whether this processor can run it.
    pub fn is_supported(self) -> bool {
        Tier::ALL.contains(&self) && self <= best()
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The tier in use, as a number; [`UNSET`] before the first look.
static CURRENT: AtomicU8 = AtomicU8::new(UNSET);
const UNSET: u8 = u8::MAX;

/// The tier that kernels run on: what [`set_tier`] said last, else what `GRADUS_TIER` says, else the best that
/// the processor has.
#[inline]
pub fn tier() -> Tier {
    let current = CURRENT.load(Ordering::Relaxed);
    match Tier::ALL.into_iter().find(|&tier| tier as u8 == current) {
        Some(tier) => tier,
        None => set_tier(requested()),
    }
}

/// Makes kernels run on a tier, or on the best supported one below it (the narrowest where none is), and returns
/// which.
pub fn set_tier(tier: Tier) -> Tier {
    let below = Tier::ALL.into_iter().rfind(|t| t.is_supported() && *t <= tier);
    let tier = below.unwrap_or(Tier::ALL[0]);
    CURRENT.store(tier as u8, Ordering::Relaxed);
    tier
}

/// What the environment asks for. A name that is none of a tier's is reported once and ignored.
fn requested() -> Tier {
    let Ok(name) = std::env::var("GRADUS_TIER") else { return best() };
    let known = Tier::ALL.into_iter().find(|tier| tier.name() == name);
    known.unwrap_or_else(|| {
        let names = Tier::ALL.map(Tier::name).join(", ");
        eprintln!("gradus: GRADUS_TIER={name} is none of {names}; using {}", best());
        best()
    })
}

#[cfg(target_arch = "x86_64")]
fn best() -> Tier {
    let avx512 = pulp::x86::V4::is_available();
    let avx2 = pulp::x86::V3::is_available();
    match (avx512, avx2) {
        (true, true) => Tier::Avx512,
        (false, true) => Tier::Avx2,
        (_, false) => Tier::Baseline,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best() -> Tier {
    Tier::ALL[0]
}

/// A piece of work to be compiled once per tier. `run`, and what it calls in its loops, must be
/// `#[inline(always)]`: code that is not inlined keeps the baseline's instructions.
pub(crate) trait Vectorized {
    /// Does it.
    fn run(self);
}

/// Runs a piece of work on the current tier.
#[inline(always)]
pub(crate) fn vectorize(work: impl Vectorized) {
    match tier() {
        Tier::Baseline | Tier::Neon => baseline(work),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `set_tier` lets a tier pass only if the processor has its instructions.
        Tier::Avx2 => unsafe { avx2(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Tier::Avx512 => unsafe { avx512(work) },
        #[cfg(not(target_arch = "x86_64"))]
        Tier::Avx2 | Tier::Avx512 => unreachable!("not supported by this architecture"),
    }
}

// Never inlined: one copy of each piece of work is enough, wherever it is called from.

#[inline(never)]
fn baseline(work: impl Vectorized) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn avx2(work: impl Vectorized) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512(work: impl Vectorized) {
    work.run();
}

/// Runs a kernel that is written over explicit vectors, with those of the current tier. `with_simd`, and what it
/// calls in its loops, must be `#[inline(always)]`. Products and sums are fused where the tier can: unlike
/// element-wise results, those of such kernels may differ from tier to tier in the last bits.
#[inline(always)]
pub(crate) fn with_simd(work: impl WithSimd<Output = ()>) {
    match tier() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `set_tier` lets a tier pass only if the processor has its instructions.
        Tier::Avx512 => Simd::vectorize(unsafe { pulp::x86::V4::new_unchecked() }, work),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Tier::Avx2 => Simd::vectorize(unsafe { pulp::x86::V3::new_unchecked() }, work),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: every AArch64 processor has NEON.
        _ => Simd::vectorize(unsafe { pulp::aarch64::Neon::new_unchecked() }, work),
        #[cfg(not(target_arch = "aarch64"))]
        _ => Simd::vectorize(pulp::Scalar128b, work),
    }
}

/// Whether explicit vectors are worth it: products and sums are fused by an instruction, not by software.
pub(crate) fn has_fma() -> bool {
    tier() >= Tier::Neon
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_above_the_processor_is_lowered() {
        let before = tier();
        for tier in Tier::ALL {
            assert_eq!(set_tier(tier), tier.min(best()));
            assert!(super::tier().is_supported());
        }
        // Those of another architecture, too.
        for tier in [Tier::Baseline, Tier::Neon, Tier::Avx2, Tier::Avx512] {
            assert!(set_tier(tier).is_supported());
        }
        set_tier(before);
    }
}
