//! `gradus train`.

use std::path::{self, PathBuf};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use gradus::data::datasets::{self, DATASETS};
use gradus::train::{Config, Progress};
use gradus::{Device, Error, ErrorKind, Result};

use crate::options::{self, Resources};
use crate::print;

/// Train a network on images, save it and evaluate it
///
/// Without options: a small network on the built-in digits, in seconds. The model, the options and
/// the metrics are saved in a new folder. The same options give the same model, to the bit.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus train
  gradus train --epochs 40 --lr 1e-3 --seed 7
  gradus train --data mnist --data-dir ~/mnist --batch-size 64 --epochs 3 --out runs/mnist
  gradus eval \"$(gradus train --quiet)\"")]
pub struct Train {
    /// The dataset
    #[arg(long, value_name = "NAME", default_value = "digits", value_parser = dataset_names())]
    data: String,

    /// The folder that holds the dataset's files, unless it is built in
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// How often to visit each image
    #[arg(long, value_name = "N", default_value_t = Config::default().epochs)]
    #[arg(value_parser = options::count)]
    epochs: usize,

    /// Images per step
    #[arg(long, value_name = "N", default_value_t = Config::default().batch_size)]
    #[arg(value_parser = options::count)]
    batch_size: usize,

    /// The learning rate (of Adam)
    #[arg(long, value_name = "RATE", default_value_t = Config::default().lr)]
    #[arg(value_parser = options::rate, allow_hyphen_values = true)]
    lr: f64,

    /// Decides the initial weights and the order of the images
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Where to compute: cpu or reference
    #[arg(long, value_name = "NAME", default_value_t = Device::Cpu, value_parser = options::device)]
    device: Device,

    #[command(flatten)]
    resources: Resources,

    /// The folder for the run, new or empty [default: runs/NAME-1, runs/NAME-2, …]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print nothing but the folder of the run
    #[arg(long)]
    quiet: bool,
}

impl Train {
    pub fn run(self) -> Result<()> {
        let workers = self.resources.apply();
        let (out, quiet) = (self.out.clone(), self.quiet);
        let config = self.config()?;
        let progress = Progress::new(quiet);
        let (folder, test) = gradus::train::train(&config, workers, out.as_deref(), &progress)?;
        let folder = folder.path().display();
        if quiet {
            return print(folder);
        }
        print(format_args!(
            "\n{test}\n\nsaved in {folder}; to evaluate it again: gradus eval {folder}"
        ))
    }

    fn config(self) -> Result<Config> {
        if datasets::named(&self.data)?.needs_folder() && self.data_dir.is_none() {
            let message = format!(
                "{} is not built in: give --data-dir, the folder with its files",
                self.data
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        // Absolute, so that the run can be evaluated from anywhere.
        let data_dir = self.data_dir.map(|dir| path::absolute(&dir).unwrap_or(dir));
        Ok(Config {
            dataset: self.data,
            data_dir,
            epochs: self.epochs,
            batch_size: self.batch_size,
            lr: self.lr,
            seed: self.seed,
            device: self.device,
            ..Config::default()
        })
    }
}

fn dataset_names() -> PossibleValuesParser {
    DATASETS
        .iter()
        .map(|info| PossibleValue::new(info.name).help(info.about))
        .collect::<Vec<_>>()
        .into()
}
