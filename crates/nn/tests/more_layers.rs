//! What golden values do not show: running statistics as part of a step, random masks, shared
//! tables, gradients of all functions against finite differences.

use gradus_nn::optim::{Adam, Optimizer, SGD};
use gradus_nn::*;
use gradus_tensor::{
    AttentionOptions, BackwardOptions, DType, Tensor, evaluate, explain_last, grad, manual_seed,
    no_grad, plan_stats,
};

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_vec().unwrap()
}

fn running(layer: &BatchNorm1d) -> (Vec<f64>, Vec<f64>, i64) {
    let get = |buffer: &Option<Variable>| buffer.as_ref().unwrap().get();
    let count = get(&layer.num_batches_tracked).item().unwrap();
    (values(&get(&layer.running_mean)), values(&get(&layer.running_var)), count)
}

#[test]
fn running_statistics_are_part_of_the_step() {
    manual_seed(1);
    let norm = BatchNorm1d::new(3);
    let head = Linear::new(3, 4);
    let model = (norm, head);
    let mut optimizer = SGD::new(model.parameters(), 0.1);
    let x = Tensor::randn([8, 3], DType::F32);
    evaluate().unwrap();
    let mut step = |labels: &[i64; 8]| {
        let logits = model.1.forward(&model.0.forward(&x));
        let loss = CrossEntropyLoss::default().forward(&logits, &Tensor::from_slice(labels, [8]));
        optimizer.zero_grad();
        loss.backward();
        optimizer.step()
    };
    step(&[0, 1, 2, 3, 0, 1, 2, 3]).unwrap();
    let before = running(&model.0);
    assert_eq!(before.2, 1);
    assert_ne!(before.0, [0.0; 3]);
    let stats = plan_stats();
    step(&[0; 8]).unwrap();
    assert_eq!(plan_stats().run, stats.run + 1, "statistics and weights in one plan");
    assert_eq!(plan_stats().compiled, stats.compiled, "the same plan for every step");
    let before = running(&model.0);
    assert_eq!(before.2, 2);

    // A label out of range: nothing has happened.
    let weights = values(&model.1.weight.value());
    step(&[0, 0, 0, 9, 0, 0, 0, 0]).unwrap_err();
    assert_eq!(running(&model.0), before);
    assert_eq!(values(&model.1.weight.value()), weights);
}

#[test]
fn batch_norm_in_evaluation_changes_nothing() {
    let layer = BatchNorm1d::new(2);
    layer.eval();
    let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 2]);
    let y = values(&layer.forward(&x));
    // Mean 0 and variance 1, and eps.
    assert!((y[3] - 4.0 / (1.0 + 1e-5f64).sqrt()).abs() < 1e-6);
    assert_eq!(running(&layer), (vec![0.0; 2], vec![1.0; 2], 0));
    // One sample is enough.
    assert!(layer.forward(&x.slice(0, ..1)).eval().is_ok());
    layer.train(true);
    let _ = no_grad(|| layer.forward(&x));
    evaluate().unwrap();
    assert_eq!(running(&layer).0, [0.2f32 as f64, 0.3f32 as f64], "also without gradients");
}

#[test]
fn dropouts_drop_what_they_say() {
    manual_seed(3);
    let x = Tensor::ones([50, 40, 2, 3], DType::F32);
    let dropout = Dropout2d::new(0.25);
    let y = values(&dropout.forward(&x));
    let channels: Vec<f64> = y.chunks(6).map(|c| c[0]).collect();
    assert!(y.chunks(6).all(|c| c.iter().all(|&v| v == c[0])));
    let dropped = channels.iter().filter(|&&v| v == 0.0).count() as f64;
    assert!((dropped - 500.0).abs() < 4.0 * (2000f64 * 0.25 * 0.75).sqrt(), "{dropped}");
    assert!(channels.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
    dropout.eval();
    assert_eq!(values(&dropout.forward(&x)), vec![1.0; 12_000]);

    for shape in [vec![30, 5], vec![4, 30, 5]] {
        let y = values(&Dropout1d::new(0.5).forward(&Tensor::ones(&shape[..], DType::F32)));
        assert!(y.chunks(5).all(|c| c == [0.0; 5] || c == [2.0; 5]));
        assert!(y.contains(&0.0) && y.contains(&2.0));
    }

    // Alpha dropout keeps mean and variance of normal numbers.
    let x = Tensor::randn([100_000], DType::F32);
    let y = values(&AlphaDropout::new(0.3).forward(&x));
    let mean = y.iter().sum::<f64>() / 1e5;
    let variance = y.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 1e5;
    assert!(mean.abs() < 0.013 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    assert_eq!(values(&AlphaDropout::new(1.0).forward(&x)), vec![0.0; 100_000]);
}

#[test]
fn attention_drops_weights_in_training_only() {
    manual_seed(4);
    let attention = MultiheadAttention::new(4, 2).batch_first(true).dropout(0.5);
    let x = Tensor::randn([1, 6, 4], DType::F32);
    let weights = || {
        let options = MultiheadAttentionOptions::default().need_weights(true);
        let options = options.average_attn_weights(false);
        values(&attention.forward_with(&x, &x, &x, options).1.unwrap())
    };
    let a = weights();
    assert!(a.contains(&0.0));
    assert_ne!(a, weights());
    attention.eval();
    let rows = weights();
    assert!(rows.chunks(6).all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-6));
    // One tensor three times is the same as three tensors.
    let packed = values(&attention.forward(&x, &x, &x));
    let apart = values(&attention.forward(&x, &x.clone(), &x.clone()));
    assert!(packed.iter().zip(&apart).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn a_query_without_keys_gets_zeros_and_no_gradient() {
    let x = Tensor::from_slice(&[1.0f64, 2.0, 3.0, 4.0], [2, 2]).requires_grad_();
    let mask = Tensor::from_slice(&[true, true, false, false], [2, 2]);
    let options = AttentionOptions::default().attn_mask(&mask);
    let y = Tensor::scaled_dot_product_attention(&x, &x, &x, options);
    y.sum().backward();
    assert_eq!(values(&y)[2..], [0.0, 0.0]);
    assert!(values(&x.grad().unwrap()).iter().all(|g| g.is_finite()));
}

#[test]
fn a_shared_table_is_one_parameter() {
    manual_seed(5);
    let embedding = Embedding::new(5, 3);
    let head = Linear { weight: embedding.weight.clone(), bias: None };
    let model = (embedding, head);
    let tokens = Tensor::from_slice(&[1i64, 4], [2]);
    let logits = model.1.forward(&model.0.forward(&tokens));
    logits.sum().backward();
    let state = model.state_dict();
    assert_eq!(state.names(), ["0.weight", "1.weight"]);
    assert_eq!(values(&state["0.weight"]), values(&state["1.weight"]));
    // Both uses collect: d/dW Σ W[t]·Wᵀ = rows of 1s·W[t] + counts of Σ W.
    let w = values(&model.0.weight.value());
    let grad = values(&model.0.weight.grad().unwrap());
    let column = |c: usize| (0..5).map(|r| w[r * 3 + c]).sum::<f64>();
    for row in 0..5 {
        for c in 0..3 {
            let head = w[3 + c] + w[12 + c];
            let table = if row == 1 || row == 4 { column(c) } else { 0.0 };
            assert!((grad[row * 3 + c] - head - table).abs() < 1e-5);
        }
    }
    let mut optimizer = SGD::new(model.parameters(), 0.1);
    optimizer.step().unwrap();
    let after = model.state_dict();
    assert_eq!(values(&after["0.weight"]), values(&after["1.weight"]));
    assert_ne!(values(&after["0.weight"]), w);
}

#[test]
fn nothing_to_look_up_gives_nothing() {
    let layer = Embedding::new(4, 2);
    let rows = layer.forward(&Tensor::zeros([0, 3], DType::I64));
    assert_eq!(rows.shape().dims(), [0, 3, 2]);
    assert!(values(&rows).is_empty());
}

#[test]
fn a_sample_without_a_batch_has_the_loss_of_a_batch_of_one() {
    let logits = Tensor::from_slice(&[0.5f64, 1.0, -1.0], [3]);
    let label = Tensor::from_slice(&[2i64], [1]);
    let loss = |x: &Tensor, y: &Tensor| CrossEntropyLoss::default().forward(x, y).item::<f64>();
    let batch = loss(&logits.reshape([1, 3]), &label).unwrap();
    assert_eq!(loss(&logits, &label.reshape([])).unwrap(), batch);
    // Labels of other integer types are labels too.
    assert_eq!(loss(&logits.reshape([1, 3]), &label.cast(DType::U8)).unwrap(), batch);
}

#[test]
fn the_padding_row_is_zero_and_stays() {
    let layer = Embedding::new(4, 2).padding_idx(3);
    assert_eq!(values(&layer.weight.value())[6..], [0.0, 0.0]);
    let mut optimizer = SGD::new(layer.parameters(), 1.0);
    layer.forward(&Tensor::from_slice(&[3i64, 0, 3], [3])).sum().backward();
    optimizer.step().unwrap();
    assert_eq!(values(&layer.weight.value())[6..], [0.0, 0.0]);
    assert_eq!(layer.to_string(), "Embedding(4, 2, padding_idx=3)");
}

#[test]
fn plain_cross_entropy_is_one_op() {
    let logits = Tensor::from_slice(&[0.5f32, 1.0, -1.0, 2.0], [2, 2]).requires_grad_();
    let labels = Tensor::from_slice(&[0i64, 1], [2]);
    let loss = CrossEntropyLoss::default().forward(&logits, &labels);
    loss.backward();
    evaluate().unwrap();
    let plan = explain_last().unwrap();
    assert!(plan.contains("cross_entropy") && !plan.contains("gather"), "{plan}");
    assert_eq!(CrossEntropyLoss::default().to_string(), "CrossEntropyLoss()");
    // Class weights are a buffer, as in PyTorch.
    let weighted = CrossEntropyLoss::default().weight(Tensor::ones([2], DType::F32));
    assert_eq!(weighted.state_dict().names(), ["weight"]);
    assert!(weighted.parameters().is_empty());
}

#[test]
fn residual_connections_add() {
    let double = || Linear { weight: Parameter::new(Tensor::eye(2, DType::F32) * 2.0), bias: None };
    let x = Tensor::from_slice(&[1.0f32, 2.0], [1, 2]);
    assert_eq!(values(&Residual::new(double()).forward(&x)), [3.0, 6.0]);
    let both = Residual::new(double()).shortcut(double());
    assert_eq!(values(&both.forward(&x)), [4.0, 8.0]);
    assert_eq!(both.state_dict().names(), ["body.weight", "shortcut.weight"]);
    assert_eq!(values(&Identity.forward(&x)), [1.0, 2.0]);
    assert_eq!(
        both.to_string(),
        "Residual(\n  (body): Linear(in_features=2, out_features=2, bias=False)\n  (shortcut): \
         Linear(in_features=2, out_features=2, bias=False)\n)"
    );
}

#[test]
fn second_derivatives_of_activations_and_losses() {
    // By differences of first derivatives, which the golden values establish.
    let at = [-2.3, -0.7, 0.4, 1.9];
    type Function = (&'static str, fn(&Tensor) -> Tensor);
    let functions: [Function; 9] = [
        ("gelu", Tensor::gelu),
        ("gelu_tanh", Tensor::gelu_tanh),
        ("silu", Tensor::silu),
        ("mish", Tensor::mish),
        ("logsigmoid", Tensor::logsigmoid),
        ("softplus", |x| x.softplus(2.0, 20.0)),
        ("elu", |x| x.elu(0.7)),
        ("log_softmax", |x| x.log_softmax(0) * x),
        ("layer_norm", |x| x.layer_norm(&[4], None, None, 1e-3) * x),
    ];
    let slope = |f: fn(&Tensor) -> Tensor, x: &[f64], again: bool| {
        let x = Tensor::from_slice(x, [4]).requires_grad_();
        let options = BackwardOptions::default();
        let options = if again { options.create_graph() } else { options };
        let first = grad(&f(&x).sum(), &[&x], options).unwrap()[0].clone().unwrap();
        if !again {
            return values(&first);
        }
        let second = grad(&first.sum(), &[&x], BackwardOptions::default()).unwrap();
        values(second[0].as_ref().unwrap())
    };
    for (name, f) in functions {
        let exact = slope(f, &at, true);
        for i in 0..4 {
            let step = 1e-5;
            let side = |sign: f64| {
                let mut x = at;
                x[i] += sign * step;
                slope(f, &x, false).iter().sum::<f64>()
            };
            let expected = (side(1.0) - side(-1.0)) / (2.0 * step);
            assert!((exact[i] - expected).abs() < 1e-6, "{name} at {i}: {} {expected}", exact[i]);
        }
    }
}

#[derive(Module)]
#[module(crate = gradus_nn)]
struct LanguageModel {
    tokens: Embedding,
    positions: Embedding,
    encoder: TransformerEncoder,
    head: Linear,
}

impl LanguageModel {
    /// Seven tokens; the table of tokens is that of the output too.
    fn new() -> LanguageModel {
        let options = TransformerEncoderLayerOptions::new(8, 2).dim_feedforward(16).dropout(0.1);
        let options = options.batch_first(true).norm_first(true).activation(Tensor::gelu);
        let make = || TransformerEncoderLayer::with_options(options);
        let tokens = Embedding::new(7, 8);
        LanguageModel {
            head: Linear { weight: tokens.weight.clone(), bias: None },
            tokens,
            positions: Embedding::new(6, 8),
            encoder: TransformerEncoder::new(2, make).norm(LayerNorm::new([8])),
        }
    }

    fn forward(&self, tokens: &Tensor) -> Tensor {
        let positions = Tensor::arange(tokens.shape()[1], DType::I64);
        let x = self.tokens.forward(tokens) + self.positions.forward(&positions);
        let causal = MultiheadAttentionOptions::default().is_causal(true);
        self.head.forward(&self.encoder.forward_with(&x, causal))
    }
}

#[test]
fn a_small_language_model_learns_to_count() {
    let train = || {
        manual_seed(8);
        let model = LanguageModel::new();
        let mut optimizer = Adam::new(model.parameters(), 0.01);
        // Each token is followed by the next, modulo 7.
        let rows: Vec<i64> = (0..5).flat_map(|row| (0..7).map(move |i| (row + i) % 7)).collect();
        let rows = Tensor::from_slice(&rows, [5, 7]);
        let (x, y) = (rows.slice(1, ..6), rows.slice(1, 1..));
        evaluate().unwrap();
        let mut losses = Vec::new();
        let mut compiled = Vec::new();
        for _ in 0..150 {
            // Classes come before positions in the loss.
            let logits = model.forward(&x).transpose(1, 2);
            let loss = CrossEntropyLoss::default().forward(&logits, &y);
            optimizer.zero_grad();
            loss.backward();
            optimizer.step().unwrap();
            losses.push(loss.item::<f32>().unwrap());
            compiled.push(plan_stats().compiled);
        }
        assert_eq!(compiled[149], compiled[1], "neither masks nor steps compile anew");
        model.eval();
        let guesses = no_grad(|| model.forward(&x).argmax(2));
        assert_eq!(values(&guesses), values(&y), "every next token is known");
        losses
    };
    let losses = train();
    // A guess among seven costs ln 7 ≈ 1.95, and dropout keeps the loss from 0.
    assert!(losses[0] > 1.5 && losses[149] < 0.3, "{losses:?}");
    assert_eq!(train(), losses, "the seed decides everything");
}

#[test]
fn half_precision_is_normalised_in_single() {
    // The mean square of these overflows f16.
    let x = Tensor::from_slice(&[300.0f32, -300.0, 100.0, -100.0], [1, 4]).cast(DType::F16);
    for y in [x.layer_norm(&[4], None, None, 1e-5), x.rms_norm(&[4], None, None)] {
        assert_eq!(y.dtype(), DType::F16);
        let y = values(&y);
        assert!((y[0] - 300.0 / 50_000f64.sqrt()).abs() < 2e-3, "{y:?}");
    }
}

#[test]
fn modules_change_their_precision() {
    let layer = Linear::new(2, 1);
    let before = values(&layer.weight.value());
    layer.forward(&Tensor::ones([1, 2], DType::F32)).sum().backward();
    layer.to_dtype(DType::F64).unwrap();
    assert_eq!((layer.weight.dtype(), values(&layer.weight.value())), (DType::F64, before));
    assert_eq!(layer.weight.grad().unwrap().dtype(), DType::F64);
    let y = layer.forward(&Tensor::ones([1, 2], DType::F64));
    assert_eq!(y.dtype(), DType::F64);
    layer.weight.zero_grad();
    y.sum().backward();
    assert_eq!(values(&layer.weight.grad().unwrap()), [1.0, 1.0]);
    assert!(layer.to_dtype(DType::I64).is_err());
}
