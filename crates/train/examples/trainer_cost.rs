//! What the trainer, its guard and its checkpoints cost beside a hand-written loop, on the models of
//! `configs/mnist_mlp.toml` and `configs/cifar_cnn.toml` with made-up images:
//! `cargo run --release -p gradus-train --example trainer_cost -- [ROUNDS]`.
//!
//! The loops take turns, so that whatever else the machine does hits all of them, and every step is
//! timed by itself, from the end of one to the end of the next. Of each loop the fastest steps
//! count: the shortest, and the one that a twentieth are shorter than.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use gradus_data::{Array, DataLoader, Dataset};
use gradus_nn::optim::{Adam, Optimizer};
use gradus_nn::{
    Conv2d, CrossEntropyLoss, Flatten, Layer, Linear, MaxPool2d, Module, ReLU, Sequential,
};
use gradus_tensor::{Result, Tensor, manual_seed};
use gradus_train::checkpoint::CheckpointFolder;
use gradus_train::trainer::{Callback, Checkpoints, Control, Fit, StepEnd, Supervised, Trainer};

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

/// The seconds of each step of an epoch by hand.
fn by_hand(model: &Sequential, loader: &DataLoader<Images>) -> Result<Vec<f64>> {
    let criterion = CrossEntropyLoss::default();
    let mut optimizer = Adam::new(model.parameters(), 1e-3);
    let mut steps = Steps::default();
    let mut total = 0.0;
    for batch in loader.batches_from(0, 0) {
        let (images, labels) = batch?;
        let loss = criterion.forward(&model.forward(&images), &labels);
        optimizer.zero_grad();
        loss.backward();
        optimizer.step()?;
        // The trainer gives the mean loss too.
        total += loss.item::<f32>()? * labels.shape()[0] as f32;
        steps.end();
    }
    assert!(total.is_finite());
    Ok(steps.seconds)
}

/// The same by the trainer.
fn by_trainer(
    model: &Sequential,
    loader: &DataLoader<Images>,
    options: impl FnOnce(Trainer<'_>) -> Trainer<'_>,
) -> Result<(Vec<f64>, Fit)> {
    let criterion = CrossEntropyLoss::default();
    let loss = |logits: &Tensor, labels: &Tensor| criterion.forward(logits, labels);
    let steps = Rc::new(RefCell::new(Steps::default()));
    let trainer = Trainer::new(Adam::new(model.parameters(), 1e-3)).epochs(1);
    let mut trainer = options(trainer.callback(Timed(steps.clone())));
    let fit = trainer.fit(&Supervised::new(model, &loss), loader, None)?;
    drop(trainer);
    Ok((steps.take().seconds, fit))
}

/// The times between the ends of steps.
#[derive(Default)]
struct Steps {
    last: Option<Instant>,
    seconds: Vec<f64>,
}

impl Steps {
    fn end(&mut self) {
        let now = Instant::now();
        self.seconds.extend(self.last.map(|last| (now - last).as_secs_f64()));
        self.last = Some(now);
    }
}

struct Timed(Rc<RefCell<Steps>>);

impl Callback for Timed {
    fn on_step_end(&mut self, _step: &StepEnd<'_>, _control: &mut Control) -> Result<()> {
        self.0.borrow_mut().end();
        Ok(())
    }
}

fn measure(name: &str, model: fn() -> Sequential, shape: [usize; 3], rounds: usize) -> Result<()> {
    let loader = DataLoader::new(Images::new(shape)).batch_size(BATCH).shuffle(0);
    let new = || {
        manual_seed(0);
        model()
    };
    let mut times = [const { Vec::new() }; 3];
    let mut paused = Vec::new();
    for round in 0..=rounds {
        let (unguarded, guarded);
        let hand = by_hand(&new(), &loader)?;
        (unguarded, _) = by_trainer(&new(), &loader, |t| t.guard(false))?;
        (guarded, _) = by_trainer(&new(), &loader, |t| t)?;
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
            for (all, some) in times.iter_mut().zip([hand, unguarded, guarded]) {
                all.extend(some);
            }
            paused.push(fit.paused / (STEPS as f64 / SAVED_EVERY as f64));
        }
    }
    let [hand, unguarded, guarded] =
        times.map(|seconds| [0.0, 0.05].map(|q| quantile(&seconds, q)));
    println!("{name}, batches of {BATCH}, {rounds} rounds of {STEPS} steps; ms a step");
    let row = |name: &str, [least, twentieth]: [f64; 2], [a, b]: [f64; 2]| {
        let more = |x: f64, y: f64| 100.0 * (x / y - 1.0);
        println!(
            "  {name:22} {:7.4} {:+6.2}%   {:7.4} {:+6.2}%",
            1e3 * least,
            more(least, a),
            1e3 * twentieth,
            more(twentieth, b)
        );
    };
    row("by hand", hand, hand);
    row("trainer without guard", unguarded, hand);
    row("trainer with guard", guarded, hand);
    row("  beside without", guarded, unguarded);
    let (least, half) = (quantile(&paused, 0.0), quantile(&paused, 0.5));
    println!(
        "  a checkpoint pauses for {:.3} ms at least, {:.3} in the median",
        1e3 * least,
        1e3 * half
    );
    Ok(())
}

fn quantile(numbers: &[f64], share: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(share * (sorted.len() - 1) as f64).round() as usize]
}

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(31);
    measure("mnist_mlp", mnist_mlp, [1, 28, 28], rounds)?;
    measure("cifar_cnn", cifar_cnn, [3, 32, 32], rounds)
}
