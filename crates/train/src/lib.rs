//! The trainer, and what belongs to it: checkpoints, the configuration, metrics, the progress shown,
//! the folder of a run and its receipt.
//!
//! [`run()`] is the whole job of `gradus train`, top to bottom in one file: open the data, make the
//! network, [train](trainer::Trainer::fit), save, evaluate. Nothing in it is closed: the same parts
//! ([`trainer`], [`checkpoint`], [`evaluate()`], [`metrics`], [`log`], [`report`], [`RunFolder`],
//! [`Progress`]) serve a loop of your own.
//!
//! Invariants: on processors with the same vector instructions, a [`Config`] alone decides the bits
//! of the trained model, and neither threads nor loader workers nor interruptions do; a run folder
//! holds all that is needed to repeat the run and the evaluation of its model.
#![forbid(unsafe_code)]

mod bench;
pub mod check;
pub mod checkpoint;
pub mod config;
mod data;
mod evaluate;
mod fingerprint;
mod json_number;
pub mod log;
pub mod metrics;
mod mistakes;
pub mod numbers;
mod pace;
mod progress;
mod receipt;
mod replay;
pub mod report;
mod resident;
mod run_folder;
mod shown;
mod summary;
mod train;
pub mod trainer;

pub use bench::{BenchReport, bench};
pub use check::{CheckReport, check};
pub use config::Config;
pub use data::{Data, DataSpec, Input, Samples, Task};
pub use evaluate::{evaluate, examine, predict};
pub use metrics::{EpochMetrics, Evaluation, RunMetrics};
pub use pace::Pace;
pub use progress::{Backlog, Progress};
pub use receipt::{Build, Receipt, data_hash, verify, weight_hash};
pub use replay::{Replay, replay};
pub use resident::{available_memory, peak_resident_memory, resident_memory};
pub use run_folder::RunFolder;
pub use summary::{LayerSummary, Summary};
pub use train::{Outcome, Resume, RunOptions, find_learning_rate, run, run_observed, train};
