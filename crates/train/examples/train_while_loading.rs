//! Whether loading hides behind training: how long batches take to load, steps to compute, and both at once.
//!
//! ```sh
//! cargo run --release -p gradus-train --example train_while_loading -- configs/cifar_jpeg.toml DIR
//! ```
//!
//! Both use all cores, so together they take at least the sum of what each takes alone: the bound. Each round
//! measures all three, and the fastest of each counts. Options: `--steps N` (300), `--rounds N` (5).

use std::path::Path;
use std::time::Instant;

use gradus_data::{DataLoader, Split};
use gradus_nn::{Layer, Module, Sequential};
use gradus_tensor::{Error, ErrorKind, Result, Tensor, manual_seed, num_threads};
use gradus_train::config::{AnyLoss, AnyOptimizer, Value};
use gradus_train::{Config, Samples};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: usize| {
        let at = arguments.iter().position(|a| a == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let (steps, rounds) = (option("--steps", 300), option("--rounds", 5));
    let [file, dir, ..] = &arguments[..] else {
        return Err(Error::new(ErrorKind::Usage, "usage: train_while_loading CONFIG DIR"));
    };
    let mut config = Config::read(Path::new(file))?;
    config.set_data_key("path", Value::Text(dir.clone()), "the command line")?;
    config.check()?;
    let mut training = Training::new(&mut config)?;
    let threads = num_threads();

    // Alone, the loop's own thread helps to load, so that there are as many threads as cores.
    let alone = training.loader(&config, threads - 1);
    let batch = first(&alone)?;
    let mut loading = f64::INFINITY;
    let mut computing = f64::INFINITY;
    let mut both = vec![f64::INFINITY; threads + 1];
    let loaders: Vec<DataLoader<Samples>> =
        (0..=threads).map(|workers| training.loader(&config, workers)).collect();
    for epoch in 0..rounds as u64 {
        loading = loading.min(seconds(|| {
            alone.batches_from(epoch, 0).take(steps).try_for_each(|batch| batch.map(drop))
        })?);
        computing = computing.min(seconds(|| (0..steps).try_for_each(|_| training.step(&batch)))?);
        for (loader, both) in loaders.iter().zip(&mut both) {
            *both = both.min(seconds(|| {
                let mut batches = loader.batches_from(epoch, 0).take(steps);
                batches.try_for_each(|batch| training.step(&batch?))
            })?);
        }
    }
    let of_one = 1e3 / steps as f64;
    let bound = loading + computing;
    println!("{threads} threads, batches of {}, per step:", config.batch_size);
    println!("  loading alone   {:8.3} ms", of_one * loading);
    println!("  computing alone {:8.3} ms", of_one * computing);
    for (workers, both) in both.iter().enumerate() {
        println!(
            "  both, {workers} workers {:8.3} ms: {:.1}% of the bound",
            of_one * both,
            100.0 * bound / both
        );
    }
    let (part, remedy) = match loading > computing {
        true => ("loading", "`in_memory = true`, smaller images or fewer transforms help"),
        false => ("computing", "loading hides behind it"),
    };
    println!("the bottleneck is {part}: {remedy}");
    Ok(())
}

/// What a step needs.
struct Training {
    samples: Samples,
    model: Sequential,
    criterion: AnyLoss,
    optimizer: AnyOptimizer,
}

impl Training {
    fn new(config: &mut Config) -> Result<Training> {
        let data = config.open(Split::Train)?;
        manual_seed(config.seed);
        let model = config.model(data.spec())?;
        model.train(true);
        let criterion = config.criterion(data.spec())?;
        let optimizer = config.optimizer(&model)?;
        Ok(Training { samples: data.samples().clone(), model, criterion, optimizer })
    }

    fn loader(&self, config: &Config, workers: usize) -> DataLoader<Samples> {
        DataLoader::new(self.samples.clone())
            .batch_size(config.batch_size)
            .shuffle(config.seed)
            .drop_last(true)
            .workers(workers)
    }

    fn step(&mut self, (inputs, targets): &(Tensor, Tensor)) -> Result<()> {
        let loss = (self.criterion)(&self.model.forward(inputs), targets);
        self.optimizer.zero_grad();
        loss.backward();
        self.optimizer.step()
    }
}

fn first(loader: &DataLoader<Samples>) -> Result<(Tensor, Tensor)> {
    let none = || Error::new(ErrorKind::Data, "there is not one batch of samples");
    loader.batches_from(0, 0).next().ok_or_else(none)?
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}
