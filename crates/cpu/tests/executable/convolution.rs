//! Convolutions and their gradients over many shapes, against the interpreter.

use gradus_cpu::pool::{num_threads, set_num_threads};
use gradus_ir::graph::Graph;
use gradus_ir::ops::{Conv, ConvGeometry, ConvInputGrad, ConvWeightGrad, MaxPoolGrad, Op};
use gradus_ir::{Array, DType, Type};

use crate::determinism::SETTINGS;
use crate::harness::{Numbers, check, executable, run};

/// A convolution: how the kernel moves, the input's shape and the weight's.
type Case = (ConvGeometry, [usize; 4], [usize; 4]);

/// How far from the exact result, in units of 1e-5 of the largest element: Winograd's method included.
const SCALE: f64 = 2.0;

/// The convolution and its two gradients, with the types of their operands.
fn ops((geometry, x, w): &Case) -> [(Op, [Type; 2]); 3] {
    let [oh, ow] = geometry.output([x[2], x[3]], [w[2], w[3]]).expect("the case fits");
    let y = [x[0], w[0], oh, ow];
    let (input, kernel) = ([x[2], x[3]], [w[2], w[3]]);
    let of = |shape: [usize; 4]| Type::new(shape, DType::F32);
    let geometry = || geometry.clone();
    [
        (Conv(geometry()).into(), [of(*x), of(*w)]),
        (ConvInputGrad { geometry: geometry(), input }.into(), [of(y), of(*w)]),
        (ConvWeightGrad { geometry: geometry(), kernel }.into(), [of(*x), of(y)]),
    ]
}

fn graph(op: Op, types: &[Type; 2]) -> (Graph, [Array; 2]) {
    let mut graph = Graph::new();
    let operands = types.each_ref().map(|ty| graph.input(ty.clone()));
    let y = graph.add(op, &operands).expect("the case fits");
    graph.set_outputs(vec![y]);
    let mut numbers = Numbers(types[0].shape.numel() as u64);
    (graph, types.each_ref().map(|ty| numbers.array(ty)))
}

fn geometry(stride: [usize; 2], padding: [[usize; 2]; 2]) -> ConvGeometry {
    ConvGeometry { stride, padding, ..ConvGeometry::default() }
}

/// Many channels: tiles that fit, that reach out, of several images; ragged panels; several blocks and parts; other
/// strides, kernels and groups, with pixels that no window reaches.
fn wide() -> Vec<Case> {
    let same = || geometry([1, 1], [[1, 1]; 2]);
    vec![
        (same(), [2, 48, 8, 8], [64, 48, 3, 3]),
        (same(), [3, 65, 7, 13], [50, 65, 3, 3]),
        (same(), [1, 64, 20, 12], [48, 64, 3, 3]),
        (same(), [33, 48, 4, 4], [48, 48, 3, 3]),
        (same(), [9, 70, 4, 4], [130, 70, 3, 3]),
        (geometry([1, 1], [[0, 2], [2, 1]]), [5, 64, 6, 4], [71, 64, 3, 3]),
        (geometry([1, 1], [[0, 0]; 2]), [2, 80, 11, 9], [96, 80, 3, 3]),
        (geometry([1, 1], [[2, 2]; 2]), [3, 48, 5, 6], [49, 48, 3, 3]),
        (geometry([2, 2], [[1, 1]; 2]), [5, 64, 9, 8], [70, 64, 3, 3]),
        (geometry([2, 2], [[0, 0]; 2]), [3, 48, 9, 8], [65, 48, 1, 1]),
        (geometry([3, 3], [[0, 0]; 2]), [2, 50, 11, 8], [48, 50, 2, 2]),
        (geometry([2, 3], [[3, 1], [0, 2]]), [2, 48, 13, 17], [48, 48, 3, 4]),
        (ConvGeometry { groups: 2, ..same() }, [2, 130, 7, 8], [96, 65, 3, 3]),
    ]
}

/// Few channels and short rows, or long ones; as many filters as fill a vector or several, and others.
fn narrow() -> Vec<Case> {
    let same = || geometry([1, 1], [[1, 1]; 2]);
    let short = [1, 5, 8, 11, 14, 16, 19, 33].map(|f| (same(), [3, 3, 5, 4], [f, 3, 3, 3]));
    let long = [2, 7].map(|f| (same(), [2, 3, 6, 40], [f, 3, 3, 3]));
    short.into_iter().chain(long).collect()
}

/// Filters over one channel each: strides and dilations with remainders, uneven padding, planes narrower and wider than
/// vectors.
fn depthwise() -> Vec<Case> {
    let of = |stride, padding, dilation, groups| ConvGeometry { stride, padding, dilation, groups };
    vec![
        (of([1, 1], [[1, 1]; 2], [1, 1], 40), [2, 40, 9, 8], [40, 1, 3, 3]),
        (of([2, 2], [[1, 1]; 2], [1, 1], 40), [3, 40, 9, 18], [40, 1, 3, 3]),
        (of([2, 1], [[2, 1], [3, 0]], [1, 2], 5), [3, 5, 19, 40], [5, 1, 5, 3]),
        (of([1, 3], [[0, 0]; 2], [2, 1], 6), [2, 6, 8, 20], [6, 1, 2, 2]),
        (of([1, 1], [[3, 3]; 2], [1, 1], 7), [1, 7, 20, 83], [7, 1, 7, 7]),
        (of([4, 4], [[0, 0]; 2], [1, 1], 3), [2, 3, 7, 11], [3, 1, 1, 1]),
    ]
}

#[test]
fn many_channels_and_few_and_depthwise() {
    for case in wide().into_iter().chain(narrow()).chain(depthwise()) {
        for (op, types) in ops(&case) {
            let what = format!("{op} of {types:?}");
            let (graph, inputs) = graph(op, &types);
            check(&graph, &inputs, &[], SCALE, &what);
        }
    }
}

#[test]
fn shapes_at_random() {
    let mut numbers = Numbers(18);
    for _ in 0..12 {
        let kernel = [numbers.pick(&[1, 3, 3, 5]), numbers.pick(&[1, 3, 3, 4])];
        let groups = numbers.pick(&[1, 1, 2]);
        let dilation = [numbers.pick(&[1, 1, 2]), 1];
        let stride = [numbers.pick(&[1, 1, 2, 3]), numbers.pick(&[1, 1, 2])];
        let padding = [(); 2].map(|()| [numbers.below(3), numbers.below(3)]);
        let channels = 48 + numbers.below(20);
        let filters = 48 + numbers.below(20);
        let plane = [9 + numbers.below(4), 4 + numbers.below(8)];
        let geometry = ConvGeometry { stride, padding, dilation, groups };
        let x = [1 + numbers.below(4), channels * groups, plane[0], plane[1]];
        let case = (geometry, x, [filters * groups, channels, kernel[0], kernel[1]]);
        for (op, types) in ops(&case) {
            let what = format!("{op} of {types:?}");
            let (graph, inputs) = graph(op, &types);
            check(&graph, &inputs, &[], SCALE, &what);
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let _guard = SETTINGS.lock().unwrap();
    let before = num_threads();
    for case in wide().into_iter().chain(narrow()).chain(depthwise()) {
        for (op, types) in ops(&case) {
            let what = format!("{op} of {types:?}");
            let (graph, inputs) = graph(op, &types);
            let executable = executable(&graph, &[]);
            set_num_threads(1);
            let alone = run(&executable, &graph, &inputs, &[]).unwrap();
            for threads in [2, 3, 4] {
                set_num_threads(threads);
                let outcome = run(&executable, &graph, &inputs, &[]).unwrap();
                assert!(outcome.bytes() == alone.bytes(), "{what}, {threads} threads");
            }
        }
    }
    set_num_threads(before);
}

/// Nothing in, nothing out: the gradients by winners of no images, no channels and no filters.
#[test]
fn winners_of_nothing() {
    for [batch, channels, filters] in [[0, 3, 4], [2, 0, 4], [2, 3, 0]] {
        let types = [
            Type::new([batch, filters, 2, 2], DType::I64),
            Type::new([batch, filters, 2, 2], DType::F32),
            Type::new([batch, channels, 6, 6], DType::F32),
            Type::new([filters, channels, 3, 3], DType::F32),
        ];
        let mut graph = Graph::new();
        let [places, dy, x, w] = types.each_ref().map(|ty| graph.input(ty.clone()));
        let geometry = ConvGeometry::default();
        let dy = graph.add(MaxPoolGrad { input: [4, 4] }, &[places, dy]).unwrap();
        let dx = ConvInputGrad { geometry: geometry.clone(), input: [6, 6] };
        let dw = ConvWeightGrad { geometry, kernel: [3, 3] };
        let outputs = [graph.add(dx, &[dy, w]).unwrap(), graph.add(dw, &[x, dy]).unwrap()];
        graph.set_outputs(outputs.to_vec());
        let inputs = types.map(|ty| Numbers(1).array(&ty));
        check(&graph, &inputs, &[], SCALE, &format!("{batch}, {channels} and {filters}"));
    }
}

/// What is not a number stays none, and does not leave the tile (of 4 × 4 outputs) that it is in.
#[test]
fn infinity_reaches_its_windows() {
    let case = (geometry([1, 1], [[1, 1]; 2]), [1, 48, 12, 12], [48, 48, 3, 3]);
    let [(op, types), ..] = ops(&case);
    let (graph, [x, w]) = graph(op, &types);
    for bad in [f64::INFINITY, f64::NAN] {
        let mut values = x.floats().to_vec();
        values[5 * 12 + 6] = bad;
        let x = Array::float(types[0].clone(), values);
        let outcome = run(&executable(&graph, &[]), &graph, &[x, w.clone()], &[]).unwrap();
        for (i, y) in outcome.arrays[0].floats().iter().enumerate() {
            let (row, column) = (i / 12 % 12, i % 12);
            let window = (4..=6).contains(&row) && (5..=7).contains(&column);
            let tile = (4..8).contains(&row) && (4..8).contains(&column);
            assert!(!window || !y.is_finite(), "{bad} at {row}, {column} gave {y}");
            assert!(tile || y.is_finite(), "{bad} at {row}, {column} gave {y}");
        }
    }
}
