//! How a loop with reductions sees its axes.

use gradus_ir::schedule::Loop;

/// A loop's axes, those of one element dropped and neighbours of one kind merged.
pub(super) struct Space {
    /// Extents, outermost first, and whether they are kept.
    outer: Vec<(usize, bool)>,
    /// The product of the outer extents that are kept.
    pub kept: usize,
    /// The product of those that are not.
    pub reduced: usize,
    /// What is kept next to the run; 1 if nothing is.
    pub near: usize,
    /// What is reduced of the innermost axes; 1 if they are kept.
    pub run: usize,
}

impl Space {
    pub fn new(l: &Loop) -> Space {
        let mut outer: Vec<(usize, bool)> = Vec::new();
        for (axis, &extent) in l.shape.iter().enumerate().filter(|&(_, &extent)| extent != 1) {
            let kept = !l.axes.contains(&axis);
            match outer.last_mut() {
                Some((merged, kind)) if *kind == kept => *merged *= extent,
                _ => outer.push((extent, kept)),
            }
        }
        let mut take = |kind| outer.pop_if(|&mut (_, kept)| kept == kind).map_or(1, |(n, _)| n);
        let (run, near) = (take(false), take(true));
        let product = |kind| outer.iter().filter(|g| g.1 == kind).map(|g| g.0).product();
        Space { kept: product(true), reduced: product(false), near, run, outer }
    }

    /// How many results there are.
    pub fn results(&self) -> usize {
        self.kept * self.near
    }

    /// How many outer reduced indices in a row follow each other in the space.
    pub fn adjacent(&self) -> usize {
        self.outer.last().map_or(1, |&(extent, _)| extent)
    }

    /// The number of the first element of an outer index.
    #[inline(always)]
    pub fn start(&self, mut kept: usize, mut reduced: usize) -> usize {
        let (mut start, mut pitch) = (0, self.near * self.run);
        for &(extent, is_kept) in self.outer.iter().rev() {
            let index = if is_kept { &mut kept } else { &mut reduced };
            start += *index % extent * pitch;
            *index /= extent;
            pitch *= extent;
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_ir::array::{for_each_index, ravel};
    use gradus_ir::{Axes, Shape};

    #[test]
    fn every_element_is_found_once() {
        for (shape, axes) in [
            (vec![2, 3, 4, 5], vec![0, 2]),
            (vec![2, 3, 4, 5], vec![1, 3]),
            (vec![2, 1, 4, 5], vec![0, 1]),
            (vec![2, 3, 4], vec![0, 1, 2]),
            (vec![6, 5], vec![0]),
        ] {
            let axes: Axes = axes.into_iter().collect();
            let l = Loop {
                shape: Shape::from(&shape),
                steps: vec![],
                stores: vec![],
                axes: axes.clone(),
                reduces: vec![],
            };
            let space = Space::new(&l);
            let mut seen = vec![None; l.shape.numel()];
            for kept in 0..space.kept {
                for reduced in 0..space.reduced {
                    for near in 0..space.near {
                        for run in 0..space.run {
                            let at = space.start(kept, reduced) + near * space.run + run;
                            seen[at] = Some((kept * space.near + near, reduced * space.run + run));
                        }
                    }
                }
            }
            // Row-major in what is kept and in what is reduced.
            let pick = |index: &[usize], reduced| -> usize {
                let of = |a: &usize| axes.contains(a) == reduced;
                let extents: Vec<usize> = (0..shape.len()).filter(of).map(|a| shape[a]).collect();
                let index: Vec<usize> = (0..shape.len()).filter(of).map(|a| index[a]).collect();
                ravel(&extents, &index)
            };
            for_each_index(&shape, |index| {
                let expected = (pick(index, false), pick(index, true));
                assert_eq!(seen[ravel(&shape, index)], Some(expected), "{shape:?} {axes:?}");
            });
        }
    }
}
