//! How long a training step takes: six workloads, side by side with other frameworks.
//!
//!     cargo run --release --example step_time -- [WORKLOAD…] [--threads N] [--data DIR]
//!     cargo run --release --example step_time -- --serve WORKLOAD [--threads N] [--data DIR]
//!
//! Prints a table; with `--serve`, prints `ready` and answers every line `STEPS` with `MILLISECONDS LOSS`: the
//! median time of a step and the mean loss, of as many steps from the initial weights on. DIR is what
//! `benches/peers/workloads.py` wrote: eight batches of real data and the initial weights for each
//! workload, the same for every framework. Without it, both are random.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use gradus::io::load_safetensors;
use gradus::nn::StateDict;
use gradus::nn::models::{GPT, GPTConfig, LeNet, ResNet};
use gradus::prelude::*;
use gradus::set_num_threads;

/// Batches that take turns.
const BATCHES: usize = 8;
/// Steps before the clock starts: they compile the plan and warm the caches.
const WARM_UP: usize = 16;
/// Each block starts from the initial weights: a network that knows its batches by heart computes with
/// subnormal numbers, which are slow on any framework.
const BLOCK: usize = 200;

/// A workload: what is trained, on what, and how.
struct Workload {
    name: &'static str,
    /// The shape of a batch's inputs.
    input: &'static [usize],
    classes: usize,
    model: fn() -> Box<dyn Layer>,
    optimizer: fn(Vec<Parameter>) -> Box<dyn Optimizer>,
}

const WORKLOADS: [Workload; 6] = [
    Workload {
        name: "mnist_cnn",
        input: &[64, 1, 28, 28],
        classes: 10,
        model: || {
            let net = Sequential::new().add(Conv2d::new(1, 32, 3)).add(ReLU);
            Box::new(net.add(Flatten::default()).add(Linear::new(21632, 10)))
        },
        optimizer: |parameters| Box::new(SGD::new(parameters, 0.01)),
    },
    Workload {
        name: "mnist_mlp",
        input: &[64, 1, 28, 28],
        classes: 10,
        model: mlp,
        optimizer: |parameters| Box::new(SGD::new(parameters, 1e-3).momentum(0.9)),
    },
    Workload {
        name: "mnist_mlp_adam",
        input: &[64, 1, 28, 28],
        classes: 10,
        model: mlp,
        optimizer: |parameters| Box::new(Adam::new(parameters, 1e-3)),
    },
    Workload {
        name: "cifar_cnn",
        input: &[64, 3, 32, 32],
        classes: 10,
        model: || Box::new(LeNet::new(3, 32, 10)),
        optimizer: |parameters| Box::new(Adam::new(parameters, 1e-3)),
    },
    Workload {
        name: "gpt",
        input: &[12, 64],
        classes: 65,
        model: || Box::new(GPT::new(GPTConfig::new(65, 64))),
        optimizer: |parameters| Box::new(AdamW::new(parameters, 1e-3)),
    },
    Workload {
        name: "resnet18",
        input: &[32, 3, 32, 32],
        classes: 10,
        model: || Box::new(ResNet::resnet18(10).cifar_stem()),
        optimizer: |parameters| Box::new(SGD::new(parameters, 0.01).momentum(0.9)),
    },
];

/// 784-512-512-10 with ReLU.
fn mlp() -> Box<dyn Layer> {
    let net = Sequential::new().add(Flatten::default()).add(Linear::new(784, 512)).add(ReLU);
    Box::new(net.add(Linear::new(512, 512)).add(ReLU).add(Linear::new(512, 10)))
}

fn main() -> Result<()> {
    let (mut names, mut data, mut serving) = (Vec::new(), None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--serve" => serving = true,
            "--data" => data = arguments.next().map(PathBuf::from),
            "--threads" => {
                let threads = arguments.next().and_then(|text| text.parse().ok());
                set_num_threads(threads.ok_or_else(|| usage("--threads needs a number"))?);
            }
            name => names.push(workload(name)?),
        }
    }
    match (serving, &names[..]) {
        (true, [one]) => serve(one, data.as_deref()),
        (true, _) => Err(usage("--serve needs one workload")),
        (false, []) => table(&WORKLOADS.iter().collect::<Vec<_>>(), data.as_deref()),
        (false, some) => table(some, data.as_deref()),
    }
}

fn workload(name: &str) -> Result<&'static Workload> {
    WORKLOADS.iter().find(|w| w.name == name).ok_or_else(|| {
        let names: Vec<&str> = WORKLOADS.iter().map(|w| w.name).collect();
        usage(&format!("no workload {name}; there are {}", names.join(", ")))
    })
}

fn table(workloads: &[&Workload], data: Option<&Path>) -> Result<()> {
    println!("{} threads, median of {BLOCK} steps (resnet18: 10)", gradus::num_threads());
    for workload in workloads {
        let steps = if workload.name == "resnet18" { 10 } else { BLOCK };
        let (time, loss) = Run::new(workload, data)?.block(steps)?;
        println!("{:>15}  {time:>8.3} ms per step, mean loss {loss:.4}", workload.name);
    }
    Ok(())
}

fn serve(workload: &Workload, data: Option<&Path>) -> Result<()> {
    let mut out = io::stdout();
    let failed = |error: io::Error| Error::new(ErrorKind::Io, error.to_string());
    let run = Run::new(workload, data)?;
    writeln!(out, "ready").map_err(failed)?;
    for line in io::stdin().lock().lines() {
        let steps = line.map_err(failed)?.trim().parse();
        let steps = steps.map_err(|_| usage("a request is a number of steps"))?;
        let (time, loss) = run.block(steps)?;
        writeln!(out, "{time:.4} {loss:.6}").map_err(failed)?;
    }
    Ok(())
}

/// A network in training.
struct Run {
    workload: &'static str,
    model: Box<dyn Layer>,
    initial: StateDict,
    optimizer: fn(Vec<Parameter>) -> Box<dyn Optimizer>,
    batches: Vec<(Tensor, Tensor)>,
}

impl Run {
    fn new(workload: &Workload, data: Option<&Path>) -> Result<Run> {
        manual_seed(0);
        let model = (workload.model)();
        let batches = match data {
            Some(folder) => {
                let read = |name: &str| -> Result<StateDict> {
                    let file = format!("{}.{name}.safetensors", workload.name);
                    Ok(load_safetensors(folder.join(file))?.into_iter().collect())
                };
                model.load_state_dict(&read("weights")?)?;
                let batches = read("batches")?;
                let part = |name: &str, i| batches[name].select(0, i);
                (0..BATCHES).map(|i| (part("inputs", i), part("targets", i))).collect()
            }
            None => (0..BATCHES).map(|_| workload.random()).collect::<Result<_>>()?,
        };
        gradus::evaluate()?;
        let initial = model.state_dict();
        let initial = initial.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        Ok(Run { workload: workload.name, model, initial, optimizer: workload.optimizer, batches })
    }

    /// The median milliseconds of a step and the mean loss, over `steps` steps from the initial weights on.
    fn block(&self, steps: usize) -> Result<(f64, f64)> {
        self.model.load_state_dict(&self.initial)?;
        let mut optimizer = (self.optimizer)(self.model.parameters());
        let (mut times, mut losses) = (Vec::with_capacity(steps), 0.0);
        let warm_up = if self.workload == "resnet18" { 2 } else { WARM_UP };
        for number in 0..warm_up + steps {
            let (inputs, targets) = &self.batches[number % BATCHES];
            let start = Instant::now();
            let logits = self.model.forward(inputs);
            let logits = if logits.rank() > 2 { logits.flatten(0, -2) } else { logits };
            let loss = logits.cross_entropy(targets).mean();
            optimizer.zero_grad();
            loss.backward();
            optimizer.step()?;
            if number >= warm_up {
                times.push(start.elapsed().as_secs_f64() * 1e3);
                losses += loss.item::<f64>()?;
            }
        }
        times.sort_unstable_by(f64::total_cmp);
        let median = times.get(steps / 2).copied();
        let median = median.ok_or_else(|| usage("give a number of steps above 0"))?;
        Ok((median, losses / steps as f64))
    }
}

impl Workload {
    fn random(&self) -> Result<(Tensor, Tensor)> {
        let classes = self.classes as f64;
        let labels = |shape: &[usize]| (Tensor::rand(shape, DType::F64) * classes).cast(DType::I64);
        let (inputs, targets) = if self.input.len() == 2 {
            (labels(self.input), labels(&[self.input.iter().product()]))
        } else {
            (Tensor::rand(self.input, DType::F32), labels(&self.input[..1]))
        };
        inputs.eval()?;
        targets.eval()?;
        Ok((inputs, targets))
    }
}

fn usage(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message)
}
