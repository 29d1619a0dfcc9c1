//! The executor against the reference interpreter, and against itself on other threads and instruction tiers.

mod against_oracle;
mod determinism;
mod donation;
mod harness;
mod random_graphs;
