//! Small graphs made at random, so that fusion, views, waves and memory meet in ways nobody thought of.

use gradus_ir::graph::{Graph, NodeId};
use gradus_ir::ops::{
    ArgMax, Cast, Concat, Distribution, Expand, MatMul, Pad, Permute, Random, Reduce, ReduceKind,
    Reshape, Slice,
};
use gradus_ir::scalar::ScalarOp;
use gradus_ir::{Array, DType, Scalar, Type};

use crate::harness::{Numbers, check};

pub struct Made {
    pub graph: Graph,
    pub inputs: Vec<Array>,
    pub slots: Vec<Scalar>,
}

/// A graph over one float dtype. In f64 the executor and the interpreter round alike, up to the order of sums,
/// so that ops which jump (comparisons, rounding) are allowed there.
pub fn make(seed: u64, dtype: DType) -> Made {
    let mut maker = Maker {
        numbers: Numbers(seed),
        graph: Graph::new(),
        inputs: vec![],
        slots: vec![],
        nodes: vec![],
        jumps: dtype == DType::F64,
        dtype,
    };
    maker.leaves();
    let size = 4 + maker.numbers.below(30);
    for _ in 0..size {
        maker.step();
    }
    let mut outputs = vec![*maker.nodes.last().expect("there are leaves")];
    for _ in 0..maker.numbers.below(5) {
        outputs.push(maker.any());
    }
    maker.graph.set_outputs(outputs);
    Made { graph: maker.graph, inputs: maker.inputs, slots: maker.slots }
}

struct Maker {
    numbers: Numbers,
    graph: Graph,
    inputs: Vec<Array>,
    slots: Vec<Scalar>,
    /// Nodes of the float dtype.
    nodes: Vec<NodeId>,
    dtype: DType,
    jumps: bool,
}

impl Maker {
    fn leaves(&mut self) {
        let (a, b) = (self.numbers.pick(&[1, 2, 5, 33]), self.numbers.pick(&[1, 3, 8, 140]));
        for shape in [vec![a, b], vec![b], vec![a, 1], vec![b, a], vec![], vec![2, a, b]] {
            if self.numbers.below(3) > 0 || self.nodes.is_empty() {
                let ty = Type::new(&shape, self.dtype);
                self.inputs.push(self.numbers.array(&ty));
                self.nodes.push(self.graph.input(ty));
            }
        }
        self.slots.push(Scalar::F64(0.75));
        self.nodes.push(self.graph.slot(self.dtype));
        if matches!(self.dtype, DType::F32 | DType::F64) {
            self.slots.extend([Scalar::I64(5), Scalar::I64(9)]);
            let key = [self.graph.slot(DType::I64), self.graph.slot(DType::I64)];
            let distribution = Distribution::Uniform;
            let op = Random { distribution, shape: [a, b].into(), dtype: self.dtype };
            self.nodes.push(self.graph.add(op, &key).unwrap());
        }
        self.nodes.push(self.graph.constant(-0.5, self.dtype));
    }

    fn any(&mut self) -> NodeId {
        // The last ones more often, so that graphs become deep.
        let n = self.nodes.len();
        let back = self.numbers.below(n).min(self.numbers.below(n));
        self.nodes[n - 1 - back]
    }

    fn add(&mut self, op: impl Into<gradus_ir::ops::Op>, x: &[NodeId]) -> Option<NodeId> {
        let id = self.graph.add(op, x).ok()?;
        // Deep graphs must not grow without bound.
        (self.graph.ty(id).shape.numel() <= 20_000).then_some(id)
    }

    fn step(&mut self) {
        let x = self.any();
        let shape = self.graph.ty(x).shape.clone();
        let rank = shape.rank();
        let axis = if rank > 0 { self.numbers.below(rank) } else { 0 };
        let made = match self.numbers.below(16) {
            0..=2 => {
                let op = self.numbers.pick(&[
                    ScalarOp::Tanh,
                    ScalarOp::Sigmoid,
                    ScalarOp::Relu,
                    ScalarOp::Neg,
                    ScalarOp::Abs,
                ]);
                self.add(op, &[x])
            }
            3..=6 => {
                let y = self.any();
                let op = self.numbers.pick(&[
                    ScalarOp::Add,
                    ScalarOp::Sub,
                    ScalarOp::Mul,
                    ScalarOp::Maximum,
                    ScalarOp::Minimum,
                ]);
                let result = self.add(op, &[x, y]);
                // Back into range, so that nothing overflows.
                result.and_then(|r| self.add(ScalarOp::Tanh, &[r]))
            }
            7 if rank > 0 => {
                let mut axes: Vec<usize> =
                    (0..rank).filter(|_| self.numbers.below(2) == 0).collect();
                axes.retain(|&a| shape[a] > 0);
                let kind = self.numbers.pick(&[ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min]);
                let keepdim = self.numbers.below(2) == 0;
                let count: usize = axes.iter().map(|&a| shape[a]).product();
                let op = Reduce { kind, axes: axes.as_slice().into(), keepdim };
                let sum = self.add(op, &[x]);
                let scale = self.graph.constant(1.0 / count.max(1) as f64, self.dtype);
                sum.and_then(|s| self.add(ScalarOp::Mul, &[s, scale]))
            }
            8 if rank > 1 => {
                let mut axes: Vec<usize> = (0..rank).collect();
                axes.swap(axis, (axis + 1) % rank);
                self.add(Permute { axes: axes.as_slice().into() }, &[x])
            }
            9 if rank > 0 => {
                let n = shape.numel();
                let flat = self.numbers.below(2) == 0 && rank > 1;
                let to =
                    if flat { vec![n] } else { [&shape[..axis], &[1], &shape[axis..]].concat() };
                self.add(Reshape { shape: to.into() }, &[x])
            }
            10 if rank > 0 && shape[axis] > 1 => {
                let step = 1 + self.numbers.below(2);
                let start = self.numbers.below(2);
                let len = (shape[axis] - start).div_ceil(step);
                self.add(Slice { axis, start, len, step }, &[x])
            }
            11 => {
                let more = self.numbers.pick(&[1, 2, 3]);
                let to: Vec<usize> = [&[more], &shape[..]].concat();
                self.add(Expand { shape: to.into() }, &[x])
            }
            12 if rank > 0 => {
                let y = self.add(ScalarOp::Neg, &[x]);
                y.and_then(|y| self.add(Concat { axis }, &[x, y, x]))
            }
            13 if rank > 0 => {
                let (before, step) = (self.numbers.below(2), 1 + self.numbers.below(2));
                self.add(Pad { axis, before, after: 1, step }, &[x])
            }
            14 if rank > 1 => {
                let mut axes: Vec<usize> = (0..rank).collect();
                axes.swap(rank - 2, rank - 1);
                let turned = self.add(Permute { axes: axes.as_slice().into() }, &[x]);
                let product = turned.and_then(|t| self.add(MatMul, &[x, t]));
                let scale = self.graph.constant(0.1, self.dtype);
                product.and_then(|p| self.add(ScalarOp::Mul, &[p, scale]))
            }
            15 if self.jumps => {
                let y = self.any();
                let less = self.add(ScalarOp::Lt, &[x, y]);
                if self.numbers.below(3) == 0 && rank > 0 && shape[axis] > 0 {
                    let best = self.add(ArgMax { axis, keepdim: true }, &[x]);
                    best.and_then(|b| self.add(Cast { to: self.dtype }, &[b]))
                } else if self.numbers.below(2) == 0 {
                    less.and_then(|c| self.add(Cast { to: self.dtype }, &[c]))
                } else {
                    less.and_then(|c| self.add(ScalarOp::Where, &[c, x, y]))
                }
            }
            _ => None,
        };
        self.nodes.extend(made);
    }
}

/// How many graphs to make; more with `GRADUS_GRAPHS`, to search for defects.
pub fn graphs(default: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("GRADUS_GRAPHS").ok().and_then(|n| n.parse().ok());
    0..asked.unwrap_or(default)
}

#[test]
fn random_graphs_in_f64() {
    for seed in graphs(1500) {
        let Made { graph, inputs, slots } = make(seed, DType::F64);
        check(&graph, &inputs, &slots, 1e3, &format!("graph {seed}"));
    }
}

#[test]
fn random_graphs_in_f32() {
    for seed in graphs(700) {
        let Made { graph, inputs, slots } = make(seed + 1_000_000, DType::F32);
        check(&graph, &inputs, &slots, 20.0, &format!("graph {}", seed + 1_000_000));
    }
}

#[test]
fn random_graphs_in_half_precision() {
    for seed in graphs(200) {
        let dtype = if seed % 2 == 0 { DType::F16 } else { DType::BF16 };
        let Made { graph, inputs, slots } = make(seed + 2_000_000, dtype);
        check(&graph, &inputs, &slots, 30.0, &format!("graph {}", seed + 2_000_000));
    }
}
