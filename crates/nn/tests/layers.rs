//! Layers, losses and initial values.

use gradus_nn::{
    CrossEntropyLoss, Dropout, Flatten, Layer, Linear, Module, Parameter, ReLU, Reduction,
    Sequential, init,
};
use gradus_tensor::{DType, Error, Tensor, evaluate, manual_seed, no_grad};

/// The error's text without the line that says where in this file it happened.
fn text(error: &Error) -> String {
    let text = error.to_string();
    text.lines().filter(|l| !l.trim_start().starts_with("at ")).collect::<Vec<_>>().join("\n")
}

fn drawn(tensor: Tensor) -> Vec<f64> {
    tensor.to_vec().unwrap()
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn variance(x: &[f64]) -> f64 {
    let m = mean(x);
    mean(&x.iter().map(|v| (v - m) * (v - m)).collect::<Vec<_>>())
}

#[test]
fn linear_is_x_times_the_transpose_plus_bias() {
    let layer = Linear {
        weight: Parameter::new(Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])),
        bias: Some(Parameter::new(Tensor::from_slice(&[10.0f32, 20.0], [2]))),
    };
    let x = Tensor::from_slice(&[1.0f32, 0.0, -1.0, 2.0, 1.0, 0.0], [2, 3]);
    assert_eq!(layer.forward(&x).to_vec::<f32>().unwrap(), [8.0, 18.0, 14.0, 33.0]);
    let deep = layer.forward(&x.reshape([2, 1, 3]));
    assert_eq!(deep.shape().dims(), [2, 1, 2]);
    let vector = layer.forward(&x.select(0, 0));
    assert_eq!(vector.to_vec::<f32>().unwrap(), [8.0, 18.0]);
    let bare = layer.bias(false);
    assert_eq!(bare.forward(&x).to_vec::<f32>().unwrap(), [-2.0, -2.0, 4.0, 13.0]);
    assert_eq!(bare.to_string(), "Linear(in_features=3, out_features=2, bias=False)");
}

#[test]
fn a_wrong_size_names_both_and_the_layer() {
    let model = Sequential::new()
        .add(Flatten::default())
        .add(Sequential::new().add(Linear::new(784, 512)).add(ReLU))
        .add(Linear::new(512, 10));
    let output = model.forward(&Tensor::zeros([64, 1, 28, 20], DType::F32));
    let error = output.error().unwrap();
    assert_eq!(
        text(&error),
        "matmul: [64, 560] · [784, 512]: the left has 560 columns, the right 784 rows; they must \
         be equal\n  in layer 1 › layer 0 › Linear(in_features=784, out_features=512, bias=True)"
    );
    // It is the error of the next evaluation, once.
    assert_eq!(evaluate().unwrap_err().to_string(), error.to_string());
    assert!(evaluate().is_ok());
}

#[test]
fn linear_starts_as_in_pytorch() {
    manual_seed(1);
    let layer = Linear::new(300, 200);
    for (parameter, n) in [(&layer.weight, 60_000.0), (layer.bias.as_ref().unwrap(), 200.0)] {
        let values = drawn(parameter.value());
        let bound = 1.0 / 300f64.sqrt();
        assert!(values.iter().all(|v| v.abs() <= bound));
        assert!(values.iter().any(|v| v.abs() > 0.9 * bound));
        // Four standard errors of the mean and the variance of so many uniform numbers.
        let sigma = bound / 3f64.sqrt();
        assert!(mean(&values).abs() < 4.0 * sigma / f64::sqrt(n), "{}", mean(&values));
        let spread = (0.8 / n).sqrt() * sigma * sigma;
        assert!((variance(&values) - sigma * sigma).abs() < 4.0 * spread, "{}", variance(&values));
    }
    let same = |seed| {
        manual_seed(seed);
        drawn(Linear::new(5, 4).weight.value())
    };
    assert_eq!(same(3), same(3));
    assert_ne!(same(3), same(4));
    assert!(drawn(Linear::new(0, 4).weight.value()).is_empty());
    assert_eq!(drawn(Linear::new(0, 4).bias.unwrap().value()), [0.0; 4]);
}

#[test]
fn initial_values_have_the_variance_they_promise() {
    manual_seed(2);
    let shape = [40, 30, 3, 3];
    let (fan_in, fan_out) = (270.0, 360.0);
    let n = (40 * 270) as f64;
    let cases = [
        (init::uniform(shape, 0.5), 0.25 / 3.0),
        (init::normal(shape, 0.0, 0.5), 0.25),
        (init::kaiming_uniform(shape, 0.0), 2.0 / fan_in),
        (init::kaiming_uniform(shape, 5f64.sqrt()), 1.0 / (3.0 * fan_in)),
        (init::kaiming_normal(shape, 0.0), 2.0 / fan_in),
        (init::xavier_uniform(shape, 1.0), 2.0 / (fan_in + fan_out)),
        (init::xavier_normal(shape, 3.0), 9.0 * 2.0 / (fan_in + fan_out)),
    ];
    for (i, (tensor, expected)) in cases.into_iter().enumerate() {
        let values = drawn(tensor);
        assert!(mean(&values).abs() < 4.0 * (expected / n).sqrt(), "{i}: mean {}", mean(&values));
        // The variance of normal numbers is the less certain of the two.
        let error = 4.0 * expected * (2.0 / n).sqrt();
        assert!((variance(&values) - expected).abs() < error, "{i}: {}", variance(&values));
    }
    assert!((mean(&drawn(init::normal([10_000], 3.0, 0.1))) - 3.0).abs() < 0.004);
}

#[test]
fn dropout_keeps_the_mean_and_draws_anew() {
    manual_seed(5);
    let (dropout, ones) = (Dropout::new(0.25), Tensor::ones([100, 100], DType::F32));
    let (a, b) = (dropout.forward(&ones), dropout.forward(&ones));
    let (a, b) = (drawn(a), drawn(b));
    assert!(a.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
    let dropped = a.iter().filter(|&&v| v == 0.0).count() as f64;
    assert!((dropped - 2500.0).abs() < 4.0 * (10_000f64 * 0.25 * 0.75).sqrt(), "{dropped}");
    assert_ne!(a, b);
    manual_seed(5);
    assert_eq!(drawn(dropout.forward(&ones)), a);
}

#[test]
fn dropout_in_evaluation_and_at_its_ends() {
    let x = Tensor::from_slice(&[1.0f32, f32::NAN, -2.0], [3]);
    let dropout = Dropout::new(0.9);
    dropout.eval();
    assert_eq!(format!("{:?}", dropout.forward(&x).to_vec::<f32>().unwrap()), "[1.0, NaN, -2.0]");
    dropout.train(true);
    let ones = Tensor::ones([1000], DType::F32);
    assert!(drawn(dropout.forward(&ones)).contains(&0.0));
    assert_eq!(drawn(Dropout::new(0.0).forward(&ones)), [1.0; 1000]);

    let leaf = Tensor::ones([4], DType::F32).requires_grad_();
    let dropped = Dropout::new(1.0).forward(&leaf);
    dropped.sum().backward();
    assert_eq!(drawn(dropped), [0.0; 4]);
    assert_eq!(drawn(leaf.grad().unwrap()), [0.0; 4]);

    for p in [-0.1, 1.5, f64::NAN] {
        let error = Dropout::new(p).forward(&ones).error().unwrap();
        assert_eq!(
            text(&error),
            format!("dropout: p is {p}; a probability lies between 0 and 1\n  in Dropout(p={p})")
        );
        assert!(evaluate().is_err());
    }
}

#[test]
fn the_gradient_of_dropout_passes_where_the_value_does() {
    manual_seed(9);
    let x = Tensor::ones([50], DType::F64).requires_grad_();
    let y = Dropout::new(0.5).forward(&x);
    y.sum().backward();
    assert_eq!(drawn(y), drawn(x.grad().unwrap()));
}

#[test]
fn cross_entropy_reduces() {
    let logits = Tensor::from_slice(&[1.0f64, 2.0, 3.0, 0.5, 0.5, 0.5], [2, 3]);
    let labels = Tensor::from_slice(&[2i64, 0], [2]);
    let loss = |reduction| {
        let criterion = CrossEntropyLoss::default().reduction(reduction);
        criterion.forward(&logits, &labels)
    };
    let each = drawn(loss(Reduction::None));
    let first = (1f64.exp() + 2f64.exp() + 3f64.exp()).ln() - 3.0;
    assert!((each[0] - first).abs() < 1e-14 && (each[1] - 3f64.ln()).abs() < 1e-14);
    assert!((drawn(loss(Reduction::Sum))[0] - (each[0] + each[1])).abs() < 1e-14);
    assert!((drawn(loss(Reduction::Mean))[0] - (each[0] + each[1]) / 2.0).abs() < 1e-14);
}

#[test]
fn cross_entropy_names_the_label_and_the_shapes() {
    let criterion = CrossEntropyLoss::default();
    let logits = Tensor::zeros([3, 10], DType::F32);
    let labels = Tensor::from_slice(&[9i64, 10, -1], [3]);
    assert_eq!(
        text(&criterion.forward(&logits, &labels).item::<f32>().unwrap_err()),
        "label 10 at position 1 is out of range: there are 10 classes, labels run from 0 to 9"
    );
    let short = criterion.forward(&logits, &Tensor::from_slice(&[0i64], [1]));
    assert_eq!(
        text(&short.error().unwrap()),
        "cross_entropy: logits [3, 10] and labels [1]: expected [batch, classes] and [batch]\n  \
         in CrossEntropyLoss()"
    );
    assert!(evaluate().is_err());
    let floats = criterion.forward(&logits, &Tensor::zeros([3], DType::F32));
    assert!(floats.error().is_some());
    assert!(evaluate().is_err());
}

#[test]
fn sequential_prints_nested_layers_and_types_of_users() {
    #[derive(Module)]
    #[module(crate = gradus_nn)]
    struct Double<T>(T);
    impl Layer for Double<f64> {
        fn forward(&self, x: &Tensor) -> Tensor {
            x * self.0
        }
    }
    let model = Sequential::new()
        .add(Sequential::new().add(ReLU).add(Dropout::new(0.5)))
        .add(Double(2.0))
        .add(Sequential::new());
    assert_eq!(
        model.to_string(),
        "Sequential(\n  (0): Sequential(\n    (0): ReLU()\n    (1): Dropout(p=0.5)\n  )\n  \
         (1): Double\n  (2): Sequential()\n)"
    );
    assert_eq!(model.layers().count(), 3);
    let y = no_grad(|| model.layers().nth(1).map(|l| l.forward(&Tensor::scalar(1.5)))).unwrap();
    assert_eq!(y.item::<f32>().unwrap(), 3.0);
}
