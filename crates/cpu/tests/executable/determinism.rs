//! The same bits on any number of threads and, but for the order of products, on any instruction tier and processor.

use std::fmt::Write;
use std::sync::Mutex;

use gradus_cpu::pool::{num_threads, set_num_threads};
use gradus_cpu::{Tier, set_tier, tier};
use gradus_ir::graph::Graph;
use gradus_ir::ops::{Attention, AttentionGrad, MatMul, Op, Reduce, ReduceKind};
use gradus_ir::scalar::ScalarOp;
use gradus_ir::{Array, DType, Scalar, Type, Values};

use crate::harness::{Numbers, executable, run};
use crate::random_graphs::{Made, graphs, make};

/// Threads and tier are the process's: one test at a time.
pub static SETTINGS: Mutex<()> = Mutex::new(());

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let _guard = SETTINGS.lock().unwrap();
    let before = num_threads();
    let mut cases: Vec<Made> = graphs(150).map(|seed| make(seed + 77, DType::F32)).collect();
    cases.push(large());
    cases.push(attentive());
    for (i, Made { graph, inputs, slots }) in cases.iter().enumerate() {
        let executable = executable(graph, &[]);
        set_num_threads(1);
        let alone = run(&executable, graph, inputs, slots).unwrap();
        for threads in [2, 3, 4] {
            set_num_threads(threads);
            for _ in 0..3 {
                let outcome = run(&executable, graph, inputs, slots).unwrap();
                assert!(outcome.bytes() == alone.bytes(), "case {i}, {threads} threads");
            }
        }
    }
    set_num_threads(before);
}

/// Large enough for several tasks, contributions and waves.
fn large() -> Made {
    let mut numbers = Numbers(1);
    let mut graph = Graph::new();
    let types = [Type::new([700, 900], DType::F32), Type::new([900], DType::F32)];
    let inputs = types.clone().map(|t| numbers.array(&t)).to_vec();
    let [x, bias] = types.map(|t| graph.input(t));
    let y = graph.add(ScalarOp::Add, &[x, bias]).unwrap();
    let y = graph.add(ScalarOp::Sigmoid, &[y]).unwrap();
    let sum = |axes: &[usize]| Reduce { kind: ReduceKind::Sum, axes: axes.into(), keepdim: false };
    let columns = graph.add(sum(&[0]), &[y]).unwrap();
    let z = graph.add(ScalarOp::Mul, &[y, y]).unwrap();
    let rows = graph.add(sum(&[1]), &[z]).unwrap();
    let all = graph.add(sum(&[0, 1]), &[x]).unwrap();
    let turned = gradus_ir::ops::Permute { axes: [1, 0].as_slice().into() };
    let turned = graph.add(turned, &[y]).unwrap();
    let product = graph.add(MatMul, &[turned, z]).unwrap();
    graph.set_outputs(vec![columns, rows, all, product, z]);
    Made { graph, inputs, slots: vec![] }
}

/// Attention of several heads and tasks, and its gradient.
fn attentive() -> Made {
    let mut numbers = Numbers(2);
    let mut graph = Graph::new();
    let ty = Type::new([5, 250, 24], DType::F32);
    let inputs: Vec<_> = (0..4).map(|_| numbers.array(&ty)).collect();
    let x: Vec<_> = (0..4).map(|_| graph.input(ty.clone())).collect();
    let attention = Attention { causal: true, scale: Scalar::F64(0.3) };
    let y = graph.add(attention.clone(), &x[..3]).unwrap();
    let grads = graph.add(AttentionGrad(attention), &x).unwrap();
    graph.set_outputs(vec![y, grads]);
    Made { graph, inputs, slots: vec![] }
}

/// A product that somebody looks at has no tail, and is cut into other pieces.
#[test]
fn looking_at_a_product_changes_no_bit() {
    let _guard = SETTINGS.lock().unwrap();
    let transposed = gradus_ir::ops::Permute { axes: [1, 0].as_slice().into() };
    for ([m, n, k], [a, b]) in [
        ([64, 512, 784], [false, true]),
        ([512, 784, 64], [true, false]),
        ([64, 2100, 10], [false, false]),
        ([10, 2100, 64], [true, false]),
        ([64, 10, 2100], [false, true]),
        ([300, 128, 128], [false, true]),
        ([128, 300, 768], [true, false]),
        ([20, 24, 9000], [false, true]),
        ([1, 700, 90], [false, false]),
        ([700, 1, 90], [false, false]),
        ([33, 1300, 600], [true, true]),
        ([97, 256, 768], [false, false]),
        ([577, 300, 768], [false, false]),
        ([97, 128, 768], [true, false]),
    ] {
        for dtype in [DType::F32, DType::F64] {
            let mut numbers = Numbers(9);
            let mut graph = Graph::new();
            let mut inputs = Vec::new();
            let mut matrix = |graph: &mut Graph, turned: bool, [rows, cols]: [usize; 2]| {
                let shape = if turned { [cols, rows] } else { [rows, cols] };
                let ty = Type::new(shape, dtype);
                inputs.push(numbers.array(&ty));
                let x = graph.input(ty);
                if turned { graph.add(transposed.clone(), &[x]).unwrap() } else { x }
            };
            let x = matrix(&mut graph, a, [m, k]);
            let y = matrix(&mut graph, b, [k, n]);
            let bias = matrix(&mut graph, false, [1, n]);
            let product = graph.add(MatMul, &[x, y]).unwrap();
            let sum = graph.add(ScalarOp::Add, &[product, bias]).unwrap();
            let relu = graph.add(ScalarOp::Relu, &[sum]).unwrap();
            let axes = [0].as_slice().into();
            let sums = Reduce { kind: ReduceKind::Sum, axes, keepdim: false };
            let sums = graph.add(sums, &[relu]).unwrap();
            graph.set_outputs(vec![relu, sums]);
            let unseen = run(&executable(&graph, &[]), &graph, &inputs, &[]).unwrap();
            graph.set_outputs(vec![relu, sums, product]);
            let seen = run(&executable(&graph, &[]), &graph, &inputs, &[]).unwrap();
            assert!(unseen.bytes() == seen.bytes()[..2], "{m} × {n} × {k}, {dtype}, {a} {b}");
        }
    }
}

#[test]
fn every_tier_gives_the_same_bits() {
    let _guard = SETTINGS.lock().unwrap();
    let before = tier();
    let has_product = |graph: &Graph| graph.nodes().iter().any(|n| matches!(n.op, Op::MatMul(_)));
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for seed in graphs(150) {
            let Made { graph, inputs, slots } = make(seed + 177, dtype);
            if has_product(&graph) {
                continue;
            }
            let executable = executable(&graph, &[]);
            set_tier(Tier::Baseline);
            let expected = run(&executable, &graph, &inputs, &slots).unwrap();
            for tier in Tier::ALL.into_iter().filter(|t| t.is_supported()) {
                assert_eq!(set_tier(tier), tier);
                let outcome = run(&executable, &graph, &inputs, &slots).unwrap();
                assert!(outcome.bytes() == expected.bytes(), "graph {seed} {dtype}, {tier}");
            }
        }
    }
    set_tier(before);
}

#[test]
fn every_scalar_op_has_the_same_bits_on_every_tier() {
    let _guard = SETTINGS.lock().unwrap();
    let before = tier();
    for (op, dtype, graph, inputs) in scalar_ops() {
        let executable = executable(&graph, &[]);
        set_tier(Tier::Baseline);
        let expected = run(&executable, &graph, &inputs, &[]).unwrap();
        for tier in Tier::ALL {
            set_tier(tier);
            let outcome = run(&executable, &graph, &inputs, &[]).unwrap();
            assert!(outcome.bytes() == expected.bytes(), "{op:?} {dtype}, {tier}");
        }
    }
    set_tier(before);
}

/// The digests in `scalar_ops.txt` are those of every processor. After a change on purpose, run with
/// `UPDATE_SNAPSHOTS=1` and read the difference.
#[test]
fn every_scalar_op_has_the_same_bits_on_every_processor() {
    let mut is = String::new();
    for (op, dtype, graph, inputs) in scalar_ops() {
        let outcome = run(&executable(&graph, &[]), &graph, &inputs, &[]).unwrap();
        writeln!(is, "{op:?} {dtype} {:016x}", digest(&outcome.arrays[0])).unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/executable/scalar_ops.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &is).unwrap();
    }
    let was = std::fs::read_to_string(path).unwrap();
    let differ: Vec<_> = is.lines().zip(was.lines()).filter(|(is, was)| is != was).collect();
    assert!(is == was, "is and was: {differ:#?}");
}

/// Every scalar op over numbers of every class of dtypes.
fn scalar_ops() -> impl Iterator<Item = (ScalarOp, DType, Graph, Vec<Array>)> {
    let dtypes = [DType::F32, DType::F64, DType::F16, DType::I32];
    let cases = ScalarOp::ALL.iter().flat_map(move |&op| dtypes.map(|dtype| (op, dtype)));
    cases.filter_map(|(op, dtype)| {
        let mut graph = Graph::new();
        let condition = op == ScalarOp::Where;
        let types: Vec<Type> = (0..op.arity())
            .map(|i| {
                let dtype = if condition && i == 0 { DType::Bool } else { dtype };
                Type::new([1000 + 13], dtype)
            })
            .collect();
        let nodes: Vec<_> = types.iter().map(|t| graph.input(t.clone())).collect();
        let y = graph.add(op, &nodes).ok()?;
        graph.set_outputs(vec![y]);
        let mut numbers = Numbers(3);
        let inputs = types.iter().map(|t| numbers.array(t)).collect();
        Some((op, dtype, graph, inputs))
    })
}

/// FNV-1a of the elements. Any NaN is the same: its sign and payload are the processor's choice.
fn digest(array: &Array) -> u64 {
    let bits: Vec<u64> = match array.values() {
        Values::Float(x) => {
            x.iter().map(|x| if x.is_nan() { f64::NAN } else { *x }.to_bits()).collect()
        }
        Values::Int(x) => x.iter().map(|&x| x as u64).collect(),
    };
    let bytes = bits.iter().flat_map(|bits| bits.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The order of a sum follows from its shape, not from how the operand is stored or what else is kept.
#[test]
fn sums_do_not_depend_on_strides_or_on_other_outputs() {
    for (shape, axes) in [([300, 200], [0]), ([300, 200], [1]), ([3, 20_000], [1])] {
        let mut numbers = Numbers(9);
        let ty = Type::new(shape, DType::F32);
        let x = numbers.array(&ty);
        let turned = Type::new([shape[1], shape[0]], DType::F32);
        let transposed: Vec<f64> = (0..shape[1])
            .flat_map(|j| (0..shape[0]).map(move |i| (i, j)))
            .map(|(i, j)| x.floats()[i * shape[1] + j])
            .collect();
        let transposed = Array::float(turned.clone(), transposed);
        let sum = Reduce { kind: ReduceKind::Sum, axes: axes.as_slice().into(), keepdim: false };
        let results = [(false, false), (true, false), (false, true)].map(|(turn, keep)| {
            let mut graph = Graph::new();
            let input = graph.input(if turn { turned.clone() } else { ty.clone() });
            let permute = gradus_ir::ops::Permute { axes: [1, 0].as_slice().into() };
            let x_node = if turn { graph.add(permute, &[input]).unwrap() } else { input };
            let y = graph.add(ScalarOp::Tanh, &[x_node]).unwrap();
            let s = graph.add(sum.clone(), &[y]).unwrap();
            graph.set_outputs(if keep { vec![s, y] } else { vec![s] });
            let given = if turn { transposed.clone() } else { x.clone() };
            run(&executable(&graph, &[]), &graph, &[given], &[]).unwrap().arrays[0].clone()
        });
        assert_eq!(results[0], results[1], "transposed {shape:?}");
        assert_eq!(results[0], results[2], "stored {shape:?}");
    }
}
