//! Updates in place, and checks that stop them.

use std::sync::Arc;

use gradus_cpu::buffer::Buffer;
use gradus_ir::graph::{Graph, NodeId};
use gradus_ir::ops::{Check, CheckKind, Reduce, ReduceKind};
use gradus_ir::scalar::ScalarOp;
use gradus_ir::schedule::{Donation, Place};
use gradus_ir::{Array, DType, Scalar, Type, interpret};

use crate::harness::{Numbers, compare, executable, from_buffer, to_buffer};

/// One step of Adam on a parameter of `n` elements, with a check of the gradient's labels.
fn adam(n: usize) -> (Graph, Vec<Donation>) {
    let mut g = Graph::new();
    let ty = Type::new([n], DType::F32);
    let [p, m, v, grad] = [(); 4].map(|()| g.input(ty.clone()));
    let labels = g.input(Type::new([100], DType::I64));
    g.add(Check { kind: CheckKind::Below(10), what: "label" }, &[labels]).unwrap();
    let lr = g.slot(DType::F32);
    let constant = |g: &mut Graph, x: f64| g.constant(x, DType::F32);
    let binary = |g: &mut Graph, op, a: NodeId, b: NodeId| g.add(op, &[a, b]).unwrap();
    let (b1, c1) = (constant(&mut g, 0.9), constant(&mut g, 0.1));
    let (b2, c2) = (constant(&mut g, 0.999), constant(&mut g, 0.001));
    let eps = constant(&mut g, 1e-8);
    use ScalarOp::{Add, Div, Mul, Sqrt, Sub};
    let (old, new) = (binary(&mut g, Mul, m, b1), binary(&mut g, Mul, grad, c1));
    let m1 = binary(&mut g, Add, old, new);
    let square = binary(&mut g, Mul, grad, grad);
    let (old, new) = (binary(&mut g, Mul, v, b2), binary(&mut g, Mul, square, c2));
    let v1 = binary(&mut g, Add, old, new);
    let root = g.add(Sqrt, &[v1]).unwrap();
    let below = binary(&mut g, Add, root, eps);
    let step = binary(&mut g, Div, m1, below);
    let step = binary(&mut g, Mul, step, lr);
    let p1 = binary(&mut g, Sub, p, step);
    let norm = Reduce { kind: ReduceKind::Sum, axes: [0].as_slice().into(), keepdim: false };
    let norm = g.add(norm, &[square]).unwrap();
    g.set_outputs(vec![p1, m1, v1, norm]);
    let donations = (0..3).map(|i| Donation { input: i, output: i }).collect();
    (g, donations)
}

fn given(n: usize) -> Vec<Array> {
    let mut numbers = Numbers(4);
    let ty = Type::new([n], DType::F32);
    let mut inputs: Vec<Array> = (0..4).map(|_| numbers.array(&ty)).collect();
    let positive = inputs[2].floats().iter().map(|x| x.abs() + 0.1).collect();
    inputs[2] = Array::float(ty, positive);
    inputs.push(Array::int(Type::new([100], DType::I64), (0..100).map(|i| i % 10).collect()));
    inputs
}

#[test]
fn updates_run_in_place() {
    for n in [1, 100, 50_000] {
        let (graph, donations) = adam(n);
        let executable = executable(&graph, &donations);
        let in_place =
            executable.plan().values.iter().filter(|v| matches!(v.place, Place::Donated(_)));
        assert_eq!(in_place.count(), 3, "{}", executable.plan());
        let mut inputs = given(n);
        let mut buffers: Vec<Arc<Buffer>> = inputs.iter().map(to_buffer).collect();
        let addresses: Vec<_> = buffers.iter().map(|b| b.as_ptr()).collect();
        // Twice, the second time with other inputs in the same arena.
        for step in 0..3 {
            let slots = [Scalar::F64(0.01 * f64::from(step + 1))];
            let expected = interpret(&graph, &inputs, &slots).unwrap();
            let outputs = executable.run(&mut buffers, &slots).unwrap();
            for (i, expected) in expected.iter().enumerate() {
                let got = from_buffer(expected.ty(), &outputs[i]);
                compare(&got, expected, 2.0, &format!("output {i} of {n}"), &|| String::new());
                if i < 3 {
                    assert_eq!(outputs[i].as_ptr(), addresses[i], "output {i} is not in place");
                    assert!(Arc::ptr_eq(&outputs[i], &buffers[i]));
                    inputs[i] = got;
                }
            }
        }
    }
}

#[test]
fn a_donated_input_that_someone_holds_is_copied() {
    let (graph, donations) = adam(3000);
    let executable = executable(&graph, &donations);
    let inputs = given(3000);
    let mut buffers: Vec<Arc<Buffer>> = inputs.iter().map(to_buffer).collect();
    let held = buffers[0].clone();
    let slots = [Scalar::F64(0.01)];
    let expected = interpret(&graph, &inputs, &slots).unwrap();
    let outputs = executable.run(&mut buffers, &slots).unwrap();
    assert_eq!(from_buffer(inputs[0].ty(), &held), inputs[0], "the held value has changed");
    assert!(!Arc::ptr_eq(&outputs[0], &held) && Arc::ptr_eq(&outputs[0], &buffers[0]));
    compare(&from_buffer(inputs[0].ty(), &outputs[0]), &expected[0], 2.0, "copied", &String::new);
}

#[test]
fn a_failing_check_leaves_everything_as_it_was() {
    for n in [100, 50_000] {
        for bad in [0, 57, 99] {
            let (graph, donations) = adam(n);
            let executable = executable(&graph, &donations);
            let mut inputs = given(n);
            let mut labels = inputs[4].ints().to_vec();
            labels[bad] = 10;
            labels[99] = -1;
            inputs[4] = Array::int(inputs[4].ty().clone(), labels.clone());
            let mut buffers: Vec<Arc<Buffer>> = inputs.iter().map(to_buffer).collect();
            let before: Vec<Vec<u8>> =
                buffers.iter().map(|b| b.as_slice::<u8>().to_vec()).collect();
            let failure = executable.run(&mut buffers, &[Scalar::F64(0.1)]).unwrap_err();
            let expected = interpret(&graph, &inputs, &[Scalar::F64(0.1)]).unwrap_err();
            assert_eq!(failure, expected);
            for (buffer, before) in buffers.iter().zip(&before) {
                assert!(buffer.as_slice::<u8>() == before.as_slice());
            }
            // And the plan still runs.
            buffers[4] = to_buffer(&given(n)[4]);
            executable.run(&mut buffers, &[Scalar::F64(0.1)]).unwrap();
        }
    }
}

#[test]
fn the_first_check_of_the_graph_wins() {
    let mut graph = Graph::new();
    let x = graph.input(Type::new([40_000], DType::F32));
    let labels = graph.input(Type::new([50], DType::I64));
    // The first check comes later in time: its operand has to be computed.
    let y = graph.add(ScalarOp::Log, &[x]).unwrap();
    let y = graph.add(ScalarOp::Neg, &[y]).unwrap();
    let finite = graph.add(Check { kind: CheckKind::Finite, what: "value" }, &[y]).unwrap();
    graph.add(Check { kind: CheckKind::Below(5), what: "label" }, &[labels]).unwrap();
    graph.set_outputs(vec![finite]);
    let executable = executable(&graph, &[]);
    let run = |zeros: &[usize], label| {
        let mut values = vec![1.0; 40_000];
        zeros.iter().for_each(|&i| values[i] = 0.0);
        let x = Array::float(Type::new([40_000], DType::F32), values);
        let labels = Array::int(Type::new([50], DType::I64), vec![label; 50]);
        let mut buffers = vec![to_buffer(&x), to_buffer(&labels)];
        executable.run(&mut buffers, &[]).map(|_| ()).map_err(|f| (f.check, f.position, f.value))
    };
    assert_eq!(run(&[], 4), Ok(()));
    assert_eq!(run(&[], 5), Err((1, 0, 5.0)));
    assert_eq!(run(&[39_000, 20_123], 5), Err((0, 20_123, f64::INFINITY)));
}
