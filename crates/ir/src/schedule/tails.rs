//! What follows a product element by element becomes its tail.
//!
//! ```text
//! p = a · b        w = w - lr · p
//! ```
//!
//! is one kernel that updates each piece of `w` while that piece of `p` is in a cache; `p` never is in memory. A loop
//! becomes the tail of one product that nobody else reads, the last one if it reads several. Updates do not become
//! tails of products of old values: those are read whole before the first piece is overwritten.

use super::order::{reaches, readers, waits_for_values};
use super::{Donation, Kernel, Loop, Place, Plan, TakesTail, ValueId, split};

pub(super) fn attach(plan: &mut Plan, donations: &[Donation], takes_tail: TakesTail) {
    let hosts = Hosts {
        willing: plan
            .kernels
            .iter()
            .map(|k| matches!(k, Kernel::MatMul { .. }) && takes_tail(k, plan))
            .collect(),
        readers: readers(plan),
        donations,
    };
    let waits = waits_for_values(plan);
    for k in 0..waits.len() {
        if hosts.find(plan, k, &waits).is_some() {
            // What is kept is read once more, and the product not once.
            split::split(plan, k, usize::MAX);
        }
    }
    let mut waits = waits_for_values(plan);
    let mut moved = vec![false; waits.len()];
    for k in 0..waits.len() {
        let Some(host) = hosts.find(plan, k, &waits) else { continue };
        let Kernel::Loop(body) = &plan.kernels[k] else { continue };
        if !body.reduces.is_empty() {
            continue;
        }
        let body = Box::new(body.clone());
        if let Kernel::MatMul { out, tail, .. } = &mut plan.kernels[host] {
            *tail = Some(body);
            plan.values[out.index()].place = Place::Nowhere;
        }
        moved[k] = true;
        // Whatever waits for the loop now waits for the product, and the product for what the loop waited for.
        let waited = std::mem::replace(&mut waits[k], vec![host]);
        waits[host].extend(waited.into_iter().filter(|&w| w != host));
    }
    let mut moved = moved.into_iter();
    plan.kernels.retain(|_| moved.next() == Some(false));
}

/// The products that can have a tail.
struct Hosts<'a> {
    /// By kernel, whether the backend lets it.
    willing: Vec<bool>,
    /// Who reads each value.
    readers: Vec<Vec<usize>>,
    donations: &'a [Donation],
}

impl Hosts<'_> {
    /// The product whose tail a kernel can be.
    fn find(&self, plan: &Plan, k: usize, waits: &[Vec<usize>]) -> Option<usize> {
        let kernel = &plan.kernels[k];
        let Kernel::Loop(body) = kernel else { return None };
        waits[k].iter().copied().rev().find(|&host| {
            let Kernel::MatMul { out, tail: None, .. } = plan.kernels[host] else { return false };
            self.willing[host]
                && self.readers[out.index()].iter().all(|&reader| reader == k)
                && !plan.outputs.contains(&out)
                && reads_element_by_element(plan, body, out)
                && !(self.overwrites(plan, kernel) && self.reads_old(plan, &plan.kernels[host]))
                && !waits[k].iter().any(|&other| other != host && reaches(waits, other, host))
        })
    }

    /// Whether what a kernel stores may overwrite an input.
    fn overwrites(&self, plan: &Plan, kernel: &Kernel) -> bool {
        let written = kernel.writes();
        let output = |d: &Donation| plan.outputs.get(d.output as usize);
        self.donations.iter().filter_map(output).any(|output| written.contains(output))
    }

    /// Whether a kernel reads an input that may be overwritten.
    fn reads_old(&self, plan: &Plan, kernel: &Kernel) -> bool {
        let mut found = false;
        kernel.for_each_read(|view| {
            if let Place::Input(input) = plan.values[view.value.index()].place {
                found |= self.donations.iter().any(|d| d.input == input);
            }
        });
        found
    }
}

/// Whether element `i` of the loop reads element `i` of a value and no other.
fn reads_element_by_element(plan: &Plan, body: &Loop, value: ValueId) -> bool {
    let numel = plan.values[value.index()].ty.shape.numel();
    let mut loads = body.loads().filter(|view| view.value == value);
    loads.all(|v| v.offset == 0 && v.is_contiguous() && v.shape.numel() == numel)
}
