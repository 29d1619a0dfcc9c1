//! What the trainer, its guard and its checkpoints cost beside a hand-written loop, on the models of
//! `configs/mnist_mlp.toml` and `configs/cifar_cnn.toml` with made-up images:
//! `cargo run --release -p gradus-train --example trainer_cost -- [ROUNDS]`.
//!
//! The loops take turns, so that whatever else the machine does hits all of them, each with the same
//! steps. Two figures stand for a loop: the shortest of its rounds beside the shortest by hand, and
//! the median of the ratios within a round.

use std::time::Instant;

use gradus_data::{Array, DataLoader, Dataset};
use gradus_nn::optim::{Adam, Optimizer};
use gradus_nn::{
    Conv2d, CrossEntropyLoss, Flatten, Layer, Linear, MaxPool2d, Module, ReLU, Sequential,
};
use gradus_tensor::{Result, Tensor, manual_seed};
use gradus_train::checkpoint::CheckpointFolder;
use gradus_train::trainer::{Checkpoints, Fit, Supervised, Trainer};

const BATCH: usize = 64;
const STEPS: usize = 50;
/// Of the checkpoints whose pause is measured.
const SAVED_EVERY: u64 = 25;

struct Images {
    shape: [usize; 3],
    pixels: Vec<f32>,
}

impl Images {
    fn new(shape: [usize; 3]) -> Images {
        let pixels = (0..8192).map(|i| ((i * 37) % 256) as f32 / 255.0).collect();
        Images { shape, pixels }
    }
}

impl Dataset for Images {
    type Item = (Array<f32>, i64);
    fn len(&self) -> usize {
        BATCH * STEPS
    }
    fn get(&self, index: usize) -> Result<Self::Item> {
        let size: usize = self.shape.iter().product();
        let start = (index * 31) % (self.pixels.len() - size);
        let pixels = self.pixels[start..start + size].to_vec();
        Ok((Array::new(self.shape, pixels)?, (index % 10) as i64))
    }
}

fn mnist_mlp() -> Sequential {
    Sequential::new()
        .add(Flatten::default())
        .add(Linear::new(784, 512))
        .add(ReLU)
        .add(Linear::new(512, 512))
        .add(ReLU)
        .add(Linear::new(512, 10))
}

fn cifar_cnn() -> Sequential {
    Sequential::new()
        .add(Conv2d::new(3, 6, 5))
        .add(ReLU)
        .add(MaxPool2d::new(2))
        .add(Conv2d::new(6, 16, 5))
        .add(ReLU)
        .add(MaxPool2d::new(2))
        .add(Flatten::default())
        .add(Linear::new(400, 120))
        .add(ReLU)
        .add(Linear::new(120, 84))
        .add(ReLU)
        .add(Linear::new(84, 10))
}

/// An epoch by hand; seconds.
fn by_hand(model: &Sequential, loader: &DataLoader<Images>) -> Result<f64> {
    let criterion = CrossEntropyLoss::default();
    let mut optimizer = Adam::new(model.parameters(), 1e-3);
    let start = Instant::now();
    for batch in loader.batches_from(0, 0) {
        let (images, labels) = batch?;
        let loss = criterion.forward(&model.forward(&images), &labels);
        optimizer.zero_grad();
        loss.backward();
        optimizer.step()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// The same by the trainer.
fn by_trainer(
    model: &Sequential,
    loader: &DataLoader<Images>,
    options: impl FnOnce(Trainer<'_>) -> Trainer<'_>,
) -> Result<(f64, Fit)> {
    let criterion = CrossEntropyLoss::default();
    let loss = |logits: &Tensor, labels: &Tensor| criterion.forward(logits, labels);
    let mut trainer = options(Trainer::new(Adam::new(model.parameters(), 1e-3)).epochs(1));
    let start = Instant::now();
    let fit = trainer.fit(&Supervised::new(model, &loss), loader, None)?;
    Ok((start.elapsed().as_secs_f64(), fit))
}

fn measure(name: &str, model: fn() -> Sequential, shape: [usize; 3], rounds: usize) -> Result<()> {
    let loader = DataLoader::new(Images::new(shape)).batch_size(BATCH).shuffle(0);
    let new = || {
        manual_seed(0);
        model()
    };
    let (mut times, mut paused) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let hand = by_hand(&new(), &loader)?;
        let (unguarded, _) = by_trainer(&new(), &loader, |t| t.guard(false))?;
        let (guarded, _) = by_trainer(&new(), &loader, |t| t)?;
        let folder = std::env::temp_dir().join(format!("gradus-cost-{}", std::process::id()));
        let checkpoints = Checkpoints {
            every_steps: Some(SAVED_EVERY),
            every: None,
            ..Checkpoints::new(CheckpointFolder::new(&folder))
        };
        let (_, fit) = by_trainer(&new(), &loader, |t| t.checkpoints(checkpoints))?;
        // The folder is this program's own; what is left of it is no matter.
        let _ = std::fs::remove_dir_all(&folder);
        // The first round compiles the plans.
        if round > 0 {
            times.push([hand, unguarded, guarded]);
            paused.push(fit.paused);
        }
    }
    let shortest = |i: usize| times.iter().map(|t| t[i]).fold(f64::MAX, f64::min);
    println!("{name}, batches of {BATCH}, {rounds} rounds of {STEPS} steps");
    for (i, loop_) in ["by hand", "trainer without guard", "trainer with guard"].iter().enumerate()
    {
        println!(
            "  {loop_:22} {:7.3} ms a step, {:+.2}% at its shortest, {:+.2}% in the median",
            1e3 * shortest(i) / STEPS as f64,
            100.0 * (shortest(i) / shortest(0) - 1.0),
            100.0 * (median(times.iter().map(|t| t[i] / t[0]).collect()) - 1.0)
        );
    }
    println!(
        "  guard alone {:+.2}% at its shortest, {:+.2}% in the median",
        100.0 * (shortest(2) / shortest(1) - 1.0),
        100.0 * (median(times.iter().map(|t| t[2] / t[1]).collect()) - 1.0)
    );
    let saved = STEPS as f64 / SAVED_EVERY as f64;
    println!("  a checkpoint pauses for {:.3} ms in the median", 1e3 * median(paused) / saved);
    Ok(())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(31);
    measure("mnist_mlp", mnist_mlp, [1, 28, 28], rounds)?;
    measure("cifar_cnn", cifar_cnn, [3, 32, 32], rounds)
}
