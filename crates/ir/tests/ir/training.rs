//! Training steps as the front end records them: forward, gradients, updates.

use gradus_ir::autograd::gradients;
use gradus_ir::graph::{Expr, Graph, NodeId, build};
use gradus_ir::ops::{Check, CheckKind, CrossEntropy};
use gradus_ir::scalar::ScalarOp;
use gradus_ir::schedule::Donation;
use gradus_ir::{Array, DType, Scalar, Type};

use crate::program::Program;
use crate::rng::Rng;

/// How parameters are updated.
#[derive(Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// With momentum 0.9.
    Sgd,
    /// With bias corrections as slots.
    Adam,
}

/// One step of a classifier: `layers` gives the sizes from the input to the classes. The mean loss
/// is the first output; each parameter and each of its moments is donated.
pub fn step(batch: usize, layers: &[usize], optimizer: Optimizer) -> Program {
    let mut t = Recorder { graph: Graph::new(), inputs: Vec::new(), rng: Rng::new(1) };
    let mut x = t.input(&[batch, layers[0]]);
    let classes = layers[layers.len() - 1];
    let labels: Vec<i64> = (0..batch).map(|_| t.rng.below(classes) as i64).collect();
    let mut label = t.graph.input(Type::new([batch], DType::I64));
    t.inputs.push(Array::from_slice([batch], &labels));
    let below = Check { kind: CheckKind::Below(classes), what: "label" };
    label = t.graph.add(below, &[label]).unwrap();

    let mut parameters = Vec::new();
    for (i, sizes) in layers.windows(2).enumerate() {
        let (weight, bias) = (t.input(&[sizes[1], sizes[0]]), t.input(&[sizes[1]]));
        x = build(&mut t.graph, &[x, weight, bias], |e| {
            let y = e[0].matmul(e[1].transposed()) + e[2];
            if i + 2 < layers.len() { y.op(ScalarOp::Relu).id() } else { y.id() }
        });
        parameters.extend([weight, bias]);
    }
    let loss = build(&mut t.graph, &[x, label], |e| {
        (e[0].apply(CrossEntropy, &[e[1]]).sum(&[0], false) * (1.0 / batch as f64)).id()
    });
    let one = t.graph.constant(1.0, DType::F32);
    let grads = gradients(&mut t.graph, loss, one, &parameters);
    t.update(loss, &parameters, &grads, optimizer)
}

struct Recorder {
    graph: Graph,
    inputs: Vec<Array>,
    rng: Rng,
}

impl Recorder {
    fn input(&mut self, shape: &[usize]) -> NodeId {
        let ty = Type::new(shape, DType::F32);
        self.inputs.push(Array::float(ty.clone(), self.rng.distinct(ty.shape.numel())));
        self.graph.input(ty)
    }

    fn update(
        mut self,
        loss: NodeId,
        parameters: &[NodeId],
        grads: &[Option<NodeId>],
        optimizer: Optimizer,
    ) -> Program {
        let slots: Vec<NodeId> = (0..3).map(|_| self.graph.slot(DType::F32)).collect();
        let mut outputs = vec![loss];
        let mut donations = Vec::new();
        for (&parameter, gradient) in parameters.iter().zip(grads) {
            let shape = self.graph.ty(parameter).shape.clone();
            let moments = if optimizer == Optimizer::Sgd { 1 } else { 2 };
            let mut state = vec![parameter];
            state.extend((0..moments).map(|_| self.input(&shape)));
            let mut operands = vec![gradient.expect("a gradient")];
            operands.extend(slots.iter().chain(&state));
            let updated: Vec<NodeId> = build(&mut self.graph, &operands, |e| {
                let updated = match optimizer {
                    Optimizer::Sgd => sgd(e),
                    Optimizer::Adam => adam(e),
                };
                updated.into_iter().map(Expr::id).collect()
            });
            for (old, new) in state.into_iter().zip(updated) {
                donations.push(self.donation(old, outputs.len()));
                outputs.push(new);
            }
        }
        self.graph.set_outputs(outputs);
        let slots = vec![Scalar::F64(0.01), Scalar::F64(0.1), Scalar::F64(0.001)];
        Program { graph: self.graph, inputs: self.inputs, slots, donations }
    }

    fn donation(&self, old: NodeId, output: usize) -> Donation {
        match self.graph.node(old).op {
            gradus_ir::ops::Op::Input(input) => Donation { input, output: output as u32 },
            ref op => unreachable!("{op} is no input"),
        }
    }
}

/// `[gradient, rate, …, parameter, velocity]` → the new parameter and velocity.
fn sgd<'g>(e: &[Expr<'g>]) -> Vec<Expr<'g>> {
    let (gradient, rate, parameter, velocity) = (e[0], e[1], e[4], e[5]);
    let velocity = velocity * 0.9 + gradient;
    vec![parameter - velocity * rate, velocity]
}

/// `[gradient, rate, correction, correction, parameter, mean, square]` → what becomes of the last
/// three.
fn adam<'g>(e: &[Expr<'g>]) -> Vec<Expr<'g>> {
    let (gradient, rate, parameter) = (e[0], e[1], e[4]);
    let mean = e[5] * 0.9 + gradient * 0.1;
    let square = (e[6] * e[6]) * 0.999 + (gradient * gradient) * 0.001;
    let scale = (square / e[3]).op(ScalarOp::Sqrt) + 1e-8;
    vec![parameter - (mean / e[2]) / scale * rate, mean, square]
}
