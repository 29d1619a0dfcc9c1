//! How long a training step takes: six workloads, side by side with other frameworks.
//!
//!     cargo run --release --example step_time -- [WORKLOAD…] [--threads N] [--data DIR]
//!     cargo run --release --example step_time -- --serve WORKLOAD [--threads N] [--data DIR]
//!     cargo run --release --example step_time -- --serve machine [--threads N]
//!
//! Prints a table; with `--serve`, speaks the protocol of `benches/peers/servers.py`: prints `imported`,
//! waits for a line, loads, prints `ready`, and answers every line `WARM_UP STEPS` with `MILLISECONDS LOSS`:
//! the median time of a step and the mean loss, of as many steps from the initial weights on, those that
//! warm up not counted. DIR is what `benches/peers/workloads.py` wrote: for each workload its network, eight
//! batches of data and the initial weights, the same for every framework. Without it, data and weights of
//! the six workloads are random. The workload `machine` is none: its server measures the machine.

mod machine;
mod network;

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use gradus::io::load_safetensors;
use gradus::nn::StateDict;
use gradus::prelude::*;
use gradus::set_num_threads;
use network::Network;

/// Batches that take turns.
const BATCHES: usize = 8;
/// Steps before the clock starts: they compile the plan and warm the caches.
const WARM_UP: usize = 16;
/// Each block starts from the initial weights: a network that knows its batches by heart computes with
/// subnormal numbers, which are slow on any framework.
const BLOCK: usize = 200;

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
            _ => names.push(argument),
        }
    }
    match (serving, &names[..]) {
        (true, [machine]) if machine == "machine" => serve(
            || Ok(()),
            |(), _| {
                let (gflops, nanoseconds) = machine::measure();
                Ok(format!("{gflops:.2} {nanoseconds}"))
            },
        ),
        (true, [name]) => serve(|| Run::new(name, data.as_deref()), Run::answer),
        (true, _) => Err(usage("--serve needs one workload")),
        (false, []) => table(&network::names()?, data.as_deref()),
        (false, some) => table(some, data.as_deref()),
    }
}

fn table(names: &[String], data: Option<&Path>) -> Result<()> {
    println!("{} threads, median of {BLOCK} steps (resnet18: 10)", gradus::num_threads());
    for name in names {
        let (warm_up, steps) = if name == "resnet18" { (2, 10) } else { (WARM_UP, BLOCK) };
        let (time, loss) = Run::new(name, data)?.block(warm_up, steps)?;
        println!("{name:>15}  {time:>8.3} ms per step, mean loss {loss:.4}");
    }
    Ok(())
}

/// Answers the lines of the standard input.
fn serve<T>(
    load: impl FnOnce() -> Result<T>,
    answer: impl Fn(&T, &str) -> Result<String>,
) -> Result<()> {
    let failed = |error: io::Error| Error::new(ErrorKind::Io, error.to_string());
    let say = |line: &str| writeln!(io::stdout(), "{line}").map_err(failed);
    let mut lines = io::stdin().lock().lines();
    say("imported")?;
    lines.next();
    let loaded = load()?;
    say("ready")?;
    for line in lines {
        say(&answer(&loaded, &line.map_err(failed)?)?)?;
    }
    Ok(())
}

/// A network in training.
struct Run {
    network: Network,
    model: Box<dyn Layer>,
    initial: StateDict,
    batches: Vec<(Tensor, Tensor)>,
}

impl Run {
    fn new(name: &str, data: Option<&Path>) -> Result<Run> {
        manual_seed(0);
        let network = Network::read(name, data)?;
        let model = network.model()?;
        let batches = match data {
            Some(folder) => {
                let read = |part: &str| -> Result<StateDict> {
                    let file = format!("{name}.{part}.safetensors");
                    Ok(load_safetensors(folder.join(file))?.into_iter().collect())
                };
                model.load_state_dict(&read("weights")?)?;
                let batches = read("batches")?;
                let part = |name: &str, i| batches[name].select(0, i);
                (0..BATCHES).map(|i| (part("inputs", i), part("targets", i))).collect()
            }
            None => (0..BATCHES).map(|_| random(&network)).collect::<Result<_>>()?,
        };
        gradus::evaluate()?;
        let initial = model.state_dict();
        let initial = initial.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        Ok(Run { network, model, initial, batches })
    }

    /// The answer to `WARM_UP STEPS`.
    fn answer(&self, request: &str) -> Result<String> {
        let numbers = request.split(' ').map(|number| number.parse().ok());
        let numbers: Option<Vec<usize>> = numbers.collect();
        let Some([warm_up, steps]) = numbers.as_deref() else {
            return Err(usage("a request is two numbers: WARM_UP STEPS"));
        };
        let (time, loss) = self.block(*warm_up, *steps)?;
        Ok(format!("{time:.4} {loss:.6}"))
    }

    /// The median milliseconds of a step and the mean loss, over `steps` steps from the initial weights on.
    fn block(&self, warm_up: usize, steps: usize) -> Result<(f64, f64)> {
        self.model.load_state_dict(&self.initial)?;
        let mut optimizer = self.network.optimizer(self.model.parameters());
        let (mut times, mut losses) = (Vec::with_capacity(steps), 0.0);
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

/// A batch of noise.
fn random(network: &Network) -> Result<(Tensor, Tensor)> {
    let (input, classes) = (&network.input[..], network.classes as f64);
    let labels = |shape: &[usize]| (Tensor::rand(shape, DType::F64) * classes).cast(DType::I64);
    let (inputs, targets) = if input.len() == 2 {
        (labels(input), labels(&[input.iter().product()]))
    } else {
        (Tensor::rand(input, DType::F32), labels(&input[..1]))
    };
    inputs.eval()?;
    targets.eval()?;
    Ok((inputs, targets))
}

fn usage(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message)
}
