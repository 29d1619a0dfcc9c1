//! The printer: one line per node, readable and diffable.

use std::fmt;

use crate::graph::Graph;

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, node) in self.nodes().iter().enumerate() {
            write!(f, "%{i} = {}", node.op)?;
            if !node.inputs.is_empty() {
                let names: Vec<String> = node.inputs.iter().map(|n| format!("%{}", n.0)).collect();
                write!(f, "({})", names.join(", "))?;
            }
            writeln!(f, " : {}", node.ty)?;
        }
        let names: Vec<String> = self.outputs().iter().map(|n| format!("%{}", n.0)).collect();
        writeln!(f, "return {}", names.join(", "))
    }
}
