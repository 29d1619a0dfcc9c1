//! What comes right behind a convolution becomes part of it.
//!
//! ```text
//! relu(conv(x, w) + bias) = conv_bias[relu](x, w, bias)
//! ```
//!
//! Every result is the same to the bit. Where somebody else reads a result in between, the ops stay apart.

use crate::Shape;
use crate::graph::{Graph, Node, NodeId};
use crate::ops::{ConvBias, Op, Reshape};
use crate::scalar::ScalarOp;

/// Joins convolutions with their biases, and those with ReLU.
pub(super) fn epilogues(graph: &Graph) -> Graph {
    let mut readers = vec![0; graph.len()];
    let outputs = graph.outputs().iter();
    let inputs = graph.ids().flat_map(|id| &graph.node(id).inputs);
    outputs.chain(inputs).for_each(|x| readers[x.index()] += 1);
    // How many read each node of the new graph.
    let mut read: Vec<usize> = Vec::new();
    graph.rewrite(|g, id, node| {
        let joined = joined(g, &node, &read);
        let new = joined.unwrap_or_else(|| g.push_node(node));
        read.resize(g.len(), 1);
        read[new.index()] = readers[id.index()];
        Some(new)
    })
}

fn joined(g: &mut Graph, node: &Node, read: &[usize]) -> Option<NodeId> {
    let only_reader = |x: NodeId| read[x.index()] == 1;
    let (before, op, inputs) = match &node.op {
        Op::Scalar(ScalarOp::Add) => {
            let &[a, b] = &node.inputs[..] else { return None };
            let is_conv = |x: NodeId| matches!(g.node(x).op, Op::Conv(_)) && only_reader(x);
            let (conv, bias) = if is_conv(a) { (a, b) } else { (b, a) };
            let Op::Conv(op) = &g.node(conv).op else { return None };
            let filters = g.ty(conv).shape[1];
            let shape = &g.ty(bias).shape;
            let per_filter = shape.numel() == filters
                && shape.rank() >= 3
                && shape[shape.rank() - 3] == filters
                && g.ty(conv).shape == node.ty.shape;
            if !is_conv(conv) || !per_filter {
                return None;
            }
            let op = ConvBias { conv: op.clone(), relu: false };
            let mut inputs = g.node(conv).inputs.clone();
            let shape = Shape::from([filters, 1, 1]);
            let bias = g.add(Reshape { shape }, &[bias]).ok()?;
            inputs.push(bias);
            (conv, op, inputs)
        }
        Op::Scalar(ScalarOp::Relu) => {
            let x = node.inputs[0];
            let Op::ConvBias(op) = &g.node(x).op else { return None };
            let inputs = g.node(x).inputs.clone();
            (x, ConvBias { relu: true, ..op.clone() }, inputs)
        }
        _ => return None,
    };
    only_reader(before).then(|| g.push_node(Node { op: op.into(), inputs, ty: node.ty.clone() }))
}
