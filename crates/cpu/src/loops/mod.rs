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
mod trees;

use gradus_ir::schedule::{Loop, Plan};

use crate::kernels::Kernel;
use crate::memory::Scratch;

pub(crate) use map::Map;

/// A loop without reductions.
pub(crate) fn map(l: &Loop, plan: &Plan) -> Map {
    Map::new(&l.shape, compile::compile(l, plan).0)
}

/// The kernel of a loop.
pub(crate) fn kernel(l: &Loop, plan: &Plan, scratch: &mut Scratch) -> Box<dyn Kernel> {
    if l.reduces.is_empty() {
        return Box::new(map(l, plan));
    }
    let (program, reductions) = compile::compile(l, plan);
    Box::new(reduce::Reduce::new(l, plan, program, &reductions, scratch))
}
