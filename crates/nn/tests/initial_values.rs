//! Initial values: what they promise exactly, and their distributions.

use gradus_nn::init::{self, FanMode, Nonlinearity};
use gradus_nn::{MultiheadAttention, PReLU, TransformerEncoder, TransformerEncoderLayer};
use gradus_tensor::{DType, Tensor, evaluate, manual_seed};

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_vec().unwrap()
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn variance(x: &[f64]) -> f64 {
    let m = mean(x);
    x.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / x.len() as f64
}

/// Mean and variance lie within four standard errors of what is promised.
fn has_moments(what: &str, x: &[f64], expected_mean: f64, expected_variance: f64) {
    let n = x.len() as f64;
    let error = 4.0 * (expected_variance / n).sqrt();
    assert!((mean(x) - expected_mean).abs() < error, "{what}: mean {}", mean(x));
    // The variance of normal numbers; that of bounded ones is surer.
    let error = 4.0 * expected_variance * (2.0 / n).sqrt();
    assert!((variance(x) - expected_variance).abs() < error, "{what}: variance {}", variance(x));
}

#[test]
fn kaiming_follows_mode_and_nonlinearity() {
    manual_seed(11);
    let shape = [30, 40, 3, 3];
    let (fan_in, fan_out) = (360.0, 270.0);
    for (nonlinearity, gain) in [
        (Nonlinearity::Linear, 1.0),
        (Nonlinearity::Sigmoid, 1.0),
        (Nonlinearity::Tanh, 25.0 / 9.0),
        (Nonlinearity::ReLU, 2.0),
        (Nonlinearity::LeakyReLU(0.5), 1.6),
        (Nonlinearity::SELU, 0.5625),
    ] {
        assert!((init::calculate_gain(nonlinearity).powi(2) - gain).abs() < 1e-15);
        for (mode, fan) in [(FanMode::FanIn, fan_in), (FanMode::FanOut, fan_out)] {
            let what = format!("{mode:?} {nonlinearity:?}");
            let uniform = values(&init::kaiming_uniform_with(shape, mode, nonlinearity));
            has_moments(&what, &uniform, 0.0, gain / fan);
            let bound = (3.0 * gain / fan).sqrt();
            let largest = uniform.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            assert!(largest <= bound * (1.0 + 1e-6) && largest > 0.99 * bound, "{what}");
            let normal = values(&init::kaiming_normal_with(shape, mode, nonlinearity));
            has_moments(&what, &normal, 0.0, gain / fan);
        }
    }
    let between = values(&init::uniform_between([10_000], 2.0, 5.0));
    assert!(between.iter().all(|x| (2.0..=5.0).contains(x)));
    has_moments("uniform_between", &between, 3.5, 0.75);
}

#[test]
fn constants_and_identities() {
    assert_eq!(values(&init::constant([2, 2], 0.5)), [0.5; 4]);
    assert_eq!(values(&init::zeros([3])), [0.0; 3]);
    assert_eq!(values(&init::ones([3])), [1.0; 3]);
    assert_eq!(values(&init::eye(2, 3)), [1., 0., 0., 0., 1., 0.]);
    assert_eq!(values(&init::eye(3, 2)), [1., 0., 0., 1., 0., 0.]);
    // Two groups of a channel each pass on their first channel, at the middle of the window.
    let grouped = values(&init::dirac([4, 1, 2, 3], 2));
    let ones: Vec<usize> = (0..grouped.len()).filter(|&i| grouped[i] == 1.0).collect();
    assert_eq!(ones, [4, 16]);
    assert_eq!(grouped.iter().sum::<f64>(), 2.0);
}

#[test]
fn orthogonal_matrices_are_orthogonal() {
    manual_seed(12);
    for (shape, gain) in [([5, 20], 1.0), ([20, 5], 2.0), ([8, 8], 0.5), ([1, 3], 1.0)] {
        let w = init::orthogonal(shape, gain).cast(DType::F64);
        let square = if shape[0] <= shape[1] { w.matmul(&w.t()) } else { w.t().matmul(&w) };
        let n = shape[0].min(shape[1]);
        for (i, x) in values(&square).into_iter().enumerate() {
            let expected = if i / n == i % n { gain * gain } else { 0.0 };
            assert!((x - expected).abs() < 1e-6, "{shape:?} at {i}: {x}");
        }
    }
    let deep = init::orthogonal([4, 2, 3, 3], 1.0).reshape([4, 18]).cast(DType::F64);
    let product = values(&deep.matmul(&deep.t()));
    assert!((product[0] - 1.0).abs() < 1e-6 && product[1].abs() < 1e-6);
    // Uniformly distributed: no entry is more often positive, and squares share the length.
    let draws: Vec<f64> = (0..400).map(|_| values(&init::orthogonal([2, 2], 1.0))[0]).collect();
    has_moments("an entry", &draws, 0.0, 0.5);
    assert!(values(&init::orthogonal([0, 4], 1.0)).is_empty());
}

#[test]
fn truncated_normal_numbers_have_the_moments_of_theirs() {
    manual_seed(13);
    // Within ±1 standard deviation the variance is 1 − 2φ(1)/(2Φ(1) − 1).
    let middle = values(&init::trunc_normal([100_000], 3.0, 2.0, 1.0, 5.0));
    assert!(middle.iter().all(|x| (1.0..=5.0).contains(x)));
    has_moments("±1", &middle, 3.0, 4.0 * (1.0 - 2.0 * 0.241_970_724_5 / 0.682_689_492_1));
    // Above 2 the mean is φ(2)/(1 − Φ(2)), and the variance 1 + 2m − m².
    let m = 0.053_990_966_5 / 0.022_750_131_9;
    let tail = values(&init::trunc_normal([100_000], 0.0, 1.0, 2.0, 50.0));
    assert!(tail.iter().all(|&x| x >= 2.0));
    let expected = 1.0 + 2.0 * m - m * m;
    assert!((mean(&tail) - m).abs() < 4.0 * (expected / 1e5f64).sqrt(), "{}", mean(&tail));
    assert!((variance(&tail) - expected).abs() < 0.01 * expected * 4.0, "{}", variance(&tail));
    let mirrored = values(&init::trunc_normal([100_000], 0.0, 1.0, -50.0, -2.0));
    assert!((mean(&mirrored) + m).abs() < 4.0 * (expected / 1e5f64).sqrt());
    // Wide bounds truncate nothing.
    has_moments("all", &values(&init::trunc_normal([100_000], 0.0, 1.0, -9.0, 9.0)), 0.0, 1.0);
}

#[test]
fn the_seed_decides() {
    let draw = |seed| {
        manual_seed(seed);
        [
            values(&init::orthogonal([3, 4], 1.0)),
            values(&init::trunc_normal([7], 0.0, 1.0, -2.0, 2.0)),
            values(&init::kaiming_normal_with([3, 4], FanMode::FanOut, Nonlinearity::ReLU)),
            values(&init::uniform_between([5], 0.0, 1.0)),
        ]
    };
    assert_eq!(draw(3), draw(3));
    for (a, b) in draw(3).into_iter().zip(draw(4)) {
        assert_ne!(a, b);
    }
}

#[test]
fn layers_start_as_in_pytorch() {
    manual_seed(14);
    let attention = MultiheadAttention::new(60, 3);
    let weight = values(&attention.in_proj_weight.value());
    // Xavier-uniform over the three projections together.
    has_moments("in_proj_weight", &weight, 0.0, 2.0 / 240.0);
    assert_eq!(values(&attention.in_proj_bias.unwrap().value()), [0.0; 180]);
    assert_eq!(values(&attention.out_proj.bias.as_ref().unwrap().value()), [0.0; 60]);
    has_moments("out_proj", &values(&attention.out_proj.weight.value()), 0.0, 1.0 / 180.0);
    assert_eq!(values(&PReLU::new(2, 0.25).weight.value()), [0.25; 2]);
    let encoder = TransformerEncoder::new(2, || TransformerEncoderLayer::new(4, 2));
    let first = |i: usize| values(&encoder.layers[i].linear1.weight.value());
    assert_ne!(first(0), first(1), "each layer has values of its own");
}

#[test]
fn senseless_arguments_are_refused() {
    type Case = (fn() -> Tensor, &'static str);
    let cases: [Case; 6] = [
        (|| init::orthogonal([3], 1.0), "orthogonal: needs two axes or more, not [3]"),
        (|| init::dirac([2, 2], 1), "this shape is [2, 2]"),
        (|| init::dirac([3, 1, 1], 2), "2 groups divide `out`"),
        (|| init::trunc_normal([1], 0.0, 0.0, -1.0, 1.0), "the standard deviation is 0"),
        (|| init::trunc_normal([1], 0.0, 1.0, 1.0, 1.0), "the bounds are 1 and 1"),
        (|| init::trunc_normal([1], 0.0, 1.0, f64::NAN, 1.0), "the bounds are NaN and 1"),
    ];
    for (make, message) in cases {
        let error = make().error().unwrap().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(evaluate().unwrap_err().to_string(), error);
    }
}
