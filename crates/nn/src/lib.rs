//! Neural networks: modules, layers, losses, initial values, optimizers.
//!
//! A [`Module`] is whatever holds parameters: a layer, a list of layers, a struct that derives the
//! trait. A [`Layer`] is a module that turns one tensor into another. Values live in
//! [`Parameter`]s, shared cells that a module, an optimizer and a saved state all refer to; so
//! modules are used by `&self`, and nothing here is generic over dtypes or devices. Names,
//! formulas, initial values and the keys of saved states are PyTorch's.
//!
//! ```
//! use gradus_nn::optim::{Optimizer, SGD};
//! use gradus_nn::{CrossEntropyLoss, Layer, Linear, Module, ReLU, Sequential};
//! use gradus_tensor::Tensor;
//!
//! #[derive(Module)]
//! #[module(crate = gradus_nn)] // not needed with the `gradus` crate
//! struct Net {
//!     body: Sequential,
//!     head: Linear,
//! }
//!
//! impl Net {
//!     fn forward(&self, x: &Tensor) -> Tensor {
//!         self.head.forward(&self.body.forward(x))
//!     }
//! }
//!
//! let body = Sequential::new().add(Linear::new(4, 16)).add(ReLU);
//! let net = Net { body, head: Linear::new(16, 3) };
//! let criterion = CrossEntropyLoss::default();
//! let mut optimizer = SGD::new(net.parameters(), 0.1).momentum(0.9);
//!
//! let flower = Tensor::from_slice(&[5.1f32, 3.5, 1.4, 0.2], [1, 4]);
//! let species = Tensor::from_slice(&[0i64], [1]);
//! let mut losses = Vec::new();
//! for _ in 0..5 {
//!     let loss = criterion.forward(&net.forward(&flower), &species);
//!     optimizer.zero_grad();
//!     loss.backward();
//!     optimizer.step()?;
//!     losses.push(loss.item::<f32>()?);
//! }
//! assert!(losses[4] < losses[0]);
//! let names = ["body.0.weight", "body.0.bias", "head.weight", "head.bias"];
//! assert_eq!(net.state_dict().names(), names);
//! # Ok::<(), gradus_tensor::Error>(())
//! ```
#![forbid(unsafe_code)]

// The derive names this crate by its path, here too.
extern crate self as gradus_nn;

mod activation;
mod attention;
mod batch_norm;
mod container;
mod conv;
mod dropout;
mod embedding;
mod flatten;
pub mod functional;
pub mod init;
mod linear;
mod loss;
pub mod models;
mod module;
mod norm;
pub mod optim;
mod pool;
mod sequential;
mod transformer;

pub use activation::{
    CELU, ELU, GELU, GLU, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, LogSigmoid,
    LogSoftmax, Mish, PReLU, ReLU, ReLU6, SELU, SiLU, Sigmoid, Softmax, Softmin, Softplus,
    Softshrink, Softsign, Tanh, Tanhshrink, Threshold,
};
pub use attention::{MultiheadAttention, MultiheadAttentionOptions};
pub use batch_norm::{BatchNorm1d, BatchNorm2d, BatchNorm3d};
pub use container::{Identity, Residual};
pub use conv::{Conv1d, Conv2d, ConvTranspose2d};
pub use dropout::{AlphaDropout, Dropout, Dropout1d, Dropout2d};
pub use embedding::Embedding;
pub use flatten::{Flatten, Unflatten};
pub use gradus_macros::Module;
pub use gradus_tensor::{ConvOptions, Padding, Pair, Parameter, PoolOptions, Variable};
pub use linear::Linear;
pub use loss::{
    BCELoss, BCEWithLogitsLoss, CosineEmbeddingLoss, CrossEntropyLoss, HingeEmbeddingLoss,
    HuberLoss, KLDivLoss, L1Loss, MSELoss, MultiMarginLoss, NLLLoss, PoissonNLLLoss, Reduction,
    SmoothL1Loss, TripletMarginLoss,
};
pub use module::{Layer, Mode, Module, Part, StateDict, Visitor};
pub use norm::{GroupNorm, LayerNorm, RMSNorm};
pub use optim::{ClipNorm, clip_grad_norm_, clip_grad_value_};
pub use pool::{AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d};
pub use sequential::Sequential;
pub use transformer::{
    TransformerEncoder, TransformerEncoderLayer, TransformerEncoderLayerOptions,
};
