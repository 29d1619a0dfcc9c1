//! `gradus bench`.

use std::path::PathBuf;

use clap::Args;
use gradus::Result;

use crate::options::{self, Resources};
use crate::print;

/// Measure training steps, and show where their time goes
///
/// Step time, samples a second, arithmetic and its share of what the processor reaches at best,
/// memory; then every kernel that takes long, and what to do to be faster. Nothing is saved.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus bench
  gradus bench configs/mnist_cnn.toml --data-dir ~/mnist --threads 1
  gradus bench configs/cifar_cnn.toml --steps 200 --json")]
pub struct Bench {
    /// The configuration: data, model, optimizer and so on [default: that of `gradus train`]
    config: Option<PathBuf>,

    /// The folder (or file) that holds the dataset
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,

    /// Steps to measure [default: as many as three seconds take, 10 at least]
    #[arg(long, value_name = "N", value_parser = options::count)]
    steps: Option<usize>,

    /// Samples per step [default: what the configuration says]
    #[arg(long, value_name = "N", value_parser = options::count)]
    batch_size: Option<usize>,

    #[command(flatten)]
    resources: Resources,

    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn run(self) -> Result<()> {
        let workers = self.resources.apply();
        let mut config = options::config(self.config.as_deref(), self.data_dir.as_deref())?;
        config.batch_size = self.batch_size.unwrap_or(config.batch_size);
        let report = gradus::train::bench(&config, workers, self.steps)?;
        if self.json { print(report.to_json()) } else { print(report) }
    }
}
