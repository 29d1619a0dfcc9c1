//! Attention and its gradient as kernels, against their bodies.

use gradus_ir::graph::Graph;
use gradus_ir::ops::{Attention, AttentionGrad, Flip, Op};
use gradus_ir::{Array, DType, Scalar, Type};

use crate::harness::{Arrangement, Numbers, arranged, check, executable, run};

/// Heads, queries, keys, features of both and of values; whether causal; whether with a mask.
type Case = ([usize; 5], bool, bool);

/// One query, one key, odd sizes, blocks of queries and what is left of them, several tasks per head.
const CASES: [Case; 11] = [
    ([2, 1, 1, 1, 1], true, false),
    ([3, 7, 5, 3, 9], false, false),
    ([2, 64, 64, 32, 32], true, false),
    ([1, 64, 64, 32, 32], false, true),
    ([2, 25, 49, 17, 6], true, true),
    ([2, 49, 25, 6, 17], true, false),
    ([1, 48, 3, 8, 16], true, true),
    ([1, 1, 300, 40, 24], false, false),
    ([1, 500, 70, 5, 33], true, false),
    ([1, 400, 40, 8, 8], false, true),
    ([1, 30, 20, 0, 4], true, false),
];

fn types(([heads, l, s, e, f], _, masked): Case, dtype: DType) -> Vec<Type> {
    let ty = |rows, columns| Type::new([heads, rows, columns], dtype);
    let mut types = vec![ty(l, e), ty(s, e), ty(s, f)];
    types.extend(masked.then(|| ty(l, s)));
    types
}

/// The op and its gradient, with the types of their operands.
fn both(case: Case, dtype: DType) -> [(Op, Vec<Type>); 2] {
    let types = types(case, dtype);
    let ([heads, l, _, e, f], causal, _) = case;
    let op = Attention { causal, scale: Scalar::F64(1.0 / (e.max(1) as f64).sqrt()) };
    let mut with_dy = types.clone();
    with_dy.push(Type::new([heads, l, f], dtype));
    [(op.clone().into(), types), (AttentionGrad(op).into(), with_dy)]
}

fn graph(op: &Op, types: &[Type]) -> Graph {
    let mut graph = Graph::new();
    let operands: Vec<_> = types.iter().map(|t| graph.input(t.clone())).collect();
    let y = graph.add(op.clone(), &operands).unwrap();
    graph.set_outputs(vec![y]);
    graph
}

fn arrays(types: &[Type]) -> Vec<Array> {
    let mut numbers = Numbers(5);
    types.iter().map(|t| numbers.array(t)).collect()
}

#[test]
fn kernels_agree_with_the_bodies() {
    for case in CASES {
        for (op, types) in both(case, DType::F32) {
            check(&graph(&op, &types), &arrays(&types), &[], 4.0, &format!("{op} {case:?}"));
        }
    }
}

#[test]
fn other_dtypes_run_as_bodies() {
    for dtype in [DType::F64, DType::BF16] {
        for (op, types) in both(CASES[4], dtype) {
            let graph = graph(&op, &types);
            check(&graph, &arrays(&types), &[], 8.0, &format!("{op} {dtype}"));
        }
    }
}

#[test]
fn operands_may_be_views() {
    for (op, types) in both(([2, 30, 5, 4, 3], true, true), DType::F32) {
        for operand in 0..types.len() {
            for how in Arrangement::ALL {
                let mut graph = Graph::new();
                let (mut given, mut nodes) = (vec![], vec![]);
                for (i, ty) in types.iter().enumerate() {
                    let how = if i == operand { how } else { Arrangement::Contiguous };
                    let (base, node) = arranged(&mut graph, ty, how);
                    given.push(base);
                    nodes.push(node);
                }
                if how == Arrangement::Contiguous {
                    nodes[operand] = graph.add(Flip { axis: 1 }, &[nodes[operand]]).unwrap();
                }
                let y = graph.add(op.clone(), &nodes).unwrap();
                graph.set_outputs(vec![y]);
                check(&graph, &arrays(&given), &[], 4.0, &format!("{op}, {operand} {how:?}"));
            }
        }
    }
}

/// A query that sees nothing gets zeros and gives zeros; −∞ for some keys is as if they were not there.
#[test]
fn keys_can_be_masked() {
    let case = ([1, 26, 7, 4, 5], false, true);
    for (op, types) in both(case, DType::F32) {
        let mut given = arrays(&types);
        let mask = (0..26 * 7).map(|i| {
            let hidden = i / 7 == 3 || i / 7 == 25 || i % 3 == 0;
            if hidden { f64::NEG_INFINITY } else { 0.25 * i as f64 / 7.0 }
        });
        given[3] = Array::float(types[3].clone(), mask.collect());
        let graph = graph(&op, &types);
        check(&graph, &given, &[], 4.0, &format!("{op}"));
        if matches!(op, Op::Attention(_)) {
            let outcome = run(&executable(&graph, &[]), &graph, &given, &[]).unwrap();
            assert_eq!(outcome.arrays[0].floats()[15..20], [0.0; 5]);
        }
    }
}

/// NaN in a query or in a key that it sees makes NaN of its result, and of that alone.
#[test]
fn nan_stays_where_it_is_seen() {
    let case = ([1, 40, 40, 4, 5], true, false);
    let [(op, types), _] = both(case, DType::F32);
    for (operand, row, first, end) in [(0, 20, 20, 21), (1, 30, 30, 40), (1, 0, 0, 40)] {
        let mut given = arrays(&types);
        let mut x = given[operand].floats().to_vec();
        x[row * 4 + 1] = f64::NAN;
        given[operand] = Array::float(types[operand].clone(), x);
        let graph = graph(&op, &types);
        let outcome = run(&executable(&graph, &[]), &graph, &given, &[]).unwrap();
        for (i, row) in outcome.arrays[0].floats().chunks(5).enumerate() {
            let expected = (first..end).contains(&i);
            assert!(row.iter().all(|x| x.is_nan() == expected), "operand {operand}, query {i}");
        }
    }
}

/// Extreme scores neither overflow nor lose the greatest.
#[test]
fn large_scores_pick_one_key() {
    let case = ([1, 3, 20, 1, 1], false, false);
    let [(op, types), _] = both(case, DType::F32);
    let of = |n: usize, f: fn(usize) -> f64, i: usize| {
        Array::float(types[i].clone(), (0..n).map(f).collect())
    };
    let given =
        [of(3, |i| 1e4 * i as f64, 0), of(20, |j| j as f64, 1), of(20, |j| 0.5 * j as f64, 2)];
    let graph = graph(&op, &types);
    let outcome = run(&executable(&graph, &[]), &graph, &given, &[]).unwrap();
    assert_eq!(outcome.arrays[0].floats(), [4.75, 9.5, 9.5]);
}
