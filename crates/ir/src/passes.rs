//! Rewrites that make a graph smaller and keep every bit of its results, but for `reach` and `winners`, after which
//! some sums are taken in another order.
//!
//! A rewrite may use structure, shapes, dtypes and constants, never which values somebody looks at: the
//! same computation must round the same way however it is observed.

mod epilogues;
mod factors;
mod reach;
mod winners;

use std::collections::HashMap;

use crate::graph::{Graph, Inputs, Node, NodeId, build};
use crate::ops::{Concat, Expand, Op, Permute, Reshape, Slice};
use crate::scalar::ScalarOp;
use crate::{DType, Type};

pub(crate) use factors::check_factors;

/// Forward and backward together: what the backward pass can do without is left out, and ops that follow each
/// other become one.
pub fn join(graph: &Graph) -> Graph {
    epilogues::epilogues(&drop_dead(&merge_equal(&winners::winners(&reach::reach(graph)))))
}

/// Simplify, merge equal nodes, drop unused ones.
pub fn optimize(graph: &Graph) -> Graph {
    let graph = drop_dead(&merge_equal(&simplify(graph)));
    debug_assert_eq!(graph.verify(), Ok(()));
    graph
}

/// Removes ops that change nothing (`x · 1`, a cast to its own dtype, a reshape to its own shape, a slice of a
/// concatenation that is one of its parts) and joins chains of reshapes, permutations, expansions and concatenations.
pub fn simplify(graph: &Graph) -> Graph {
    graph.rewrite(|g, _, mut node| {
        loop {
            if let Some(same) = unchanged(g, &node) {
                return Some(same);
            }
            match joined(g, &node) {
                Some(next) => node = next,
                None => return Some(g.push_node(node)),
            }
        }
    })
}

/// The operand that a node merely repeats.
fn unchanged(g: &Graph, node: &Node) -> Option<NodeId> {
    let x = *node.inputs.first()?;
    let is_one = |id: NodeId| matches!(g.node(id).op, Op::Const(c) if c.to_f64() == 1.0);
    let same_type = |id: NodeId| *g.ty(id) == node.ty;
    match &node.op {
        // Slices and pads of the same size as well: they have nothing to leave out or to add.
        Op::Cast(_) | Op::Reshape(_) | Op::Expand(_) | Op::Slice(_) | Op::Pad(_)
            if same_type(x) =>
        {
            Some(x)
        }
        Op::Permute(p) if p.axes.iter().copied().eq(0..p.axes.len()) => Some(x),
        Op::Reduce(r) if r.axes.is_empty() => Some(x),
        Op::Concat(_) if node.inputs.len() == 1 => Some(x),
        Op::Slice(s) if s.step == 1 => part(g, x, s),
        Op::Scalar(ScalarOp::Mul | ScalarOp::Div) if is_one(node.inputs[1]) && same_type(x) => {
            Some(x)
        }
        Op::Scalar(ScalarOp::Mul) if is_one(x) && same_type(node.inputs[1]) => Some(node.inputs[1]),
        Op::Scalar(ScalarOp::Neg) => match &g.node(x).op {
            Op::Scalar(ScalarOp::Neg) => Some(g.node(x).inputs[0]),
            _ => None,
        },
        _ => None,
    }
}

/// The operand of a concatenation that a slice of it is.
fn part(g: &Graph, x: NodeId, slice: &Slice) -> Option<NodeId> {
    let node = g.node(x);
    let Op::Concat(Concat { axis }) = node.op else { return None };
    let mut start = 0;
    let mut parts = node.inputs.iter().filter(|_| axis == slice.axis);
    parts.find_map(|&part| {
        let len = g.ty(part).shape[axis];
        start += len;
        (slice.start == start - len && slice.len == len).then_some(part)
    })
}

/// The node with its movement op joined to the operands'.
fn joined(g: &Graph, node: &Node) -> Option<Node> {
    let again = |&id: &NodeId| matches!(node.op, Op::Concat(_)) && g.node(id).op == node.op;
    if node.inputs.iter().any(again) {
        let mut inputs = Inputs::new();
        for id in &node.inputs {
            if again(id) { inputs.extend_from_slice(&g.node(*id).inputs) } else { inputs.push(*id) }
        }
        return Some(Node { op: node.op.clone(), inputs, ty: node.ty.clone() });
    }
    let before = g.node(*node.inputs.first()?);
    let op = match (&node.op, &before.op) {
        (Op::Reshape(r), Op::Reshape(_)) => Op::Reshape(Reshape { shape: r.shape.clone() }),
        (Op::Expand(e), Op::Expand(_)) => Op::Expand(Expand { shape: e.shape.clone() }),
        (Op::Permute(p), Op::Permute(q)) => {
            Op::Permute(Permute { axes: p.axes.iter().map(|&a| q.axes[a]).collect() })
        }
        _ => return None,
    };
    Some(Node { op, inputs: before.inputs.clone(), ty: node.ty.clone() })
}

/// Merges nodes with the same op and operands. Slots differ by position, so that two draws of one dropout or
/// two equal learning rates stay two; checks stay as they are, so that each keeps its place.
pub fn merge_equal(graph: &Graph) -> Graph {
    let mut seen: HashMap<Node, NodeId> = HashMap::new();
    graph.rewrite(|g, _, node| {
        if node.op.is_effect() {
            return Some(g.push_node(node));
        }
        Some(*seen.entry(node.clone()).or_insert_with(|| g.push_node(node)))
    })
}

/// Adds an op that stands for others, and so fits where they do.
fn add(g: &mut Graph, op: impl Into<Op>, inputs: &[NodeId]) -> NodeId {
    g.add(op, inputs).unwrap_or_else(|e| unreachable!("equal by definition: {e}"))
}

/// Drops nodes that neither an output nor a check needs. Inputs and slots keep their numbers.
pub fn drop_dead(graph: &Graph) -> Graph {
    let live = graph.live();
    graph.rewrite(|g, id, node| live[id.index()].then(|| g.push_node(node)))
}

/// Replaces fused and half-precision ops that a backend has no kernel for by ordinary ones, and likewise the ops
/// of their bodies.
pub fn lower(graph: &Graph, has_kernel: impl Fn(&Op, &[&Type]) -> bool) -> Graph {
    let mut graph = graph.clone();
    loop {
        let lowered = graph.rewrite(|g, _, node| {
            let known = {
                let types: Vec<&Type> = node.inputs.iter().map(|&i| g.ty(i)).collect();
                has_kernel(&node.op, &types)
            };
            Some(if known { g.push_node(node) } else { expand_body(g, node) })
        });
        if lowered == graph {
            return graph;
        }
        graph = lowered;
    }
}

fn expand_body(g: &mut Graph, node: Node) -> NodeId {
    let body = build(g, &node.inputs, |x| {
        if let Some(body) = node.op.body(x) {
            return Some(body.id());
        }
        // Half precision is a storage type: compute in f32 and round once.
        let half = matches!(node.ty.dtype, DType::F16 | DType::BF16) && !x.is_empty();
        half.then(|| {
            let wide: Vec<_> = x
                .iter()
                .map(|e| if e.dtype().is_float() { e.cast(DType::F32) } else { *e })
                .collect();
            wide[0].apply(node.op.clone(), &wide[1..]).cast(node.ty.dtype).id()
        })
    });
    body.unwrap_or_else(|| g.push_node(node))
}
