//! Layers one after the other.

use std::fmt;

use gradus_tensor::Tensor;

use crate::{Layer, Module, Visitor};

/// Feeds its input through layers in order. Its parameters are named by position: `0.weight`,
/// `0.bias`, `2.weight` …
///
/// ```
/// use gradus_nn::{Flatten, Layer, Linear, Module, ReLU, Sequential};
/// let model = Sequential::new()
///     .add(Flatten::default())
///     .add(Linear::new(784, 512))
///     .add(ReLU)
///     .add(Linear::new(512, 10));
/// assert_eq!(model.state_dict().names(), ["1.weight", "1.bias", "3.weight", "3.bias"]);
/// assert_eq!(
///     model.to_string(),
///     "Sequential(
///   (0): Flatten(start_dim=1, end_dim=-1)
///   (1): Linear(in_features=784, out_features=512, bias=True)
///   (2): ReLU()
///   (3): Linear(in_features=512, out_features=10, bias=True)
/// )"
/// );
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Layer + Send + Sync>>,
}

impl Sequential {
    /// No layers yet: passes its input on.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// With a layer at the end.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "adds to a list, not a number")]
    pub fn add(mut self, layer: impl Layer + Send + Sync + 'static) -> Sequential {
        self.layers.push(Box::new(layer));
        self
    }

    /// The layers.
    pub fn layers(&self) -> impl Iterator<Item = &dyn Layer> {
        self.layers.iter().map(|layer| &**layer as &dyn Layer)
    }
}

impl Module for Sequential {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.layers.visit(visitor);
    }
}

impl Layer for Sequential {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let mut x = input.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x).within(&x, &format_args!("layer {i}"));
        }
        x
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

/// As PyTorch prints it: a line for each layer.
impl fmt::Display for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.layers.is_empty() {
            return f.write_str("Sequential()");
        }
        f.write_str("Sequential(\n")?;
        for (i, layer) in self.layers.iter().enumerate() {
            writeln!(f, "  ({i}): {}", layer.describe().replace('\n', "\n  "))?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
