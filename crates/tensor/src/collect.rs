//! Collecting: from roots to a graph with leaves, slots, outputs and donations.
//!
//! The graph is the cache key, so its order must not depend on how the roots were reached: nodes come in the order
//! of their recording, and slots and leaves in the order of their first use.

use std::sync::Arc;

use gradus_ir::autograd::saved;
use gradus_ir::graph::NodeId;
use gradus_ir::schedule::Donation;
use gradus_ir::{DType, Scalar};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::device::{Device, Storage};
use crate::error::{Error, Result};
use crate::node::{Node, Operand, State};
use crate::plans::Key;

/// Where a collection starts.
#[derive(Clone)]
pub(crate) struct Root {
    pub node: Arc<Node>,
    /// Whether its value is wanted, or only its effect.
    pub wanted: bool,
}

/// What one plan computes.
pub(crate) struct Collected {
    pub key: Key,
    pub nodes: Vec<Entry>,
    pub leaves: Vec<Leaf>,
    pub slots: Vec<Scalar>,
    /// The nodes whose values the plan returns, as positions in `nodes`.
    pub outputs: Vec<usize>,
}

/// A pending node.
pub(crate) struct Entry {
    pub node: Arc<Node>,
    /// The operands that are pending too.
    pub operands: SmallVec<[u32; 3]>,
    /// The operands that are leaves.
    leaves: SmallVec<[u32; 3]>,
    id: NodeId,
    wanted: bool,
    /// An operand has failed, so that this has failed too and is not part of the plan.
    failed: bool,
    /// Backward can still pass through it.
    differentiable: bool,
    /// Whether it stays a node of the history once it is evaluated.
    pub keeps_history: bool,
}

/// An evaluated operand.
pub(crate) struct Leaf {
    pub node: Arc<Node>,
    /// Taken when the plan runs.
    pub storage: Option<Storage>,
}

/// Marks positions in `leaves` apart from positions in `nodes`.
const LEAF: usize = 1 << 31;

impl Collected {
    /// Collects what `roots` need. `writes` are variables' old and new values: candidates for donation.
    pub(crate) fn new(
        visit: u64,
        device: Device,
        roots: Vec<Root>,
        writes: &[(Arc<Node>, Arc<Node>)],
    ) -> Collected {
        let mut c = Collected {
            key: Key { device, ..Key::default() },
            nodes: Vec::new(),
            leaves: Vec::new(),
            slots: Vec::new(),
            outputs: Vec::new(),
        };
        c.walk(visit, roots);
        c.build(visit);
        let released = c.release();
        c.keep_saved();
        c.choose_outputs();
        c.donate(visit, writes, &released);
        c
    }

    /// Finds the pending ancestors of the roots and sorts them by recording.
    fn walk(&mut self, visit: u64, roots: Vec<Root>) {
        let mut wanted: Vec<u64> = Vec::new();
        let mut stack: Vec<Arc<Node>> = Vec::with_capacity(roots.len());
        for root in roots {
            if root.wanted {
                wanted.push(root.node.seq);
            }
            stack.push(root.node);
        }
        wanted.sort_unstable();
        let mut found: Vec<Arc<Node>> = Vec::with_capacity(4 * stack.len());
        while let Some(node) = stack.pop() {
            if node.marked(visit).is_some() {
                continue;
            }
            if let State::Pending(history) = &*node.state() {
                for operand in &history.operands {
                    if let Operand::Node(n) = operand
                        && !n.is_ready()
                    {
                        stack.push(n.clone());
                    }
                }
            } else {
                continue;
            }
            node.mark(visit, 0);
            found.push(node);
        }
        found.sort_unstable_by_key(|node| node.seq);
        self.nodes.reserve(found.len());
        for (i, node) in found.into_iter().enumerate() {
            node.mark(visit, i);
            self.nodes.push(Entry {
                wanted: wanted.binary_search(&node.seq).is_ok(),
                node,
                operands: SmallVec::new(),
                leaves: SmallVec::new(),
                id: NodeId(0),
                failed: false,
                differentiable: false,
                keeps_history: false,
            });
        }
    }

    /// Builds the graph. What depends on a failed node fails, and stays out of it.
    fn build(&mut self, visit: u64) {
        let Collected { key, nodes, leaves, slots, .. } = self;
        let graph = &mut key.graph;
        // A node, and now and then what is new to the graph among its operands.
        graph.reserve(nodes.len() * 3 / 2);
        let mut leaf_ids: Vec<NodeId> = Vec::new();
        let mut aliases: FxHashMap<usize, SmallVec<[usize; 1]>> = FxHashMap::default();
        let mut constants: FxHashMap<(Scalar, DType), NodeId> = FxHashMap::default();
        for i in 0..nodes.len() {
            let node = nodes[i].node.clone();
            let state = node.state();
            let State::Pending(history) = &*state else { continue };
            let mut inputs: SmallVec<[NodeId; 4]> = SmallVec::new();
            let mut spent = false;
            let mut failure: Option<Error> = None;
            for operand in &history.operands {
                let id = match operand {
                    Operand::Slot(x, dtype) => {
                        slots.push(*x);
                        graph.slot(*dtype)
                    }
                    Operand::Const(x, dtype) => {
                        *constants.entry((*x, *dtype)).or_insert_with(|| graph.constant(*x, *dtype))
                    }
                    Operand::Node(n) => {
                        spent |= n.requires_grad && n.is_spent();
                        match n.marked(visit) {
                            Some(j) if j & LEAF == 0 => {
                                failure = failure.or_else(|| nodes[j].failed.then(|| n.error())?);
                                nodes[i].operands.push(j as u32);
                                nodes[j].id
                            }
                            Some(j) => {
                                nodes[i].leaves.push((j & !LEAF) as u32);
                                leaf_ids[j & !LEAF]
                            }
                            None => {
                                let storage = match ready(n) {
                                    Ok(storage) => storage,
                                    Err(error) => {
                                        failure = Some(error);
                                        continue;
                                    }
                                };
                                let same = aliases.entry(storage.identity()).or_default();
                                let known = same.iter().find(|&&l| leaves[l].node.ty == n.ty);
                                let l = known.copied().unwrap_or_else(|| {
                                    same.push(leaves.len());
                                    leaves.push(Leaf { node: n.clone(), storage: Some(storage) });
                                    leaf_ids.push(graph.input(n.ty.clone()));
                                    leaves.len() - 1
                                });
                                n.mark(visit, l | LEAF);
                                nodes[i].leaves.push(l as u32);
                                leaf_ids[l]
                            }
                        }
                    }
                };
                inputs.push(id);
            }
            if let Some(error) = failure {
                drop(state);
                node.set_state(State::Failed(error));
                // The edges went with the state.
                nodes[i].operands.clear();
                nodes[i].leaves.clear();
                nodes[i].failed = true;
                nodes[i].wanted = false;
                continue;
            }
            nodes[i].id = graph.push(history.op.clone(), &inputs, node.ty.clone());
            // A computation on what backward has passed cannot be passed again: its history is of no use. This
            // keeps `running = &running + &loss` flat.
            if spent {
                node.spend();
            }
            nodes[i].differentiable = node.requires_grad && !node.is_spent();
        }
    }

    /// Finds which nodes outlive the evaluation with their edges, and returns for each leaf how many edges to it
    /// go away.
    fn release(&mut self) -> Vec<usize> {
        let mut released = vec![0; self.nodes.len()];
        let mut from_leaves = vec![0; self.leaves.len()];
        for i in (0..self.nodes.len()).rev() {
            let entry = &self.nodes[i];
            // Held by a handle it becomes a leaf; held by nobody but released edges (and this list) it goes.
            let stays = if entry.node.handles() > 0 || entry.wanted {
                entry.differentiable
            } else {
                Arc::strong_count(&entry.node) > 1 + released[i] + entry.node.loans()
            };
            self.nodes[i].keeps_history = stays && entry.differentiable;
            if !stays {
                let entry = &self.nodes[i];
                entry.operands.iter().for_each(|&o| released[o as usize] += 1);
                entry.leaves.iter().for_each(|&l| from_leaves[l as usize] += 1);
            }
        }
        from_leaves
    }

    /// Wants the values that a later backward will use, so that it repeats no work.
    fn keep_saved(&mut self) {
        for i in 0..self.nodes.len() {
            if !self.nodes[i].keeps_history {
                continue;
            }
            let graph = &self.key.graph;
            let state = self.nodes[i].node.state();
            let State::Pending(history) = &*state else { continue };
            let needs: Vec<bool> = history
                .operands
                .iter()
                .map(|o| matches!(o, Operand::Node(n) if n.requires_grad))
                .collect();
            let saved = saved(graph, self.nodes[i].id, &needs);
            let ids: SmallVec<[NodeId; 4]> =
                graph.node(self.nodes[i].id).inputs.iter().copied().collect();
            drop(state);
            self.nodes[i].wanted |= saved.output;
            let operands = self.nodes[i].operands.clone();
            for o in operands {
                let o = o as usize;
                let used = ids
                    .iter()
                    .zip(&saved.inputs)
                    .any(|(id, used)| *used && *id == self.nodes[o].id);
                self.nodes[o].wanted |= used;
            }
        }
    }

    fn choose_outputs(&mut self) {
        self.outputs = (0..self.nodes.len()).filter(|&i| self.nodes[i].wanted).collect();
        let ids = self.outputs.iter().map(|&i| self.nodes[i].id).collect();
        self.key.graph.set_outputs(ids);
    }

    /// Offers the buffer of a variable's old value to its new one, if nobody else holds it.
    fn donate(&mut self, visit: u64, writes: &[(Arc<Node>, Arc<Node>)], released: &[usize]) {
        for (old, new) in writes {
            let (Some(l), Some(n)) = (old.marked(visit), new.marked(visit)) else { continue };
            if l & LEAF == 0 || n & LEAF != 0 {
                continue;
            }
            let l = l & !LEAF;
            let leaf = &self.leaves[l];
            // The variable, this list and `writes` hold the node; the node and this list the storage.
            let alone = old.handles() == 1
                && Arc::strong_count(old) == 3 + released[l]
                && leaf.storage.as_ref().is_some_and(|s| s.owners() == 2);
            let output = self.outputs.iter().position(|&i| i == n);
            if let (true, Some(output)) = (alone, output) {
                self.key.donations.push(Donation { input: l as u32, output: output as u32 });
            }
        }
        self.key.donations.sort_unstable_by_key(|d| d.output);
    }
}

fn ready(node: &Node) -> Result<Storage> {
    match &*node.state() {
        State::Ready { storage, .. } => Ok(storage.clone()),
        State::Failed(error) => Err(error.clone()),
        State::Donated | State::Pending(_) => Err(Error::new(
            crate::ErrorKind::Value,
            "the value of a variable was used after an update had overwritten it",
        )),
    }
}
