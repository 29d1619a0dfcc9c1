//! Embeddings: learned vectors for the items of a vocabulary.

use std::fmt;

use gradus_tensor::{DType, Parameter, Tensor};

use crate::conv::size;
use crate::{Layer, Module};

/// The rows of a table that integers name: `[…] → […, embedding_dim]`.
///
/// The table, `[num_embeddings, embedding_dim]`, starts normal with mean 0 and variance 1.
///
/// # Errors
/// An index out of range fails the evaluation; the error names its position and the range. Inputs
/// that are no integers make the output a failed tensor.
///
/// An output layer that shares the table is made of the same [`Parameter`], as in PyTorch; both
/// names appear in the state dict, and an optimizer gets the parameter once:
///
/// ```
/// use gradus_nn::{Embedding, Layer, Linear, Module};
/// use gradus_tensor::Tensor;
/// let embedding = Embedding::new(100, 16);
/// let head = Linear { weight: embedding.weight.clone(), bias: None };
/// let tokens = Tensor::from_slice(&[3i64, 14, 15], [1, 3]);
/// assert_eq!(head.forward(&embedding.forward(&tokens)).shape().dims(), [1, 3, 100]);
/// let model = (embedding, head);
/// assert_eq!(model.state_dict().names(), ["0.weight", "1.weight"]);
/// assert_eq!(model.parameters().len(), 1);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct Embedding {
    /// The table: `[num_embeddings, embedding_dim]`.
    pub weight: Parameter,
    padding_idx: Option<usize>,
}

impl Embedding {
    /// A table of `num_embeddings` rows of `embedding_dim` numbers.
    #[track_caller]
    pub fn new(num_embeddings: usize, embedding_dim: usize) -> Embedding {
        let weight = Tensor::randn([num_embeddings, embedding_dim], DType::F32);
        Embedding { weight: Parameter::new(weight), padding_idx: None }
    }

    /// A table with given rows.
    pub fn from_pretrained(weight: Parameter) -> Embedding {
        Embedding { weight, padding_idx: None }
    }

    /// The row for padding: it becomes zeros now and receives no gradient.
    ///
    /// # Errors
    /// If there is no such row, each output is a failed tensor.
    #[must_use]
    #[track_caller]
    pub fn padding_idx(mut self, row: usize) -> Embedding {
        self.padding_idx = Some(row);
        let weight = self.weight.variable().get().detach();
        if weight.try_shape().is_ok_and(|shape| shape.rank() == 2 && row < shape[0]) {
            let rows = Tensor::arange(weight.shape()[0], DType::I64).to(weight.device());
            self.weight.set(&Tensor::where_(&rows.eq(row).unsqueeze(1), 0.0, weight));
        }
        self
    }
}

impl Layer for Embedding {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        self.weight.value().embedding(input, self.padding_idx).within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding({}, {}", size(&self.weight, 0), size(&self.weight, 1))?;
        if let Some(row) = self.padding_idx {
            write!(f, ", padding_idx={row}")?;
        }
        f.write_str(")")
    }
}
