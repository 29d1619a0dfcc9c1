//! The executor against the reference interpreter, and against itself on other threads and instruction tiers.

mod attention;
mod convolution;
mod determinism;
mod donation;
mod elementwise;
mod harness;
mod random_graphs;
mod reductions;
mod structural;
