//! `gradus verify`.

use std::path::PathBuf;

use clap::Args;
use gradus::Result;
use gradus::train::{Progress, RunFolder, verify};

use crate::options::Resources;
use crate::print;

/// Train the model of a finished run again and see whether the same comes out
///
/// Compares the data, the loss and score of each epoch, and the weights with the receipt that the
/// run has left. Nothing is written to its folder.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus verify runs/digits-1")]
pub struct Verify {
    /// The folder of the run
    run: PathBuf,

    #[command(flatten)]
    resources: Resources,

    /// Print only what was compared
    #[arg(long)]
    quiet: bool,
}

impl Verify {
    pub fn run(self) -> Result<()> {
        let workers = self.resources.apply();
        let folder = RunFolder::open(&self.run)?;
        let lines = verify(&folder, workers, &Progress::new(self.quiet))?;
        print(format_args!("{}\nverified: {}", lines.join("\n"), self.run.display()))
    }
}
