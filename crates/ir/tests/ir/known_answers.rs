//! The reference itself, against values worked out by hand: it is what everything else is tested
//! against.

use gradus_ir::graph::{Graph, build};
use gradus_ir::ops::*;
use gradus_ir::scalar::ScalarOp;
use gradus_ir::{Array, DType, Element, Scalar, Type, interpret};

fn run(op: impl Into<Op>, operands: &[&Array]) -> Array {
    let mut g = Graph::new();
    let x: Vec<_> = operands.iter().map(|a| g.input(a.ty().clone())).collect();
    let y = g.add(op, &x).unwrap();
    g.set_outputs(vec![y]);
    let given: Vec<Array> = operands.iter().map(|&a| a.clone()).collect();
    interpret(&g, &given, &[]).unwrap().swap_remove(0)
}

fn of<T: Element>(shape: &[usize], x: &[T]) -> Array {
    Array::from_slice(shape, x)
}

/// 0, 1, 2, … as f32.
fn count(shape: &[usize]) -> Array {
    let n = shape.iter().product();
    of(shape, &(0..n).map(|i| i as f32).collect::<Vec<_>>())
}

#[test]
fn movement() {
    let x = count(&[2, 3]);
    let turned = run(Permute { axes: [1, 0].as_slice().into() }, &[&x]);
    assert_eq!(turned, of(&[3, 2], &[0.0f32, 3.0, 1.0, 4.0, 2.0, 5.0]));
    let cycled = run(Permute { axes: [2, 0, 1].as_slice().into() }, &[&count(&[1, 2, 3])]);
    assert_eq!(cycled, of(&[3, 1, 2], &[0.0f32, 3.0, 1.0, 4.0, 2.0, 5.0]));
    assert_eq!(run(Reshape { shape: [3, 2].into() }, &[&x]), count(&[3, 2]));
    let rows = run(Expand { shape: [2, 2].into() }, &[&count(&[2, 1])]);
    assert_eq!(rows, of(&[2, 2], &[0.0f32, 0.0, 1.0, 1.0]));
    let part = run(Slice { axis: 1, start: 0, len: 2, step: 2 }, &[&x]);
    assert_eq!(part, of(&[2, 2], &[0.0f32, 2.0, 3.0, 5.0]));
    let spread = run(Pad { axis: 1, before: 1, after: 2, step: 2 }, &[&count(&[1, 2])]);
    assert_eq!(spread, of(&[1, 6], &[0.0f32, 0.0, 0.0, 1.0, 0.0, 0.0]));
    let joined = run(Concat { axis: 1 }, &[&x, &of(&[2, 1], &[7.0f32, 8.0])]);
    assert_eq!(joined, of(&[2, 4], &[0.0f32, 1.0, 2.0, 7.0, 3.0, 4.0, 5.0, 8.0]));
}

#[test]
fn sums_and_products() {
    let x = count(&[2, 3]);
    let reduce = |kind, axes: &[usize]| Reduce { kind, axes: axes.into(), keepdim: false };
    assert_eq!(run(reduce(ReduceKind::Sum, &[0]), &[&x]), of(&[3], &[3.0f32, 5.0, 7.0]));
    assert_eq!(run(reduce(ReduceKind::Sum, &[0, 1]), &[&x]), of(&[], &[15.0f32]));
    assert_eq!(run(reduce(ReduceKind::Max, &[1]), &[&x]), of(&[2], &[2.0f32, 5.0]));
    assert_eq!(run(reduce(ReduceKind::Min, &[1]), &[&x]), of(&[2], &[0.0f32, 3.0]));
    assert_eq!(run(reduce(ReduceKind::Sum, &[0]), &[&count(&[0, 2])]), of(&[2], &[0.0f32; 2]));
    let kept = Reduce { kind: ReduceKind::Sum, axes: [1].as_slice().into(), keepdim: true };
    assert_eq!(run(kept, &[&x]), of(&[2, 1], &[3.0f32, 12.0]));
    let product = run(MatMul, &[&x, &count(&[3, 2])]);
    assert_eq!(product, of(&[2, 2], &[10.0f32, 13.0, 28.0, 40.0]));
    let batch = run(MatMul, &[&count(&[2, 1, 2]), &count(&[2, 2, 1])]);
    assert_eq!(batch, of(&[2, 1, 1], &[1.0f32, 13.0]));
    assert_eq!(run(MatMul, &[&count(&[2, 0]), &count(&[0, 1])]), of(&[2, 1], &[0.0f32; 2]));
}

#[test]
fn indexing() {
    let x = count(&[2, 3]);
    let index = of(&[2, 2], &[2i64, 0, 1, 1]);
    let picked = run(Gather { axis: 1 }, &[&x, &index]);
    assert_eq!(picked, of(&[2, 2], &[2.0f32, 0.0, 4.0, 4.0]));
    let outside = run(Gather { axis: 0 }, &[&count(&[2, 1]), &of(&[3, 1], &[1i64, 2, -1])]);
    assert_eq!(outside, of(&[3, 1], &[1.0f32, 0.0, 0.0]), "out of range reads 0");
    let added = run(ScatterAdd { axis: 1 }, &[&x, &index, &count(&[2, 2])]);
    assert_eq!(added, of(&[2, 3], &[1.0f32, 1.0, 2.0, 3.0, 9.0, 5.0]));
    let left_out = run(
        ScatterAdd { axis: 0 },
        &[&count(&[2]), &of(&[2], &[2i64, 1]), &of(&[2], &[5.0f32, 6.0])],
    );
    assert_eq!(left_out, of(&[2], &[0.0f32, 7.0]));
    assert_eq!(
        run(OneHot { classes: 3 }, &[&of(&[2], &[2i64, 5])]),
        of(&[2, 3], &[0i64, 0, 1, 0, 0, 0])
    );
    let argmax = |axis| ArgMax { axis, keepdim: false };
    assert_eq!(run(argmax(1), &[&of(&[2, 3], &[1, 3, 3, 2, 0, 1])]), of(&[2], &[1i64, 0]));
    assert_eq!(run(argmax(0), &[&x]), of(&[3], &[1i64, 1, 1]));
    assert_eq!(run(Iota { len: 3, dtype: DType::F64 }, &[]), of(&[3], &[0.0, 1.0, 2.0]));
}

#[test]
fn casts() {
    let x = of(&[6], &[1.9, -1.9, 0.0, 300.0, 3e9, f64::NAN]);
    let to = |to| run(Cast { to }, &[&x]);
    assert_eq!(to(DType::I64).ints(), [1, -1, 0, 300, 3_000_000_000, 0]);
    assert_eq!(to(DType::I32).ints(), [1, -1, 0, 300, i64::from(i32::MAX), 0]);
    assert_eq!(to(DType::U8).ints()[..4], [1, 255, 0, 44]);
    assert_eq!(to(DType::Bool).ints(), [1, 1, 0, 1, 1, 1]);
    assert_eq!(to(DType::F16).floats()[..4], [1.900390625, -1.900390625, 0.0, 300.0]);
    assert_eq!(to(DType::F16).floats()[4], f64::INFINITY);
    assert_eq!(run(Cast { to: DType::U8 }, &[&of(&[2], &[257i64, -1])]).ints(), [1, 255]);
    assert_eq!(
        run(Cast { to: DType::F32 }, &[&of(&[1], &[16_777_217i64])]).floats(),
        [16_777_216.0]
    );
}

/// A float on its way to half precision passes through f32, here as in a kernel.
#[test]
fn half_precision_rounds_from_f32() {
    let rounded = |x: f64, to: DType| {
        let x = of(&[1], &[x]);
        let narrow = run(Cast { to }, &[&x]).floats()[0];
        let stored = match to {
            DType::F16 => x.to_vec::<gradus_ir::f16>()[0].to_f64(),
            _ => x.to_vec::<gradus_ir::bf16>()[0].to_f64(),
        };
        assert_eq!(narrow, stored, "{to}");
        narrow
    };
    for (to, ulp) in [(DType::F16, 2f64.powi(-10)), (DType::BF16, 2f64.powi(-7))] {
        let middle = 1.0 + ulp / 2.0;
        assert_eq!(rounded(middle, to), 1.0, "halves to even");
        assert_eq!(rounded(middle + 2f64.powi(-22), to), 1.0 + ulp, "a little more, upwards");
        assert_eq!(rounded(middle + 2f64.powi(-40), to), 1.0, "less than f32 can tell");
    }
}

#[test]
fn integers_wrap_and_booleans_saturate() {
    let binary = |op: ScalarOp, a: &Array, b: &Array| run(op, &[a, b]);
    let (a, b) = (of(&[2], &[200u8, 3]), of(&[2], &[100u8, 5]));
    assert_eq!(binary(ScalarOp::Add, &a, &b).ints(), [44, 8]);
    assert_eq!(binary(ScalarOp::Sub, &a, &b).ints(), [100, 254]);
    assert_eq!(run(ScalarOp::Not, &[&a]).ints(), [55, 252]);
    let least = of(&[1], &[i32::MIN]);
    assert_eq!(run(ScalarOp::Abs, &[&least]).ints(), [i64::from(i32::MIN)]);
    assert_eq!(binary(ScalarOp::Sub, &least, &of(&[1], &[1])).ints(), [i64::from(i32::MAX)]);
    let (t, f) = (of(&[1], &[true]), of(&[1], &[false]));
    assert_eq!(binary(ScalarOp::Add, &t, &t).ints(), [1]);
    assert_eq!(binary(ScalarOp::Mul, &t, &f).ints(), [0]);
    assert_eq!(run(ScalarOp::Not, &[&t]).ints(), [0]);
    assert_eq!(binary(ScalarOp::Xor, &t, &t).ints(), [0]);
    assert_eq!(binary(ScalarOp::Gt, &t, &f).ints(), [1]);
}

#[test]
fn cross_entropy_is_the_logarithm_of_softmax() {
    // Softmax of (0, ln 3) is (1/4, 3/4); a shift of a row changes nothing, however large.
    let ln3 = 3f64.ln();
    let logits = of(&[2, 2], &[0.0, ln3, 1000.0, 1000.0 + ln3]);
    let labels = of(&[2], &[0i64, 1]);
    let close = |a: &Array, b: &[f64]| {
        let far = a.floats().iter().zip(b).find(|(a, b)| (**a - **b).abs() > 1e-12);
        assert_eq!(far, None, "{a:?}");
    };
    let loss = run(CrossEntropy, &[&logits, &labels]);
    close(&loss, &[4f64.ln(), (4f64 / 3.0).ln()]);
    let dy = of(&[2], &[1.0, 2.0]);
    close(&run(CrossEntropyGrad, &[&logits, &labels, &dy]), &[-0.75, 0.75, 0.5, -0.5]);
}

#[test]
fn checks_say_which_and_where() {
    let mut g = Graph::new();
    let labels = g.input(Type::new([2, 2], DType::I64));
    let loss = g.input(Type::new([2], DType::F32));
    let finite = Check { kind: CheckKind::Finite, what: "loss" };
    let below = Check { kind: CheckKind::Below(3), what: "label" };
    g.add(finite.clone(), &[loss]).unwrap();
    let checked = g.add(below.clone(), &[labels]).unwrap();
    g.set_outputs(vec![checked]);
    let fine = of(&[2], &[0.0f32, 1.0]);
    let run =
        |labels: &[i64], loss: &Array| interpret(&g, &[of(&[2, 2], labels), loss.clone()], &[]);
    assert_eq!(run(&[0, 1, 2, 0], &fine).unwrap()[0].ints(), [0, 1, 2, 0]);
    let failure = run(&[0, 1, 3, -1], &fine).unwrap_err();
    assert_eq!(failure, CheckFailure { check: 1, position: 2, value: 3.0 });
    assert_eq!(
        below.explain(&failure),
        "label 3 at position 2 is out of range: there are 3 classes, labels run from 0 to 2"
    );
    // The first check that fails is the first in the graph.
    let failure = run(&[9; 4], &of(&[2], &[0.0f32, f32::INFINITY])).unwrap_err();
    assert_eq!(failure, CheckFailure { check: 0, position: 1, value: f64::INFINITY });
    assert_eq!(finite.explain(&failure), "loss is inf at position 1: it must be finite");
}

#[test]
fn slots_and_random_numbers() {
    let mut g = Graph::new();
    let (seed, stream, rate) = (g.slot(DType::I64), g.slot(DType::I64), g.slot(DType::F32));
    let of = |distribution, dtype| Random { distribution, shape: [100].into(), dtype };
    let uniform = g.add(of(Distribution::Uniform, DType::F32), &[seed, stream]).unwrap();
    let normal = g.add(of(Distribution::Normal, DType::F64), &[seed, stream]).unwrap();
    let scaled = build(&mut g, &[uniform, rate], |x| (x[0] * x[1]).id());
    g.set_outputs(vec![uniform, normal, scaled]);
    let draw = |seed: i64, stream: i64| {
        interpret(&g, &[], &[Scalar::I64(seed), Scalar::I64(stream), Scalar::F64(0.5)]).unwrap()
    };
    let first = draw(1, 2);
    assert_eq!(draw(1, 2), first);
    assert_ne!(draw(1, 3), first);
    assert_ne!(draw(2, 2), first);
    assert!(first[0].floats().iter().all(|x| (0.0..1.0).contains(x)));
    assert!(first[1].floats().iter().any(|x| *x < 0.0));
    let halves: Vec<f64> = first[0].floats().iter().map(|x| x * 0.5).collect();
    assert_eq!(first[2].floats(), halves);
}
