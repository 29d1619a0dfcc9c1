//! Gradients against differences of the interpreter's values in f64, of first and second order.

use gradus_ir::autograd::gradients;
use gradus_ir::graph::{Graph, NodeId};
use gradus_ir::ops::{Op, Reduce, ReduceKind};
use gradus_ir::passes::drop_dead;
use gradus_ir::scalar::ScalarOp;
use gradus_ir::{Array, DType, Scalar, Type, interpret};

use crate::rng::Rng;

/// How many elements of an operand are tried, at most.
const TRIED: usize = 10;

/// Checks the gradients of a computation with respect to every float operand, and then the
/// gradients of a random combination of those.
pub fn check(
    name: &str,
    operands: &[Array],
    formula: impl Fn(&mut Graph, &[NodeId]) -> NodeId,
    rng: &mut Rng,
) {
    let mut g = Graph::new();
    let mut given: Vec<Array> = operands.to_vec();
    let x: Vec<NodeId> = operands.iter().map(|a| g.input(a.ty().clone())).collect();
    let y = formula(&mut g, &x);
    let one = g.constant(1.0, DType::F64);
    if g.ty(y).dtype != DType::F64 {
        assert!(gradients(&mut g, y, one, &x).iter().all(Option::is_none), "{name}");
        return;
    }
    let (loss, weights) = weighted(&mut g, y, &mut given, rng);
    let wrt: Vec<NodeId> = x.iter().copied().chain([weights]).collect();
    let first = gradients(&mut g, loss, one, &wrt);
    compare(&format!("{name}, first order"), &g, loss, &given, &first, rng);

    let mut total: Option<NodeId> = None;
    for gradient in first[..x.len()].iter().flatten() {
        let (part, _) = weighted(&mut g, *gradient, &mut given, rng);
        total = Some(match total {
            Some(sum) => g.add(ScalarOp::Add, &[sum, part]).unwrap(),
            None => part,
        });
    }
    let Some(total) = total else { return };
    let second = gradients(&mut g, total, one, &wrt);
    compare(&format!("{name}, second order"), &g, total, &given, &second, rng);
}

/// The sum of `y`'s elements, each times a random weight; the weights are a new input.
fn weighted(g: &mut Graph, y: NodeId, given: &mut Vec<Array>, rng: &mut Rng) -> (NodeId, NodeId) {
    let ty = g.ty(y).clone();
    given.push(Array::float(ty.clone(), rng.distinct(ty.shape.numel())));
    let weights = g.input(ty.clone());
    let product = g.add(ScalarOp::Mul, &[y, weights]).unwrap();
    let axes = (0..ty.shape.rank()).collect();
    let sum = Reduce { kind: ReduceKind::Sum, axes, keepdim: false };
    (g.add(sum, &[product]).unwrap(), weights)
}

fn compare(
    name: &str,
    graph: &Graph,
    target: NodeId,
    given: &[Array],
    gradients: &[Option<NodeId>],
    rng: &mut Rng,
) {
    let run = |node: NodeId, given: &[Array]| {
        let mut graph = graph.clone();
        graph.set_outputs(vec![node]);
        let graph = drop_dead(&graph);
        graph.verify().unwrap();
        interpret(&graph, given, &[]).unwrap().swap_remove(0)
    };
    // The gradients' operands come first among the inputs; the last gradient is that of the
    // weights.
    for (k, gradient) in gradients.iter().enumerate() {
        if !given[k].ty().dtype.is_float() {
            assert_eq!(*gradient, None, "{name}: operand {k} is not a float");
            continue;
        }
        let n = given[k].shape().numel();
        let analytic = match gradient {
            Some(id) => {
                assert_eq!(graph.ty(*id), given[k].ty(), "{name}: operand {k}");
                run(*id, given).floats().to_vec()
            }
            None => vec![0.0; n],
        };
        let mut elements: Vec<usize> = (0..n).collect();
        rng.shuffle(&mut elements);
        for &i in elements.iter().take(TRIED) {
            let at = |offset: f64| {
                let mut moved = given.to_vec();
                let mut x = given[k].floats().to_vec();
                x[i] += offset;
                moved[k] = Array::float(given[k].ty().clone(), x);
                run(target, &moved).floats()[0]
            };
            let h = 1e-3;
            let numeric = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let scale = numeric.abs().max(analytic[i].abs()).max(1e-2);
            assert!(
                (analytic[i] - numeric).abs() <= 1e-6 * scale,
                "{name}: operand {k}, element {i}: {} by its rule, {numeric} by differences",
                analytic[i]
            );
        }
    }
}

/// A formula that is one op.
pub fn op(op: impl Into<Op>) -> impl Fn(&mut Graph, &[NodeId]) -> NodeId {
    let op = op.into();
    move |g, x| g.add(op.clone(), x).unwrap()
}

/// Operands of a case: floats in f64.
pub fn floats(shape: &[usize], values: Vec<f64>) -> Array {
    Array::float(Type::new(shape, DType::F64), values)
}

/// A scalar as an array.
pub fn scalar(value: impl Into<Scalar>, dtype: DType) -> Array {
    Array::full(Type::new([], dtype), value.into())
}
