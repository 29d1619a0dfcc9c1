//! Backward through ReLU and max-pooling goes by the winners of the windows alone.
//!
//! The gradient of a pooled plane is zero but at the winners. What is done to it afterwards (a ReLU's mask, the
//! sum of a bias, the gradients of a convolution) is done to the winners instead:
//!
//! ```text
//! relu_grad(y, max_pool_grad(winners of y, dy))  = max_pool_grad(winners, relu_grad(max_pool(y), dy))
//! Σ over planes of max_pool_grad(winners, dy)    = Σ over planes of dy
//! conv_weight_grad(x, max_pool_grad(…))          = conv_weight_grad_pooled(x, …)
//! conv_input_grad(max_pool_grad(…), w)           = conv_input_grad_pooled(…, w)
//! ```

use super::add;
use crate::graph::{Graph, Node, NodeId};
use crate::ops::{
    ConvInputGradPooled, ConvWeightGradPooled, MaxPool, MaxPoolGrad, Op, Reduce, ReduceKind,
};
use crate::scalar::ScalarOp;

/// Rewrites backward passes as above.
pub(super) fn winners(graph: &Graph) -> Graph {
    graph.rewrite(|g, _, node| Some(by_winners(g, &node).unwrap_or_else(|| g.push_node(node))))
}

/// The operands of a max-pool's gradient: the places and the gradient of the pooled planes.
fn pooled(g: &Graph, id: NodeId) -> Option<(&MaxPoolGrad, NodeId, NodeId)> {
    match &g.node(id).op {
        Op::MaxPoolGrad(op) => Some((op, g.node(id).inputs[0], g.node(id).inputs[1])),
        _ => None,
    }
}

fn by_winners(g: &mut Graph, node: &Node) -> Option<NodeId> {
    match &node.op {
        Op::Scalar(ScalarOp::ReluGrad) => {
            let y = node.inputs[0];
            let (grad, places, dy) = pooled(g, node.inputs[1])?;
            let grad = grad.clone();
            let Op::MaxPoolIndices(of) = &g.node(places).op else { return None };
            let pool = MaxPool(of.0.clone());
            if g.node(places).inputs[0] != y {
                return None;
            }
            let greatest = add(g, pool, &[y]);
            let dy = add(g, ScalarOp::ReluGrad, &[greatest, dy]);
            Some(add(g, grad, &[places, dy]))
        }
        Op::Reduce(r) if r.kind == ReduceKind::Sum && [2, 3].iter().all(|a| r.axes.contains(a)) => {
            let (_, _, dy) = pooled(g, node.inputs[0])?;
            Some(add(g, Reduce::clone(r), &[dy]))
        }
        Op::ConvWeightGrad(conv) => {
            let (grad, places, dy) = pooled(g, node.inputs[1])?;
            let op = ConvWeightGradPooled { conv: conv.clone(), output: grad.input };
            Some(add(g, op, &[node.inputs[0], places, dy]))
        }
        Op::ConvInputGrad(conv) => {
            let (grad, places, dy) = pooled(g, node.inputs[0])?;
            let op = ConvInputGradPooled { conv: conv.clone(), output: grad.input };
            Some(add(g, op, &[places, dy, node.inputs[1]]))
        }
        _ => None,
    }
}
