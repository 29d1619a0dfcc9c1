//! *How* Gradus computes on a processor.
//!
//! [`pool`] runs tasks on all threads at a launch cost below a microsecond; [`buffer`] is recycled, aligned
//! memory; [`gemm`] multiplies matrices.
//!
//! One rule holds everywhere: work is split by *shape*, never by the number of threads, so that any number
//! of threads gives the same bits.

pub mod buffer;
pub mod gemm;
pub mod pool;
