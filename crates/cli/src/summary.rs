//! `gradus summary`.

use std::path::PathBuf;

use clap::Args;
use gradus::Result;
use gradus::train::RunFolder;

use crate::{options, print};

/// Show a model layer by layer: shapes, parameters, operations and memory
///
/// Nothing is trained. For a configuration, the data are looked at, as they decide the shapes.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus summary configs/mnist_cnn.toml --data-dir ~/mnist
  gradus summary runs/digits-1")]
pub struct Summary {
    /// A configuration file, or the folder of a run
    #[arg(value_name = "CONFIG|RUN")]
    of: PathBuf,

    /// The folder (or file) that holds the dataset, for a configuration
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
}

impl Summary {
    pub fn run(self) -> Result<()> {
        let (mut config, spec) = if self.of.is_dir() {
            let folder = RunFolder::open(&self.of)?;
            (folder.config()?, folder.data()?)
        } else {
            let config = options::config(Some(&self.of), self.data_dir.as_deref())?;
            let spec = config.spec()?;
            (config, spec)
        };
        let model = config.model(&spec)?;
        print(gradus::train::Summary::new(&model, &spec)?)
    }
}
