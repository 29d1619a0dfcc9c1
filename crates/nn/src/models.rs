//! Networks of the literature, each one readable file: take them as they are, or as a beginning of your own.
//!
//! Names of parameters are those of the PyTorch implementations that the files mention, so that weights move
//! between the two as they are.

mod gpt;
mod lenet;
mod resnet;

pub use gpt::{GPT, GPTConfig};
pub use lenet::LeNet;
pub use resnet::{BasicBlock, ResNet};
