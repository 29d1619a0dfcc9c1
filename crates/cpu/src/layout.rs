//! Where the elements of a view lie, by their row-major number.

use smallvec::SmallVec;

/// A view without what does not matter: axes of one element are dropped, and neighbouring axes that one
/// stride can walk are one axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// Extents and strides, outermost first.
    axes: SmallVec<[(usize, isize); 4]>,
    /// The position of element 0.
    offset: isize,
}

/// A run of elements that one stride walks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run {
    /// The position of its first element.
    pub at: isize,
    /// From one to the next.
    pub stride: isize,
    /// How many elements came before it.
    pub done: usize,
    /// How many there are.
    pub len: usize,
}

impl Layout {
    /// The layout of `shape` with these strides from `offset` on.
    pub fn new(shape: &[usize], strides: &[isize], offset: isize) -> Layout {
        let mut axes: SmallVec<[(usize, isize); 4]> = SmallVec::new();
        for (&extent, &stride) in shape.iter().zip(strides).filter(|&(&extent, _)| extent != 1) {
            match axes.last_mut() {
                Some((outer, walk)) if *walk == stride * extent as isize => {
                    (*outer, *walk) = (*outer * extent, stride);
                }
                _ => axes.push((extent, stride)),
            }
        }
        Layout { axes, offset }
    }

    /// The position of element 0.
    pub fn first(&self) -> usize {
        self.offset as usize
    }

    /// The one stride that walks all elements, if there is one; 0 for a single element.
    pub fn stride(&self) -> Option<isize> {
        match self.axes[..] {
            [] => Some(0),
            [(_, stride)] => Some(stride),
            _ => None,
        }
    }

    /// How many elements in a row one stride walks, from any multiple of it on; `None` if all.
    pub fn row(&self) -> Option<usize> {
        match self.axes[..] {
            [_, .., (extent, _)] => Some(extent),
            _ => None,
        }
    }

    /// The position of element `start`, if it and the `len - 1` after it lie one after the other.
    #[inline]
    pub fn contiguous(&self, start: usize, len: usize) -> Option<isize> {
        let mut at = None;
        if let Some(&(row, 1)) = self.axes.last()
            && (self.axes.len() == 1 || start % row + len <= row)
        {
            self.runs(start, len, |run| at = Some(run.at));
        }
        at
    }

    /// Calls `f` with the runs that make up the elements `start..start + len`; there must be some.
    #[inline(always)]
    pub fn runs(&self, start: usize, len: usize, mut f: impl FnMut(Run)) {
        let (row, stride, outer) = match self.axes[..] {
            [] => return f(Run { at: self.offset, stride: 0, done: 0, len }),
            [(_, stride)] => {
                let at = self.offset + start as isize * stride;
                return f(Run { at, stride, done: 0, len });
            }
            [ref outer @ .., (row, stride)] => (row, stride, outer),
        };
        let (mut rest, mut within) = (start / row, start % row);
        let mut at = self.offset;
        let mut index: SmallVec<[usize; 6]> = SmallVec::new();
        for &(extent, stride) in outer.iter().rev() {
            index.push(rest % extent);
            at += (rest % extent) as isize * stride;
            rest /= extent;
        }
        let mut done = 0;
        loop {
            let run = (row - within).min(len - done);
            f(Run { at: at + within as isize * stride, stride, done, len: run });
            done += run;
            if done == len {
                return;
            }
            within = 0;
            for (i, &(extent, stride)) in index.iter_mut().zip(outer.iter().rev()) {
                *i += 1;
                at += stride;
                if *i < extent {
                    break;
                }
                at -= stride * extent as isize;
                *i = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(layout: &Layout, start: usize, len: usize) -> Vec<isize> {
        let mut all = Vec::new();
        layout.runs(start, len, |run| {
            assert_eq!(run.done, all.len());
            all.extend((0..run.len as isize).map(|i| run.at + i * run.stride));
        });
        all
    }

    #[test]
    fn runs_visit_every_element_in_order() {
        for (shape, strides) in [
            (vec![2, 3, 4], vec![12, 4, 1]),
            (vec![2, 3, 4], vec![1, 2, 6]),
            (vec![2, 1, 3, 4], vec![0, 7, 4, 1]),
            (vec![5, 3], vec![0, 1]),
            (vec![5, 3], vec![1, 0]),
            (vec![1, 1], vec![3, 3]),
            (vec![], vec![]),
        ] {
            let layout = Layout::new(&shape, &strides, 10);
            let mut expected = Vec::new();
            gradus_ir::array::for_each_index(&shape, |index| {
                let moves = index.iter().zip(&strides).map(|(&i, &s)| i as isize * s);
                expected.push(10 + moves.sum::<isize>());
            });
            for start in 0..expected.len() {
                for len in 1..=expected.len() - start {
                    assert_eq!(positions(&layout, start, len), expected[start..start + len]);
                }
            }
        }
    }

    #[test]
    fn axes_merge_where_one_stride_walks_both() {
        assert_eq!(Layout::new(&[2, 3, 4], &[12, 4, 1], 0).stride(), Some(1));
        assert_eq!(Layout::new(&[2, 1, 3], &[0, 5, 0], 0).stride(), Some(0));
        assert_eq!(Layout::new(&[1, 1], &[9, 9], 0).stride(), Some(0));
        let rows = Layout::new(&[2, 3, 4], &[0, 4, 1], 0);
        assert_eq!((rows.stride(), rows.row()), (None, Some(12)));
    }
}
