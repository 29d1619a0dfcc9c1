//! Options that commands share, and the values that options take.

use std::path::Path;

use clap::Args;
use gradus::train::Config;
use gradus::train::config::Value;
use gradus::{Device, Result};

/// With how many threads to do it. Results do not depend on them.
#[derive(Args)]
pub struct Resources {
    /// Threads to compute with [default: as many as the machine runs at once]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Threads that prepare batches; with 0, they are prepared between the steps
    #[arg(long, value_name = "N", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u16).range(..=1024))]
    workers: u16,
}

impl Resources {
    /// Applies what holds for the process; returns the number of workers.
    pub fn apply(&self) -> usize {
        if let Some(threads) = self.threads {
            gradus::set_num_threads(threads.into());
        }
        self.workers.into()
    }
}

/// The configuration of a file, or the default, with its data where `--data-dir` says.
pub fn config(file: Option<&Path>, data_dir: Option<&Path>) -> Result<Config> {
    let mut config = match file {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    set_data_dir(&mut config, data_dir)?;
    Ok(config)
}

/// Lets a configuration look for its data where `--data-dir` says, if it says so.
pub fn set_data_dir(config: &mut Config, data_dir: Option<&Path>) -> Result<()> {
    match data_dir {
        Some(path) => {
            let path = Value::Text(path.to_string_lossy().into_owned());
            config.set_data_key("path", path, "--data-dir")
        }
        None => Ok(()),
    }
}

/// A device of this build.
pub fn device(name: &str) -> std::result::Result<Device, String> {
    name.parse().map_err(|error: gradus::Error| error.message().to_owned())
}

/// A count that is not 0.
pub fn count(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give a whole number, 1 or more".to_owned()),
        Ok(count) => Ok(count),
    }
}

/// A learning rate.
pub fn rate(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("give a number above 0, such as 0.002 or 2e-3".to_owned()),
    }
}
