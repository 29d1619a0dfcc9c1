//! What is trained: how a batch becomes a loss.

use gradus_nn::{Layer, Module};
use gradus_tensor::{Device, Tensor};

/// How a batch becomes a loss. [`Supervised`] serves inputs with targets; implement it for
/// anything else.
pub trait Objective {
    /// What the loader delivers.
    type Batch;

    /// What is trained.
    fn module(&self) -> &dyn Module;

    /// How many samples a batch has.
    fn samples(&self, batch: &Self::Batch) -> usize;

    /// The tensors of a batch under names of your own, for the [`Dump`](super::Dump) of a step that
    /// goes wrong. None by default: then there is no dump.
    fn tensors(&self, _batch: &Self::Batch) -> Vec<(&'static str, Tensor)> {
        Vec::new()
    }

    /// Records the forward pass and the loss of a batch.
    fn cost(&self, batch: &Self::Batch) -> Cost;
}

/// What a batch costs.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The mean loss, a scalar.
    pub loss: Tensor,
    /// How many terms it is the mean of: samples, or characters of a text.
    pub weight: usize,
    /// Predictions and targets, for metrics; with one row for each term.
    pub predictions: Option<(Tensor, Tensor)>,
}

/// A model of one input and a loss of predictions and targets.
///
/// ```
/// use gradus_nn::{CrossEntropyLoss, Linear};
/// use gradus_tensor::{Device, Tensor};
/// use gradus_train::trainer::Supervised;
/// let (model, criterion) = (Linear::new(64, 10), CrossEntropyLoss::default());
/// let loss = |logits: &Tensor, labels: &Tensor| criterion.forward(logits, labels);
/// let objective = Supervised::new(&model, &loss);
/// # let _ = objective.on(Device::Cpu);
/// ```
pub struct Supervised<'a> {
    model: &'a dyn Layer,
    criterion: &'a dyn Fn(&Tensor, &Tensor) -> Tensor,
    align: Option<&'a dyn Fn(Tensor, Tensor) -> (Tensor, Tensor)>,
    device: Device,
}

impl<'a> Supervised<'a> {
    /// With a mean loss of predictions and targets.
    pub fn new(
        model: &'a dyn Layer,
        criterion: &'a dyn Fn(&Tensor, &Tensor) -> Tensor,
    ) -> Supervised<'a> {
        Supervised { model, criterion, align: None, device: Device::Cpu }
    }

    /// Moves batches to the device of the model: `Cpu` by default.
    #[must_use]
    pub fn on(mut self, device: Device) -> Supervised<'a> {
        self.device = device;
        self
    }

    /// Changes predictions and targets before they meet, so that each has one row for each
    /// prediction.
    #[must_use]
    pub fn align(
        mut self,
        align: &'a dyn Fn(Tensor, Tensor) -> (Tensor, Tensor),
    ) -> Supervised<'a> {
        self.align = Some(align);
        self
    }
}

impl Objective for Supervised<'_> {
    type Batch = (Tensor, Tensor);

    fn module(&self) -> &dyn Module {
        self.model
    }

    fn samples(&self, (inputs, _): &(Tensor, Tensor)) -> usize {
        inputs.try_shape().ok().and_then(|shape| shape.first().copied()).unwrap_or(0)
    }

    fn tensors(&self, (inputs, targets): &(Tensor, Tensor)) -> Vec<(&'static str, Tensor)> {
        vec![("inputs", inputs.clone()), ("targets", targets.clone())]
    }

    fn cost(&self, (inputs, targets): &(Tensor, Tensor)) -> Cost {
        let targets = targets.to(self.device);
        let predictions = self.model.forward(&inputs.to(self.device));
        let (predictions, targets) = match self.align {
            Some(align) => align(predictions, targets),
            None => (predictions, targets),
        };
        let loss = (self.criterion)(&predictions, &targets);
        // Probabilities of classes are one term together, as the label in their place would be.
        let weight = targets.try_shape().map_or(0, |shape| match shape[..] {
            [rows, _] if predictions.try_shape().is_ok_and(|p| p == shape) => rows,
            _ => shape.numel(),
        });
        Cost { loss, weight, predictions: Some((predictions, targets)) }
    }
}
