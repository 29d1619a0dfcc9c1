//! Tensor files.
//!
//! [`save_safetensors`] and [`load_safetensors`] exchange tensors with Python:
//! `safetensors.torch.load_file` reads what is saved here, and the other way round. Invariants: a
//! file is replaced as a whole or not at all, nothing a file claims is believed before it is
//! checked, and every error names the file.
#![forbid(unsafe_code)]

mod atomic;
mod element;
mod safetensors;

pub use self::element::with_bytes;
pub use self::safetensors::{
    from_safetensors, load_safetensors, load_safetensors_metadata, save_safetensors, to_safetensors,
};
