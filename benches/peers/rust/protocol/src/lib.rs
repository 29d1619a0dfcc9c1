//! What the programs here share: a workload as `workloads.py` writes it, and the protocol of
//! `examples/step_time.rs --serve`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::time::Instant;

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

/// Batches that take turns.
pub const BATCHES: usize = 8;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A training in some framework.
pub trait Training: Sized {
    type Loss;
    /// With the initial weights.
    fn start(workload: &Workload) -> Result<Self>;
    /// Forward, loss, backward and update on a batch.
    fn step(&mut self, batch: usize) -> Result<Self::Loss>;
    fn value(loss: Self::Loss) -> Result<f64>;
}

/// A workload: `NAME.json`, `NAME.batches.safetensors` and `NAME.weights.safetensors`.
pub struct Workload {
    pub network: Network,
    pub inputs: Array<f32>,
    pub targets: Array<i64>,
    /// As in a PyTorch `Sequential`: `0.weight`, `0.bias` …
    pub weights: BTreeMap<String, Array<f32>>,
}

#[derive(Clone)]
pub struct Array<T> {
    pub shape: Vec<usize>,
    pub values: Vec<T>,
}

impl<T: Copy> Array<T> {
    /// The part at `index` of the first axis.
    pub fn part(&self, index: usize) -> Array<T> {
        let shape = self.shape[1..].to_vec();
        let size = shape.iter().product::<usize>();
        Array { shape, values: self.values[index * size..][..size].to_vec() }
    }
}

#[derive(Deserialize)]
pub struct Network {
    #[serde(default)]
    pub layers: Vec<Layer>,
    pub optimizer: Optimizer,
}

#[derive(Clone, Deserialize)]
#[serde(tag = "type")]
pub enum Layer {
    Conv2d {
        #[serde(default = "one")]
        stride: usize,
        #[serde(default)]
        padding: usize,
    },
    MaxPool2d {
        kernel_size: usize,
        stride: Option<usize>,
        #[serde(default)]
        padding: usize,
    },
    ReLU,
    Flatten,
    Linear,
}

fn one() -> usize {
    1
}

#[derive(Clone, Copy, Deserialize)]
#[serde(tag = "type")]
pub enum Optimizer {
    SGD {
        lr: f64,
        #[serde(default)]
        momentum: f64,
    },
    Adam {
        lr: f64,
    },
}

impl Workload {
    fn read(folder: &Path, name: &str) -> Result<Workload> {
        let file = |ending: &str| {
            let path = folder.join(format!("{name}.{ending}"));
            fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let network: Network = serde_json::from_slice(&file("json")?)?;
        if network.layers.is_empty() {
            return Err(format!(
                "{name} is no sequence of layers, which is all that is written here"
            )
            .into());
        }
        let (batches, weights) = (file("batches.safetensors")?, file("weights.safetensors")?);
        let (batches, weights) =
            (SafeTensors::deserialize(&batches)?, SafeTensors::deserialize(&weights)?);
        let weights =
            weights.iter().map(|(name, _)| Ok((name.to_owned(), floats(&weights, name)?)));
        Ok(Workload {
            network,
            inputs: floats(&batches, "inputs")?,
            targets: array(&batches, "targets", Dtype::I64, i64::from_le_bytes)?,
            weights: weights.collect::<Result<_>>()?,
        })
    }
}

fn floats(file: &SafeTensors, name: &str) -> Result<Array<f32>> {
    array(file, name, Dtype::F32, f32::from_le_bytes)
}

fn array<T, const SIZE: usize>(
    file: &SafeTensors,
    name: &str,
    dtype: Dtype,
    read: fn([u8; SIZE]) -> T,
) -> Result<Array<T>> {
    let tensor = file.tensor(name)?;
    if tensor.dtype() != dtype {
        return Err(format!("{name}: expected {dtype:?}, not {:?}", tensor.dtype()).into());
    }
    let (values, _) = tensor.data().as_chunks();
    Ok(Array { shape: tensor.shape().to_vec(), values: values.iter().copied().map(read).collect() })
}

/// The program: `NAME WORKLOAD --data DIR --threads N`.
pub fn serve<T: Training>() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, "--data", folder, "--threads", threads] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    else {
        return Err("usage: WORKLOAD --data DIR --threads N".into());
    };
    if std::env::var("RAYON_NUM_THREADS").as_deref() != Ok(threads) {
        return Err(
            format!("these threads are counted by RAYON_NUM_THREADS={threads}; set it").into()
        );
    }
    let mut requests = io::stdin().lock().lines();
    respond("imported")?;
    let _load = requests.next();
    let workload = Workload::read(Path::new(folder), name)?;
    respond("ready")?;
    for request in requests {
        let request = request?;
        let (warm_up, steps) = request.split_once(' ').ok_or("a request is WARM_UP STEPS")?;
        let (warm_up, steps): (usize, usize) = (warm_up.parse()?, steps.parse()?);
        let mut training = T::start(&workload)?;
        let (mut times, mut losses) = (Vec::with_capacity(steps), 0.0);
        for number in 0..warm_up + steps {
            let start = Instant::now();
            let loss = training.step(number % BATCHES)?;
            if number >= warm_up {
                times.push(start.elapsed().as_secs_f64() * 1e3);
                losses += T::value(loss)?;
            }
        }
        times.sort_unstable_by(f64::total_cmp);
        respond(&format!("{:.4} {:.6}", times[steps / 2], losses / steps as f64))?;
    }
    Ok(())
}

fn respond(line: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}
