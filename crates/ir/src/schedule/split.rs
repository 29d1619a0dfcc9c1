//! Loops that both keep elements and reduce them, cut in two: one that keeps, one that reduces what was kept.
//!
//! The half that keeps can then join what comes before or behind it: a region, or a product whose tail it is. Every
//! result is the same to the bit.

use super::regions::{self, RunsBySlice};
use super::{Kernel, Loop, Plan, Step, StepKind, View};

/// The largest result, in bytes, for whose sake a loop is cut in two: it is still in a cache when the second loop
/// reads it.
const SPLIT: usize = 1 << 20;

/// Splits loops that reduce over the batch where the elements go on image by image.
pub(super) fn for_regions(plan: &mut Plan, by_slice: RunsBySlice) {
    for k in 0..plan.kernels.len() {
        let Kernel::Loop(body) = &plan.kernels[k] else { continue };
        let goes_on = |view: &View| body.stores.iter().any(|s| s.out == view.value);
        let read_by_image = |kernel: &Kernel| {
            matches!(kernel, Kernel::Op { .. })
                && regions::sliced(kernel).is_some_and(|s| s.by_image.into_iter().any(goes_on))
                && by_slice(kernel, plan)
        };
        if body.axes.contains(&0) && plan.kernels.iter().any(read_by_image) {
            split(plan, k, SPLIT);
        }
    }
}

/// Splits a loop, if it can be done without keeping more than before, and nothing of more than `most` bytes.
pub(super) fn split(plan: &mut Plan, k: usize, most: usize) {
    let Kernel::Loop(body) = &plan.kernels[k] else { return };
    let stored = |register| body.stores.iter().find(|s| s.register == register);
    let can = !body.reduces.is_empty()
        && !body.stores.is_empty()
        && body.reduces.iter().all(|r| stored(r.register).is_some())
        && body.stores.iter().all(|s| plan.values[s.out.index()].ty.bytes() <= most);
    if !can {
        return;
    }
    let mut sums = Loop { steps: Vec::new(), stores: Vec::new(), ..body.clone() };
    for reduce in &mut sums.reduces {
        let Some(store) = stored(reduce.register) else { continue };
        let ty = &plan.values[store.out.index()].ty;
        let load = StepKind::Load(View::whole(store.out, ty));
        reduce.register = sums.steps.len() as u16;
        sums.steps.push(Step { kind: load, args: [].into_iter().collect(), dtype: ty.dtype });
    }
    if let Kernel::Loop(body) = &mut plan.kernels[k] {
        body.reduces.clear();
        body.axes.clear();
    }
    plan.kernels.push(Kernel::Loop(sums));
}
