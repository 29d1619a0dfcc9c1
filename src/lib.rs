#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub use gradus_data as data;
pub use gradus_io as io;
pub use gradus_nn as nn;
pub use gradus_nn::{Module, optim};
pub use gradus_tensor::*;
pub use gradus_train as train;

pub mod prelude;
