//! Lesson 7: a language model (`char_gpt`).
//!
//!     cargo run --release --example 07_char_gpt -- --data FILE.txt
//!
//! A small GPT learns to continue a text, character by character, and then writes some of its own. Without
//! `--data` it reads the page on Gradus's architecture, which it will know by heart soon.

use std::str::FromStr;
use std::time::Instant;

use gradus::data::datasets::{CharText, CharTextOptions};
use gradus::data::{DataLoader, Split};
use gradus::nn::models::{GPT, GPTConfig};
use gradus::prelude::*;

const TEXT: &str = include_str!("../docs/architecture.md");
/// How many characters the network sees at once.
const CONTEXT: usize = 64;
/// From the beginning of one sample to that of the next.
const STRIDE: usize = 7;

fn main() -> Result<()> {
    let options = Options::from_command_line()?;
    let (train, test) = (options.open(Split::Train)?, options.open(Split::Test)?);
    println!("{train:?}\n{test:?}\n");
    let vocabulary = train.vocabulary().to_vec();
    // A sample is 64 characters, and as its target the same text one character later: at each
    // place, the network is to say what comes next.
    let train = DataLoader::new(train).batch_size(12).shuffle(options.seed);
    let test = DataLoader::new(test).batch_size(12);

    manual_seed(options.seed);
    let model = GPT::new(GPTConfig::new(vocabulary.len(), CONTEXT));
    let parameters: usize = model.parameters().iter().map(|p| p.value().numel()).sum();
    println!("{}: {parameters} parameters\n", model.describe());
    let mut optimizer = AdamW::new(model.parameters(), 1e-3);

    for epoch in 1..=options.epochs {
        let start = Instant::now();
        model.train(true);
        let (mut loss_sum, mut norm_sum) = (Tensor::scalar(0.0), Tensor::scalar(0.0));
        for batch in &train {
            let (inputs, targets) = batch?;
            let loss = cross_entropy(&model, &inputs, &targets);
            optimizer.zero_grad();
            loss.backward();
            // Long gradients are cut short: one strange batch cannot do much harm.
            let norm = clip_grad_norm_(&model.parameters(), 1.0);
            optimizer.step()?;
            loss_sum = loss_sum + loss.detach();
            norm_sum = norm_sum + norm.detach();
        }
        model.eval();
        let steps = train.len() as f64;
        let (mean, norm) = (loss_sum.item::<f64>()? / steps, norm_sum.item::<f64>()? / steps);
        let test_loss = evaluate(&model, &test)?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "epoch {epoch}: loss {mean:.3}, on the rest of the text {test_loss:.3}, \
             gradient norm {norm:.2}, {seconds:.1} s"
        );
    }

    let prompt: Vec<i64> = vec![0];
    let text = model.generate(&prompt, 400, 0.8, Some(20))?;
    let text: String = text.iter().map(|&token| vocabulary[token as usize]).collect();
    println!("\n{text}");
    Ok(())
}

/// How surprised the network is by what comes next, in nats per character.
fn cross_entropy(model: &GPT, inputs: &Tensor, targets: &Tensor) -> Tensor {
    let logits = model.forward(inputs); // [batch, context, vocabulary]
    logits.flatten(0, 1).cross_entropy(&targets.flatten(0, 1)).mean()
}

fn evaluate(model: &GPT, loader: &DataLoader<CharText>) -> Result<f64> {
    no_grad(|| {
        let mut sum = 0.0;
        for batch in loader {
            let (inputs, targets) = batch?;
            sum += cross_entropy(model, &inputs, &targets).item::<f64>()?;
        }
        Ok(sum / loader.len() as f64)
    })
}

/// What can be said on the command line.
struct Options {
    data: Option<String>,
    epochs: usize,
    seed: u64,
}

impl Options {
    fn from_command_line() -> Result<Options> {
        let mut options = Options { data: None, epochs: 10, seed: 0 };
        let mut arguments = std::env::args().skip(1);
        while let Some(option) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            match option.as_str() {
                "--data" => options.data = Some(value),
                "--epochs" => options.epochs = parse(&option, &value)?,
                "--seed" => options.seed = parse(&option, &value)?,
                _ => return Err(usage(&option, &value)),
            }
        }
        Ok(options)
    }

    fn open(&self, split: Split) -> Result<CharText> {
        // Blocks overlap, so that the network sees the same words at many places.
        let text = CharTextOptions {
            block_size: CONTEXT,
            stride: (split == Split::Train).then_some(STRIDE),
            ..CharTextOptions::default()
        };
        match &self.data {
            Some(file) => CharText::open(file, split, text),
            None => CharText::new(TEXT, split, text),
        }
    }
}

fn parse<T: FromStr>(option: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| usage(option, value))
}

fn usage(option: &str, value: &str) -> Error {
    let message = format!(
        "cannot make sense of `{option} {value}`; the options are --data FILE, --epochs N and --seed N"
    );
    Error::new(ErrorKind::Usage, message)
}
