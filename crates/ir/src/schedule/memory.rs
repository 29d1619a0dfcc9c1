//! The memory plan: offsets in one arena, such that buffers alive at the same time do not overlap.

use super::{Place, Plan};

/// Offsets are multiples of this, so that every buffer starts on a cache line.
const ALIGN: usize = 64;

/// Places temporaries: the largest first, each at the lowest offset that is free while it is alive.
pub(super) fn place(plan: &mut Plan) {
    let n = plan.values.len();
    let mut alive: Vec<Option<(usize, usize)>> = vec![None; n];
    for (wave, kernels) in plan.waves.iter().enumerate() {
        let mut touch = |v: usize| {
            let (first, _) = alive[v].unwrap_or((wave, wave));
            alive[v] = Some((first, wave));
        };
        for &k in kernels {
            plan.kernels[k].writes().iter().for_each(|v| touch(v.index()));
            plan.kernels[k].for_each_read(|view| touch(view.value.index()));
        }
    }
    let bytes = |v: usize| plan.values[v].ty.bytes().div_ceil(ALIGN) * ALIGN;
    let mut temporaries: Vec<usize> =
        (0..n).filter(|&v| matches!(plan.values[v].place, Place::Arena(_))).collect();
    temporaries.sort_by_key(|&v| (std::cmp::Reverse(bytes(v)), v));
    let mut placed: Vec<(usize, usize, (usize, usize))> = Vec::new();
    let mut places = vec![0; n];
    let mut arena = 0;
    for v in temporaries {
        let Some(life) = alive[v] else { continue };
        let size = bytes(v);
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|(_, _, other)| life.0 <= other.1 && other.0 <= life.1)
            .map(|&(start, end, _)| (start, end))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (start, end) in taken {
            if at + size <= start {
                break;
            }
            at = at.max(end);
        }
        placed.push((at, at + size, life));
        places[v] = at;
        arena = arena.max(at + size);
    }
    for (value, at) in plan.values.iter_mut().zip(places) {
        if let Place::Arena(offset) = &mut value.place {
            *offset = at;
        }
    }
    plan.arena = arena;
}
