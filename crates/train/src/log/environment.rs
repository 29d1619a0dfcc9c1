//! On what a run runs.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The program, the machine and the time of a run: what its bits should not depend on, but its
/// speed does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The version of Gradus, and whether it was built for speed.
    pub gradus: String,
    /// Operating system and architecture: `linux x86_64`.
    pub system: String,
    /// The processor, where the system says.
    pub processor: Option<String>,
    /// Threads that compute.
    pub threads: usize,
    /// Threads that prepare batches.
    pub workers: usize,
    /// When the run started, in seconds since 1970.
    pub started: f64,
}

impl Environment {
    /// This program, machine and moment.
    pub fn now(workers: usize) -> Environment {
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        Environment {
            gradus: format!("{} ({build})", env!("CARGO_PKG_VERSION")),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor(),
            threads: gradus_tensor::num_threads(),
            workers,
            started: unix_seconds(),
        }
    }
}

/// Seconds since 1970.
pub(super) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// A moment in seconds since 1970 as `2026-11-21 12:16:44 UTC`.
pub fn utc(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of the year 0, in eras of 400 years, so that leap days end a year
    // (Hinnant, "chrono-compatible low-level date algorithms").
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + late;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0.0, "1970-01-01 00:00:00 UTC"),
            (951_782_399.9, "2000-02-28 23:59:59 UTC"),
            (951_868_800.0, "2000-03-01 00:00:00 UTC"),
            (1_709_164_800.0, "2024-02-29 00:00:00 UTC"),
            (1_735_689_599.0, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400.0, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }
}
