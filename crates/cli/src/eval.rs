//! `gradus eval`.

use std::path::{Path, PathBuf};

use clap::Args;
use gradus::data::{LabelledImages, Split};
use gradus::nn::{Module, Sequential};
use gradus::train::{RunFolder, evaluate, predict};
use gradus::{Device, Result, io};

use crate::options::{self, Resources};
use crate::print;

/// Evaluate the model of a run again, on the same test images
#[derive(Args)]
#[command(after_help = "Examples:
  gradus eval runs/digits-1
  gradus eval runs/digits-1 --logits logits.safetensors")]
pub struct Eval {
    /// The folder of the run
    run: PathBuf,

    /// The folder that holds the dataset's files [default: where the run found them]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Where to compute: cpu or reference [default: where the run did]
    #[arg(long, value_name = "NAME", value_parser = options::device)]
    device: Option<Device>,

    #[command(flatten)]
    resources: Resources,

    /// Write a safetensors file with the test images, `inputs`, and the model's `logits` for them
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
}

impl Eval {
    pub fn run(self) -> Result<()> {
        let workers = self.resources.apply();
        let folder = RunFolder::open(&self.run)?;
        let mut config = folder.config()?;
        config.data_dir = self.data_dir.or(config.data_dir);
        config.device = self.device.unwrap_or(config.device);

        let images = config.open(Split::Test)?;
        let model = folder.load_network(&config.widths(&images))?;
        model.to(config.device)?;
        if let Some(file) = &self.logits {
            write_logits(file, &model, images.clone(), workers, config.device)?;
        }
        print(evaluate(&model, images, workers, config.device)?)
    }
}

fn write_logits(
    file: &Path,
    model: &Sequential,
    images: LabelledImages,
    workers: usize,
    device: Device,
) -> Result<()> {
    let (inputs, logits) = predict(model, images, workers, device)?;
    let tensors = [("inputs".to_owned(), inputs), ("logits".to_owned(), logits)];
    io::save_safetensors(file, &tensors, &[])
}
