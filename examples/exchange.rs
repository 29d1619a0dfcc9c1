//! Weights to and from PyTorch: saves models with what they answer, or checks answers against models.
//!
//!     cargo run --release --example exchange -- save DIR
//!     python tests/interop/check_models.py DIR
//!     cargo run --release --example exchange -- check DIR
//!
//! `save` writes, for each model, `MODEL.safetensors` and `MODEL.answers.safetensors` with the `inputs` and
//! Gradus's `logits`. The script loads them strictly into the same modules written in PyTorch, compares,
//! and writes weights and answers of its own, `MODEL.torch.safetensors` and `MODEL.torch.answers.safetensors`,
//! for `check`.

use std::path::Path;

use gradus::io::{load_safetensors, save_safetensors};
use gradus::nn::StateDict;
use gradus::nn::models::{GPT, GPTConfig, LeNet, ResNet};
use gradus::prelude::*;

/// The largest difference, relative to the largest logit.
const TOLERANCE: f64 = 2e-5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["save", folder] => models()
            .iter()
            .try_for_each(|(name, model, inputs)| save(folder, name, &**model, inputs)),
        ["check", folder] => {
            models().iter().try_for_each(|(name, model, _)| check(folder, name, &**model))
        }
        _ => Err(Error::new(ErrorKind::Usage, "usage: exchange save|check DIR")),
    }
}

/// Models and inputs. Their names and sizes are those of `tests/interop/check_models.py`.
fn models() -> Vec<(&'static str, Box<dyn Layer>, Tensor)> {
    manual_seed(0);
    let images = |size| Tensor::randn([4, 3, size, size], DType::F32);
    let gpt = GPTConfig { layers: 2, heads: 4, width: 64, ..GPTConfig::new(65, 32) };
    let tokens: Vec<i64> = (0..2 * 32).map(|i| i * 7 % 65).collect();
    vec![
        ("lenet", Box::new(LeNet::new(3, 32, 10)), images(32)),
        ("resnet18", Box::new(ResNet::resnet18(1000)), images(64)),
        ("resnet18_cifar", Box::new(ResNet::resnet18(10).cifar_stem()), images(32)),
        ("gpt", Box::new(GPT::new(gpt)), Tensor::from_slice(&tokens, [2, 32])),
    ]
}

fn save(folder: &str, name: &str, model: &dyn Layer, inputs: &Tensor) -> Result<()> {
    // Running statistics that are not those of the beginning.
    model.forward(inputs).eval()?;
    model.eval();
    let logits = no_grad(|| model.forward(inputs));
    let path = |kind: &str| Path::new(folder).join(format!("{name}{kind}.safetensors"));
    save_safetensors(path(""), &model.state_dict(), &[])?;
    let answers = [("inputs".to_owned(), inputs.clone()), ("logits".to_owned(), logits)];
    save_safetensors(path(".answers"), &answers, &[])?;
    println!("{name}: saved");
    Ok(())
}

fn check(folder: &str, name: &str, model: &dyn Layer) -> Result<()> {
    let read = |kind: &str| -> Result<StateDict> {
        let path = Path::new(folder).join(format!("{name}.torch{kind}.safetensors"));
        Ok(load_safetensors(path)?.into_iter().collect())
    };
    model.load_state_dict(&read("")?)?;
    model.eval();
    let answers = read(".answers")?;
    let (inputs, expected) = (&answers["inputs"], &answers["logits"]);
    let logits = no_grad(|| model.forward(inputs));
    let worst = (&logits - expected).abs().amax(&[], false);
    let scale = expected.abs().amax(&[], false);
    let difference = (worst / scale).item::<f64>()?;
    println!("{name}: PyTorch's weights give its logits, within {difference:.1e} of the largest");
    if difference <= TOLERANCE {
        return Ok(());
    }
    let message =
        format!("{name}: the logits differ by {difference:.1e}, more than {TOLERANCE:.0e}");
    Err(Error::new(ErrorKind::Value, message))
}
