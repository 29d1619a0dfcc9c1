//! The graph: a list of nodes in topological order, each one op with one output.
//!
//! It is plain data: comparable and hashable, so that it is its own cache key. Two invariants hold and
//! [`Graph::verify`] checks them: a node's inputs come before it, and its type is what its op infers.

mod expr;
mod print;
mod verify;

pub use expr::{Expr, build};
use smallvec::SmallVec;

use crate::ops::Op;
use crate::scalar::ScalarOp;
use crate::{DType, Scalar, Shape, Type};

/// The position of a node in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The position as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A node's operands.
pub type Inputs = SmallVec<[NodeId; 3]>;

/// One op, its operands and the type of its result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// From which nodes.
    pub inputs: Inputs,
    /// What results.
    pub ty: Type,
}

/// A computation: nodes in topological order, and which of them are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Graph {
    nodes: Vec<Node>,
    outputs: Vec<NodeId>,
    n_inputs: u32,
    n_slots: u32,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// The nodes in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Every node id, in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// A node's result type.
    pub fn ty(&self, id: NodeId) -> &Type {
        &self.nodes[id.index()].ty
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What is asked for, in order.
    pub fn outputs(&self) -> &[NodeId] {
        &self.outputs
    }

    /// Asks for these nodes' values.
    pub fn set_outputs(&mut self, outputs: Vec<NodeId>) {
        self.outputs = outputs;
    }

    /// How many inputs there are.
    pub fn n_inputs(&self) -> usize {
        self.n_inputs as usize
    }

    /// How many slots there are.
    pub fn n_slots(&self) -> usize {
        self.n_slots as usize
    }

    /// A new input: a value given when the graph is run.
    pub fn input(&mut self, ty: Type) -> NodeId {
        self.n_inputs += 1;
        self.push(Op::Input(self.n_inputs - 1), &[], ty)
    }

    /// A new slot: a scalar given when the graph is run. No two slots are ever merged.
    pub fn slot(&mut self, dtype: DType) -> NodeId {
        self.n_slots += 1;
        self.push(Op::Slot(self.n_slots - 1), &[], Type::new(Shape::scalar(), dtype))
    }

    /// A scalar that is part of the computation itself, such as the 1/n of a mean.
    pub fn constant(&mut self, value: impl Into<Scalar>, dtype: DType) -> NodeId {
        self.push(Op::Const(value.into()), &[], Type::new(Shape::scalar(), dtype))
    }

    /// Appends an op, inferring its type; the error says what does not fit.
    pub fn add(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId, String> {
        let op = op.into();
        let ty = {
            let types: SmallVec<[&Type; 3]> = inputs.iter().map(|&i| self.ty(i)).collect();
            op.infer(&types)?
        };
        Ok(self.push(op, inputs, ty))
    }

    /// Appends an op whose type the caller has inferred already.
    pub fn push(&mut self, op: Op, inputs: &[NodeId], ty: Type) -> NodeId {
        self.push_node(Node { op, inputs: SmallVec::from_slice(inputs), ty })
    }

    /// Makes room for so many more nodes.
    pub fn reserve(&mut self, nodes: usize) {
        self.nodes.reserve(nodes);
    }

    /// Empties the graph and keeps its memory.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.outputs.clear();
        self.n_inputs = 0;
        self.n_slots = 0;
    }

    /// Rebuilds the graph node by node. `each` sees every node with its operands already renumbered and says
    /// which node of the new graph stands for it, or `None` to leave it out (then nothing may use it).
    pub fn rewrite(
        &self,
        mut each: impl FnMut(&mut Graph, NodeId, Node) -> Option<NodeId>,
    ) -> Graph {
        let mut out = Graph { n_inputs: self.n_inputs, n_slots: self.n_slots, ..Graph::default() };
        let mut map: Vec<Option<NodeId>> = Vec::with_capacity(self.nodes.len());
        let renamed = |map: &[Option<NodeId>], id: NodeId| {
            map[id.index()].unwrap_or_else(|| unreachable!("%{} was left out but is used", id.0))
        };
        for id in self.ids() {
            let node = self.node(id);
            // An unused node may have operands that were left out; it is left out with them.
            let new = if node.inputs.iter().any(|i| map[i.index()].is_none()) {
                None
            } else {
                let inputs = node.inputs.iter().map(|&i| renamed(&map, i)).collect();
                each(&mut out, id, Node { op: node.op.clone(), inputs, ty: node.ty.clone() })
            };
            map.push(new);
        }
        out.outputs = self.outputs.iter().map(|&o| renamed(&map, o)).collect();
        out
    }

    /// Appends a node as it is.
    pub fn push_node(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        id
    }

    /// Which nodes the outputs and the checks need.
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        for o in &self.outputs {
            live[o.index()] = true;
        }
        for (i, node) in self.nodes.iter().enumerate().rev() {
            live[i] |= node.op.is_effect();
            if live[i] {
                for input in &node.inputs {
                    live[input.index()] = true;
                }
            }
        }
        live
    }
}

impl From<ScalarOp> for Op {
    fn from(op: ScalarOp) -> Op {
        Op::Scalar(op)
    }
}
