//! The networks of the literature.

use gradus_nn::models::{GPT, GPTConfig, LeNet, ResNet};
use gradus_nn::optim::{Adam, Optimizer};
use gradus_nn::{CrossEntropyLoss, Layer, Module};
use gradus_tensor::{DType, Tensor, manual_seed, no_grad, plan_stats};

fn small() -> GPT {
    manual_seed(3);
    GPT::new(GPTConfig { layers: 2, heads: 2, width: 16, ..GPTConfig::new(11, 8) })
}

/// Without noise, generation takes the likeliest token, whatever stands behind it in the padded context.
#[test]
fn generation_continues_with_what_the_network_says() {
    let gpt = small();
    gpt.eval();
    let mut text = vec![3i64, 1, 4];
    let generated = gpt.generate(&text, 12, 1e-9, None).unwrap();
    for _ in 0..12 {
        let seen = &text[text.len().saturating_sub(8)..];
        let logits = no_grad(|| gpt.forward(&Tensor::from_slice(seen, [1, seen.len()])));
        let last = logits.select(1, seen.len() - 1).reshape([-1]);
        text.push(last.argmax(0).item().unwrap());
    }
    assert_eq!(generated, text);
}

#[test]
fn generation_has_one_plan_and_follows_from_the_seed() {
    let gpt = small();
    gpt.eval();
    let sample = |seed| {
        manual_seed(seed);
        gpt.generate(&[5], 20, 1.0, Some(3)).unwrap()
    };
    let first = sample(1);
    let before = plan_stats().compiled;
    assert_eq!(sample(1), first);
    assert_ne!(sample(2), first);
    assert_eq!(plan_stats().compiled, before);
}

#[test]
fn top_k_draws_from_the_likeliest_only() {
    let gpt = small();
    gpt.eval();
    let likeliest = gpt.generate(&[7], 6, 1e-9, None).unwrap();
    assert_eq!(gpt.generate(&[7], 6, 100.0, Some(1)).unwrap(), likeliest);
    assert_eq!(gpt.generate(&[7], 6, 0.0, None).unwrap(), likeliest);
}

#[test]
fn a_token_out_of_the_vocabulary_is_an_error() {
    let error = small().generate(&[11], 1, 1.0, None).unwrap_err().to_string();
    assert!(error.contains("11"), "{error}");
    let error = small().generate(&[], 1, 1.0, None).unwrap_err().to_string();
    assert!(error.contains("0 tokens to begin with"), "{error}");
    let error = small().generate(&[1], 1, -1.0, None).unwrap_err().to_string();
    assert!(error.contains("temperature of -1"), "{error}");
    let error = small().forward(&Tensor::zeros([1, 9], DType::I64)).error().unwrap().to_string();
    assert!(error.contains("9 tokens") && error.contains("context of 8"), "{error}");
}

/// The weight is one, under two names.
#[test]
fn embedding_and_output_share_their_weight() {
    let gpt = small();
    let names = gpt.state_dict().names().iter().map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!(names[..2], ["wte.weight", "wpe.weight"]);
    assert!(names.contains(&"lm_head.weight".to_owned()));
    let tied =
        gpt.named_parameters().iter().filter(|(name, _)| name.ends_with("te.weight")).count();
    assert_eq!((tied, gpt.parameters().len()), (1, names.len() - 1));
}

#[test]
fn images_are_learnt_by_heart() {
    manual_seed(0);
    let images = Tensor::randn([8, 3, 32, 32], DType::F32);
    let labels = Tensor::from_slice(&[0i64, 1, 2, 3, 0, 1, 2, 3], [8]);
    let criterion = CrossEntropyLoss::default();
    let nets: [Box<dyn Layer>; 2] =
        [Box::new(LeNet::new(3, 32, 4)), Box::new(ResNet::new([1, 1, 1, 1], 4).cifar_stem())];
    for (net, steps) in nets.iter().zip([60, 12]) {
        let mut optimizer = Adam::new(net.parameters(), 2e-3);
        let mut losses = Vec::new();
        for _ in 0..steps {
            let loss = criterion.forward(&net.forward(&images), &labels);
            optimizer.zero_grad();
            loss.backward();
            optimizer.step().unwrap();
            losses.push(loss.item::<f64>().unwrap());
        }
        assert!(losses[steps - 1] < 0.1 * losses[0], "{}: {losses:?}", net.describe());
    }
}
