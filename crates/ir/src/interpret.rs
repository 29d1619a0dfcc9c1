//! The reference interpreter: every node in order, in f64 or i64, in obvious loops. It is the oracle that
//! backends are tested against, and a device of its own for finding out whether a kernel is at fault.

use crate::graph::{Graph, NodeId, build};
use crate::ops::{CheckFailure, Op};
use crate::{Array, Scalar};

/// Runs a graph and returns the values of its outputs, or the first check that failed.
///
/// # Panics
/// If the inputs or slots given are not those that the graph asks for.
pub fn interpret(
    graph: &Graph,
    inputs: &[Array],
    slots: &[Scalar],
) -> Result<Vec<Array>, CheckFailure> {
    assert_eq!(slots.len(), graph.n_slots(), "slots");
    let values = evaluate(graph, inputs, slots)?;
    Ok(graph.outputs().iter().map(|o| values[o.index()].clone()).collect())
}

fn evaluate(graph: &Graph, inputs: &[Array], slots: &[Scalar]) -> Result<Vec<Array>, CheckFailure> {
    let mut values: Vec<Array> = Vec::with_capacity(graph.len());
    let mut checks = 0;
    for node in graph.nodes() {
        let operands: Vec<&Array> = node.inputs.iter().map(|i| &values[i.index()]).collect();
        let value = match &node.op {
            Op::Input(i) => {
                let given = &inputs[*i as usize];
                assert_eq!(*given.ty(), node.ty, "input {i}");
                given.clone()
            }
            Op::Slot(i) => Array::full(node.ty.clone(), slots[*i as usize]),
            op => match through_body(op, &operands) {
                Some(value) => value?,
                None => op
                    .reference(&operands, &node.ty)
                    .map_err(|failure| CheckFailure { check: checks, ..failure })?,
            },
        };
        checks += usize::from(matches!(node.op, Op::Check(_)));
        values.push(value);
    }
    Ok(values)
}

/// The value of a fused op: that of its body.
fn through_body(op: &Op, operands: &[&Array]) -> Option<Result<Array, CheckFailure>> {
    let mut body = Graph::new();
    let inputs: Vec<NodeId> = operands.iter().map(|a| body.input(a.ty().clone())).collect();
    let result = build(&mut body, &inputs, |x| op.body(x).map(|e| e.id()))?;
    let given: Vec<Array> = operands.iter().map(|a| (*a).clone()).collect();
    Some(evaluate(&body, &given, &[]).map(|values| values[result.index()].clone()))
}
