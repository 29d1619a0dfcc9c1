//! Which layer a kernel belongs to, and which part of a step.
//!
//! A plan knows neither; both are read off it. A kernel that reads or overwrites a named parameter, or computes
//! what the update of one reads, belongs to the layer of that parameter. The backward pass begins with the
//! first kernel that computes a gradient.

use std::collections::BTreeMap;
use std::fmt;

use gradus_ir::ops::Op;
use gradus_ir::schedule::{Kernel, Place, Plan, ValueId};

/// A part of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// From the inputs to the loss.
    Forward,
    /// From the loss to the gradients.
    Backward,
    /// From the gradients to the new parameters and other state that is overwritten.
    Update,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Phase; 3] = [Phase::Forward, Phase::Backward, Phase::Update];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Forward => "forward",
            Phase::Backward => "backward",
            Phase::Update => "update",
        })
    }
}

/// The variable whose value an input of a plan is.
pub(crate) struct Named {
    /// Such as `fc1.weight`.
    pub name: String,
    /// Whether it has a gradient.
    pub trained: bool,
}

/// Where a kernel belongs.
pub(super) struct Label {
    /// The path of its layer; empty if it reads no parameter.
    pub layer: String,
    pub phase: Phase,
}

/// The labels of a plan's kernels.
pub(super) fn labels(plan: &Plan, names: &[Option<Named>]) -> Vec<Label> {
    let owner = |value: ValueId| match plan.values[value.index()].place {
        Place::Input(i) | Place::Donated(i) => names.get(i as usize)?.as_ref(),
        Place::Arena(_) | Place::Output | Place::Nowhere => None,
    };
    let gradients = gradients(plan, &owner);
    let mut labels: Vec<Label> = Vec::new();
    labels
        .resize_with(plan.kernels.len(), || Label { layer: String::new(), phase: Phase::Forward });
    let mut backward = false;
    for &k in plan.waves.iter().flatten() {
        let kernel = &plan.kernels[k];
        let mut name = None;
        kernel.for_each_read(|view| name = name.or(owner(view.value).map(|o| o.name.as_str())));
        let gradient = kernel.writes().iter().find_map(|v| gradients.get(v).copied().flatten());
        let overwritten = kernel.writes().into_iter().find_map(owner).map(|o| o.name.as_str());
        backward |= gradient.is_some()
            || is_gradient(kernel)
            || (is_product(kernel) && plan.overwrites(kernel));
        let phase = match backward {
            // A gradient with the update as its tail: nearly all of the time goes into the gradient.
            _ if plan.overwrites(kernel) && !is_product(kernel) => Phase::Update,
            true => Phase::Backward,
            false => Phase::Forward,
        };
        let name = overwritten.or(gradient).or(name).unwrap_or("");
        let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer).to_owned();
        labels[k] = Label { layer, phase };
    }
    labels
}

/// The values that the update of one parameter reads, with its name; what several read belongs to none.
fn gradients<'a>(
    plan: &Plan,
    owner: &impl Fn(ValueId) -> Option<&'a Named>,
) -> BTreeMap<ValueId, Option<&'a str>> {
    let mut gradients: BTreeMap<ValueId, Option<&str>> = BTreeMap::new();
    for kernel in &plan.kernels {
        let updated = kernel.writes().into_iter().find_map(owner).filter(|o| o.trained);
        let Some(name) = updated.map(|o| o.name.as_str()) else { continue };
        for view in kernel.body().into_iter().flat_map(|body| body.loads()) {
            let place = plan.values[view.value.index()].place;
            if matches!(place, Place::Arena(_) | Place::Output) {
                let known = gradients.entry(view.value).or_insert(Some(name));
                *known = known.filter(|known| *known == name);
            }
        }
    }
    gradients
}

fn is_product(kernel: &Kernel) -> bool {
    matches!(kernel, Kernel::MatMul { .. })
}

fn is_gradient(kernel: &Kernel) -> bool {
    let Kernel::Op { op, .. } = kernel else { return false };
    matches!(op, Op::CrossEntropyGrad(_) | Op::ConvWeightGrad(_) | Op::MaxPoolGrad(_))
}
