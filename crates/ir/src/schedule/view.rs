//! Strided views of buffers: what movement ops become.

use smallvec::SmallVec;

use super::ValueId;
use crate::ops::Op;
use crate::{Shape, Type};

/// A strided part of a buffer. Offset and strides count elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The buffer.
    pub value: ValueId,
    /// The position of index 0.
    pub offset: usize,
    /// The sizes.
    pub shape: Shape,
    /// The distance between neighbours along each axis; 0 repeats an element, less runs backwards.
    pub strides: SmallVec<[isize; 6]>,
}

/// Whether an op only moves elements, so that its result is a view of its operand. A check is one too: it
/// passes its operand through.
pub(super) fn is_movement(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape(_)
            | Op::Permute(_)
            | Op::Expand(_)
            | Op::Slice(_)
            | Op::Flip(_)
            | Op::Window(_)
            | Op::Check(_)
    )
}

impl View {
    /// The whole of a contiguous buffer.
    pub fn whole(value: ValueId, ty: &Type) -> View {
        View { value, offset: 0, shape: ty.shape.clone(), strides: ty.shape.strides() }
    }

    /// Whether the elements lie one after the other, row-major.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&d, &s)| {
            let fits = d == 1 || s == expected;
            expected *= d as isize;
            fits
        }) || self.shape.numel() == 0
    }

    /// The view after a movement op with a result of shape `shape`; `None` if strides cannot express it.
    pub(super) fn moved(&self, op: &Op, shape: &Shape) -> Option<View> {
        let mut view = self.clone();
        match op {
            Op::Check(_) => {}
            Op::Permute(p) => view.strides = p.axes.iter().map(|&a| self.strides[a]).collect(),
            Op::Expand(_) => view.strides = self.broadcast_strides(shape),
            Op::Slice(s) => {
                view.offset =
                    (view.offset as isize + s.start as isize * view.strides[s.axis]) as usize;
                view.strides[s.axis] *= s.step as isize;
            }
            Op::Flip(f) => {
                let last = self.shape[f.axis].saturating_sub(1) as isize;
                view.offset = (view.offset as isize + last * view.strides[f.axis]) as usize;
                view.strides[f.axis] *= -1;
            }
            Op::Window(w) => {
                view.strides.push(view.strides[w.axis] * w.dilation as isize);
                view.strides[w.axis] *= w.step as isize;
            }
            Op::Reshape(_) => view.strides = self.reshaped_strides(shape)?,
            _ => unreachable!("{op} does not move elements"),
        }
        view.shape = shape.clone();
        Some(view)
    }

    /// This view repeated to fill `shape`.
    pub fn broadcast(&self, shape: &Shape) -> View {
        View { shape: shape.clone(), strides: self.broadcast_strides(shape), ..self.clone() }
    }

    fn broadcast_strides(&self, shape: &Shape) -> SmallVec<[isize; 6]> {
        let extra = shape.rank() - self.shape.rank();
        (0..shape.rank())
            .map(
                |i| {
                    if i < extra || self.shape[i - extra] == 1 {
                        0
                    } else {
                        self.strides[i - extra]
                    }
                },
            )
            .collect()
    }

    /// The strides of the same elements under another shape, if there are any: each run of old axes must
    /// match a run of new axes, and the old axes of a run must be contiguous with each other.
    fn reshaped_strides(&self, to: &Shape) -> Option<SmallVec<[isize; 6]>> {
        if to.numel() == 0 {
            return Some(to.strides());
        }
        let old: Vec<(usize, isize)> =
            (self.shape.iter().copied().zip(self.strides.iter().copied()))
                .filter(|&(d, _)| d != 1)
                .collect();
        let mut strides: SmallVec<[isize; 6]> = SmallVec::from_elem(0, to.rank());
        let (mut i, mut j) = (0, 0);
        while j < to.rank() {
            if to[j] == 1 {
                j += 1;
                continue;
            }
            let (i0, j0) = (i, j);
            let (mut have, mut want) = (1, 1);
            loop {
                if have == want && have != 1 {
                    break;
                } else if have <= want && i < old.len() && (have < want || have == 1) {
                    have *= old[i].0;
                    i += 1;
                } else {
                    want *= to[j];
                    j += 1;
                }
                if j == j0 {
                    want *= to[j];
                    j += 1;
                }
            }
            if old[i0..i].windows(2).any(|w| w[0].1 != w[1].1 * w[1].0 as isize) {
                return None;
            }
            let mut stride = old[i - 1].1;
            for k in (j0..j).rev() {
                strides[k] = stride;
                stride *= to[k] as isize;
            }
        }
        Some(strides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::ops::{Permute, Reshape};

    fn reshape(view: &View, shape: &[usize]) -> Option<Vec<isize>> {
        let shape = Shape::from(shape);
        let op = Op::Reshape(Reshape { shape: shape.clone() });
        view.moved(&op, &shape).map(|v| v.strides.to_vec())
    }

    #[test]
    fn reshapes_keep_strides_where_they_can() {
        let view = View::whole(ValueId(0), &Type::new([4, 6], DType::F32));
        assert_eq!(reshape(&view, &[24]), Some(vec![1]));
        assert_eq!(reshape(&view, &[2, 2, 1, 6]).map(|s| [s[0], s[1], s[3]]), Some([12, 6, 1]));
        assert_eq!(reshape(&view, &[3, 8]), Some(vec![8, 1]));
        let axes = [1, 0].as_slice().into();
        let turned = view.moved(&Op::Permute(Permute { axes }), &[6, 4].into()).unwrap();
        assert_eq!(reshape(&turned, &[24]), None);
        assert_eq!(reshape(&turned, &[6, 2, 2]), Some(vec![1, 12, 6]));
        assert_eq!(reshape(&turned, &[3, 2, 4]), Some(vec![2, 1, 6]));
        let one = View::whole(ValueId(0), &Type::new([1, 1], DType::F32));
        assert_eq!(reshape(&one, &[]), Some(vec![]));
        let row = View::whole(ValueId(0), &Type::new([5], DType::F32)).broadcast(&[3, 5].into());
        assert_eq!(reshape(&row, &[15]), None);
        assert_eq!(reshape(&row, &[3, 5, 1]).map(|s| [s[0], s[1]]), Some([0, 1]));
    }
}
