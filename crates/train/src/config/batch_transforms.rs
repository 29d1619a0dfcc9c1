//! What a configuration may do to whole batches of images.

use gradus_data::transforms::Mixing;

use super::table::table;
use super::value::{Positive, Probability};

table! {
    /// Every transform of batches known by name. One more is one more row.
    pub const BATCH_TRANSFORMS: fn(mixing: Mixing) -> Mixing;

    /// Each image and its label mixed with another one's by weights, with a share from Beta(`alpha`, `alpha`)
    "MixUp" { alpha: Positive = Positive(1.0) } => Ok(mixing.mixup(alpha.0));
    /// A rectangle of each image from another one, and as large a share of its label; its area from
    /// Beta(`alpha`, `alpha`)
    "CutMix" { alpha: Positive = Positive(1.0) } => Ok(mixing.cutmix(alpha.0));
    /// A share of each label given to all classes alike
    "LabelSmoothing" { smoothing: Probability = Probability(0.1) } => {
        Ok(mixing.smoothing(smoothing.0))
    };
}
