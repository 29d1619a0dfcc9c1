//! The layers that a configuration may choose.

use std::num::NonZeroUsize;

use gradus_nn::{Dropout, Flatten, Layer, Linear, ReLU};
use gradus_tensor::{Error, ErrorKind, Result, Shape};

use super::table::table;
use super::value::Probability;

/// A layer of any type.
pub type AnyLayer = Box<dyn Layer + Send + Sync>;

/// Where a layer stands in its model.
#[derive(Clone, Debug)]
pub struct LayerInput {
    /// The shape of one sample's input, without the batch: what the layer before puts out.
    pub shape: Shape,
    /// How many outputs the data ask for, if this is the last layer: one for each class, or one.
    pub outputs: Option<NonZeroUsize>,
}

table! {
    /// Every layer known by name. A layer of another kind is one more row.
    ///
    /// Keys are called as PyTorch calls them; what an input decides (`in_features`, `in_channels`)
    /// is taken from it by default.
    pub const LAYERS: fn(input: LayerInput) -> AnyLayer;

    /// Joins all axes but the batch.
    "Flatten" { start_dim: usize = 1 } => {
        layer(Flatten { start_dim: start_dim as isize, end_dim: -1 })
    };
    /// Fully connected. `in_features` follows from the layer before; the last layer's
    /// `out_features` from the data.
    "Linear" {
        in_features: NonZeroUsize = input.last_size()?,
        out_features: NonZeroUsize = input.outputs()?,
        bias: bool = true,
    } => {
        let (inputs, outputs) = (in_features.get(), out_features.get());
        input.check_size(&[outputs, inputs])?;
        layer(Linear::new(inputs, outputs).bias(bias))
    };
    /// max(x, 0).
    "ReLU" {} => layer(ReLU);
    /// Zeroes elements with probability `p`, in training only.
    "Dropout" { p: Probability = Probability(0.5) } => layer(Dropout::new(p.0));
}

/// A layer as a row gives it.
fn layer(layer: impl Layer + Send + Sync + 'static) -> Result<AnyLayer> {
    Ok(Box::new(layer))
}

impl LayerInput {
    /// The size of the last axis: the features of a sample.
    pub fn last_size(&self) -> Result<NonZeroUsize> {
        self.size(self.shape.last().copied(), "an axis of features")
    }

    /// The size of the first axis: the channels of an image.
    pub fn channels(&self) -> Result<NonZeroUsize> {
        self.size(self.shape.first().copied(), "an axis of channels")
    }

    /// How many outputs the data ask for; an error unless the layer is the last one.
    pub fn outputs(&self) -> Result<NonZeroUsize> {
        self.outputs.ok_or_else(|| {
            let message = "`out_features` is missing; give it (only the last layer's follows from \
                           the data)";
            Error::new(ErrorKind::Usage, message)
        })
    }

    /// Refuses a parameter that is too large before memory is asked for.
    pub fn check_size(&self, parameter: &[usize]) -> Result<()> {
        const LARGEST: usize = 1 << 32;
        let size = parameter.iter().try_fold(1usize, |size, &n| size.checked_mul(n));
        match size {
            Some(size) if size <= LARGEST => Ok(()),
            _ => {
                let message =
                    format!("a parameter of shape {parameter:?} is too large; 2³² numbers at most");
                Err(Error::new(ErrorKind::Usage, message))
            }
        }
    }

    fn size(&self, size: Option<usize>, what: &str) -> Result<NonZeroUsize> {
        size.and_then(NonZeroUsize::new).ok_or_else(|| {
            let message = format!("its input, {}, does not have {what}", batch_of(&self.shape));
            Error::new(ErrorKind::Usage, message)
        })
    }
}

/// The shape of a batch of samples of a shape, for messages: `[N, 3, 32, 32]`.
pub(crate) fn batch_of(sample: &[usize]) -> String {
    let sizes: String = sample.iter().map(|size| format!(", {size}")).collect();
    format!("[N{sizes}]")
}
