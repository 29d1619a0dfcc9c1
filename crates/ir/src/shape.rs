//! Shapes, strides, broadcasting.

use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

/// A list of axes, kept inline for the ranks that occur.
pub type Axes = SmallVec<[usize; 6]>;

/// The sizes of a tensor's axes, outermost first. A scalar has no axes.
#[derive(PartialEq, Eq, Hash, Default)]
pub struct Shape(SmallVec<[usize; 6]>);

impl Clone for Shape {
    /// One copy: `SmallVec` would clone size by size.
    fn clone(&self) -> Shape {
        Shape(SmallVec::from_slice(&self.0))
    }
}

impl Shape {
    /// The shape of a scalar.
    pub const fn scalar() -> Shape {
        Shape(SmallVec::new_const())
    }

    /// The number of elements: the product of the sizes, 1 for a scalar.
    pub fn numel(&self) -> usize {
        self.0.iter().product()
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The sizes.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Row-major strides, in elements.
    pub fn strides(&self) -> SmallVec<[isize; 6]> {
        let mut strides: SmallVec<[isize; 6]> = SmallVec::from_elem(1, self.rank());
        for i in (0..self.rank().saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * self.0[i + 1].max(1) as isize;
        }
        strides
    }

    /// The common shape of two broadcast operands (NumPy's rule), or `None`: sizes are compared from the
    /// last axis, and each pair must be equal or contain a 1.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        if self == other {
            return Some(self.clone());
        }
        let rank = self.rank().max(other.rank());
        let mut dims = SmallVec::from_elem(1, rank);
        for i in 0..rank {
            let a = if i < self.rank() { self.0[self.rank() - 1 - i] } else { 1 };
            let b = if i < other.rank() { other.0[other.rank() - 1 - i] } else { 1 };
            dims[rank - 1 - i] = match (a, b) {
                (1, n) | (n, 1) => n,
                (a, b) if a == b => a,
                _ => return None,
            };
        }
        Some(Shape(dims))
    }

    /// Whether a tensor of this shape can be broadcast to `target`.
    pub fn broadcasts_to(&self, target: &Shape) -> bool {
        self.broadcast(target).is_some_and(|s| s == *target)
    }

    /// The shape with one axis replaced.
    pub fn with_dim(&self, axis: usize, size: usize) -> Shape {
        let mut s = self.clone();
        s.0[axis] = size;
        s
    }

    /// The shape without the given axes (sorted or not).
    pub fn without(&self, axes: &[usize]) -> Shape {
        self.0.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect()
    }

    /// The shape with the given axes set to 1.
    pub fn keeping(&self, axes: &[usize]) -> Shape {
        self.0.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect()
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Shape {
        Shape(iter.into_iter().collect())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Shape {
        Shape(SmallVec::from_slice(&dims))
    }
}
impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Shape {
        Shape(SmallVec::from_slice(dims))
    }
}
impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Shape {
        Shape(SmallVec::from_vec(dims))
    }
}
impl From<&Vec<usize>> for Shape {
    fn from(dims: &Vec<usize>) -> Shape {
        Shape(SmallVec::from_slice(dims))
    }
}
impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Shape {
        shape.clone()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}
impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of a value before it is computed: shape and dtype.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Type {
    /// The sizes of its axes.
    pub shape: Shape,
    /// Its element type.
    pub dtype: crate::DType,
}

impl Type {
    /// A type from its parts.
    pub fn new(shape: impl Into<Shape>, dtype: crate::DType) -> Type {
        Type { shape: shape.into(), dtype }
    }

    /// The type of a number, without a place to keep it.
    pub fn scalar(dtype: crate::DType) -> &'static Type {
        use crate::DType;
        const BOOL: Type = Type { shape: Shape::scalar(), dtype: DType::Bool };
        static SCALARS: [Type; DType::ALL.len()] = {
            let mut types = [BOOL; DType::ALL.len()];
            let mut i = 0;
            while i < types.len() {
                types[DType::ALL[i] as usize].dtype = DType::ALL[i];
                i += 1;
            }
            types
        };
        &SCALARS[dtype as usize]
    }

    /// Bytes of a contiguous tensor of this type.
    pub fn bytes(&self) -> usize {
        self.shape.numel() * self.dtype.size()
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}
impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_type_has_its_dtype() {
        for dtype in crate::DType::ALL {
            assert_eq!(*Type::scalar(dtype), Type::new([], dtype));
        }
    }

    #[test]
    fn broadcasting_follows_numpy() {
        let s = |d: &[usize]| Shape::from(d);
        assert_eq!(s(&[2, 1, 3]).broadcast(&s(&[4, 1])), Some(s(&[2, 4, 3])));
        assert_eq!(s(&[]).broadcast(&s(&[0, 2])), Some(s(&[0, 2])));
        assert_eq!(s(&[1]).broadcast(&s(&[0])), Some(s(&[0])));
        assert_eq!(s(&[2]).broadcast(&s(&[3])), None);
        assert_eq!(s(&[2]).broadcast(&s(&[0])), None);
        assert!(s(&[1, 3]).broadcasts_to(&s(&[2, 3])));
        assert!(!s(&[2, 3]).broadcasts_to(&s(&[1, 3])));
    }
}
