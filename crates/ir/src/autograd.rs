//! Reverse-mode differentiation, graph to graph: gradients are ordinary nodes, so that they can be
//! differentiated again, optimised and fused with everything else.

use crate::graph::{Expr, Graph, NodeId, build};
use crate::ops::{Grads, Vjp};

/// Appends the gradient of `Σ seed · output` with respect to each node of `wrt` and returns the nodes that
/// hold them; `None` where the output does not depend on it.
///
/// `seed` has the type of `output`: ones for the gradient of a scalar.
pub fn gradients(
    graph: &mut Graph,
    output: NodeId,
    seed: NodeId,
    wrt: &[NodeId],
) -> Vec<Option<NodeId>> {
    pull_back(graph, output, seed, wrt, 0)
}

/// The operands and the result whose *values* a node's gradient uses: what must be kept when the node is
/// computed before its gradient is asked for. `needs` says which operands want a gradient.
pub fn saved(graph: &Graph, id: NodeId, needs: &[bool]) -> Saved {
    let node = graph.node(id);
    let mut scratch = Graph::new();
    let inputs: Vec<NodeId> =
        node.inputs.iter().map(|&i| scratch.input(graph.ty(i).clone())).collect();
    let output = scratch.input(node.ty.clone());
    let dy = scratch.input(node.ty.clone());
    let first = scratch.len();
    let mut ids = inputs.clone();
    ids.extend([output, dy]);
    build(&mut scratch, &ids, |e| {
        let n = inputs.len();
        pull(&node.op, &e[..n], e[n], e[n + 1], needs);
    });
    let mut uses = vec![false; first];
    for used in scratch.nodes()[first..].iter().flat_map(|n| &n.inputs) {
        if let Some(u) = uses.get_mut(used.index()) {
            *u = true;
        }
    }
    let n = inputs.len();
    Saved { inputs: uses[..n].to_vec(), output: uses[n] }
}

/// What a node's gradient uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Which operands.
    pub inputs: Vec<bool>,
    /// Whether the result.
    pub output: bool,
}

/// As [`gradients`], but nodes before `first` count as leaves: the partial derivatives of what follows.
pub(crate) fn pull_back(
    graph: &mut Graph,
    output: NodeId,
    seed: NodeId,
    wrt: &[NodeId],
    first: usize,
) -> Vec<Option<NodeId>> {
    let n = output.index() + 1;
    // Only nodes that lead from `wrt` to `output` get an adjoint.
    let mut leads = vec![false; n];
    for w in wrt.iter().filter(|w| w.index() < n) {
        leads[w.index()] = true;
    }
    for i in 0..n {
        let node = &graph.nodes()[i];
        leads[i] |= node.ty.dtype.is_float() && node.inputs.iter().any(|x| leads[x.index()]);
    }

    let mut adjoints: Vec<Option<NodeId>> = vec![None; n];
    if leads[output.index()] {
        adjoints[output.index()] = Some(seed);
    }
    for i in (first..n).rev() {
        let Some(dy) = adjoints[i] else { continue };
        let id = NodeId(i as u32);
        let node = graph.node(id).clone();
        if node.inputs.is_empty() {
            continue;
        }
        let needs: Vec<bool> =
            node.inputs.iter().map(|x| leads[x.index()] && graph.ty(*x).dtype.is_float()).collect();
        if !needs.contains(&true) {
            continue;
        }
        let mut ids: Vec<NodeId> = node.inputs.to_vec();
        ids.extend([id, dy]);
        let k = node.inputs.len();
        let fresh: Vec<Option<NodeId>> = build(graph, &ids, |e| {
            let grads = pull(&node.op, &e[..k], e[k], e[k + 1], &needs);
            grads.iter().map(|g| g.map(Expr::id)).collect()
        });
        for ((x, grad), need) in node.inputs.iter().zip(fresh).zip(&needs) {
            let Some(grad) = grad.filter(|_| *need) else { continue };
            let slot = &mut adjoints[x.index()];
            *slot = Some(match *slot {
                Some(sum) => build(graph, &[sum, grad], |e| {
                    let sum = e[0].beside(e[1]).or_else(|| e[0].factored(e[1]));
                    sum.unwrap_or_else(|| e[0] + e[1]).id()
                }),
                None => grad,
            });
        }
    }
    wrt.iter().map(|w| adjoints.get(w.index()).copied().flatten()).collect()
}

/// The gradients of one op: by its rule, or through its body.
fn pull<'g>(
    op: &crate::ops::Op,
    x: &[Expr<'g>],
    y: Expr<'g>,
    dy: Expr<'g>,
    needs: &[bool],
) -> Grads<'g> {
    if let Some(grads) = op.vjp(&Vjp { x, y, dy, needs }) {
        return grads;
    }
    dy.pull_through(|| {
        let body = op.body(x);
        (body.unwrap_or_else(|| unreachable!("{op} has neither gradient nor body")), x)
    })
}
