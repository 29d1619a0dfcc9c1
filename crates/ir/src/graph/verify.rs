//! The verifier: run after every pass in debug builds and in the tests.

use crate::Type;
use crate::graph::Graph;
use crate::ops::Op;

impl Graph {
    /// Checks that operands come before their users, that types are what the ops infer, and that inputs,
    /// slots and outputs exist. The error names the node.
    pub fn verify(&self) -> Result<(), String> {
        for (i, node) in self.nodes().iter().enumerate() {
            if let Some(late) = node.inputs.iter().find(|n| n.index() >= i) {
                return Err(format!("%{i} = {} uses %{}, which comes after it", node.op, late.0));
            }
            match node.op {
                Op::Input(k) if k as usize >= self.n_inputs() => {
                    return Err(format!("%{i}: input {k} of {}", self.n_inputs()));
                }
                Op::Slot(k) if k as usize >= self.n_slots() => {
                    return Err(format!("%{i}: slot {k} of {}", self.n_slots()));
                }
                Op::Slot(_) | Op::Const(_) if node.ty.shape.rank() != 0 => {
                    return Err(format!("%{i}: a scalar of shape {}", node.ty.shape));
                }
                Op::Input(_) | Op::Slot(_) | Op::Const(_) => {}
                ref op => {
                    let types: Vec<&Type> = node.inputs.iter().map(|&n| self.ty(n)).collect();
                    let ty = op.infer(&types).map_err(|e| format!("%{i} = {op}: {e}"))?;
                    if ty != node.ty {
                        return Err(format!(
                            "%{i} = {op}: type {} recorded, {ty} inferred",
                            node.ty
                        ));
                    }
                }
            }
        }
        match self.outputs().iter().find(|o| o.index() >= self.len()) {
            Some(o) => Err(format!("output %{} does not exist", o.0)),
            None => Ok(()),
        }
    }
}
