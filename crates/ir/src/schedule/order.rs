//! Waves: kernels by launch, and which parameters are overwritten in place.
//!
//! A kernel runs in the first wave after all that it waits for. It waits for the writers of what it reads; and a
//! kernel that overwrites a parameter also waits for every other reader of the old value and for every check, so
//! that a failing check leaves everything as it was. Where that would make kernels wait in a circle, or where the
//! kernel itself reads the old value at other indices than it writes, the donation is declined.

use super::regions::{self, Region, RunsBySlice};
use super::split;
use super::{Donation, Kernel, Place, Plan, ValueId, View};

pub(super) fn order(plan: &mut Plan, donations: &[Donation], by_slice: RunsBySlice) {
    split::for_regions(plan, by_slice);
    let mut waits = waits_for_values(plan);
    let readers = readers(plan);
    let checks: Vec<usize> = (0..plan.kernels.len())
        .filter(|&k| matches!(plan.kernels[k], Kernel::Check { .. }))
        .collect();
    let mut overwriting = vec![false; plan.kernels.len()];
    for donation in donations {
        let Some((kernel, input)) = candidate(plan, *donation) else { continue };
        let before: Vec<usize> = readers[input.index()]
            .iter()
            .chain(&checks)
            .copied()
            .filter(|&k| k != kernel)
            .collect();
        if before.iter().any(|&k| reaches(&waits, k, kernel)) {
            continue;
        }
        waits[kernel].extend(before);
        overwriting[kernel] = true;
        let output = plan.outputs[donation.output as usize];
        plan.values[output.index()].place = Place::Donated(donation.input);
    }

    plan.regions = regions::find(plan, &waits, &overwriting, by_slice);
    let mut wave = levels_of_regions(&waits, &plan.regions);
    let last = wave.iter().copied().max().unwrap_or(0);
    // Updates run together at the end, unless something waits for them.
    let mut awaited = vec![false; plan.kernels.len()];
    for &k in waits.iter().flatten() {
        awaited[k] = true;
    }
    for k in 0..plan.kernels.len() {
        if overwriting[k] && !awaited[k] {
            wave[k] = last;
        }
    }
    plan.waves = vec![Vec::new(); if plan.kernels.is_empty() { 0 } else { last + 1 }];
    for (k, &w) in wave.iter().enumerate() {
        plan.waves[w].push(k);
    }
    let overwritten = (0..plan.kernels.len()).filter(|&k| overwriting[k]);
    plan.gate = overwritten.map(|k| wave[k]).min().unwrap_or(plan.waves.len());
}

/// For each kernel, the kernels that write what it reads.
pub(super) fn waits_for_values(plan: &Plan) -> Vec<Vec<usize>> {
    let mut writer: Vec<Option<usize>> = vec![None; plan.values.len()];
    for (k, kernel) in plan.kernels.iter().enumerate() {
        for value in kernel.writes() {
            writer[value.index()] = Some(k);
        }
    }
    let waits = plan.kernels.iter().map(|kernel| {
        let mut waits = Vec::new();
        kernel.for_each_read(|view| waits.extend(writer[view.value.index()]));
        waits.sort_unstable();
        waits.dedup();
        waits
    });
    waits.collect()
}

pub(super) fn readers(plan: &Plan) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); plan.values.len()];
    for (k, kernel) in plan.kernels.iter().enumerate() {
        kernel.for_each_read(|view| readers[view.value.index()].push(k));
    }
    readers
}

/// The kernel that would overwrite an input, and the input's buffer, if nothing in the kernel itself forbids it.
fn candidate(plan: &Plan, donation: Donation) -> Option<(usize, ValueId)> {
    let output = *plan.outputs.get(donation.output as usize)?;
    let used_once = plan.outputs.iter().filter(|&&o| o == output).count() == 1;
    let place = Place::Input(donation.input);
    let input = plan.values.iter().position(|v| v.place == place)?;
    let fresh = plan.values[output.index()].place == Place::Output;
    let same_type = plan.values[input].ty == plan.values[output.index()].ty;
    let input = ValueId(input as u32);
    let kept = plan.outputs.contains(&input);
    let taken = plan.values.iter().any(|v| v.place == Place::Donated(donation.input));
    if !used_once || !fresh || !same_type || kept || taken {
        return None;
    }
    let writes = |kernel: &Kernel| kernel.writes().contains(&output);
    let kernel = plan.kernels.iter().position(writes)?;
    let body = plan.kernels[kernel].body()?;
    let stored = body.stores.iter().any(|s| s.out == output);
    let mut in_place = body.loads().all(|view| view.value != input || is_whole(view, plan));
    if let Kernel::MatMul { a, b, .. } = &plan.kernels[kernel] {
        in_place &= a.value != input && b.value != input;
    }
    (stored && in_place).then_some((kernel, input))
}

fn is_whole(view: &View, plan: &Plan) -> bool {
    let shape = &plan.values[view.value.index()].ty.shape;
    view.offset == 0 && view.shape == *shape && view.is_contiguous()
}

/// Whether `from` waits for `target`, directly or not.
pub(super) fn reaches(waits: &[Vec<usize>], from: usize, target: usize) -> bool {
    let mut seen = vec![false; waits.len()];
    let mut stack = vec![from];
    while let Some(k) = stack.pop() {
        if k == target {
            return true;
        }
        if !std::mem::replace(&mut seen[k], true) {
            stack.extend(&waits[k]);
        }
    }
    false
}

/// As [`levels`], where the kernels of a region share one.
fn levels_of_regions(waits: &[Vec<usize>], regions: &[Region]) -> Vec<usize> {
    let mut of: Vec<usize> = (0..waits.len()).collect();
    for region in regions {
        region.kernels.iter().for_each(|&k| of[k] = region.kernels[0]);
    }
    let mut together = vec![Vec::new(); waits.len()];
    for (k, waits) in waits.iter().enumerate() {
        together[of[k]].extend(waits.iter().map(|&w| of[w]).filter(|&w| w != of[k]));
    }
    let levels = levels(&together);
    of.into_iter().map(|first| levels[first]).collect()
}

/// Every kernel after all that it waits for.
pub(super) fn sorted(waits: &[Vec<usize>]) -> Vec<usize> {
    let levels = levels(waits);
    let mut order: Vec<usize> = (0..waits.len()).collect();
    order.sort_by_key(|&k| (levels[k], k));
    order
}

/// The length of the longest chain before each kernel.
fn levels(waits: &[Vec<usize>]) -> Vec<usize> {
    let mut waiting: Vec<usize> = waits.iter().map(Vec::len).collect();
    let mut followers = vec![Vec::new(); waits.len()];
    for (k, before) in waits.iter().enumerate() {
        for &b in before {
            followers[b].push(k);
        }
    }
    let mut level = vec![0; waits.len()];
    let mut ready: Vec<usize> = (0..waits.len()).filter(|&k| waiting[k] == 0).collect();
    let mut done = 0;
    while let Some(k) = ready.pop() {
        done += 1;
        for &f in &followers[k] {
            level[f] = level[f].max(level[k] + 1);
            waiting[f] -= 1;
            if waiting[f] == 0 {
                ready.push(f);
            }
        }
    }
    assert_eq!(done, waits.len(), "kernels wait for each other in a circle");
    level
}
