//! Receipts: what went into a run and what came out, so that anybody can make it again and see.

use gradus_data::{Dataset, Part};
use gradus_io::{to_safetensors, with_bytes};
use gradus_nn::Module;
use gradus_tensor::{DType, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::hexadecimal;
use crate::data::Samples;
use crate::trainer::EpochSummary;
use crate::{Config, Progress, RunFolder, RunOptions, run};

/// What went into a run and what came out, as `receipt.json` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// What trained it.
    pub build: Build,
    /// Decided the initial weights and the order of the samples.
    pub seed: u64,
    /// SHA-256 of the resolved configuration, without the data's path and when to save.
    pub config: String,
    /// SHA-256 of the samples to train on, those held out for validation included.
    pub train_data: String,
    /// SHA-256 of the samples to test with.
    pub test_data: String,
    /// Steps of the optimizer.
    pub steps: u64,
    /// The step whose weights the model ended with, if those of the best validation were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<u64>,
    /// The epochs.
    pub epochs: Vec<EpochSummary>,
    /// SHA-256 of the parameters and buffers of the trained model.
    pub weights: String,
}

/// What trained a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The version of gradus.
    pub gradus: String,
    /// The system that it was built for.
    pub target: String,
    /// The vector instructions that it used: products may round otherwise with others.
    pub instructions: String,
}

impl Build {
    /// The program that is running.
    pub fn current() -> Build {
        Build {
            gradus: env!("CARGO_PKG_VERSION").to_owned(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            instructions: gradus_tensor::instruction_tier().to_owned(),
        }
    }
}

/// SHA-256 of the parameters and buffers of a model: of the name, the dtype, the shape and the
/// little-endian elements of each, in order.
///
/// # Errors
/// If a value cannot be evaluated.
pub fn weight_hash(model: &dyn Module) -> Result<String> {
    let mut hash = Sha256::new();
    for (name, tensor) in &model.state_dict() {
        hash.update(format!("{name}\0{}\0{:?}\0", tensor.dtype(), tensor.shape().dims()));
        match tensor.dtype() {
            DType::F32 => with_bytes(tensor, |bytes| hash.update(bytes))?,
            // Rare enough to go by way of the file's format, whose header is the same each time.
            _ => hash.update(to_safetensors(&[(String::new(), tensor.clone())], &[])?),
        }
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// SHA-256 of all samples in order, as the dataset gives them. That one cannot be had counts too: it
/// may be left out of training.
pub fn data_hash(samples: &Samples) -> String {
    hash_of(samples, 0..samples.len())
}

/// SHA-256 of some samples.
pub(crate) fn hash_of(samples: &Samples, which: impl Iterator<Item = usize>) -> String {
    let mut hash = Sha256::new();
    for index in which {
        match samples.get(index) {
            Ok((input, target)) => [input, target].iter().for_each(|part| take_in(&mut hash, part)),
            Err(_) => hash.update("bad\0"),
        }
    }
    hexadecimal(&hash.finalize())
}

fn take_in(hash: &mut Sha256, part: &Part) {
    match part {
        Part::Image(image) => {
            hash.update(format!("image {:?}\0", image.pixels().shape().dims()));
            hash.update(image.pixels().data());
        }
        Part::Floats(numbers) => {
            hash.update(format!("floats {:?}\0", numbers.shape().dims()));
            numbers.data().iter().for_each(|x| hash.update(x.to_le_bytes()));
        }
        Part::Tokens(tokens) => {
            hash.update(format!("tokens {:?}\0", tokens.shape().dims()));
            tokens.data().iter().for_each(|x| hash.update(x.to_le_bytes()));
        }
        Part::Label(label) => hash.update(format!("label {label}\0")),
    }
}

/// SHA-256 of what decides the result in a configuration: where the data are, and when the run is
/// saved, does not.
pub(crate) fn config_hash(config: &Config) -> String {
    hash_without(config, &[])
}

/// As [`config_hash`], without how long to train: what a run that goes on must have in common with
/// the one that was interrupted.
pub(crate) fn identity(config: &Config) -> String {
    hash_without(config, &["epochs", "max_steps", "max_minutes", "early_stopping"])
}

fn hash_without(config: &Config, more: &[&str]) -> String {
    let text = config.to_string();
    let decides = |line: &&str| {
        let key = line.split(" = ").next().unwrap_or_default();
        let when = key.starts_with("checkpoint_") || key == "keep_checkpoints";
        !(key == "path" || key == "cache" || when || more.contains(&key))
    };
    let text: Vec<&str> = text.lines().filter(decides).collect();
    hexadecimal(&Sha256::digest(text.join("\n")))
}

/// Trains the model of a finished run again, in a temporary folder, and compares what comes out
/// with the run's receipt. Returns what was compared, in a line each.
///
/// # Errors
/// If the run is not finished, cannot be repeated, or comes out otherwise: the message says where
/// the two first differ.
pub fn verify(folder: &RunFolder, workers: usize, progress: &Progress) -> Result<Vec<String>> {
    let receipt = folder.receipt()?;
    let mut config = folder.config()?;
    // However long this machine takes: as many steps as then.
    config.training.max_minutes = None;
    let temporary = Temporary::new(folder);
    let options = RunOptions {
        workers,
        out: Some(temporary.0.clone()),
        checkpoints: false,
        stop_after: Some(receipt.steps),
        ..RunOptions::default()
    };
    let again = run(&config, &options, progress)?;
    let Some(again) = again.folder.filter(RunFolder::is_finished) else {
        let message = "the run was interrupted before it could be compared; verify it again";
        return Err(Error::new(ErrorKind::Usage, message));
    };
    compare(&receipt, &again.receipt()?)
}

fn compare(then: &Receipt, now: &Receipt) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut differs = Vec::new();
    let mut same = |what: &str, then: &str, now: &str| {
        let short = |hash: &str| hash.chars().take(16).collect::<String>();
        match then == now {
            true => lines.push(format!("{what}: {}, the same", short(then))),
            false => differs.push(format!("{what}: {} then, {} now", short(then), short(now))),
        }
    };
    same("training data", &then.train_data, &now.train_data);
    same("test data", &then.test_data, &now.test_data);
    if let (Some(then), Some(now)) = (then.restored, now.restored) {
        same("step of the best weights", &then.to_string(), &now.to_string());
    }
    same("weights", &then.weights, &now.weights);
    // As text, of which there is one for every number: as numbers, one NaN is not another.
    let numbers = |e: &EpochSummary| format!("{:?}", (e.loss, e.score, e.validation));
    let other = then.epochs.iter().zip(&now.epochs).find(|(a, b)| numbers(a) != numbers(b));
    match other {
        Some((a, b)) => {
            differs.push(format!("epoch {}: loss {} then, {} now", a.epoch, a.loss, b.loss))
        }
        None if then.epochs.len() != now.epochs.len() => {
            differs.push(format!("epochs: {} then, {} now", then.epochs.len(), now.epochs.len()))
        }
        None => lines.push(format!("{} epochs: the same losses and scores", then.epochs.len())),
    }
    if differs.is_empty() {
        return Ok(lines);
    }
    if then.build != now.build {
        let Build { gradus, target, instructions } = &then.build;
        differs.push(format!(
            "it was trained by gradus {gradus} on {target} with {instructions}: the same build and \
             GRADUS_TIER={instructions} may repeat it"
        ));
    }
    let message = format!("the run comes out otherwise:\n  {}", differs.join("\n  "));
    Err(Error::new(ErrorKind::Value, message))
}

/// A folder that goes when it is dropped.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn new(run: &RunFolder) -> Temporary {
        let name = run.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let process = std::process::id();
        Temporary(std::env::temp_dir().join(format!("gradus-verify-{name}-{process}")))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
