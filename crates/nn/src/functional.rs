//! Losses as functions, with their options as arguments, in PyTorch's order where Rust allows.
//! Activations, normalisations and attention are methods of [`Tensor`](gradus_tensor::Tensor).
//!
//! ```
//! use gradus_nn::{Reduction, functional as F};
//! use gradus_tensor::Tensor;
//! let (output, target) = (Tensor::scalar(3.0), Tensor::scalar(1.0));
//! assert_eq!(F::mse_loss(&output, &target, Reduction::Mean).item::<f32>()?, 4.0);
//! # Ok::<(), gradus_tensor::Error>(())
//! ```

pub use crate::loss::{
    binary_cross_entropy, binary_cross_entropy_with_logits, cosine_embedding_loss, cross_entropy,
    hinge_embedding_loss, huber_loss, kl_div, l1_loss, mse_loss, multi_margin_loss, nll_loss,
    poisson_nll_loss, smooth_l1_loss, triplet_margin_loss,
};
