//! Losses of yes-or-no questions.

use gradus_tensor::{Tensor, Variable};

use super::{Reduction, checked_unit, refuse, same_shape, weighted, with_reduction};
use crate::Module;

/// The least logarithm of a probability, as in PyTorch: a loss is at most 100.
const LEAST_LOG: f64 = -100.0;
/// Below this probability the slope of the logarithm stays what it is here, as in PyTorch.
const LEAST_PROBABILITY: f64 = 1e-12;

/// The cross-entropy of probabilities with targets in 0..=1: `−(t·log p + (1 − t)·log(1 − p))`,
/// element by element. For logits, take [`BCEWithLogitsLoss`], which is more accurate.
///
/// Logarithms are at least −100, and their slope at most 1e12: the loss is finite where `p` is 0
/// or 1.
///
/// # Errors
/// If the shapes differ. A probability or a target outside 0..=1 fails the evaluation; the error
/// names its position.
///
/// ```
/// use gradus_nn::BCELoss;
/// use gradus_tensor::Tensor;
/// let p = Tensor::from_slice(&[0.5f64, 1.0], [2]);
/// let loss = BCELoss::default().forward(&p, &Tensor::from_slice(&[1.0f64, 1.0], [2]));
/// assert!((loss.item::<f64>()? - 0.5 * 2f64.ln()).abs() < 1e-15);
///
/// let wrong = BCELoss::default().forward(&p, &Tensor::from_slice(&[0.0f64, 3.0], [2]));
/// assert!(wrong.item::<f64>().unwrap_err().to_string().contains("3 at position 1"));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, Module)]
#[module(crate = crate)]
pub struct BCELoss {
    weight: Option<Variable>,
    reduction: Reduction,
}

/// The cross-entropy of `sigmoid(logits)` with targets in 0..=1, element by element, without
/// overflow: `(1 − t)·x + (1 + (pos_weight − 1)·t)·log(1 + e⁻ˣ)`.
///
/// # Errors
/// If the shapes differ. A target outside 0..=1 fails the evaluation; the error names its position.
/// (PyTorch lets it pass.)
///
/// ```
/// use gradus_nn::{BCEWithLogitsLoss, Reduction};
/// use gradus_tensor::Tensor;
/// let logits = Tensor::from_slice(&[1000.0f32, 0.0], [2]);
/// let targets = Tensor::from_slice(&[1.0f32, 1.0], [2]);
/// let criterion = BCEWithLogitsLoss::default().reduction(Reduction::None);
/// assert_eq!(criterion.forward(&logits, &targets).to_vec::<f32>()?, [0.0, 2f32.ln()]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, Module)]
#[module(crate = crate)]
pub struct BCEWithLogitsLoss {
    weight: Option<Variable>,
    pos_weight: Option<Variable>,
    reduction: Reduction,
}

with_reduction!(BCELoss, BCEWithLogitsLoss);

impl BCELoss {
    /// With a factor for each loss; it broadcasts to the losses.
    #[must_use]
    #[track_caller]
    pub fn weight(mut self, weight: Tensor) -> BCELoss {
        self.weight = Some(Variable::new(weight));
        self
    }

    /// The loss of probabilities and a target of their shape.
    #[track_caller]
    pub fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let weight = self.weight.as_ref().map(Variable::get);
        binary_cross_entropy(input, target, weight.as_ref(), self.reduction).within(input, self)
    }
}

impl BCEWithLogitsLoss {
    /// With a factor for each loss; it broadcasts to the losses.
    #[must_use]
    #[track_caller]
    pub fn weight(mut self, weight: Tensor) -> BCEWithLogitsLoss {
        self.weight = Some(Variable::new(weight));
        self
    }

    /// With a factor for the losses of positive targets, such as `negatives / positives` of each
    /// class; it broadcasts to the logits.
    #[must_use]
    #[track_caller]
    pub fn pos_weight(mut self, pos_weight: Tensor) -> BCEWithLogitsLoss {
        self.pos_weight = Some(Variable::new(pos_weight));
        self
    }

    /// The loss of logits and a target of their shape.
    #[track_caller]
    pub fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let weight = self.weight.as_ref().map(Variable::get);
        let pos_weight = self.pos_weight.as_ref().map(Variable::get);
        let (weight, pos_weight) = (weight.as_ref(), pos_weight.as_ref());
        binary_cross_entropy_with_logits(input, target, weight, pos_weight, self.reduction)
            .within(input, self)
    }
}

/// [`BCELoss`] as a function.
#[track_caller]
pub fn binary_cross_entropy(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: Reduction,
) -> Tensor {
    const LOSS: &str = "binary_cross_entropy";
    if let Err(failed) = same_shape(LOSS, input, "target", target) {
        return failed;
    }
    let p = checked_unit(input, "binary_cross_entropy: input (rounded outwards)");
    let t = checked_unit(target, "binary_cross_entropy: target (rounded outwards)");
    let yes = &t * bounded_log(&p);
    let no = (1.0 - &t) * bounded_log(&(1.0 - p));
    reduction.apply(weighted(LOSS, -(yes + no), weight))
}

/// [`BCEWithLogitsLoss`] as a function.
#[track_caller]
pub fn binary_cross_entropy_with_logits(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    pos_weight: Option<&Tensor>,
    reduction: Reduction,
) -> Tensor {
    const LOSS: &str = "binary_cross_entropy_with_logits";
    if let Err(failed) = same_shape(LOSS, input, "target", target) {
        return failed;
    }
    let t = checked_unit(target, "binary_cross_entropy_with_logits: target (rounded outwards)");
    let log_sigmoid = input.logsigmoid();
    let positive = match pos_weight {
        None => log_sigmoid,
        Some(factor) => {
            let fits = match (input.try_shape(), factor.try_shape()) {
                (Ok(a), Ok(b)) => a.broadcast(b).as_ref() == Some(a),
                _ => true,
            };
            if !fits {
                return refuse(format!(
                    "{LOSS}: a pos_weight of shape {} does not broadcast to the logits, {}",
                    factor.shape(),
                    input.shape()
                ));
            }
            log_sigmoid * ((factor - 1.0) * &t + 1.0)
        }
    };
    let losses = (1.0 - &t) * input - positive;
    reduction.apply(weighted(LOSS, losses, weight))
}

/// `max(log p, −100)`, with a slope of at most 1e12.
#[track_caller]
fn bounded_log(p: &Tensor) -> Tensor {
    let tiny = p.lt(LEAST_PROBABILITY);
    // The value of the bounded logarithm, and a term that is 0 and has the slope.
    let fixed = p.detach();
    let value = fixed.log().maximum(LEAST_LOG);
    let line = (p - fixed) / LEAST_PROBABILITY + value;
    Tensor::where_(&tiny, line, Tensor::where_(&tiny, 1.0, p).log())
}
