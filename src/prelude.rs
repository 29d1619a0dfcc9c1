//! Everything a training script uses: `use gradus::prelude::*;`.

pub use crate::data::{DataLoader, Dataset, Split};
pub use crate::nn::*;
pub use crate::optim::lr_scheduler::*;
pub use crate::optim::{Adadelta, Adagrad, Adam, AdamW, LBFGS, Lion, Muon, NAdam, RAdam, RMSprop};
pub use crate::optim::{Optimizer, SGD};
pub use crate::{BackwardOptions, DType, Device, Error, ErrorKind, Result, Shape, Tensor};
pub use crate::{grad, manual_seed, no_grad};
