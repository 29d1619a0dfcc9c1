//! `gradus compare`.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use gradus::train::log::History;
use gradus::train::report::compare;
use gradus::{Error, ErrorKind, Result};

use crate::print;

/// Compare runs: their numbers, their curves, and the step at which they part
///
/// Losses and learning rates are compared to the bit, step by step, each run with the first. Runs
/// that have not ended are compared as far as they are.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus compare runs/digits-1 runs/digits-2
  gradus compare runs/* --out all.html")]
pub struct Compare {
    /// The folders of the runs
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    runs: Vec<PathBuf>,

    /// Where to write the page with the curves, over what may be there
    #[arg(long, value_name = "FILE", default_value = "compare.html")]
    out: PathBuf,
}

impl Compare {
    pub fn run(self) -> Result<()> {
        let read = |path: &PathBuf| Ok((path.display().to_string(), History::read(path)?));
        let comparison = compare(self.runs.iter().map(read).collect::<Result<_>>()?);
        fs::write(&self.out, comparison.html()).map_err(|error| {
            let message = format!("cannot write {}: {error}; check the path", self.out.display());
            Error::new(ErrorKind::Io, message)
        })?;
        print(format_args!("{comparison}\n\ncurves: {}", self.out.display()))
    }
}
