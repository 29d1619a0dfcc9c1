//! Losses of classification.

use gradus_tensor::{DType, Shape, Tensor, Variable};

use super::{Reduction, checked_unit, refuse, with_reduction};
use crate::Module;

/// The cross-entropy of logits with class labels, `−log softmax(logits)[label]`, in nats.
///
/// Logits are `[batch, classes]`, not probabilities: the softmax is part of the loss. Labels are
/// integers `[batch]` from 0 to `classes − 1`. By default the mean over the batch; with a random
/// guess it starts near `ln(classes)`.
///
/// Further axes follow the classes: logits `[batch, classes, …]` and labels `[batch, …]`, as for
/// each pixel of an image; a single sample is `[classes]` and `[]`. A target of floats with the shape
/// of the logits holds the probabilities of the classes.
///
/// With class weights, the mean is the weighted one, as in PyTorch. Other than there, no label is
/// ignored unless [`ignore_index`](CrossEntropyLoss::ignore_index) says so (PyTorch ignores −100).
///
/// # Errors
/// If the shapes do not fit. A label out of range fails the evaluation; the error names its position
/// and the number of classes. So do probabilities that are not between 0 and 1 or whose sum differs
/// from 1 by more than a percent.
///
/// ```
/// use gradus_nn::{CrossEntropyLoss, Reduction};
/// use gradus_tensor::Tensor;
/// let logits = Tensor::from_slice(&[0.0f64, 0.0, 2.0, 1.0], [2, 2]);
/// let labels = Tensor::from_slice(&[1i64, 0], [2]);
/// let losses = CrossEntropyLoss::default().reduction(Reduction::None).forward(&logits, &labels);
/// assert!((losses.to_vec::<f64>()?[0] - 2f64.ln()).abs() < 1e-12);
///
/// let wrong = CrossEntropyLoss::default().forward(&logits, &Tensor::from_slice(&[1i64, 2], [2]));
/// let message = wrong.item::<f64>().unwrap_err().to_string();
/// assert!(message.contains("label 2 at position 1 is out of range: there are 2 classes"));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, Module)]
#[module(crate = crate)]
pub struct CrossEntropyLoss {
    weight: Option<Variable>,
    ignore_index: Option<i64>,
    label_smoothing: f64,
    reduction: Reduction,
}

/// The negative log-likelihood of class labels, `−log_probabilities[label]`: what is left of
/// [`CrossEntropyLoss`] after a log-softmax. Shapes, weights, means and errors are those.
///
/// ```
/// use gradus_nn::NLLLoss;
/// use gradus_tensor::Tensor;
/// let log_p = Tensor::from_slice(&[0.25f64, 0.75], [1, 2]).log();
/// let loss = NLLLoss::default().forward(&log_p, &Tensor::from_slice(&[0i64], [1]));
/// assert_eq!(loss.item::<f64>()?, 4f64.ln());
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, Module)]
#[module(crate = crate)]
pub struct NLLLoss {
    weight: Option<Variable>,
    ignore_index: Option<i64>,
    reduction: Reduction,
}

with_reduction!(CrossEntropyLoss, NLLLoss);

impl CrossEntropyLoss {
    /// With a factor for the losses of each class, `[classes]`. It is a buffer, `weight`.
    #[must_use]
    #[track_caller]
    pub fn weight(mut self, weight: Tensor) -> CrossEntropyLoss {
        self.weight = Some(Variable::new(weight));
        self
    }

    /// Samples of this label have no loss and do not count in the mean; it need not be a class.
    #[must_use]
    pub fn ignore_index(mut self, label: i64) -> CrossEntropyLoss {
        self.ignore_index = Some(label);
        self
    }

    /// Moves this much of the probability from the label to all classes alike (Szegedy et al.,
    /// "Rethinking the Inception architecture", CVPR 2016).
    #[must_use]
    pub fn label_smoothing(mut self, epsilon: f64) -> CrossEntropyLoss {
        self.label_smoothing = epsilon;
        self
    }

    /// The loss: `[batch, classes], [batch] → []`, or `[batch]` without reduction.
    #[track_caller]
    pub fn forward(&self, logits: &Tensor, target: &Tensor) -> Tensor {
        let weight = self.weight.as_ref().map(Variable::get);
        let (weight, ignored) = (weight.as_ref(), self.ignore_index);
        cross_entropy(logits, target, weight, ignored, self.reduction, self.label_smoothing)
            .within(logits, self)
    }
}

impl NLLLoss {
    /// With a factor for the losses of each class, `[classes]`. It is a buffer, `weight`.
    #[must_use]
    #[track_caller]
    pub fn weight(mut self, weight: Tensor) -> NLLLoss {
        self.weight = Some(Variable::new(weight));
        self
    }

    /// Samples of this label have no loss and do not count in the mean; it need not be a class.
    #[must_use]
    pub fn ignore_index(mut self, label: i64) -> NLLLoss {
        self.ignore_index = Some(label);
        self
    }

    /// The loss: `[batch, classes], [batch] → []`, or `[batch]` without reduction.
    #[track_caller]
    pub fn forward(&self, log_probabilities: &Tensor, labels: &Tensor) -> Tensor {
        let weight = self.weight.as_ref().map(Variable::get);
        let (weight, ignored) = (weight.as_ref(), self.ignore_index);
        nll_loss(log_probabilities, labels, weight, ignored, self.reduction)
            .within(log_probabilities, self)
    }
}

/// [`CrossEntropyLoss`] as a function.
#[track_caller]
pub fn cross_entropy(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: Option<i64>,
    reduction: Reduction,
    label_smoothing: f64,
) -> Tensor {
    if !(0.0..=1.0).contains(&label_smoothing) {
        return refuse(format!(
            "cross_entropy: label_smoothing is {label_smoothing}; it lies between 0 and 1"
        ));
    }
    let probabilities = target.dtype().is_float()
        && matches!((input.try_shape(), target.try_shape()), (Ok(a), Ok(b)) if a == b);
    if probabilities {
        if ignore_index.is_some() {
            return refuse(
                "cross_entropy: `ignore_index` is for labels, and this target holds \
                 probabilities; leave it out"
                    .into(),
            );
        }
        return soft_cross_entropy(input, target, weight, reduction, label_smoothing);
    }
    let plain = weight.is_none() && ignore_index.is_none() && label_smoothing == 0.0;
    if plain && input.try_shape().is_ok_and(|s| s.rank() == 2) {
        return reduction.apply(input.cross_entropy(target));
    }
    let rows = match Rows::of("cross_entropy", input, target, weight, ignore_index) {
        Ok(rows) => rows,
        Err(failed) => return failed,
    };
    let hard = rows.reduce(rows.input.cross_entropy(&rows.labels), reduction);
    if label_smoothing == 0.0 {
        return hard;
    }
    let log_p = rows.input.log_softmax(1);
    let log_p = match weight {
        Some(weight) => log_p * weight,
        None => log_p,
    };
    let spread = rows.reduce_weighted(-log_p.sum_axes(&[1], false), reduction);
    hard * (1.0 - label_smoothing) + spread * (label_smoothing / rows.classes as f64)
}

/// [`NLLLoss`] as a function.
#[track_caller]
pub fn nll_loss(
    input: &Tensor,
    labels: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: Option<i64>,
    reduction: Reduction,
) -> Tensor {
    match Rows::of("nll_loss", input, labels, weight, ignore_index) {
        Ok(rows) => rows.reduce(rows.input.nll_loss(&rows.labels), reduction),
        Err(failed) => failed,
    }
}

/// Cross-entropy with the probabilities of classes.
#[track_caller]
fn soft_cross_entropy(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: Reduction,
    label_smoothing: f64,
) -> Tensor {
    let shape = input.shape();
    if shape.rank() == 0 {
        return refuse("cross_entropy: the logits have no axis of classes".into());
    }
    let axis = isize::from(shape.rank() > 1);
    let classes = shape[axis as usize];
    let p = checked_unit(target, "cross_entropy: target probability (rounded outwards)");
    let off = ((p.sum_axes(&[axis], false) - 1.0).abs() * 100.0).round();
    // NaN makes the loss NaN; it is not a sum that is off.
    let off = Tensor::where_(&off.isnan(), 0.0, off).detach().cast(DType::I64);
    let _ = off.checked_below(
        2,
        "cross_entropy: the percentage by which a target's probabilities miss the sum 1,",
    );
    let p = match label_smoothing {
        0.0 => p,
        epsilon => p * (1.0 - epsilon) + epsilon / classes as f64,
    };
    let log_p = input.log_softmax(axis);
    let terms = match weight {
        None => log_p * p,
        Some(weight) => {
            if let Err(failed) = check_weight("cross_entropy", weight, classes) {
                return failed;
            }
            let mut dims = vec![1isize; shape.rank()];
            dims[axis as usize] = classes as isize;
            log_p * p * weight.reshape(&dims[..])
        }
    };
    reduction.apply(-terms.sum_axes(&[axis], false))
}

/// Logits and labels with all axes but the classes' joined.
struct Rows {
    /// `[rows, classes]`.
    input: Tensor,
    /// `[rows]`; 0 where ignored.
    labels: Tensor,
    /// Which rows count, if some may not.
    counted: Option<Tensor>,
    /// The factor of each row, if there are class weights.
    weight: Option<Tensor>,
    classes: usize,
    /// The shape of the labels.
    shape: Shape,
}

impl Rows {
    #[track_caller]
    fn of(
        loss: &str,
        input: &Tensor,
        labels: &Tensor,
        weight: Option<&Tensor>,
        ignore_index: Option<i64>,
    ) -> Result<Rows, Tensor> {
        let (Ok(full), Ok(shape)) = (input.try_shape(), labels.try_shape()) else {
            return Err(if input.try_shape().is_err() { input.clone() } else { labels.clone() });
        };
        if full.rank() == 0 {
            return Err(refuse(format!("{loss}: the input has no axis of classes")));
        }
        let axis = usize::from(full.rank() > 1);
        let expected = full.without(&[axis]);
        if expected != *shape {
            return Err(refuse(format!(
                "{loss}: input {full} and labels {shape}: expected [batch, classes, …] and [batch, \
                 …], so that this input takes labels of shape {expected}"
            )));
        }
        if !labels.dtype().is_int() {
            return Err(refuse(format!(
                "{loss}: labels are class indices and must be integers, not {}; cast them",
                labels.dtype()
            )));
        }
        let classes = full[axis];
        if let Some(weight) = weight {
            check_weight(loss, weight, classes)?;
        }
        let last = match full.rank() {
            1 | 2 => input.clone(),
            rank => {
                let rank = rank as isize;
                let axes: Vec<isize> = [0].into_iter().chain(2..rank).chain([1]).collect();
                input.permute(&axes)
            }
        };
        let n = shape.numel() as isize;
        let labels = labels.reshape([n]).cast(DType::I64);
        let counted = ignore_index.map(|ignored| labels.ne(ignored));
        let labels = match &counted {
            Some(counted) => Tensor::where_(counted, &labels, 0),
            None => labels,
        };
        // Before the labels pick weights, so that the error speaks of labels.
        let labels = labels.checked_below(classes, "label");
        let weight = weight.map(|w| w.gather(0, &labels));
        let input = last.reshape([n, classes as isize]);
        Ok(Rows { input, labels, counted, weight, classes, shape: shape.clone() })
    }

    /// Losses `[rows]`, times the weights of their classes, reduced.
    #[track_caller]
    fn reduce(&self, losses: Tensor, reduction: Reduction) -> Tensor {
        let losses = match &self.weight {
            Some(weight) => losses * weight,
            None => losses,
        };
        self.reduce_weighted(losses, reduction)
    }

    /// Losses `[rows]` that are weighted already, reduced.
    #[track_caller]
    fn reduce_weighted(&self, losses: Tensor, reduction: Reduction) -> Tensor {
        // Not a product: the loss of an ignored row may be infinite.
        let counting = |x: &Tensor| match &self.counted {
            Some(counted) => Tensor::where_(counted, x, 0.0),
            None => x.clone(),
        };
        let losses = counting(&losses);
        match reduction {
            Reduction::None => losses.reshape(&self.shape),
            Reduction::Sum => losses.sum(),
            Reduction::Mean => match (&self.weight, &self.counted) {
                (None, None) => losses.mean(),
                (Some(weight), _) => losses.sum() / counting(weight).sum(),
                (None, Some(counted)) => losses.sum() / counted.cast(losses.dtype()).sum(),
            },
        }
    }
}

#[track_caller]
fn check_weight(loss: &str, weight: &Tensor, classes: usize) -> Result<(), Tensor> {
    let Ok(shape) = weight.try_shape() else { return Err(weight.clone()) };
    if shape[..] == [classes] {
        return Ok(());
    }
    Err(refuse(format!(
        "{loss}: class weights of shape {shape} for {classes} classes; give [{classes}]"
    )))
}
