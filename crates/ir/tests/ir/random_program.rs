//! Generated computations: a seed gives a graph of every kind of op, and values to run it on.

use gradus_ir::graph::{Graph, NodeId};
use gradus_ir::ops::*;
use gradus_ir::scalar::ScalarOp;
use gradus_ir::schedule::Donation;
use gradus_ir::{Array, Axes, DType, Scalar, Shape, Type};

use crate::program::Program;
use crate::rng::Rng;

/// The largest tensor, in elements: results are compared one by one.
const LARGEST: usize = 200;

/// The same seed gives the same program.
pub fn random_program(seed: u64) -> Program {
    let mut g = Generator {
        rng: Rng::new(seed),
        graph: Graph::new(),
        inputs: Vec::new(),
        slots: Vec::new(),
    };
    let float = g.rng.pick(&[DType::F32, DType::F32, DType::F64, DType::F16]);
    for _ in 0..2 + g.rng.below(3) {
        let shape = g.shape();
        g.input(Type::new(shape, float));
    }
    let n = if g.rng.chance(0.1) { 150 } else { 5 + g.rng.below(45) };
    for _ in 0..n {
        g.grow();
    }
    let donations = g.take_outputs();
    let Generator { graph, inputs, slots, .. } = g;
    graph.verify().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    Program { graph, inputs, slots, donations }
}

struct Generator {
    rng: Rng,
    graph: Graph,
    inputs: Vec<Array>,
    slots: Vec<Scalar>,
}

impl Generator {
    fn shape(&mut self) -> Shape {
        let rank = self.rng.pick(&[0, 1, 2, 2, 3]);
        (0..rank).map(|_| self.rng.pick(&[1, 2, 3, 4, 5, 5, 0])).collect()
    }

    fn input(&mut self, ty: Type) -> NodeId {
        let n = ty.shape.numel();
        self.inputs.push(if ty.dtype.is_float() {
            Array::float(ty.clone(), self.rng.distinct(n))
        } else {
            Array::int(ty.clone(), (0..n).map(|_| self.rng.below(7) as i64 - 2).collect())
        });
        self.graph.input(ty)
    }

    /// Positions along an axis of `bound` elements, now and then one that is not.
    fn index(&mut self, shape: Shape, bound: usize) -> NodeId {
        let stray = i64::from(self.rng.chance(0.1));
        let mut position = || self.rng.below(bound.max(1) + stray as usize) as i64;
        let values = (0..shape.numel()).map(|_| position()).collect();
        let ty = Type::new(shape, DType::I64);
        self.inputs.push(Array::int(ty.clone(), values));
        self.graph.input(ty)
    }

    fn slot(&mut self, dtype: DType) -> NodeId {
        self.slots.push(if dtype.is_float() {
            Scalar::F64(self.rng.pick(&[0.5, -1.25, 0.0, 3.0]))
        } else {
            Scalar::I64(self.rng.below(5) as i64)
        });
        self.graph.slot(dtype)
    }

    /// A node that fits, sooner one of the last.
    fn any(&mut self, fits: impl Fn(&Type) -> bool) -> Option<NodeId> {
        let found: Vec<NodeId> = self.graph.ids().filter(|&id| fits(self.graph.ty(id))).collect();
        let reach = if self.rng.chance(0.6) { 6 } else { found.len() };
        let first = found.len().saturating_sub(reach);
        (!found.is_empty()).then(|| found[first + self.rng.below(found.len() - first)])
    }

    fn float(&mut self) -> Option<NodeId> {
        self.any(|t| t.dtype.is_float())
    }

    /// Adds the node if it fits and is small.
    fn add(&mut self, op: impl Into<Op>, x: &[NodeId]) -> Option<NodeId> {
        let op = op.into();
        let types: Vec<&Type> = x.iter().map(|&x| self.graph.ty(x)).collect();
        let small = op.infer(&types).is_ok_and(|t| t.shape.numel() <= LARGEST);
        if small { self.graph.add(op, x).ok() } else { None }
    }

    fn grow(&mut self) -> Option<NodeId> {
        match self.rng.below(25) {
            0..=2 => self.unary(),
            3..=8 => self.binary(),
            9 => self.choice(),
            10 => {
                let x = self.any(|_| true)?;
                let to = self.rng.pick(&DType::ALL);
                self.add(Cast { to }, &[x])
            }
            11..=15 => self.movement(),
            16..=18 => {
                let x = self.any(|t| t.shape.rank() > 0 && t.dtype != DType::Bool)?;
                self.reduction(x)
            }
            19 | 20 => self.product(),
            21 => self.joined(),
            22 => self.indexed(),
            23 => self.drawn(),
            _ => self.classified(),
        }
    }

    fn unary(&mut self) -> Option<NodeId> {
        use ScalarOp::*;
        let x = self.any(|_| true)?;
        let op = self.rng.pick(&[Neg, Abs, Relu, Tanh, Sigmoid, Sin, Cos, Sign, Floor, Neg, Not]);
        self.add(op, &[x])
    }

    fn binary(&mut self) -> Option<NodeId> {
        use ScalarOp::*;
        let a = self.any(|_| true)?;
        let Type { shape, dtype } = self.graph.ty(a).clone();
        let b = match self.rng.below(8) {
            0 => self.slot(dtype),
            1 => {
                let c = self.rng.pick(&[1.0, 0.5, 2.0, 0.0]);
                self.graph.constant(c, dtype)
            }
            2 if shape.rank() > 0 => self.reduction(a)?,
            3 => self.turned(a)?,
            _ => self.any(|t| t.dtype == dtype && t.shape.broadcast(&shape).is_some())?,
        };
        let op = match dtype {
            DType::Bool => self.rng.pick(&[And, Or, Xor, Add, Mul]),
            d if d.is_float() => self.rng.pick(&[Add, Sub, Mul, Maximum, Minimum, Div, ReluGrad]),
            _ => self.rng.pick(&[Add, Sub, Mul, Maximum, Minimum, And, Xor]),
        };
        if self.rng.chance(0.5) { self.add(op, &[a, b]) } else { self.add(op, &[b, a]) }
    }

    fn choice(&mut self) -> Option<NodeId> {
        use ScalarOp::*;
        let a = self.any(|_| true)?;
        let Type { shape, dtype } = self.graph.ty(a).clone();
        let b = self.any(|t| t.dtype == dtype && t.shape.broadcast(&shape).is_some())?;
        let op = self.rng.pick(&[Eq, Ne, Lt, Le, Gt, Ge]);
        let condition = self.add(op, &[a, b])?;
        self.add(Where, &[condition, b, a])
    }

    fn movement(&mut self) -> Option<NodeId> {
        let x = self.any(|_| true)?;
        let shape = self.graph.ty(x).shape.clone();
        let axis = |g: &mut Generator| (shape.rank() > 0).then(|| g.rng.below(shape.rank()));
        match self.rng.below(6) {
            0 => self.turned(x),
            1 => {
                // Two axes into one, or one into two.
                let n = shape.numel();
                let to = self.rng.pick(&[1, 2, 3, 4, 5]);
                let to: Shape = match n {
                    0 => [0, to].into(),
                    _ if n.is_multiple_of(to) && self.rng.chance(0.7) => [n / to, to].into(),
                    _ => [n].into(),
                };
                self.add(Reshape { shape: to }, &[x])
            }
            2 => {
                let grown = |d: usize| if d == 1 { self.rng.pick(&[1, 2, 3]) } else { d };
                let mut to: Vec<usize> = shape.iter().copied().map(grown).collect();
                if self.rng.chance(0.5) {
                    to.insert(0, 2);
                }
                self.add(Expand { shape: to.into() }, &[x])
            }
            3 | 4 => {
                let axis = axis(self)?;
                let step = 1 + self.rng.below(2);
                let start = self.rng.below(shape[axis] + 1);
                let most = (shape[axis] - start).div_ceil(step);
                let len = self.rng.below(most + 1).max(most.min(1));
                self.add(Slice { axis, start, len, step }, &[x])
            }
            _ => {
                let axis = axis(self)?;
                let (before, after) = (self.rng.below(3), self.rng.below(2));
                let step = 1 + self.rng.below(2);
                self.add(Pad { axis, before, after, step }, &[x])
            }
        }
    }

    fn turned(&mut self, x: NodeId) -> Option<NodeId> {
        let mut axes: Axes = (0..self.graph.ty(x).shape.rank()).collect();
        self.rng.shuffle(&mut axes);
        self.add(Permute { axes }, &[x])
    }

    fn reduction(&mut self, x: NodeId) -> Option<NodeId> {
        let rank = self.graph.ty(x).shape.rank();
        let mut axes: Axes = (0..rank).filter(|_| self.rng.chance(0.5)).collect();
        if axes.is_empty() {
            axes.push(rank - 1);
        }
        let kind =
            self.rng.pick(&[ReduceKind::Sum, ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min]);
        let keepdim = self.rng.chance(0.7);
        self.add(Reduce { kind, axes, keepdim }, &[x])
    }

    fn product(&mut self) -> Option<NodeId> {
        let a = self.any(|t| t.shape.rank() >= 2 && t.dtype != DType::Bool)?;
        let Type { shape, dtype } = self.graph.ty(a).clone();
        let rank = shape.rank();
        let fits = |t: &Type| {
            t.dtype == dtype
                && t.shape.rank() == rank
                && t.shape[rank - 2] == shape[rank - 1]
                && t.shape[..rank - 2] == shape[..rank - 2]
        };
        match self.any(fits) {
            Some(b) if self.rng.chance(0.5) => self.add(MatMul, &[a, b]),
            _ => {
                let mut axes: Axes = (0..rank).collect();
                axes.swap(rank - 1, rank - 2);
                let b = self.add(Permute { axes }, &[a])?;
                self.add(MatMul, &[a, b])
            }
        }
    }

    fn joined(&mut self) -> Option<NodeId> {
        let a = self.any(|t| t.shape.rank() > 0)?;
        let ty = self.graph.ty(a).clone();
        let b = self.any(|t| *t == ty)?;
        let axis = self.rng.below(ty.shape.rank());
        self.add(Concat { axis }, &[a, b, a])
    }

    fn indexed(&mut self) -> Option<NodeId> {
        let x = self.any(|t| t.shape.rank() > 0)?;
        let shape = self.graph.ty(x).shape.clone();
        let axis = self.rng.below(shape.rank());
        if self.rng.chance(0.2) && shape[axis] > 0 {
            let keepdim = self.rng.chance(0.5);
            return self.add(ArgMax { axis, keepdim }, &[x]);
        }
        let count = self.rng.below(4);
        let mut index = self.index(shape.with_dim(axis, count), shape[axis]);
        if self.rng.chance(0.3) {
            let kind = CheckKind::Below(shape[axis]);
            index = self.add(Check { kind, what: "index" }, &[index])?;
        }
        let picked = self.add(Gather { axis }, &[x, index])?;
        if self.rng.chance(0.5) {
            return Some(picked);
        }
        let source = self.add(ScalarOp::Add, &[picked, picked])?;
        self.add(ScatterAdd { axis }, &[x, index, source])
    }

    fn drawn(&mut self) -> Option<NodeId> {
        match self.rng.below(5) {
            0 => {
                let (seed, stream) = (self.slot(DType::I64), self.slot(DType::I64));
                let distribution = self.rng.pick(&[Distribution::Uniform, Distribution::Normal]);
                let dtype = self.rng.pick(&[DType::F32, DType::F64]);
                let shape = self.shape();
                self.add(Random { distribution, shape, dtype }, &[seed, stream])
            }
            1 | 2 => {
                let dtype = self.rng.pick(&[DType::I64, DType::F32, DType::I32, DType::U8]);
                let len = 2 * self.rng.below(5);
                let count = self.add(Iota { len, dtype }, &[])?;
                self.add(Reshape { shape: [len / 2, 2].into() }, &[count])
            }
            3 => {
                let x = self.float()?;
                self.add(Check { kind: CheckKind::Finite, what: "value" }, &[x])
            }
            _ => {
                let shape = self.shape();
                let index = self.index(shape, 3);
                self.add(OneHot { classes: 3 }, &[index])
            }
        }
    }

    fn classified(&mut self) -> Option<NodeId> {
        let logits = self.any(|t| t.dtype.is_float() && t.shape.rank() == 2 && t.shape[1] > 0)?;
        let Type { shape, dtype } = self.graph.ty(logits).clone();
        let labels = self.index([shape[0]].into(), shape[1]);
        let loss = self.add(CrossEntropy, &[logits, labels])?;
        if self.rng.chance(0.5) {
            return Some(loss);
        }
        let one = self.graph.constant(0.25, dtype);
        let dy = self.add(Expand { shape: [shape[0]].into() }, &[one])?;
        self.add(CrossEntropyGrad, &[logits, labels, dy])
    }

    /// Asks for a few results, and updates some inputs as an optimizer does.
    fn take_outputs(&mut self) -> Vec<Donation> {
        let mut outputs = Vec::new();
        let mut donations = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            outputs.extend(self.any(|_| true));
        }
        for input in 0..self.inputs.len() {
            let id = self.graph.ids().find(|&id| self.graph.node(id).op == Op::Input(input as u32));
            let Some(id) = id.filter(|_| self.rng.chance(0.6)) else { continue };
            let ty = self.graph.ty(id).clone();
            let other = self.any(|t| *t == ty);
            let updated = other.and_then(|other| self.add(ScalarOp::Add, &[id, other]));
            let updated = if self.rng.chance(0.2) { self.any(|t| *t == ty) } else { updated };
            let Some(updated) = updated else { continue };
            donations.push(Donation { input: input as u32, output: outputs.len() as u32 });
            outputs.push(updated);
        }
        self.rng.shuffle(&mut donations);
        self.graph.set_outputs(outputs);
        donations
    }
}
