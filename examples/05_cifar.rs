//! Lesson 5: photographs (`cifar_cnn`).
//!
//!     cargo run --release --example 05_cifar -- --data DIR
//!
//! CIFAR-10 has 60,000 photographs of 32 × 32 pixels in ten classes. DIR holds the official binary files
//! (or is their archive, `cifar-10-binary.tar.gz`), or folders `train` and `test` with a folder of PNG or
//! JPEG files for each class. Without `--data`, the built-in digits are enlarged: enough to see it run.

use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use gradus::data::datasets::{self, ImageFolder, ImageFolderOptions};
use gradus::data::{DataLoader, LabelledImages, Normalization, Split};
use gradus::nn::models::LeNet;
use gradus::prelude::*;

fn main() -> Result<()> {
    let options = Options::from_command_line()?;
    let (train, test) = (options.open(Split::Train)?, options.open(Split::Test)?);
    println!("{train:?}\n{test:?}\n");
    let classes = train.classes().to_vec();

    // Two threads put batches together while the network learns. The order of the samples, and so every
    // bit of the result, is the same for any number of them.
    let train = DataLoader::new(train).batch_size(64).shuffle(options.seed).workers(2);
    let test = DataLoader::new(test).batch_size(500).workers(2);

    // conv 5×5 → ReLU → pool, twice; then three fully connected layers. It is short enough to read:
    // crates/nn/src/models/lenet.rs.
    manual_seed(options.seed);
    let model = LeNet::new(3, 32, classes.len());
    let criterion = CrossEntropyLoss::default();
    let mut optimizer = Adam::new(model.parameters(), 1e-3);

    for epoch in 1..=options.epochs {
        let start = Instant::now();
        let mut running_loss = Tensor::scalar(0.0);
        let mut epoch_loss = 0.0;
        for (step, batch) in (&train).into_iter().enumerate() {
            let (images, labels) = batch?;
            let loss = criterion.forward(&model.forward(&photographs(&images)), &labels);
            optimizer.zero_grad();
            loss.backward();
            running_loss = running_loss + loss.detach();
            optimizer.step()?;
            if (step + 1) % 100 == 0 {
                let sum: f64 = running_loss.item()?;
                println!("[{epoch}, {:>4}] loss: {:.3}", step + 1, sum / 100.0);
                (running_loss, epoch_loss) = (Tensor::scalar(0.0), epoch_loss + sum);
            }
        }
        epoch_loss += running_loss.item::<f64>()?;
        let (mean, seconds) = (epoch_loss / train.len() as f64, start.elapsed().as_secs_f64());
        println!("epoch {epoch}: mean loss {mean:.4}, {seconds:.1} s");
    }

    // How many of each class are recognised? One-hot labels, summed over the batch, count by class.
    let mut hits = Tensor::zeros([classes.len()], DType::I64);
    let mut all = hits.clone();
    no_grad(|| {
        for batch in &test {
            let (images, labels) = batch?;
            let right = model.forward(&photographs(&images)).argmax(1).eq(&labels);
            let by_class = labels.one_hot(classes.len());
            hits = &hits + (&by_class * right.unsqueeze(1)).sum_axes(&[0], false);
            all = &all + by_class.sum_axes(&[0], false);
        }
        Ok::<(), Error>(())
    })?;
    let (hits, all) = (hits.to_vec::<f64>()?, all.to_vec::<f64>()?);
    for (class, (hits, all)) in classes.iter().zip(hits.iter().zip(&all)) {
        println!("{class:>10}: {:.1}%", 100.0 * hits / all);
    }
    let accuracy = hits.iter().sum::<f64>() / all.iter().sum::<f64>();
    println!("test accuracy: {:.2}%", 100.0 * accuracy);
    Ok(())
}

/// Images as the network wants them: those of CIFAR-10 as they are, the small grey digits enlarged.
fn photographs(images: &Tensor) -> Tensor {
    let shape = images.shape();
    if shape[1..] == [3, 32, 32] {
        return images.clone();
    }
    let bilinear = gradus::Interpolation::Linear { align_corners: false };
    images.interpolate(&[32, 32], bilinear).expand([shape[0], 3, 32, 32])
}

/// What can be said on the command line.
struct Options {
    data: Option<String>,
    epochs: usize,
    seed: u64,
}

impl Options {
    fn from_command_line() -> Result<Options> {
        let mut options = Options { data: None, epochs: 5, seed: 0 };
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

    /// Pixels between −1 and 1.
    fn open(&self, split: Split) -> Result<LabelledImages> {
        let Some(data) = &self.data else { return Ok(datasets::digits(split)) };
        let half = Normalization::new(&[0.5; 3], &[0.5; 3])?;
        let images = if Path::new(data).join("train").is_dir() {
            // JPEG files are decoded once.
            ImageFolder::open(data, split, ImageFolderOptions::default())?.in_memory(2)?
        } else {
            datasets::cifar10(data, split)?
        };
        images.normalize(Some(half))
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
