//! Regions: neighbouring kernels that all go through the batch image by image, run slice by slice.
//!
//! A slice of the batch passes through convolution, bias, ReLU and pooling while it is hot in a cache of its
//! processor, and no thread waits for another in between. Kernels join a region where each reads of the others'
//! results only the images that it works on itself, and where nothing outside lies between them. Which kernels
//! join follows from the plan alone, and no kernel computes otherwise for being in a region.

use super::{Kernel, Plan, View};
use crate::ops::Op;

/// Kernels that run one after the other on each slice of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The kernels, in order.
    pub kernels: Vec<usize>,
    /// How many images there are to slice.
    pub batch: usize,
}

/// Which kernels a backend can run slice by slice; asked only where that makes sense.
pub type RunsBySlice = fn(&Kernel, &Plan) -> bool;

/// How a kernel goes through the batch.
pub(super) struct Sliced<'a> {
    batch: usize,
    /// What it reads image by image; all else it reads whole.
    pub by_image: Vec<&'a View>,
    /// Whether its results are there image by image.
    results: bool,
}

/// Finds regions. `waits` says which kernels each waits for, `apart` which must not join.
pub(super) fn find(
    plan: &Plan,
    waits: &[Vec<usize>],
    apart: &[bool],
    by_slice: RunsBySlice,
) -> Vec<Region> {
    let can = |k: usize| {
        let kernel = &plan.kernels[k];
        let sliced = sliced(kernel).filter(|s| s.batch > 1 && !apart[k])?;
        by_slice(kernel, plan).then_some(sliced)
    };
    let sliced: Vec<Option<Sliced<'_>>> = (0..plan.kernels.len()).map(can).collect();
    if !plan.kernels.iter().zip(&sliced).any(|(k, s)| s.is_some() && matches!(k, Kernel::Op { .. }))
    {
        return Vec::new();
    }
    let mut groups = Groups::new(waits);
    for k in super::order::sorted(waits) {
        let Some(s) = &sliced[k] else { continue };
        // The regions that it could join: those of the kernels that write what it reads.
        let fits = |writer: usize| {
            let Some(w) = &sliced[writer] else { return false };
            let op = |k: usize| matches!(plan.kernels[k], Kernel::Op { .. });
            let mut others = groups.members(writer).iter().copied();
            w.batch == s.batch
                && (op(k) || groups.members(writer).iter().any(|&m| op(m)))
                && others.all(|member| reads_by_image(plan, k, s, member, &sliced))
                && groups.nothing_between(k, writer)
        };
        if let Some(&home) = waits[k].iter().rev().find(|&&writer| fits(writer)) {
            groups.join(k, home);
        }
    }
    groups.regions(|k| sliced[k].as_ref().map_or(0, |s| s.batch))
}

/// Whether a kernel reads of another's results only the images that it works on.
fn reads_by_image(
    plan: &Plan,
    k: usize,
    s: &Sliced<'_>,
    other: usize,
    sliced: &[Option<Sliced<'_>>],
) -> bool {
    let written = plan.kernels[other].writes();
    let results = sliced[other].as_ref().is_some_and(|o| o.results);
    let mut all = true;
    plan.kernels[k].for_each_read(|view| {
        if written.contains(&view.value) {
            let by_image = s.by_image.iter().any(|v| std::ptr::eq(*v, view));
            let numel = plan.values[view.value.index()].ty.shape.numel();
            all &= results && by_image && stays_inside(view, s.batch, numel);
        }
    });
    all
}

/// Whether a view at image `i` shows elements of image `i` alone.
fn stays_inside(view: &View, batch: usize, numel: usize) -> bool {
    let image = numel / batch;
    let inside = view.shape.iter().zip(&view.strides).skip(1);
    let reach: isize = inside.clone().map(|(&d, &s)| (d as isize - 1) * s).sum();
    view.shape.first() == Some(&batch)
        && numel == image * batch
        && view.strides[0] == image as isize
        && inside.into_iter().all(|(_, &s)| s >= 0)
        && view.offset as isize + reach < image as isize
}

/// How a kernel goes through the batch, if it does so image by image.
pub(super) fn sliced(kernel: &Kernel) -> Option<Sliced<'_>> {
    match kernel {
        Kernel::Loop(body) if body.reduces.is_empty() => {
            let batch = *body.shape.first()?;
            Some(Sliced { batch, by_image: body.loads().collect(), results: true })
        }
        Kernel::Op { op, x, .. } => {
            let (operands, results) = match op {
                Op::Conv(_)
                | Op::ConvBias(_)
                | Op::ConvInputGrad(_)
                | Op::MaxPool(_)
                | Op::MaxPoolIndices(_) => (1, true),
                Op::ConvInputGradPooled(_) | Op::MaxPoolGrad(_) => (2, true),
                Op::ConvWeightGrad(_) => (2, false),
                Op::ConvWeightGradPooled(_) => (3, false),
                _ => return None,
            };
            let batch = *x[0].shape.first()?;
            Some(Sliced { batch, by_image: x[..operands].iter().collect(), results })
        }
        _ => None,
    }
}

/// Kernels by group, each alone at first.
struct Groups<'a> {
    waits: &'a [Vec<usize>],
    of: Vec<usize>,
    members: Vec<Vec<usize>>,
}

impl Groups<'_> {
    fn new(waits: &[Vec<usize>]) -> Groups<'_> {
        let n = waits.len();
        Groups { waits, of: (0..n).collect(), members: (0..n).map(|k| vec![k]).collect() }
    }

    fn members(&self, k: usize) -> &[usize] {
        &self.members[self.of[k]]
    }

    fn join(&mut self, k: usize, home: usize) {
        let home = self.of[home];
        self.members[self.of[k]].clear();
        self.members[home].push(k);
        self.of[k] = home;
    }

    /// Whether nothing that `k` waits for, outside of `home`'s group, waits for that group.
    fn nothing_between(&self, k: usize, home: usize) -> bool {
        let home = self.of[home];
        let mut seen = vec![false; self.of.len()];
        let mut stack: Vec<usize> =
            self.waits[k].iter().map(|&w| self.of[w]).filter(|&g| g != home).collect();
        while let Some(group) = stack.pop() {
            if group == home {
                return false;
            }
            if !std::mem::replace(&mut seen[group], true) {
                let waits = self.members[group].iter().flat_map(|&m| &self.waits[m]);
                stack.extend(waits.map(|&w| self.of[w]));
            }
        }
        true
    }

    fn regions(self, batch: impl Fn(usize) -> usize) -> Vec<Region> {
        let several = self.members.into_iter().filter(|m| m.len() > 1);
        several.map(|kernels| Region { batch: batch(kernels[0]), kernels }).collect()
    }
}
