//! Whether a product is finite is seen from its factors, where they are smaller than it is.
//!
//! ```text
//! check[finite](aᵀ · b) = check[small](a), check[small](b)
//! ```
//!
//! Where no factor exceeds 2⁴⁸ in size, a sum of up to 2²⁴ products stays below 2¹²⁰, and what a kernel sums on the way
//! there, or transforms the factors into, below the 2¹²⁸ that single precision reaches. So nobody needs to look at the
//! gradient of a large weight, and it can be used up piece by piece where it is computed.
//!
//! The converse does not hold: factors can be large and their product finite. A plan that fails is for the
//! backend to run once more with the checks that were asked for.

use std::collections::HashSet;

use crate::DType;
use crate::graph::{Graph, Node, NodeId};
use crate::ops::{Check, CheckKind, Op};

/// The longest sum whose size the factors bound.
const LONGEST: usize = 1 << 24;

/// The graph with checks of factors instead of products, if it has any.
pub(crate) fn check_factors(graph: &Graph) -> Option<Graph> {
    let mut replaced = false;
    let mut checked = HashSet::new();
    let graph = graph.rewrite(|g, _, node| {
        let Op::Check(Check { kind: CheckKind::Finite, what }) = node.op else {
            return Some(g.push_node(node));
        };
        let x = node.inputs[0];
        let Some(factors) = factors(g, unmoved(g, x)) else { return Some(g.push_node(node)) };
        replaced = true;
        for factor in factors {
            if checked.insert(factor) {
                let small = Check { kind: CheckKind::Small, what };
                let ty = g.ty(factor).clone();
                g.push_node(Node { op: small.into(), inputs: [factor].into_iter().collect(), ty });
            }
        }
        Some(x)
    });
    replaced.then_some(graph)
}

/// The factors of a product, where looking at them is less work than writing the product and reading it.
fn factors(g: &Graph, product: NodeId) -> Option<[NodeId; 2]> {
    let node = g.node(product);
    let (true, &[a, b]) = (node.op.sums_products(), &node.inputs[..]) else { return None };
    let shapes = [a, b].map(|x| &g.ty(x).shape);
    let length = node.op.flops(&shapes, &node.ty.shape) / 2 / node.ty.shape.numel().max(1);
    let factors = [a, b].map(|x| unmoved(g, x));
    let wide = |x: &NodeId| matches!(g.ty(*x).dtype, DType::F32 | DType::F64);
    let in_memory = |x: &NodeId| !matches!(g.node(*x).op, Op::Const(_) | Op::Slot(_));
    let work: usize = factors.iter().map(|&x| g.ty(x).shape.numel()).sum();
    let worth_it = length <= LONGEST && work <= 2 * node.ty.shape.numel();
    (worth_it && factors.iter().all(|x| wide(x) && in_memory(x))).then_some(factors)
}

/// What a view shows, all of it and nothing else.
fn unmoved(g: &Graph, mut x: NodeId) -> NodeId {
    while let Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Flip(_) = g.node(x).op {
        x = g.node(x).inputs[0];
    }
    x
}
