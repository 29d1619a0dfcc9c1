//! `gradus check`.

use std::path::PathBuf;

use clap::Args;
use gradus::Result;
use gradus::data::Split;

use crate::options::Resources;
use crate::{options, print};

/// Look for mistakes before training: in the data, the model, and how they go together
///
/// Shows the model layer by layer and what training will take, reads some of the samples, and tries
/// a first step. Each finding says what is odd, where, and what to do. `gradus train` looks too:
/// errors stop it, warnings do not.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus check
  gradus check configs/mnist_cnn.toml --data-dir ~/mnist")]
pub struct Check {
    /// The configuration: data, model, optimizer and so on [default: that of `gradus train`]
    config: Option<PathBuf>,

    /// The folder (or file) that holds the dataset
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,

    #[command(flatten)]
    resources: Resources,
}

impl Check {
    pub fn run(self) -> Result<()> {
        let config = options::config(self.config.as_deref(), self.data_dir.as_deref())?;
        let workers = self.resources.apply();
        config.check()?;
        let mut lazy = config.clone();
        let (train, test) = (lazy.open_lazily(Split::Train)?, lazy.open_lazily(Split::Test)?);
        let report = gradus::train::check(&config, &train, &test, workers)?;
        print(&report)?;
        report.verdict()
    }
}
