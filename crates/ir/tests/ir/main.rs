//! Tests of the intermediate representation as a whole. One binary, so that it links once.

mod donation;
mod executor;
mod factors;
mod finite_differences;
mod fusion;
mod gradients;
mod inference;
mod known_answers;
mod passes;
mod plans;
mod printing;
mod program;
mod random_program;
mod reach;
mod rng;
mod saved;
mod special_values;
mod training;
