//! Options that commands share, and the values that options take.

use clap::Args;
use gradus::Device;

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

/// A device of this build.
pub fn device(name: &str) -> Result<Device, String> {
    name.parse().map_err(|error: gradus::Error| error.message().to_owned())
}

/// A count that is not 0.
pub fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give a whole number, 1 or more".to_owned()),
        Ok(count) => Ok(count),
    }
}

/// A learning rate.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("give a number above 0, such as 0.002 or 2e-3".to_owned()),
    }
}
