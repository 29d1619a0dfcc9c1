//! Backward: from the recorded graph to recorded gradients.
//!
//! The part of the graph between a loss and its leaves is handed to [`gradus_ir::autograd`], and what that appends is
//! recorded as ordinary pending nodes. Nothing is computed here.

use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gradus_ir::graph::{Graph, NodeId};
use gradus_ir::ops::Op;
use gradus_ir::{Array, Scalar, Type, autograd};

use crate::device::{Device, Storage};
use crate::engine::{self, Traversal};
use crate::error::{self, Error, ErrorKind, Result};
use crate::node::{Node, Operand, State};
use crate::record::{self, as_one_plan, is_grad_enabled, with_grad};
use crate::tensor::Tensor;

/// Where a leaf collects its gradient.
#[derive(Default)]
pub struct GradCell(Mutex<Collected>);

#[derive(Default)]
struct Collected {
    grad: Option<Tensor>,
    /// A step has used the gradient up.
    used: bool,
    /// More has come since.
    stale: bool,
}

/// A gradient while a step uses it: nobody has it meanwhile, so that the step need not keep it in memory. Dropping the
/// loan gives it back, unless it is [used up](GradLoan::use_up).
#[must_use = "a gradient that is not used up after the step comes back"]
pub struct GradLoan {
    cell: Arc<GradCell>,
    grad: Option<Arc<Node>>,
}

impl GradLoan {
    /// The step has succeeded: the gradient is gone.
    pub fn use_up(mut self) {
        if let Some(node) = self.grad.take() {
            node.drop_loan();
            self.cell.lock().used = true;
        }
    }
}

impl Drop for GradLoan {
    fn drop(&mut self) {
        let Some(node) = self.grad.take() else { return };
        node.drop_loan();
        let grad = Tensor::from_node(node);
        if grad.node().is_pending() {
            record::watch(grad.node());
        }
        self.cell.lock().grad.get_or_insert(grad);
    }
}

/// How far a backward pass goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackwardOptions {
    /// Keep the history, so that backward can pass through it again.
    pub retain_graph: bool,
    /// Record the gradients with history, so that they can be differentiated in turn. Implies `retain_graph`.
    pub create_graph: bool,
}

impl BackwardOptions {
    /// Keeps the history for another backward pass.
    #[must_use]
    pub fn retain_graph(mut self) -> Self {
        self.retain_graph = true;
        self
    }

    /// Records gradients that can be differentiated.
    #[must_use]
    pub fn create_graph(mut self) -> Self {
        self.create_graph = true;
        self
    }
}

impl Tensor {
    /// Computes the gradient of this scalar with respect to every leaf it was made of and adds it to the leaves'
    /// [`grad`](Tensor::grad). Records only: the gradients are computed with the next evaluation.
    ///
    /// Misuse (not a scalar, no history, a second backward) is an error that the next evaluation or
    /// optimizer step returns.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3]).requires_grad_();
    /// (&x * &x).sum().backward();
    /// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [2.0, 4.0, 6.0]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn backward(&self) {
        self.backward_with(BackwardOptions::default());
    }

    /// As [`backward`](Tensor::backward), with options.
    #[track_caller]
    pub fn backward_with(&self, options: BackwardOptions) {
        let location = Location::caller();
        if let Err(error) = self.collect_gradients(options, location) {
            error::leave(&error);
        }
    }

    fn collect_gradients(
        &self,
        options: BackwardOptions,
        location: &'static Location<'static>,
    ) -> Result<()> {
        let mut path = Path::to(self, location)?;
        // Gradients that are still pending are evaluated first, so that accumulating over many batches runs in
        // flat memory. That may evaluate nodes of the path too: look again.
        if path.leaves().any(|leaf| leaf.grad.as_ref().is_some_and(|cell| cell.is_pending())) {
            drop(path);
            engine::evaluate_pending(&[], location)?;
            path = Path::to(self, location)?;
        }
        let leaves: Vec<Arc<Node>> = path.leaves().cloned().collect();
        let grads = path.differentiate(&leaves, options, location)?;
        for (leaf, grad) in leaves.iter().zip(grads) {
            if let (Some(cell), Some(grad)) = (&leaf.grad, grad) {
                cell.add(grad, options.create_graph);
            }
        }
        Ok(())
    }
}

/// The gradients of `output`, a scalar, with respect to `inputs`, returned rather than collected. An input that the
/// output does not depend on has `None`.
///
/// With `create_graph`, the gradients can be differentiated again:
///
/// ```
/// use gradus_tensor::{BackwardOptions, Tensor, grad};
/// let x = Tensor::from_slice(&[2.0f64], [1]).requires_grad_();
/// let y = (&x * &x * &x).sum();
/// let dy = grad(&y, &[&x], BackwardOptions::default().create_graph())?;
/// let d2y = grad(&dy[0].as_ref().unwrap().sum(), &[&x], BackwardOptions::default())?;
/// assert_eq!(d2y[0].as_ref().unwrap().item::<f64>()?, 12.0);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[track_caller]
pub fn grad(
    output: &Tensor,
    inputs: &[&Tensor],
    options: BackwardOptions,
) -> Result<Vec<Option<Tensor>>> {
    let location = Location::caller();
    let wrt: Vec<Arc<Node>> = inputs.iter().map(|t| t.node().clone()).collect();
    Path::to(output, location)?.differentiate(&wrt, options, location)
}

impl GradCell {
    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Option<Tensor> {
        self.lock().grad.clone()
    }

    pub(crate) fn replace(&self, grad: Tensor) {
        self.lock().grad = Some(grad);
    }

    pub(crate) fn clear(&self) {
        let old = std::mem::take(&mut *self.lock());
        drop(old);
    }

    fn is_pending(&self) -> bool {
        self.lock().grad.as_ref().is_some_and(|g| g.node().is_pending())
    }

    /// Adds a gradient. The cell stays locked, so that none is lost between threads; nothing is evaluated meanwhile.
    fn add(&self, grad: Tensor, create_graph: bool) {
        let mut cell = self.lock();
        cell.stale |= cell.used;
        cell.grad = Some(match cell.grad.take() {
            Some(old) => as_one_plan(|| with_grad(create_graph, || &old + &grad)),
            None => grad,
        });
    }

    /// Whether a step has used a gradient up since the last `zero_grad`, and whether more has come since.
    pub(crate) fn was_used(&self) -> (bool, bool) {
        let cell = self.lock();
        (cell.used, cell.stale)
    }

    pub(crate) fn lend(self: &Arc<GradCell>) -> GradLoan {
        let grad = self.lock().grad.take().map(|grad| grad.node().clone());
        if let Some(node) = &grad {
            node.add_loan();
        }
        GradLoan { cell: self.clone(), grad }
    }
}

/// The nodes that require grad between an output and its leaves, in the order of recording. Holds the
/// engine's lock, as traversals do.
struct Path<'a> {
    output: &'a Tensor,
    nodes: Vec<Arc<Node>>,
    traversal: Traversal,
}

impl<'a> Path<'a> {
    fn to(output: &'a Tensor, location: &'static Location<'static>) -> Result<Path<'a>> {
        let wrong = |message: String| Err(Error::located(ErrorKind::Autograd, message, location));
        let node = output.node();
        if let Some(error) = node.error() {
            error::replace(&error, None);
            return Err(error);
        }
        if node.ty.shape.numel() != 1 {
            return wrong(format!(
                "backward: needs a scalar, not a tensor of shape {}; reduce it with `sum()` or `mean()`",
                node.ty.shape
            ));
        }
        if !node.requires_grad {
            return wrong(
                "backward: this tensor does not require grad: no parameter takes part in it, or it was \
                 computed under `no_grad` or from a detached or integer tensor"
                    .to_owned(),
            );
        }
        let traversal = Traversal::begin();
        let mut nodes = Vec::new();
        let mut stack = vec![node.clone()];
        while let Some(node) = stack.pop() {
            if node.marked(traversal.number).is_some() {
                continue;
            }
            node.mark(traversal.number, 0);
            if node.grad.is_none() {
                let state = node.state();
                let history = match &*state {
                    State::Pending(h) => Some(h),
                    State::Ready { history, .. } => history.as_ref(),
                    _ => None,
                };
                let Some(history) = history.filter(|_| !node.is_spent()) else {
                    return wrong(
                        "backward: a second backward through the same computation; its history was freed by the \
                         first. Pass `BackwardOptions::default().retain_graph()` to the first, or `detach()` what \
                         should not be passed through again"
                            .to_owned(),
                    );
                };
                for operand in &history.operands {
                    if let Operand::Node(n) = operand
                        && n.requires_grad
                    {
                        stack.push(n.clone());
                    }
                }
            }
            nodes.push(node);
        }
        nodes.sort_unstable_by_key(|n| n.seq);
        for (i, node) in nodes.iter().enumerate() {
            node.mark(traversal.number, i);
        }
        Ok(Path { output, nodes, traversal })
    }

    fn leaves(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter().filter(|n| n.grad.is_some())
    }

    /// Records the gradients of the output with respect to `wrt`.
    fn differentiate(
        self,
        wrt: &[Arc<Node>],
        options: BackwardOptions,
        location: &'static Location<'static>,
    ) -> Result<Vec<Option<Tensor>>> {
        let mut import = Import { graph: Graph::new(), operands: Vec::new() };
        let mut ids: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let state = node.state();
            let id = match &*state {
                State::Pending(h) | State::Ready { history: Some(h), .. }
                    if node.grad.is_none() =>
                {
                    let inputs: Vec<NodeId> = h
                        .operands
                        .iter()
                        .map(|operand| match operand {
                            Operand::Node(n) => match n.marked(self.traversal.number) {
                                Some(i) => ids[i],
                                None => import.constant(operand, n.ty.clone()),
                            },
                            scalar => import.scalar(scalar),
                        })
                        .collect();
                    import.operands.push(Operand::Node(node.clone()));
                    import.graph.push(h.op.clone(), &inputs, node.ty.clone())
                }
                _ => import.constant(&Operand::Node(node.clone()), node.ty.clone()),
            };
            ids.push(id);
        }
        let output = ids[ids.len() - 1];
        let ty = self.output.node().ty.clone();
        let targets: Vec<Option<NodeId>> =
            wrt.iter().map(|n| n.marked(self.traversal.number).map(|i| ids[i])).collect();
        let one = Operand::Const(Scalar::F64(1.0), ty.dtype);
        let seed = match ty.shape.rank() {
            0 => import.scalar(&one),
            _ => import.constant(
                &constant(&one, &ty, self.output.device(), location).operand(),
                ty.clone(),
            ),
        };
        let known = import.graph.len();
        debug_assert_eq!(known, import.operands.len());
        let found: Vec<NodeId> = targets.iter().copied().flatten().collect();
        let grads = autograd::gradients(&mut import.graph, output, seed, &found);

        let retain = options.retain_graph || options.create_graph;
        if !retain {
            for node in self.nodes.iter().filter(|n| n.grad.is_none()) {
                node.spend();
                node.forget_history();
            }
        }
        let device = self.output.device();
        let enabled = options.create_graph && is_grad_enabled();
        let wanted: Vec<NodeId> = grads.iter().copied().flatten().collect();
        with_grad(enabled, || import.record(known, &wanted, device, location));
        let mut grads = grads.into_iter();
        let result = targets.iter().map(|t| {
            let id = t.and_then(|_| grads.next().flatten())?;
            match &import.operands[id.index()] {
                Operand::Node(node) => Some(Tensor::from_node(node.clone())),
                scalar => Some(constant(scalar, import.graph.ty(id), device, location)),
            }
        });
        Ok(result.collect())
    }
}

/// A graph under construction, and the recorded operand that each of its nodes stands for.
struct Import {
    graph: Graph,
    operands: Vec<Operand>,
}

impl Import {
    fn constant(&mut self, operand: &Operand, ty: Type) -> NodeId {
        self.operands.push(operand.clone());
        self.graph.input(ty)
    }

    fn scalar(&mut self, operand: &Operand) -> NodeId {
        self.operands.push(operand.clone());
        match *operand {
            Operand::Slot(_, dtype) => self.graph.slot(dtype),
            Operand::Const(x, dtype) => self.graph.constant(x, dtype),
            Operand::Node(_) => unreachable!("a node is no scalar"),
        }
    }

    /// Records the nodes from `known` on that the wanted ones need.
    fn record(
        &mut self,
        known: usize,
        wanted: &[NodeId],
        device: Device,
        location: &'static Location<'static>,
    ) {
        self.graph.set_outputs(wanted.to_vec());
        let live = self.graph.live();
        for (i, node) in self.graph.nodes().iter().enumerate().skip(known) {
            let operand = match (&node.op, live[i]) {
                (Op::Const(x), _) => Operand::Const(*x, node.ty.dtype),
                // Nothing uses it; a number keeps the positions aligned.
                (_, false) => Operand::Const(Scalar::F64(0.0), node.ty.dtype),
                (op, true) => {
                    let operands =
                        node.inputs.iter().map(|x| self.operands[x.index()].clone()).collect();
                    let ty = node.ty.clone();
                    Operand::Node(record::pending_node(op.clone(), operands, ty, device, location))
                }
            };
            self.operands.push(operand);
        }
    }
}

/// A leaf filled with a number. Made without recording, as the engine is locked.
fn constant(
    scalar: &Operand,
    ty: &Type,
    device: Device,
    location: &'static Location<'static>,
) -> Tensor {
    let (Operand::Const(x, _) | Operand::Slot(x, _)) = scalar else {
        unreachable!("a node is no number")
    };
    let storage = Storage::from_array(device, &Array::full(ty.clone(), *x));
    Tensor::leaf(storage, ty.clone(), device, None, location)
}
