//! From units to kernels: movement ops become views, values used elsewhere become buffers.

use std::collections::HashMap;

use smallvec::{SmallVec, smallvec};

use super::group::{Unit, Units, is_map};
use super::view::{View, is_movement};
use super::{Kernel, Loop, Place, Plan, ReduceStore, Step, StepKind, Store, Value, ValueId};
use crate::graph::{Graph, NodeId};
use crate::ops::{MatMul, MaxPool, MaxPoolIndices, Op};
use crate::{Axes, DType, Scalar, Shape, Type};

/// How a node's value is to be had.
#[derive(Clone)]
enum Source {
    /// It is a buffer, or a view of one.
    Memory(View),
    /// It is a scalar, repeated.
    Scalar(StepKind),
    /// It counts: a view of 0, 1, 2, … that never is in memory.
    Counting(View),
}

pub(super) fn lower(graph: &Graph, units: Units) -> Plan {
    let mut lowering = Lowering {
        graph,
        escapes: escapes(graph, &units),
        sources: vec![None; graph.len()],
        copies: HashMap::new(),
        plan: Plan {
            values: Vec::new(),
            kernels: Vec::new(),
            waves: Vec::new(),
            regions: Vec::new(),
            gate: 0,
            presumes: false,
            outputs: Vec::new(),
            arena: 0,
        },
    };
    for unit in &units.units {
        match &unit.looped {
            Some((shape, axes)) => lowering.lower_loop(unit, shape, axes),
            None => lowering.lower_kernel(unit.members[0]),
        }
    }
    lowering.lower_checks();
    lowering.take_outputs();
    lowering.plan
}

/// Which nodes are used outside of their loop, or inside it but not index by index.
fn escapes(graph: &Graph, units: &Units) -> Vec<bool> {
    let mut escapes = vec![false; graph.len()];
    for id in graph.ids() {
        let node = graph.node(id);
        for x in &node.inputs {
            let same_unit = units.of[x.index()].is_some()
                && units.of[x.index()] == units.of[id.index()]
                && is_map(&graph.node(*x).op);
            escapes[x.index()] |= !same_unit;
        }
    }
    for o in graph.outputs() {
        escapes[o.index()] = true;
    }
    escapes
}

struct Lowering<'a> {
    graph: &'a Graph,
    escapes: Vec<bool>,
    sources: Vec<Option<Source>>,
    /// Contiguous copies made of views.
    copies: HashMap<NodeId, View>,
    plan: Plan,
}

impl Lowering<'_> {
    fn new_value(&mut self, ty: &Type) -> ValueId {
        // Temporaries until `take_outputs` and the memory plan say otherwise.
        self.plan.values.push(Value { ty: ty.clone(), place: Place::Arena(0) });
        ValueId(self.plan.values.len() as u32 - 1)
    }

    /// The buffer that holds a node's result.
    fn define(&mut self, id: NodeId) -> ValueId {
        let ty = self.graph.ty(id).clone();
        let value = self.new_value(&ty);
        self.sources[id.index()] = Some(Source::Memory(View::whole(value, &ty)));
        value
    }

    fn source(&mut self, id: NodeId) -> Source {
        if let Some(source) = &self.sources[id.index()] {
            return source.clone();
        }
        let node = self.graph.node(id);
        let source = match &node.op {
            Op::Input(i) => {
                let place = Place::Input(*i);
                self.plan.values.push(Value { ty: node.ty.clone(), place });
                let value = ValueId(self.plan.values.len() as u32 - 1);
                Source::Memory(View::whole(value, &node.ty))
            }
            Op::Slot(i) => Source::Scalar(StepKind::Slot(*i)),
            Op::Const(c) => Source::Scalar(StepKind::Const(*c)),
            Op::Iota(_) => Source::Counting(View::whole(ValueId(u32::MAX), &node.ty)),
            op if is_movement(op) => self.moved(id, node.inputs[0]),
            op => unreachable!("%{} = {op} is used before its unit runs", id.0),
        };
        self.sources[id.index()] = Some(source.clone());
        source
    }

    /// The result of a movement op: a view if strides can express it, else a view of a copy.
    fn moved(&mut self, id: NodeId, operand: NodeId) -> Source {
        let node = self.graph.node(id);
        let view = match self.source(operand) {
            Source::Scalar(kind) => return Source::Scalar(kind),
            Source::Counting(view) => match view.moved(&node.op, &node.ty.shape) {
                Some(view) => return Source::Counting(view),
                None => self.contiguous(operand),
            },
            Source::Memory(view) => match view.moved(&node.op, &node.ty.shape) {
                Some(view) => return Source::Memory(view),
                None => self.contiguous(operand),
            },
        };
        let view = view.moved(&node.op, &node.ty.shape);
        Source::Memory(view.unwrap_or_else(|| unreachable!("contiguous elements take any shape")))
    }

    /// A view of a node's value in memory, copied there if it is a scalar or counts.
    fn view(&mut self, id: NodeId) -> View {
        match self.source(id) {
            Source::Memory(view) => view,
            _ => self.contiguous(id),
        }
    }

    /// A view of an operand of a matrix product or of attention, which cannot run backwards.
    fn matrix(&mut self, id: NodeId) -> View {
        let view = self.view(id);
        if view.strides.iter().any(|&s| s < 0) { self.contiguous(id) } else { view }
    }

    /// A contiguous view of a node's value, copied if need be.
    fn contiguous(&mut self, id: NodeId) -> View {
        let source = self.source(id);
        if let Source::Memory(view) = &source
            && view.is_contiguous()
        {
            return view.clone();
        }
        if let Some(copy) = self.copies.get(&id) {
            return copy.clone();
        }
        let ty = self.graph.ty(id).clone();
        let out = self.copy(source, &ty);
        let view = View::whole(out, &ty);
        self.copies.insert(id, view.clone());
        view
    }

    /// A kernel that copies a source into a new buffer.
    fn copy(&mut self, source: Source, ty: &Type) -> ValueId {
        let out = self.new_value(ty);
        let step = load(source, &ty.shape, ty.dtype);
        self.plan.kernels.push(Kernel::Loop(Loop {
            shape: ty.shape.clone(),
            steps: vec![step],
            stores: vec![Store { register: 0, out }],
            axes: Axes::new(),
            reduces: Vec::new(),
        }));
        out
    }

    fn lower_loop(&mut self, unit: &Unit, shape: &Shape, axes: &Axes) {
        let mut body = Loop {
            shape: shape.clone(),
            steps: Vec::new(),
            stores: Vec::new(),
            axes: axes.clone(),
            reduces: Vec::new(),
        };
        let mut registers: HashMap<NodeId, u16> = HashMap::new();
        for &id in &unit.members {
            let node = self.graph.node(id);
            if let Op::Random(r) = &node.op {
                let slot = |i: usize| match self.graph.node(node.inputs[i]).op {
                    Op::Slot(s) => s,
                    ref op => unreachable!("a random key is a slot, not {op}"),
                };
                let kind = StepKind::Random {
                    distribution: r.distribution,
                    seed: slot(0),
                    stream: slot(1),
                    first: node.inputs.get(2).map(|_| slot(2)),
                };
                let step = Step { kind, args: smallvec![], dtype: node.ty.dtype };
                registers.insert(id, push(&mut body.steps, step));
            } else {
                let args: SmallVec<[u16; 3]> = node
                    .inputs
                    .iter()
                    .map(|&x| match registers.get(&x) {
                        Some(&register) => register,
                        None => {
                            let step = load(self.source(x), shape, self.graph.ty(x).dtype);
                            push(&mut body.steps, step)
                        }
                    })
                    .collect();
                match &node.op {
                    Op::Scalar(op) => {
                        let step = Step { kind: StepKind::Op(*op), args, dtype: node.ty.dtype };
                        registers.insert(id, push(&mut body.steps, step));
                    }
                    Op::Cast(_) => {
                        let step = Step { kind: StepKind::Cast, args, dtype: node.ty.dtype };
                        registers.insert(id, push(&mut body.steps, step));
                    }
                    Op::Reduce(r) => {
                        let out = self.define(id);
                        body.reduces.push(ReduceStore { register: args[0], kind: r.kind, out });
                    }
                    op => unreachable!("{op} in a loop"),
                }
            }
        }
        for &id in &unit.members {
            let Some(&register) = registers.get(&id).filter(|_| self.escapes[id.index()]) else {
                continue;
            };
            let out = self.define(id);
            body.stores.push(Store { register, out });
        }
        self.plan.kernels.push(Kernel::Loop(body));
    }

    /// The node of another op on the same operands.
    fn sibling(&self, id: NodeId, op: Op) -> Option<NodeId> {
        let inputs = &self.graph.node(id).inputs;
        self.graph.ids().find(|&other| {
            let other = self.graph.node(other);
            other.op == op && other.inputs == *inputs
        })
    }

    fn lower_kernel(&mut self, id: NodeId) {
        if self.sources[id.index()].is_some() {
            // Another kernel's second result.
            return;
        }
        let node = self.graph.node(id);
        // The greatest elements and their places are found together.
        let second = match &node.op {
            Op::MaxPool(p) => self.sibling(id, MaxPoolIndices(p.0.clone()).into()),
            Op::MaxPoolIndices(p) => match self.sibling(id, MaxPool(p.0.clone()).into()) {
                Some(first) => return self.lower_kernel(first),
                None => None,
            },
            _ => None,
        };
        let x = &node.inputs;
        let kernel = match &node.op {
            Op::MatMul(_) => {
                let (a, b) = (self.matrix(x[0]), self.matrix(x[1]));
                let size = MatMul::size(&a.shape, &b.shape);
                Kernel::MatMul { a, b, out: self.define(id), size, tail: None }
            }
            op => {
                let contiguous = op.takes_contiguous();
                let matrices = matches!(op, Op::Attention(_) | Op::AttentionGrad(_));
                let view = |&x| match (contiguous, matrices) {
                    (true, _) => self.contiguous(x),
                    (false, true) => self.matrix(x),
                    (false, false) => self.view(x),
                };
                let x = x.iter().map(view).collect();
                let outs = [Some(id), second].into_iter().flatten().map(|id| self.define(id));
                Kernel::Op { op: op.clone(), x, outs: outs.collect() }
            }
        };
        self.plan.kernels.push(kernel);
    }

    fn lower_checks(&mut self) {
        let mut ordinal = 0;
        for id in self.graph.ids() {
            if let Op::Check(check) = &self.graph.node(id).op {
                let x = self.view(id);
                self.plan.kernels.push(Kernel::Check { x, check: check.clone(), ordinal });
                ordinal += 1;
            }
        }
    }

    /// Outputs are contiguous buffers of their own, or whole inputs. A view of one becomes a copy.
    fn take_outputs(&mut self) {
        for &id in self.graph.outputs() {
            let ty = self.graph.ty(id).clone();
            let source = self.source(id);
            let value = match &source {
                Source::Memory(view) if view.is_contiguous() && self.fills(view) => view.value,
                _ => self.copy(source, &ty),
            };
            if let Place::Arena(_) = self.plan.values[value.index()].place {
                self.plan.values[value.index()].place = Place::Output;
            }
            self.plan.outputs.push(value);
        }
    }

    fn fills(&self, view: &View) -> bool {
        view.shape.numel() == self.plan.values[view.value.index()].ty.shape.numel()
    }
}

/// The step that brings a value into a register of a loop over `shape`.
fn load(source: Source, shape: &Shape, dtype: DType) -> Step {
    let kind = match source {
        Source::Memory(view) => StepKind::Load(view.broadcast(shape)),
        Source::Counting(view) => {
            let View { offset, strides, .. } = view.broadcast(shape);
            StepKind::Index { offset: offset as isize, strides }
        }
        Source::Scalar(StepKind::Const(c)) => StepKind::Const(round(c, dtype)),
        Source::Scalar(kind) => kind,
    };
    Step { kind, args: smallvec![], dtype }
}

/// The same step twice is one register.
fn push(steps: &mut Vec<Step>, step: Step) -> u16 {
    let at = steps.iter().position(|s| *s == step).unwrap_or_else(|| {
        steps.push(step);
        steps.len() - 1
    });
    at as u16
}

/// A constant as its dtype holds it.
fn round(c: Scalar, dtype: DType) -> Scalar {
    if dtype.is_float() {
        Scalar::F64(crate::array::round_float(dtype, c.to_f64()))
    } else {
        Scalar::I64(crate::array::wrap_int(dtype, c.to_i64()))
    }
}
