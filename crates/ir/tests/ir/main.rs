//! Tests of the intermediate representation as a whole. One binary, so that it links once.

mod finite_differences;
mod gradients;
mod rng;
mod saved;
mod inference;
mod known_answers;
mod special_values;
