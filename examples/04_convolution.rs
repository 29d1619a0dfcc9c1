//! Lesson 4: a convolutional network (`mnist_cnn`).
//!
//!     cargo run --release --example 04_convolution
//!     cargo run --release --example 04_convolution -- --data DIR --epochs 3
//!
//! Lesson 3 flattened the image at once, so that its network had to learn for each place anew what an
//! edge looks like. A convolution looks through a small window, three pixels wide here, and moves it
//! over the image: what it learns in one place it knows everywhere. `--data` finds MNIST's four files
//! in DIR; without it, the small digits that come with Gradus are read.

use std::str::FromStr;
use std::time::Instant;

use gradus::data::{DataLoader, Dataset, LabelledImages, Split, datasets};
use gradus::prelude::*;

/// What the optimizer changes, seen as a tree. `#[derive(Module)]` finds the layers in the fields, and
/// their parameters under the fields' names: `conv.weight`, `conv.bias`, `fc.weight`, `fc.bias`.
#[derive(Module)]
struct Net {
    conv: Conv2d,
    fc: Linear,
}

impl Net {
    fn new(height: usize, width: usize, classes: usize) -> Net {
        // A window of 3 × 3 fits in two places less than there are pixels, along each axis.
        let places = (height - 2) * (width - 2);
        Net { conv: Conv2d::new(1, 32, 3), fc: Linear::new(32 * places, classes) }
    }

    /// Images `[batch, 1, height, width]` → logits `[batch, classes]`.
    fn forward(&self, images: &Tensor) -> Tensor {
        let features = self.conv.forward(images).relu(); // [batch, 32, height - 2, width - 2]
        self.fc.forward(&features.flatten(1, -1))
    }
}

fn main() -> Result<()> {
    let options = Options::from_command_line()?;
    let (train, test) = (options.open(Split::Train)?, options.open(Split::Test)?);
    let (image, classes) = (train.image_shape().clone(), train.classes().len());
    let train = DataLoader::new(train).batch_size(64).shuffle(options.seed);
    let test = DataLoader::new(test).batch_size(1000);

    manual_seed(options.seed);
    let model = Net::new(image[1], image[2], classes);
    let criterion = CrossEntropyLoss::default();
    let mut optimizer = SGD::new(model.parameters(), 0.01);

    for epoch in 1..=options.epochs {
        let start = Instant::now();
        let mut loss_sum = Tensor::scalar(0.0);
        for batch in &train {
            let (images, labels) = batch?;
            let loss = criterion.forward(&model.forward(&images), &labels);
            optimizer.zero_grad();
            loss.backward();
            optimizer.step()?;
            loss_sum = loss_sum + loss.detach();
        }
        let mean = loss_sum.item::<f64>()? / train.len() as f64;
        let accuracy = accuracy(&model, &test)?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "epoch {epoch}: mean loss {mean:.4}, test accuracy {accuracy:.2}%, {seconds:.1} s"
        );
    }
    Ok(())
}

/// The share of right answers, in percent.
fn accuracy(model: &Net, loader: &DataLoader<LabelledImages>) -> Result<f64> {
    no_grad(|| {
        let mut correct = 0;
        for batch in loader {
            let (images, labels) = batch?;
            correct += model.forward(&images).argmax(1).eq(&labels).sum().item::<i64>()?;
        }
        Ok(100.0 * correct as f64 / loader.dataset().len() as f64)
    })
}

/// What can be said on the command line.
struct Options {
    /// The folder with MNIST's files; without it, the built-in digits.
    data: Option<String>,
    epochs: usize,
    seed: u64,
}

impl Options {
    fn from_command_line() -> Result<Options> {
        let mut options = Options { data: None, epochs: 3, seed: 0 };
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

    fn open(&self, split: Split) -> Result<LabelledImages> {
        match &self.data {
            Some(dir) => datasets::mnist(dir, split),
            None => Ok(datasets::digits(split)),
        }
    }
}

fn parse<T: FromStr>(option: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| usage(option, value))
}

fn usage(option: &str, value: &str) -> Error {
    let message = format!(
        "cannot make sense of `{option} {value}`; the options are --data DIR, --epochs N and --seed N"
    );
    Error::new(ErrorKind::Usage, message)
}
