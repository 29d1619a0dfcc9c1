//! `gradus replay`.

use std::path::PathBuf;

use clap::Args;
use gradus::Result;
use gradus::train::replay;

use crate::print;

/// Compute a step that went wrong again, layer by layer
///
/// `gradus train` stops before an update if the loss or a gradient is not finite, and keeps the step
/// in the folder of the run: the batch, the parameters and the optimizer before it, and the random
/// numbers. This shows what every layer makes of it, forward and backward, what the update would
/// have changed, and which value is the first that is not finite. Exits with 1 if there is one, with 0
/// if the step is finite now.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus replay runs/digits-1/dumps/step-0000000012")]
pub struct Replay {
    /// The folder of the step, as the run has named it
    dump: PathBuf,
}

impl Replay {
    pub fn run(self) -> Result<()> {
        let replay = replay(&self.dump)?;
        print(&replay)?;
        replay.verdict()?;
        print("\nevery value is finite")
    }
}
