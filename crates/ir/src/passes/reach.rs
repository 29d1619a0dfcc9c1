//! Rows and columns of a kernel that meet nothing but padding are left out.
//!
//! ```text
//! conv(x, w)              = conv'(x, part of w)
//! conv_input_grad(dy, w)  = conv_input_grad'(dy, part of w)
//! conv_weight_grad(x, dy) = conv_weight_grad'(x, dy) with zeros around
//! ```
//!
//! The last layers of a network have small planes: with a kernel of 3 × 3 and padding of 1 over a single element, one
//! tap of nine meets it. (A weight that is infinite makes NaN of a padding's zero; one that is left out does not.)

use super::add;
use crate::graph::{Graph, Node, NodeId};
use crate::ops::{Conv, ConvGeometry, ConvInputGrad, ConvSize, ConvWeightGrad, Op, Pad, Slice};

/// Rewrites convolutions as above.
pub(super) fn reach(graph: &Graph) -> Graph {
    graph.rewrite(|g, _, node| Some(shortened(g, &node).unwrap_or_else(|| g.push_node(node))))
}

/// The taps of a kernel that meet the plane: where they start along each axis, how many there are, and the
/// convolution by them alone.
struct Taps {
    start: [usize; 2],
    len: [usize; 2],
    geometry: ConvGeometry,
}

impl Taps {
    /// `None` if all of them do, or none.
    fn new(geometry: &ConvGeometry, size: &ConvSize) -> Option<Taps> {
        let mut taps = Taps { start: [0; 2], len: size.kernel, geometry: geometry.clone() };
        for axis in 0..2 {
            let (stride, dilation) = (geometry.stride[axis], geometry.dilation[axis]);
            let [before, after] = geometry.padding[axis];
            let plane = before..before + size.input[axis];
            let meets = |tap: &usize| {
                (0..size.output[axis]).any(|o| plane.contains(&(o * stride + tap * dilation)))
            };
            let first = (0..size.kernel[axis]).find(meets)?;
            let last = (0..size.kernel[axis]).rfind(meets)?;
            let shorter = before
                .checked_sub(first * dilation)
                .zip(after.checked_sub((size.kernel[axis] - 1 - last) * dilation));
            if let Some((before, after)) = shorter {
                (taps.start[axis], taps.len[axis]) = (first, last + 1 - first);
                taps.geometry.padding[axis] = [before, after];
            }
        }
        (taps.len != size.kernel).then_some(taps)
    }

    /// The part of a weight that they are.
    fn of(&self, g: &mut Graph, weight: NodeId) -> NodeId {
        (0..2).fold(weight, |weight, i| {
            let part = Slice { axis: 2 + i, start: self.start[i], len: self.len[i], step: 1 };
            add(g, part, &[weight])
        })
    }
}

fn shortened(g: &mut Graph, node: &Node) -> Option<NodeId> {
    let &[a, b] = &node.inputs[..] else { return None };
    let (x, y) = (&g.ty(a).shape, &g.ty(b).shape);
    match &node.op {
        Op::Conv(Conv(geometry)) => {
            let taps = Taps::new(geometry, &geometry.size(x, y).ok()?)?;
            let weight = taps.of(g, b);
            Some(add(g, Conv(taps.geometry), &[a, weight]))
        }
        Op::ConvInputGrad(op) => {
            let input = op.input;
            let taps = Taps::new(&op.geometry, &op.size(x, y).ok()?)?;
            let weight = taps.of(g, b);
            Some(add(g, ConvInputGrad { geometry: taps.geometry, input }, &[a, weight]))
        }
        Op::ConvWeightGrad(op) => {
            let kernel = op.kernel;
            let Taps { start, len, geometry } = Taps::new(&op.geometry, &op.size(x, y).ok()?)?;
            let part = add(g, ConvWeightGrad { geometry, kernel: len }, &[a, b]);
            Some((0..2).fold(part, |part, i| {
                let after = kernel[i] - start[i] - len[i];
                add(g, Pad { axis: 2 + i, before: start[i], after, step: 1 }, &[part])
            }))
        }
        _ => None,
    }
}
