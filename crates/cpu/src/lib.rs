//! *How* Gradus computes on a processor.
//!
//! [`Executable`] runs the plans that [`gradus_ir::schedule`] compiles: a list of kernels (`kernels`, one file
//! each; `loops` for fused element-wise ops and reductions), wave by wave, on a [`pool`] whose launches cost
//! less than a microsecond. [`buffer`] is recycled, aligned memory; [`gemm`] multiplies matrices; [`tier()`] is
//! the set of vector instructions in use. [`Times`] and [`peak_flops`] say how well it does.
//!
//! One rule holds everywhere: work is split by *shape*, never by the number of threads, so that any number
//! of threads gives the same bits.

pub mod buffer;
mod executable;
mod fold;
pub mod gemm;
mod kernels;
mod layout;
mod loops;
mod memory;
mod peak;
pub mod pool;
mod tier;
mod times;

pub use executable::Executable;
pub use peak::peak_flops;
pub use tier::{Tier, set_tier, tier};
pub use times::Times;

/// What this backend can do, for the compilation of plans.
pub const BACKEND: gradus_ir::schedule::Backend = gradus_ir::schedule::Backend {
    has_kernel: kernels::has_kernel,
    runs_by_slice: kernels::runs_by_slice,
    takes_tail: kernels::takes_tail,
};
