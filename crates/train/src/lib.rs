//! The training loop, and what belongs to it: the configuration, metrics, the progress shown, the
//! folder of a run.
//!
//! [`train()`] is the whole job of `gradus train`, top to bottom in one file: open the data, make
//! the network, loop over epochs and batches, save, evaluate. Nothing in it is closed: the same
//! parts ([`evaluate()`], [`metrics`], [`log`], [`report`], [`RunFolder`], [`Progress`]) serve a loop
//! of your own.
//!
//! Invariants: on processors with the same vector instructions, a [`Config`] alone decides the bits
//! of the trained model, and neither threads nor loader workers do; a run folder holds all that is
//! needed to repeat the evaluation of its model.
#![forbid(unsafe_code)]

pub mod config;
#[cfg(feature = "dashboard")]
pub mod dashboard;
mod data;
mod evaluate;
pub mod log;
pub mod metrics;
mod mistakes;
mod progress;
pub mod report;
mod run_folder;
mod summary;
mod train;

pub use config::Config;
pub use data::{Data, DataSpec, Input, Samples, Task};
pub use evaluate::{evaluate, examine, predict};
pub use metrics::{EpochMetrics, Evaluation, RunMetrics};
pub use progress::Progress;
pub use run_folder::RunFolder;
pub use summary::{LayerSummary, Summary};
pub use train::{train, train_observed};
