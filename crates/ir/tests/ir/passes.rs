//! Rewrites: they make graphs smaller and keep every bit.

use gradus_ir::graph::{Graph, NodeId, build};
use gradus_ir::ops::*;
use gradus_ir::passes::{lower, optimize};
use gradus_ir::scalar::ScalarOp;
use gradus_ir::{Array, DType, Scalar, Type, interpret};

use crate::plans::{alike, native};
use crate::program::Program;
use crate::random_program::random_program;

const SEEDS: u64 = 400;

#[test]
fn results_stay_and_twice_is_once() {
    for seed in 0..SEEDS {
        let Program { graph, inputs, slots, .. } = random_program(seed);
        let run = |graph: &Graph| {
            graph.verify().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            interpret(graph, &inputs, &slots)
        };
        let expected = run(&graph);
        let optimized = optimize(&graph);
        assert!(alike(&run(&optimized), &expected), "seed {seed}\n{graph}\n{optimized}");
        assert!(optimized.len() <= graph.len(), "seed {seed}");
        assert_eq!(optimize(&optimized), optimized, "seed {seed}");
        assert_eq!(checks(&optimized), checks(&graph), "seed {seed}");
        assert!(optimized.live().iter().all(|&live| live), "seed {seed}\n{optimized}");

        // With no kernel but those of ordinary ops on f32 and wider.
        for has_kernel in [native, |_: &Op, _: &[&Type]| false] {
            let lowered = lower(&optimized, has_kernel);
            assert!(alike(&run(&lowered), &expected), "seed {seed}\n{graph}\n{lowered}");
            assert!(!lowered.nodes().iter().any(|n| is_fused(&n.op)), "seed {seed}\n{lowered}");
            assert_eq!(checks(&lowered), checks(&graph), "seed {seed}");
        }
    }
}

fn is_fused(op: &Op) -> bool {
    matches!(op, Op::OneHot(_))
}

fn checks(graph: &Graph) -> Vec<Op> {
    let all = graph.nodes().iter().map(|n| n.op.clone());
    all.filter(|op| matches!(op, Op::Check(_))).collect()
}

/// A graph over f32[2, 3] inputs, optimised.
fn optimized(inputs: usize, formula: impl FnOnce(&mut Graph, &[NodeId]) -> Vec<NodeId>) -> Graph {
    let mut g = Graph::new();
    let x: Vec<NodeId> = (0..inputs).map(|_| g.input(Type::new([2, 3], DType::F32))).collect();
    let outputs = formula(&mut g, &x);
    g.set_outputs(outputs);
    optimize(&g)
}

/// What is left of a formula over one input.
fn left_of(formula: impl FnOnce(&mut Graph, NodeId) -> NodeId) -> String {
    let g = optimized(1, |g, x| vec![formula(g, x[0])]);
    let ops: Vec<String> = g.nodes().iter().skip(1).map(|n| n.op.to_string()).collect();
    ops.join(" ")
}

#[test]
fn what_changes_nothing_goes() {
    let add = |g: &mut Graph, op: Op, x: NodeId| g.add(op, &[x]).unwrap();
    let unchanged: [Op; 8] = [
        Cast { to: DType::F32 }.into(),
        Reshape { shape: [2, 3].into() }.into(),
        Expand { shape: [2, 3].into() }.into(),
        Permute { axes: [0, 1].as_slice().into() }.into(),
        Slice { axis: 1, start: 0, len: 3, step: 1 }.into(),
        Pad { axis: 0, before: 0, after: 0, step: 1 }.into(),
        Reduce { kind: ReduceKind::Sum, axes: [].as_slice().into(), keepdim: false }.into(),
        Concat { axis: 0 }.into(),
    ];
    for op in unchanged {
        assert_eq!(left_of(|g, x| add(g, op.clone(), x)), "", "{op}");
    }
    let times_one = |g: &mut Graph, x: NodeId| build(g, &[x], |x| (1.0 * (x[0] * 1.0 / 1.0)).id());
    assert_eq!(left_of(times_one), "");
    let twice_negated = |g: &mut Graph, x: NodeId| build(g, &[x], |x| (-(-x[0])).id());
    assert_eq!(left_of(twice_negated), "");
}

/// What only looks as if it changed nothing.
#[test]
fn what_changes_something_stays() {
    // 1 broadcasts a smaller operand.
    let grown = left_of(|g, x| {
        let one = g.constant(1.0, DType::F32);
        let ones = g.add(Expand { shape: [4, 2, 3].into() }, &[one]).unwrap();
        g.add(ScalarOp::Mul, &[x, ones]).unwrap()
    });
    assert_eq!(grown, "const[1.0] expand[[4, 2, 3]] mul");
    // 1 / x is not x; −0 + 0 is not −0; a slot may be anything.
    assert_eq!(left_of(|g, x| build(g, &[x], |x| (1.0 / x[0]).id())), "const[1.0] div");
    assert_eq!(left_of(|g, x| build(g, &[x], |x| (x[0] + 0.0).id())), "const[0.0] add");
    let slot = left_of(|g, x| {
        let slot = g.slot(DType::F32);
        g.add(ScalarOp::Mul, &[x, slot]).unwrap()
    });
    assert_eq!(slot, "slot[0] mul");
    // There and back through fewer bits rounds.
    let rounded = left_of(|g, x| build(g, &[x], |x| x[0].cast(DType::F16).cast(DType::F32).id()));
    assert_eq!(rounded, "cast[float16] cast[float32]");
}

#[test]
fn parts_of_a_concatenation_are_found_again() {
    let pair = |g: &mut Graph, x: NodeId| {
        let (y, z) = build(g, &[x], |x| (x[0].op(ScalarOp::Exp).id(), (-x[0]).id()));
        let inner = g.add(Concat { axis: 1 }, &[x, y]).unwrap();
        g.add(Concat { axis: 1 }, &[inner, z]).unwrap()
    };
    let slice = |axis, start, len| Slice { axis, start, len, step: 1 };
    assert_eq!(left_of(pair), "exp neg cat[axis=1]");
    let part = |slice: Slice| {
        left_of(|g, x| {
            let all = pair(g, x);
            g.add(slice.clone(), &[all]).unwrap()
        })
    };
    assert_eq!(part(slice(1, 3, 3)), "exp");
    assert_eq!(part(slice(1, 6, 3)), "neg");
    let more = part(slice(1, 3, 4));
    assert!(more.contains("cat") && more.contains("slice"), "{more}");
    assert!(part(slice(0, 0, 1)).contains("cat"));
}

#[test]
fn chains_of_movement_join() {
    let reshaped =
        left_of(|g, x| build(g, &[x], |x| x[0].reshape([6].into()).reshape([3, 2].into()).id()));
    assert_eq!(reshaped, "reshape[[3, 2]]");
    let back =
        left_of(|g, x| build(g, &[x], |x| x[0].reshape([6].into()).reshape([2, 3].into()).id()));
    assert_eq!(back, "");
    let turned = left_of(|g, x| {
        build(g, &[x], |x| {
            x[0].reshape([1, 2, 3].into()).permute(&[2, 0, 1]).permute(&[2, 0, 1]).id()
        })
    });
    assert_eq!(turned, "reshape[[1, 2, 3]] permute[[1, 2, 0]]");
    let grown = left_of(|g, x| {
        build(g, &[x], |x| x[0].expand([1, 2, 3].into()).expand([4, 2, 3].into()).id())
    });
    assert_eq!(grown, "expand[[4, 2, 3]]");
}

#[test]
fn equal_nodes_merge_but_slots_and_checks_do_not() {
    let g = optimized(1, |g, x| {
        let a = g.add(ScalarOp::Exp, x).unwrap();
        let b = g.add(ScalarOp::Exp, x).unwrap();
        vec![g.add(ScalarOp::Add, &[a, b]).unwrap()]
    });
    assert_eq!(g.len(), 3, "{g}");

    let g = optimized(0, |g, _| {
        let draw = |g: &mut Graph| {
            let (seed, stream) = (g.slot(DType::I64), g.slot(DType::I64));
            let distribution = Distribution::Uniform;
            let op = Random { distribution, shape: [2].into(), dtype: DType::F32 };
            g.add(op, &[seed, stream]).unwrap()
        };
        let (a, b) = (draw(g), draw(g));
        vec![g.add(ScalarOp::Sub, &[a, b]).unwrap()]
    });
    assert_eq!(g.len(), 7, "two draws: {g}");

    // 0 and −0, 1 and 1 of another dtype, are no equals.
    let g = optimized(0, |g, _| {
        let constants =
            [(0.0, DType::F32), (-0.0, DType::F32), (0.0, DType::F64), (0.0, DType::F32)];
        constants.map(|(c, dtype)| g.constant(c, dtype)).to_vec()
    });
    assert_eq!(g.len(), 3, "{g}");
    assert_eq!(g.outputs()[0], g.outputs()[3]);

    let finite = Check { kind: CheckKind::Finite, what: "loss" };
    let g = optimized(1, |g, x| {
        g.add(finite.clone(), x).unwrap();
        g.add(finite.clone(), x).unwrap();
        vec![x[0]]
    });
    assert_eq!(checks(&g).len(), 2, "each has its place: {g}");
}

#[test]
fn dead_code_goes_but_inputs_slots_and_checks_keep_their_numbers() {
    let g = optimized(3, |g, x| {
        g.add(ScalarOp::Exp, &[x[0]]).unwrap();
        let unused = g.slot(DType::F32);
        g.add(ScalarOp::Neg, &[unused]).unwrap();
        let rate = g.slot(DType::F32);
        let below = |what| Check { kind: CheckKind::Finite, what };
        g.add(below("first"), &[x[1]]).unwrap();
        vec![g.add(ScalarOp::Mul, &[x[2], rate]).unwrap()]
    });
    assert_eq!((g.n_inputs(), g.n_slots()), (3, 2));
    assert_eq!(
        g.to_string(),
        "%0 = input[1] : float32[2, 3]\n\
         %1 = input[2] : float32[2, 3]\n\
         %2 = slot[1] : float32[]\n\
         %3 = check[first finite](%0) : float32[2, 3]\n\
         %4 = mul(%1, %2) : float32[2, 3]\n\
         return %4\n"
    );
}

/// Fused ops become their bodies, and the fused ops of those theirs.
#[test]
fn lowering_reaches_into_bodies() {
    let mut g = Graph::new();
    let logits = g.input(Type::new([2, 3], DType::F16));
    let labels = g.input(Type::new([2], DType::I64));
    let dy = g.input(Type::new([2], DType::F16));
    let y = g.add(CrossEntropyGrad, &[logits, labels, dy]).unwrap();
    g.set_outputs(vec![y]);
    let lowered = lower(&g, |_, _| false);
    lowered.verify().unwrap();
    let halves = lowered.nodes().iter().filter(|n| {
        let given = matches!(n.op, Op::Input(_) | Op::Const(_) | Op::Cast(_));
        n.ty.dtype == DType::F16 && !given
    });
    assert_eq!(halves.count(), 0, "all arithmetic is f32:\n{lowered}");
    let body = ["one_hot", "cross_entropy_grad"];
    assert!(!lowered.nodes().iter().any(|n| body.contains(&n.op.name())), "{lowered}");
    let given = [
        Array::from_slice([2, 3], &[0.5, 1.5, -1.0, 2.0, 0.0, 0.25].map(gradus_ir::f16::from_f64)),
        Array::from_slice([2], &[2i64, 0]),
        Array::from_slice([2], &[1.0, 0.5].map(gradus_ir::f16::from_f64)),
    ];
    assert_eq!(interpret(&lowered, &given, &[]), interpret(&g, &given, &[]));
}

#[test]
fn the_verifier_names_the_node() {
    let ty = Type::new([2], DType::F32);
    let late = {
        let mut g = Graph::new();
        g.push(ScalarOp::Neg.into(), &[NodeId(1)], ty.clone());
        g
    };
    assert_eq!(late.verify().unwrap_err(), "%0 = neg uses %1, which comes after it");
    let wrong = {
        let mut g = Graph::new();
        let x = g.input(ty.clone());
        g.push(ScalarOp::Neg.into(), &[x], Type::new([3], DType::F32));
        g
    };
    assert_eq!(
        wrong.verify().unwrap_err(),
        "%1 = neg: type float32[3] recorded, float32[2] inferred"
    );
    let stray = {
        let mut g = Graph::new();
        g.push(Op::Input(4), &[], ty.clone());
        g
    };
    assert_eq!(stray.verify().unwrap_err(), "%0: input 4 of 0");
    let large = {
        let mut g = Graph::new();
        g.push(Op::Const(Scalar::F64(1.0)), &[], ty);
        g
    };
    assert_eq!(large.verify().unwrap_err(), "%0: a scalar of shape [2]");
    let mut g = Graph::new();
    g.set_outputs(vec![NodeId(0)]);
    assert_eq!(g.verify().unwrap_err(), "output %0 does not exist");
}
