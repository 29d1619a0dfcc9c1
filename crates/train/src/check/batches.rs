//! An epoch in which there is nothing to train on.

use gradus_data::Dataset;

use super::{Finding, Subject};

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let config = &subject.config;
    let data = subject.train.data;
    let samples = data.samples().len();
    let held_out = data.held_out(config.training.validation.0);
    let left = samples.saturating_sub(held_out);
    let remedy = if left == 0 {
        "hold out a smaller part (`validation`)".to_owned()
    } else if config.drop_last && left < config.batch_size {
        format!("set `batch_size` to {left} or less, or leave out `drop_last`")
    } else {
        return Vec::new();
    };
    let what = format!(
        "an epoch has no batches: of {samples} samples, {held_out} are held out, and a batch has {}",
        config.batch_size
    );
    vec![Finding::error("[train]", what, remedy)]
}
