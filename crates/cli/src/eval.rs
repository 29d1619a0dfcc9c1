//! `gradus eval`.

use std::path::{Path, PathBuf};

use clap::Args;
use gradus::data::Split;
use gradus::nn::{Module, Sequential};
use gradus::train::{Data, RunFolder, evaluate, predict};
use gradus::{Device, Result, io};

use crate::options::{self, Resources};
use crate::print;

/// Evaluate the model of a run again, on the same test data
#[derive(Args)]
#[command(after_help = "Examples:
  gradus eval runs/digits-1
  gradus eval runs/digits-1 --logits logits.safetensors")]
pub struct Eval {
    /// The folder of the run
    run: PathBuf,

    /// The folder (or file) that holds the dataset [default: where the run found it]
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,

    /// Where to compute: cpu or reference [default: where the run did]
    #[arg(long, value_name = "NAME", value_parser = options::device)]
    device: Option<Device>,

    #[command(flatten)]
    resources: Resources,

    /// Write a safetensors file with the test data, `inputs`, and the model's `logits` for them
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
}

impl Eval {
    pub fn run(self) -> Result<()> {
        let workers = self.resources.apply();
        let folder = RunFolder::open(&self.run)?;
        let mut config = folder.config()?;
        options::set_data_dir(&mut config, self.data_dir.as_deref())?;
        config.device = self.device.unwrap_or(config.device);

        let data = config.open(Split::Test)?;
        let model = folder.load_model(&mut config, data.spec())?;
        model.to(config.device)?;
        if let Some(file) = &self.logits {
            write_logits(file, &model, &data, workers, config.device)?;
        }
        let criterion = config.criterion(data.spec())?;
        print(evaluate(&model, &*criterion, &data, workers, config.device)?)
    }
}

fn write_logits(
    file: &Path,
    model: &Sequential,
    data: &Data,
    workers: usize,
    device: Device,
) -> Result<()> {
    let (inputs, logits) = predict(model, data, workers, device)?;
    let tensors = [("inputs".to_owned(), inputs), ("logits".to_owned(), logits)];
    io::save_safetensors(file, &tensors, &[])
}
