//! `gradus train`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use gradus::train::config::{DATASETS, Value};
use gradus::train::log::{Observer, TensorBoard};
use gradus::train::trainer::Ended;
use gradus::train::{
    Backlog, Config, Outcome, Progress, Resume, RunFolder, RunOptions, run_observed,
};
use gradus::{Device, Error, ErrorKind, Result};

use crate::dashboard::Dashboard;
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
  gradus train configs/mnist_mlp.toml --resume auto
  gradus train configs/mnist_mlp.toml --tui
  gradus train --resume runs/mnist-1 --epochs 20
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

    /// Go on with an interrupted run: its folder, or `auto` for the one in --out, or else the newest
    /// of the dataset unless that is finished, or else a new one
    #[arg(long, value_name = "auto|DIR")]
    resume: Option<PathBuf>,

    /// Go on with an interrupted run although its data are not those that it began with
    #[arg(long, requires = "resume")]
    changed_data: bool,

    /// Train on one batch, validate and test on one, to see whether everything fits; saves nothing
    #[arg(long)]
    fast_dev_run: bool,

    /// Train on the first batch again and again, 200 times at least: a model that does not learn it
    /// by heart has a mistake in it; saves nothing
    #[arg(long, conflicts_with = "resume")]
    overfit_one_batch: bool,

    /// Try rising learning rates instead: write the curve to FILE (.svg, and .csv beside it) and
    /// print where the loss falls most steeply
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resume", "fast_dev_run", "overfit_one_batch"])]
    find_lr: Option<PathBuf>,

    /// Print nothing but the folder of the run
    #[arg(long)]
    quiet: bool,

    /// Show the run on the whole terminal while it goes on: curves, speed, epochs, checkpoints
    #[arg(long, conflicts_with_all = ["quiet", "fast_dev_run", "overfit_one_batch", "find_lr"])]
    tui: bool,

    /// Write event files too, for `tensorboard --logdir runs`
    #[arg(long, conflicts_with_all = ["fast_dev_run", "overfit_one_batch", "find_lr"])]
    tensorboard: bool,
}

impl Train {
    pub fn run(self) -> Result<()> {
        let workers = self.resources.apply();
        let resume = self.resume()?;
        let config = match &resume {
            Resume::Folder(folder) => self.resumed_config(folder)?,
            _ => self.config()?,
        };
        if let Some(file) = &self.find_lr {
            return find_lr(&config, workers, file);
        }
        let mut progress = Progress::new(self.quiet);
        let mut observers: Vec<Box<dyn Observer>> = Vec::new();
        if self.tui {
            let backlog = Backlog::default();
            observers.push(Box::new(Dashboard::new(&config, &backlog)?));
            progress = progress.behind(&backlog);
        }
        if self.tensorboard {
            observers.push(Box::new(TensorBoard::new()));
        }
        let options = RunOptions {
            workers,
            out: self.out,
            resume,
            changed_data: self.changed_data,
            fast_dev_run: self.fast_dev_run,
            overfit_one_batch: self.overfit_one_batch,
            ..RunOptions::default()
        };
        let Outcome { folder, test, times, ended } =
            run_observed(&config, &options, &progress, observers)?;
        let folder = folder.map(|folder| folder.path().display().to_string());
        if let (Ended::Interrupted(signal), Some(folder)) = (&ended, &folder) {
            let message = format!(
                "stopped by {signal}; gradus train --resume {folder} goes on from the last checkpoint"
            );
            return Err(Error::new(ErrorKind::Io, message));
        }
        if let Ended::Stopped(why) = &ended {
            progress.line(why);
        }
        let times = times.map_or(String::new(), |(split, verdict)| format!("\n{split}\n{verdict}"));
        match (folder, test) {
            (Some(folder), _) if self.quiet => print(folder),
            (Some(folder), Some(test)) => print(format_args!(
                "\n{test}\n{times}\n\nsaved in {folder}, with a report to look at, {folder}/report.html; to evaluate \
                 it again: gradus eval {folder}"
            )),
            (None, _) if !self.quiet => print("nothing was saved"),
            _ => Ok(()),
        }
    }

    /// Which run to go on with. That of a folder has a configuration of its own.
    fn resume(&self) -> Result<Resume> {
        let folder = match &self.resume {
            None => return Ok(Resume::No),
            Some(auto) if auto.as_os_str() == "auto" => return Ok(Resume::Auto),
            Some(folder) => folder,
        };
        let others = [
            ("a configuration", self.config.is_some()),
            ("--data", self.data.is_some()),
            ("--lr", self.lr.is_some()),
            ("--batch-size", self.batch_size.is_some()),
            ("--seed", self.seed.is_some()),
            ("--device", self.device.is_some()),
            ("--out", self.out.is_some()),
        ];
        if let Some((other, _)) = others.iter().find(|(_, given)| *given) {
            let message = format!(
                "the run in {} has a configuration and a folder of its own; leave out {other}",
                folder.display()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(Resume::Folder(folder.clone()))
    }

    /// The configuration of a run to go on with, perhaps for longer or with data that have moved.
    fn resumed_config(&self, folder: &Path) -> Result<Config> {
        let mut config = RunFolder::open(folder)?.config()?;
        config.epochs = self.epochs.unwrap_or(config.epochs);
        options::set_data_dir(&mut config, self.data_dir.as_deref())?;
        Ok(config)
    }

    /// The configuration file, or the default, and what the options say otherwise.
    fn config(&self) -> Result<Config> {
        let mut config = options::config(self.config.as_deref(), None)?;
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
            options::set_data_dir(&mut config, Some(path))?;
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

/// Writes the loss at rising learning rates, and prints which to try.
fn find_lr(config: &Config, workers: usize, file: &Path) -> Result<()> {
    // Before the work is done.
    if file.extension().is_none_or(|extension| extension != "svg") {
        let message = format!(
            "--find-lr writes a picture in SVG and the numbers beside it; name a file that ends in \
             .svg, such as {}",
            file.with_extension("svg").display()
        );
        return Err(Error::new(ErrorKind::Usage, message));
    }
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty())
        && !folder.is_dir()
    {
        let message = format!(
            "--find-lr {}: there is no folder {}; make it, or give another",
            file.display(),
            folder.display()
        );
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let curve = gradus::train::find_learning_rate(config, workers, 1e-7..10.0, 120)?;
    for (path, text) in
        [(file.to_owned(), curve.to_svg()), (file.with_extension("csv"), curve.to_csv())]
    {
        fs::write(&path, text).map_err(|error| {
            let message = format!("cannot write {}: {error}; check the path", path.display());
            Error::new(ErrorKind::Io, message)
        })?;
    }
    let plot = file.display();
    match curve.suggestion() {
        Some(rate) => print(format_args!(
            "the loss falls most steeply at {rate:.1e}: see {plot}, and try --lr {rate:.0e}"
        )),
        None => print(format_args!("the loss does not fall at any learning rate: see {plot}")),
    }
}

fn dataset_names() -> PossibleValuesParser {
    DATASETS
        .iter()
        .map(|row| PossibleValue::new(row.name).help(row.about))
        .collect::<Vec<_>>()
        .into()
}
