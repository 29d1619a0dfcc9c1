//! What the trainer costs beside a hand-written loop, on the model of `configs/mnist_mlp.toml` and
//! made-up images: `cargo run --release -p gradus-train --example trainer_cost`.
//!
//! The loops take turns, so that whatever else the machine does hits all of them; of the ratios in
//! each round the median counts.

use std::time::Instant;

use gradus_data::{Array, DataLoader, Dataset};
use gradus_nn::optim::{Adam, Optimizer};
use gradus_nn::{CrossEntropyLoss, Layer, Linear, Module, ReLU, Sequential};
use gradus_tensor::{Result, Tensor, manual_seed};
use gradus_train::trainer::{Supervised, Trainer};

struct Images(Vec<f32>);

impl Dataset for Images {
    type Item = (Array<f32>, i64);
    fn len(&self) -> usize {
        6400
    }
    fn get(&self, index: usize) -> Result<Self::Item> {
        let start = (index * 31) % (self.0.len() - 784);
        Ok((Array::new([784], self.0[start..start + 784].to_vec())?, (index % 10) as i64))
    }
}

fn model() -> Sequential {
    manual_seed(0);
    Sequential::new()
        .add(Linear::new(784, 512))
        .add(ReLU)
        .add(Linear::new(512, 512))
        .add(ReLU)
        .add(Linear::new(512, 10))
}

/// An epoch of 100 steps by hand; seconds.
fn by_hand(loader: &DataLoader<Images>) -> Result<f64> {
    let (model, criterion) = (model(), CrossEntropyLoss::default());
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
fn by_trainer(loader: &DataLoader<Images>, guard: bool) -> Result<f64> {
    let (model, criterion) = (model(), CrossEntropyLoss::default());
    let loss = |logits: &Tensor, labels: &Tensor| criterion.forward(logits, labels);
    let mut trainer = Trainer::new(Adam::new(model.parameters(), 1e-3)).epochs(1).guard(guard);
    let start = Instant::now();
    trainer.fit(&Supervised::new(&model, &loss), loader, None)?;
    Ok(start.elapsed().as_secs_f64())
}

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(31);
    let pixels = (0..8192).map(|i| ((i * 37) % 256) as f32 / 255.0).collect();
    let loader = DataLoader::new(Images(pixels)).batch_size(64).shuffle(0);
    let (mut unguarded, mut guarded, mut shortest) = (Vec::new(), Vec::new(), [f64::MAX; 3]);
    for round in 0..=rounds {
        let times = [by_hand(&loader)?, by_trainer(&loader, false)?, by_trainer(&loader, true)?];
        // The first round compiles the plans.
        if round > 0 {
            unguarded.push(times[1] / times[0]);
            guarded.push(times[2] / times[0]);
            shortest = std::array::from_fn(|i| shortest[i].min(times[i]));
        }
    }
    let median = |ratios: &mut Vec<f64>| {
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    };
    let [hand, plain, checked] = shortest.map(|seconds| 10.0 * seconds);
    println!("ms a step, the shortest of {rounds} rounds: by hand {hand:.3}");
    println!("trainer without the guard {plain:.3}, median ratio {:.4}", median(&mut unguarded));
    println!("trainer with the guard {checked:.3}, median ratio {:.4}", median(&mut guarded));
    Ok(())
}
