//! `#[derive(Module)]`: a struct is a module if its fields are.
//!
//! The derived `visit` shows every field under its name, so that the keys of a state dict are the
//! paths of fields, as in PyTorch. Nothing is decided here about what a field *is*: parameters,
//! buffers, layers, lists of them and plain numbers all implement the trait, and a field that does
//! not is a compile error at that field.
#![forbid(unsafe_code)]

mod derive;
mod options;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `Module`.
///
/// A field is shown under its name, the field of a tuple struct under its number. The variants of
/// an enum are alternatives: one with a single unnamed field is shown as that field alone.
///
/// * `#[module(skip)]` on a field: it holds no parameter and need not be a module.
/// * `#[module(crate = path)]` on the type: where `Module` and `Visitor` are, if not in
///   `::gradus::nn`.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive::module(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
