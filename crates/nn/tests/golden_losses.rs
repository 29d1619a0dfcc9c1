//! Every loss against PyTorch: `tests/golden/losses.py` made the numbers.

mod golden;

use golden::{Golden, compare, flag, indices, names, number, run_all, text};
use gradus_nn::{
    BCELoss, BCEWithLogitsLoss, CosineEmbeddingLoss, CrossEntropyLoss, HingeEmbeddingLoss,
    HuberLoss, KLDivLoss, L1Loss, MSELoss, MultiMarginLoss, NLLLoss, PoissonNLLLoss, Reduction,
    SmoothL1Loss, TripletMarginLoss,
};
use gradus_tensor::{DType, Device, Tensor};
use serde_json::Value;

#[test]
fn losses_agree_with_pytorch() {
    let cases = Golden::load("losses").cases;
    assert!(cases.len() >= 100, "{}", cases.len());
    run_all("losses", run);
}

fn run(golden: &Golden, case: &Value, dtype: DType, device: Device) -> Result<(), String> {
    let id = text(case, "id");
    if dtype == DType::F32 && id == "BCELoss/ends" {
        // 1 − 1e-6 is another number in f32.
        return Ok(());
    }
    let gradients = indices(case, "gradients");
    let inputs: Vec<Tensor> = (0..case["inputs"].as_u64().unwrap() as usize)
        .map(|i| {
            let x = golden.tensor(id, &format!("in{i}"), dtype, device);
            if gradients.contains(&i) { x.requires_grad_() } else { x }
        })
        .collect();
    let known = names(case, "tensors");
    let option = |key: &str| known.contains(&key).then(|| golden.tensor(id, key, dtype, device));
    let out = loss(case, &inputs, option);
    compare("the loss", &out, &golden.expected(id, "out"), dtype)?;
    if gradients.is_empty() {
        return Ok(());
    }
    (&out * golden.tensor(id, "w", dtype, device)).sum().backward();
    for i in gradients {
        let grad = inputs[i].grad().ok_or(format!("no gradient {i}"))?;
        let expected = golden.expected(id, &format!("grad{i}"));
        compare(&format!("gradient {i}"), &grad, &expected, dtype)?;
    }
    Ok(())
}

/// A loss with a method applied for each option that is given.
macro_rules! with {
    ($loss:expr, $($method:ident: $value:expr),* $(,)?) => {{
        let mut loss = $loss;
        $(if let Some(value) = $value {
            loss = loss.$method(value);
        })*
        loss
    }};
}

fn loss(case: &Value, x: &[Tensor], tensor: impl Fn(&str) -> Option<Tensor>) -> Tensor {
    let options = &case["options"];
    let number = |key| number(options, key);
    let flag = |key| flag(options, key);
    let reduction = match options.get("reduction").map(|r| r.as_str().unwrap()) {
        None | Some("mean" | "batchmean") => None,
        Some("sum") => Some(Reduction::Sum),
        Some("none") => Some(Reduction::None),
        Some(other) => panic!("reduction {other}"),
    };
    let batchmean = options.get("reduction").map(|r| r == "batchmean");
    let ignored = options.get("ignore_index").map(|v| v.as_i64().unwrap());
    match text(case, "loss") {
        "CrossEntropyLoss" => with!(
            CrossEntropyLoss::default(),
            reduction: reduction,
            weight: tensor("weight"),
            ignore_index: ignored,
            label_smoothing: number("label_smoothing"),
        )
        .forward(&x[0], &x[1]),
        "NLLLoss" => with!(
            NLLLoss::default(),
            reduction: reduction,
            weight: tensor("weight"),
            ignore_index: ignored,
        )
        .forward(&x[0], &x[1]),
        "MSELoss" => with!(MSELoss::default(), reduction: reduction).forward(&x[0], &x[1]),
        "L1Loss" => with!(L1Loss::default(), reduction: reduction).forward(&x[0], &x[1]),
        "SmoothL1Loss" => {
            with!(SmoothL1Loss::default(), reduction: reduction, beta: number("beta"))
                .forward(&x[0], &x[1])
        }
        "HuberLoss" => with!(HuberLoss::default(), reduction: reduction, delta: number("delta"))
            .forward(&x[0], &x[1]),
        "BCELoss" => with!(BCELoss::default(), reduction: reduction, weight: tensor("weight"))
            .forward(&x[0], &x[1]),
        "BCEWithLogitsLoss" => with!(
            BCEWithLogitsLoss::default(),
            reduction: reduction,
            weight: tensor("weight"),
            pos_weight: tensor("pos_weight"),
        )
        .forward(&x[0], &x[1]),
        "KLDivLoss" => with!(
            KLDivLoss::default(),
            reduction: reduction,
            batchmean: batchmean,
            log_target: flag("log_target"),
        )
        .forward(&x[0], &x[1]),
        "PoissonNLLLoss" => with!(
            PoissonNLLLoss::default(),
            reduction: reduction,
            log_input: flag("log_input"),
            full: flag("full"),
            eps: number("eps"),
        )
        .forward(&x[0], &x[1]),
        "HingeEmbeddingLoss" => with!(
            HingeEmbeddingLoss::default(),
            reduction: reduction,
            margin: number("margin"),
        )
        .forward(&x[0], &x[1]),
        "MultiMarginLoss" => with!(
            MultiMarginLoss::default(),
            reduction: reduction,
            p: number("p").map(|p| p as u8),
            margin: number("margin"),
            weight: tensor("weight"),
        )
        .forward(&x[0], &x[1]),
        "CosineEmbeddingLoss" => with!(
            CosineEmbeddingLoss::default(),
            reduction: reduction,
            margin: number("margin"),
        )
        .forward(&x[0], &x[1], &x[2]),
        "TripletMarginLoss" => with!(
            TripletMarginLoss::default(),
            reduction: reduction,
            margin: number("margin"),
            p: number("p"),
            eps: number("eps"),
            swap: flag("swap"),
        )
        .forward(&x[0], &x[1], &x[2]),
        other => panic!("no loss {other}"),
    }
}
