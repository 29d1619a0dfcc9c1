//! `gradus train`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use gradus::train::config::{DATASETS, Value};
use gradus::train::dashboard::Dashboard;
use gradus::train::log::{Observer, TensorBoard};
use gradus::train::{Config, Progress, train_observed};
use gradus::{Device, Error, ErrorKind, Result};

use crate::options::{self, Resources};
use crate::print;

/// Train a network, save it and evaluate it
///
/// Without a configuration: a small network on the built-in digits, in seconds. The model, the
/// resolved configuration and the metrics are saved in a new folder. The same configuration gives
/// the same model, to the bit.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus train
  gradus train --epochs 40 --lr 1e-3 --seed 7
  gradus train configs/mnist_mlp.toml --data-dir ~/mnist
  gradus train --data mnist --data-dir ~/mnist --batch-size 64 --epochs 3 --out runs/mnist
  gradus eval \"$(gradus train --quiet)\"")]
pub struct Train {
    /// The configuration: data, model, optimizer and so on. Options say otherwise
    config: Option<PathBuf>,

    /// The dataset [default: digits]
    #[arg(long, value_name = "NAME", value_parser = dataset_names())]
    data: Option<String>,

    /// The folder (or file) that holds the dataset, unless it is built in
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,

    /// How often to visit each sample [default: 30]
    #[arg(long, value_name = "N", value_parser = options::count)]
    epochs: Option<usize>,

    /// Samples per step [default: 32]
    #[arg(long, value_name = "N", value_parser = options::count)]
    batch_size: Option<usize>,

    /// The learning rate [default: 0.003]
    #[arg(long, value_name = "RATE", value_parser = options::rate, allow_hyphen_values = true)]
    lr: Option<f64>,

    /// Decides the initial weights and the order of the samples [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Where to compute: cpu or reference [default: cpu]
    #[arg(long, value_name = "NAME", value_parser = options::device)]
    device: Option<Device>,

    #[command(flatten)]
    resources: Resources,

    /// The folder for the run, new or empty [default: runs/NAME-1, runs/NAME-2, …]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print nothing but the folder of the run
    #[arg(long)]
    quiet: bool,

    /// Watch the run live in the terminal: curves, rates, times
    #[arg(long, conflicts_with = "quiet")]
    tui: bool,

    /// Write event files too, for `tensorboard --logdir runs`
    #[arg(long)]
    tensorboard: bool,
}

impl Train {
    pub fn run(self) -> Result<()> {
        let workers = self.resources.apply();
        let config = self.config()?;
        let progress = Progress::new(self.quiet || self.tui);
        let mut observers: Vec<Box<dyn Observer>> = Vec::new();
        if self.tensorboard {
            observers.push(Box::new(TensorBoard::new()));
        }
        if self.tui {
            observers.push(Box::new(Dashboard::new()?));
        }
        let out = self.out.as_deref();
        let (folder, test) = train_observed(&config, workers, out, &progress, observers)?;
        let folder = folder.path().display();
        if self.quiet {
            return print(folder);
        }
        print(format_args!(
            "\n{test}\n\nsaved in {folder}, with a report to look at, {folder}/report.html; to evaluate \
             it again: gradus eval {folder}"
        ))
    }

    /// The configuration file, or the default, and what the options say otherwise.
    fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        if let Some(name) = &self.data
            && name != config.data.name()
        {
            config.set_data(name, "--data")?;
        }
        if let Some(path) = &self.data_dir {
            if !config.needs_path() {
                let message = format!("{} is built in; leave out --data-dir", config.data.name());
                return Err(Error::new(ErrorKind::Usage, message));
            }
            let path = Value::Text(path.to_string_lossy().into_owned());
            config.set_data_key("path", path, "--data-dir")?;
        }
        if let Some(lr) = self.lr {
            config.set_optimizer_key("lr", Value::Float(lr), "--lr")?;
        }
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.batch_size = self.batch_size.unwrap_or(config.batch_size);
        config.seed = self.seed.unwrap_or(config.seed);
        config.device = self.device.unwrap_or(config.device);
        config.check()?;
        Ok(config)
    }
}

fn dataset_names() -> PossibleValuesParser {
    DATASETS
        .iter()
        .map(|row| PossibleValue::new(row.name).help(row.about))
        .collect::<Vec<_>>()
        .into()
}
