//! Losses that want a margin: between classes, or between what is alike and what is not.

use gradus_tensor::{Tensor, Variable};

use super::{Reduction, hinge, no_parts, refuse, same_shape, with_reduction};
use crate::Module;

/// `x` where the target is 1, `max(0, margin − x)` where it is −1: `x` is a distance of two things
/// that are alike or not.
///
/// # Errors
/// If the shapes differ.
#[derive(Clone, Copy, Debug)]
pub struct HingeEmbeddingLoss {
    reduction: Reduction,
    margin: f64,
}

/// `Σⱼ max(0, margin − x[label] + x[j])ᵖ / classes` over the classes `j` other than the label.
///
/// # Errors
/// If the input is not `[batch, classes]` (or `[classes]`) with labels `[batch]` (or `[]`), or `p` is
/// neither 1 nor 2. A label out of range fails the evaluation; the error names its position.
#[derive(Clone, Debug, Module)]
#[module(crate = crate)]
pub struct MultiMarginLoss {
    weight: Option<Variable>,
    reduction: Reduction,
    p: u8,
    margin: f64,
}

/// `1 − cos(a, b)` where the target is 1, `max(0, cos(a, b) − margin)` where it is −1: vectors
/// `[batch, size]` that are alike or not.
///
/// # Errors
/// If the shapes of the vectors differ or the targets are not `[batch]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CosineEmbeddingLoss {
    reduction: Reduction,
    margin: f64,
}

/// `max(0, d(anchor, positive) − d(anchor, negative) + margin)` with the distance `‖a − b + eps‖ₚ`
/// along the last axis.
///
/// # Errors
/// If the shapes differ.
///
/// ```
/// use gradus_nn::TripletMarginLoss;
/// use gradus_tensor::Tensor;
/// let vector = |x: f64| Tensor::from_slice(&[x, 0.0], [1, 2]);
/// let loss = TripletMarginLoss::default().forward(&vector(0.0), &vector(3.0), &vector(3.5));
/// assert!((loss.item::<f64>()? - 0.5).abs() < 1e-6);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TripletMarginLoss {
    reduction: Reduction,
    margin: f64,
    p: f64,
    eps: f64,
    swap: bool,
}

with_reduction!(HingeEmbeddingLoss, MultiMarginLoss, CosineEmbeddingLoss, TripletMarginLoss);
no_parts!(HingeEmbeddingLoss, CosineEmbeddingLoss, TripletMarginLoss);

impl Default for HingeEmbeddingLoss {
    fn default() -> HingeEmbeddingLoss {
        HingeEmbeddingLoss { reduction: Reduction::Mean, margin: 1.0 }
    }
}

impl Default for MultiMarginLoss {
    fn default() -> MultiMarginLoss {
        MultiMarginLoss { weight: None, reduction: Reduction::Mean, p: 1, margin: 1.0 }
    }
}

impl Default for TripletMarginLoss {
    fn default() -> TripletMarginLoss {
        let (margin, p, eps) = (1.0, 2.0, 1e-6);
        TripletMarginLoss { reduction: Reduction::Mean, margin, p, eps, swap: false }
    }
}

impl HingeEmbeddingLoss {
    /// How far apart is far enough; 1 unless given.
    #[must_use]
    pub fn margin(mut self, margin: f64) -> HingeEmbeddingLoss {
        self.margin = margin;
        self
    }

    /// The loss of distances and targets of their shape.
    #[track_caller]
    pub fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        hinge_embedding_loss(input, target, self.margin, self.reduction).within(input, self)
    }
}

impl MultiMarginLoss {
    /// With a factor for the losses of each class, `[classes]`.
    #[must_use]
    #[track_caller]
    pub fn weight(mut self, weight: Tensor) -> MultiMarginLoss {
        self.weight = Some(Variable::new(weight));
        self
    }

    /// The exponent, 1 or 2; 1 unless given.
    #[must_use]
    pub fn p(mut self, p: u8) -> MultiMarginLoss {
        self.p = p;
        self
    }

    /// How much better the label's score has to be; 1 unless given.
    #[must_use]
    pub fn margin(mut self, margin: f64) -> MultiMarginLoss {
        self.margin = margin;
        self
    }

    /// The loss of scores `[batch, classes]` and labels `[batch]`.
    #[track_caller]
    pub fn forward(&self, input: &Tensor, labels: &Tensor) -> Tensor {
        let weight = self.weight.as_ref().map(Variable::get);
        multi_margin_loss(input, labels, self.p, self.margin, weight.as_ref(), self.reduction)
            .within(input, self)
    }
}

impl CosineEmbeddingLoss {
    /// How little alike is little enough, from −1 to 1; 0 unless given.
    #[must_use]
    pub fn margin(mut self, margin: f64) -> CosineEmbeddingLoss {
        self.margin = margin;
        self
    }

    /// The loss of pairs of vectors and targets.
    #[track_caller]
    pub fn forward(&self, a: &Tensor, b: &Tensor, target: &Tensor) -> Tensor {
        cosine_embedding_loss(a, b, target, self.margin, self.reduction).within(a, self)
    }
}

impl TripletMarginLoss {
    /// How much farther the negative has to be; 1 unless given.
    #[must_use]
    pub fn margin(mut self, margin: f64) -> TripletMarginLoss {
        self.margin = margin;
        self
    }

    /// The norm; 2 unless given.
    #[must_use]
    pub fn p(mut self, p: f64) -> TripletMarginLoss {
        self.p = p;
        self
    }

    /// What is added to differences; 1e-6 unless given.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> TripletMarginLoss {
        self.eps = eps;
        self
    }

    /// The negative's distance is that from the anchor or the positive, whichever is nearer
    /// (Balntas et al., "Learning shallow convolutional feature descriptors with triplet losses",
    /// BMVC 2016).
    #[must_use]
    pub fn swap(mut self, swap: bool) -> TripletMarginLoss {
        self.swap = swap;
        self
    }

    /// The loss of triplets of vectors of one shape.
    #[track_caller]
    pub fn forward(&self, anchor: &Tensor, positive: &Tensor, negative: &Tensor) -> Tensor {
        triplet_margin_loss(anchor, positive, negative, *self).within(anchor, self)
    }
}

/// [`HingeEmbeddingLoss`] as a function.
#[track_caller]
pub fn hinge_embedding_loss(
    input: &Tensor,
    target: &Tensor,
    margin: f64,
    reduction: Reduction,
) -> Tensor {
    if let Err(failed) = same_shape("hinge_embedding_loss", input, "target", target) {
        return failed;
    }
    // As PyTorch's, which adds both up where the target is neither 1 nor −1.
    let apart = Tensor::where_(&target.ne(1), hinge(&(margin - input)), 0.0);
    reduction.apply(apart + Tensor::where_(&target.ne(-1), input, 0.0))
}

/// [`MultiMarginLoss`] as a function.
#[track_caller]
pub fn multi_margin_loss(
    input: &Tensor,
    labels: &Tensor,
    p: u8,
    margin: f64,
    weight: Option<&Tensor>,
    reduction: Reduction,
) -> Tensor {
    let (Ok(scores), Ok(of)) = (input.try_shape(), labels.try_shape()) else {
        return if input.try_shape().is_err() { input.clone() } else { labels.clone() };
    };
    if !(1..=2).contains(&scores.rank()) || of[..] != scores[..scores.rank() - 1] {
        return refuse(format!(
            "multi_margin_loss: input {scores} and labels {of}: expected [batch, classes] and \
             [batch], or [classes] and []"
        ));
    }
    if p != 1 && p != 2 {
        return refuse(format!("multi_margin_loss: p is {p}; it is 1 or 2"));
    }
    let classes = scores[scores.rank() - 1];
    let n = of.numel();
    let x = input.reshape([n as isize, classes as isize]);
    let labels = labels.reshape([n as isize]).checked_below(classes, "label");
    let own = x.gather(1, &labels.unsqueeze(1));
    let short = x - own + margin;
    let short = Tensor::where_(&short.le(0.0), 0.0, short);
    let powered = if p == 2 { short.square() } else { short };
    let others = Tensor::where_(&labels.one_hot(classes).ne(0), 0.0, powered);
    let mut losses = others.sum_axes(&[1], false) / classes as f64;
    if let Some(weight) = weight {
        let Ok(shape) = weight.try_shape() else { return weight.clone() };
        if shape[..] != [classes] {
            return refuse(format!(
                "multi_margin_loss: class weights of shape {shape} for {classes} classes; give \
                 [{classes}]"
            ));
        }
        losses = losses * weight.gather(0, &labels);
    }
    reduction.apply(losses.reshape(of))
}

/// [`CosineEmbeddingLoss`] as a function.
#[track_caller]
pub fn cosine_embedding_loss(
    a: &Tensor,
    b: &Tensor,
    target: &Tensor,
    margin: f64,
    reduction: Reduction,
) -> Tensor {
    /// Keeps the root away from 0, as in PyTorch.
    const EPS: f64 = 1e-12;
    if let Err(failed) = same_shape("cosine_embedding_loss", a, "second input", b) {
        return failed;
    }
    let (vectors, Ok(of)) = (a.shape(), target.try_shape()) else { return target.clone() };
    if !(1..=2).contains(&vectors.rank()) || of[..] != vectors[..vectors.rank() - 1] {
        return refuse(format!(
            "cosine_embedding_loss: vectors {vectors} and target {of}: expected [batch, size] and \
             [batch], or [size] and []"
        ));
    }
    let dot = |a: &Tensor, b: &Tensor| (a * b).sum_axes(&[-1], false);
    let cosine = dot(a, b) / ((dot(a, a) + EPS) * (dot(b, b) + EPS)).sqrt();
    let alike = Tensor::where_(&target.eq(1), 1.0 - &cosine, 0.0);
    let apart = Tensor::where_(&target.eq(-1), hinge(&(cosine - margin)), 0.0);
    reduction.apply(alike + apart)
}

/// [`TripletMarginLoss`] as a function.
#[track_caller]
pub fn triplet_margin_loss(
    anchor: &Tensor,
    positive: &Tensor,
    negative: &Tensor,
    options: TripletMarginLoss,
) -> Tensor {
    for (what, other) in [("positive", positive), ("negative", negative)] {
        if let Err(failed) = same_shape("triplet_margin_loss", anchor, what, other) {
            return failed;
        }
    }
    let TripletMarginLoss { reduction, margin, p, eps, swap } = options;
    let near = anchor.pairwise_distance(positive, p, eps);
    let far = anchor.pairwise_distance(negative, p, eps);
    let far = if swap { far.minimum(positive.pairwise_distance(negative, p, eps)) } else { far };
    reduction.apply(hinge(&(near - far + margin)))
}
