//! Gradus's tensors: operations are recorded and run as compiled plans.
//!
//! A training step in this crate's words: operations *record* pending nodes ([`Tensor`]); [`Tensor::backward`] records
//! the gradients; an evaluation *collects* what is pending into a graph, *finds* or compiles its plan, *runs* it
//! and *settles*: evaluated nodes become leaves and let go of what they were made of. Scalars in the code are
//! inputs of the plan, so that a changing learning rate never recompiles.
//!
//! Read it in this order: `tensor`, `node`, `record`, `autograd`, `variable`, `collect`, `plans`, `engine`; the
//! operations are in `ops`, by family.
#![forbid(unsafe_code)]

mod autograd;
mod collect;
mod device;
mod display;
mod engine;
mod error;
mod node;
mod ops;
mod plans;
mod profile;
mod random;
mod record;
mod tensor;
mod variable;
mod watch;

pub use autograd::{BackwardOptions, GradLoan, grad};
pub use device::{Device, instruction_tier};
pub use engine::{PlanStats, clear_plans, evaluate, explain_last, plan_stats};
pub use error::{Error, ErrorKind, Result};
pub use gradus_cpu::buffer::give_back_freed;
pub use gradus_cpu::pool::{num_threads, set_num_threads};
pub use gradus_ir::{DType, Element, Scalar, Shape, bf16, f16, philox};
pub use ops::{
    AttentionOptions, AxisRange, ConvOptions, Dims, Interpolation, IntoOperand, Operator, Padding,
    Pair, PoolOptions, Rounding,
};
pub use plans::PlanCost;
pub use profile::{
    KernelProfile, Phase, Profile, ProfileReport, Verdict, profile, waiting_for_data,
};
pub use random::{RngState, manual_seed, rng_state, set_rng_state, with_samples};
pub use record::{as_one_plan, is_grad_enabled, mark_step, no_grad};
pub use tensor::Tensor;
pub use variable::{Parameter, Variable};
pub use watch::{ModuleOutput, module_outputs};

pub(crate) use autograd::GradCell;
