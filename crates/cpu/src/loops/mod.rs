//! Fused loops: element-wise ops and reductions of their results, strip by strip.
//!
//! [`compile`] turns the steps into a [`program`] once; [`strip`] runs it on a few hundred elements at a time;
//! [`map`] and [`reduce`] say which elements, and in which tasks.

mod chain;
mod compile;
mod half;
mod instr;
mod map;
mod program;
mod reduce;
pub(crate) mod register;
mod space;
mod strip;

use gradus_ir::schedule::{Loop, Plan};

use crate::kernels::Kernel;
use crate::memory::Scratch;

/// The kernel of a loop.
pub(crate) fn kernel(l: &Loop, plan: &Plan, scratch: &mut Scratch) -> Box<dyn Kernel> {
    let (program, reductions) = compile::compile(l, plan);
    if l.reduces.is_empty() {
        Box::new(map::Map::new(&l.shape, program))
    } else {
        Box::new(reduce::Reduce::new(l, plan, program, &reductions, scratch))
    }
}
