//! *What* Gradus computes: dtypes, shapes, the op tables, the graph, autograd, passes, schedule, memory plan
//! and the reference interpreter.
//!
//! This crate names no backend, does no I/O and contains no `unsafe`. Read it in this order: [`DType`] and
//! [`Shape`]; the op tables in [`scalar`] and [`ops`]; the [`graph`]; [`autograd`]; the [`passes`];
//! the [`schedule`], which is what a backend executes; and [`interpret()`], the slow and obvious oracle that
//! every backend is tested against.
#![forbid(unsafe_code)]

pub mod array;
pub mod autograd;
mod dtype;
pub mod graph;
mod interpret;
pub mod ops;
pub mod passes;
pub mod philox;
pub mod scalar;
pub mod schedule;
mod shape;

pub use array::{Array, Values};
pub use dtype::{DType, Element, Scalar, bf16, f16};
pub use interpret::interpret;
pub use shape::{Axes, Shape, Type};
