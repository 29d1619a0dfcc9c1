//! How long a training step takes: the network of lesson 3, on one fixed random batch of 64.
//!
//!     cargo run --release --example step_time -- [--threads N]
//!     cargo run --release --example step_time -- --serve [--threads N]
//!
//! Prints a table; with `--serve`, prints `ready` and answers every line `OPTIMIZER STEPS` with the
//! median milliseconds per step, for `benches/peers/compare.py`.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use gradus::prelude::*;
use gradus::{plan_stats, set_num_threads};

const BATCH: usize = 64;
const OPTIMIZERS: [&str; 2] = ["sgd", "adam"];

fn main() -> Result<()> {
    let mut serving = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--serve" => serving = true,
            "--threads" => {
                let threads = arguments.next().and_then(|text| text.parse().ok());
                set_num_threads(threads.ok_or_else(|| usage("--threads needs a number"))?);
            }
            _ => return Err(usage("usage: step_time [--serve] [--threads N]")),
        }
    }
    if serving { serve() } else { table() }
}

/// Steps before the clock starts: they compile the plan and warm the caches.
const WARM_UP: usize = 20;
/// A network that knows its one batch by heart has gradients of 0 and subnormal averages of them,
/// which are slow on any framework; so each block of this many steps starts from new weights.
const BLOCK: usize = 200;

fn table() -> Result<()> {
    println!("{} threads, median of {BLOCK} steps", gradus::num_threads());
    for name in OPTIMIZERS {
        let mut stepper = Stepper::new(name);
        stepper.milliseconds(WARM_UP)?;
        let before = plan_stats();
        let time = stepper.milliseconds(BLOCK)?;
        let plans = plan_stats().run - before.run;
        println!("{name:>5}  {time:.3} ms per step  {} plans per step", plans / BLOCK as u64);
    }
    Ok(())
}

fn serve() -> Result<()> {
    let mut out = io::stdout();
    let failed = |error: io::Error| Error::new(ErrorKind::Io, error.to_string());
    writeln!(out, "ready").map_err(failed)?;
    for line in io::stdin().lock().lines() {
        let line = line.map_err(failed)?;
        let request = line.split_once(' ').and_then(|(name, steps)| {
            let name = OPTIMIZERS.into_iter().find(|n| *n == name)?;
            Some((name, steps.parse().ok()?))
        });
        let (name, steps) =
            request.ok_or_else(|| usage("a request is a line `sgd STEPS` or `adam STEPS`"))?;
        let mut stepper = Stepper::new(name);
        stepper.milliseconds(WARM_UP)?;
        writeln!(out, "{:.4}", stepper.milliseconds(steps)?).map_err(failed)?;
    }
    Ok(())
}

/// A network in training.
struct Stepper {
    model: Sequential,
    criterion: CrossEntropyLoss,
    optimizer: Box<dyn Optimizer>,
    images: Tensor,
    labels: Tensor,
}

impl Stepper {
    fn new(name: &'static str) -> Stepper {
        manual_seed(0);
        let model = Sequential::new()
            .add(Flatten::default())
            .add(Linear::new(784, 512))
            .add(ReLU)
            .add(Linear::new(512, 512))
            .add(ReLU)
            .add(Linear::new(512, 10));
        let optimizer: Box<dyn Optimizer> = match name {
            "adam" => Box::new(Adam::new(model.parameters(), 1e-3)),
            _ => Box::new(SGD::new(model.parameters(), 1e-3).momentum(0.9)),
        };
        let labels = (0..BATCH as i64).map(|i| i % 10).collect();
        Stepper {
            model,
            criterion: CrossEntropyLoss::default(),
            optimizer,
            images: Tensor::rand([BATCH, 1, 28, 28], DType::F32),
            labels: Tensor::from_vec(labels, [BATCH]),
        }
    }

    /// The median over `steps` steps.
    fn milliseconds(&mut self, steps: usize) -> Result<f64> {
        self.images.eval()?;
        let mut times = Vec::with_capacity(steps);
        for _ in 0..steps {
            let start = Instant::now();
            let loss = self.criterion.forward(&self.model.forward(&self.images), &self.labels);
            self.optimizer.zero_grad();
            loss.backward();
            self.optimizer.step()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_unstable_by(f64::total_cmp);
        times.get(steps / 2).copied().ok_or_else(|| usage("give a number of steps above 0"))
    }
}

fn usage(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message)
}
