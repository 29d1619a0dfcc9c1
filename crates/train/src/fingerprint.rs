//! Whether the data of a run that goes on are those that it began with.
//!
//! Hashing all samples takes as long as reading them, so that it is done while training goes on, and
//! remembered in the folder of the run. Until then a few samples stand for all. A run that goes on
//! compares what is known before its first step.

use std::thread::{self, JoinHandle};

use gradus_data::Dataset;
use gradus_tensor::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::data::Samples;
use crate::metrics::thousands;
use crate::receipt::{data_hash, hash_of};
use crate::{Progress, RunFolder};

/// How many samples stand for all, spread evenly over them.
const SAMPLED: usize = 64;

/// Hashes the data on a thread of its own, unless the run goes on: then they are compared with those
/// that it began with, before anything else happens.
///
/// # Errors
/// If they differ, unless they may.
pub(crate) fn hash_data(
    folder: &RunFolder,
    [train, test]: [Samples; 2],
    may_differ: bool,
    progress: &Progress,
) -> Result<JoinHandle<Result<Fingerprint>>> {
    let mut now = Fingerprint::sampled(&train, &test);
    if let Some(then) = folder.fingerprint()? {
        if then.is_complete() {
            let _reading = progress.reading("the data, to compare them with those of before");
            now = now.complete(&train, &test);
        }
        match now.compare(&then) {
            Err(error) if may_differ => progress.warning(error.message()),
            Err(error) => {
                let message = format!(
                    "{}: {}; put them back as they were, begin a new run, or go on all the same \
                     with --changed-data",
                    folder.path().display(),
                    error.message()
                );
                return Err(Error::new(ErrorKind::Data, message));
            }
            Ok(()) => {}
        }
    }
    folder.save_fingerprint(&now)?;
    let folder = folder.clone();
    Ok(thread::spawn(move || {
        if !now.is_complete() {
            now = now.complete(&train, &test);
            folder.save_fingerprint(&now)?;
        }
        Ok(now)
    }))
}

/// What the data of a run are, as `data_hashes.json` in its folder holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub train: Part,
    pub test: Part,
}

/// What one part of the data is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// How many samples there are.
    samples: usize,
    /// SHA-256 of some of them.
    sampled: String,
    /// SHA-256 of all of them, once it is known.
    pub all: Option<String>,
}

impl Fingerprint {
    /// That of two parts, by some of their samples.
    pub fn sampled(train: &Samples, test: &Samples) -> Fingerprint {
        Fingerprint { train: Part::sampled(train), test: Part::sampled(test) }
    }

    /// Hashes all samples. It takes as long as reading them.
    pub fn complete(mut self, train: &Samples, test: &Samples) -> Fingerprint {
        self.train.all = Some(data_hash(train));
        self.test.all = Some(data_hash(test));
        self
    }

    /// Whether all samples have been hashed.
    pub fn is_complete(&self) -> bool {
        self.train.all.is_some() && self.test.all.is_some()
    }

    /// Compares it with what the data were, as far as both are known.
    ///
    /// # Errors
    /// If they differ: the hashes of then and now.
    pub fn compare(&self, then: &Fingerprint) -> Result<()> {
        self.train.compare(&then.train, "training data")?;
        self.test.compare(&then.test, "test data")
    }
}

impl Part {
    fn sampled(samples: &Samples) -> Part {
        let (len, count) = (samples.len(), SAMPLED.min(samples.len()));
        let sampled = hash_of(samples, (0..count).map(|i| i * len / count));
        Part { samples: len, sampled, all: None }
    }

    fn compare(&self, then: &Part, what: &str) -> Result<()> {
        let short = |hash: &str| hash.chars().take(16).collect::<String>();
        let (was, is) = match (&then.all, &self.all) {
            (Some(was), Some(is)) => (was, is),
            _ => (&then.sampled, &self.sampled),
        };
        if was == is && then.samples == self.samples {
            return Ok(());
        }
        let count = |part: &Part| thousands(part.samples as u64);
        let message = format!(
            "the {what} are not those that the run began with: {} samples with SHA-256 {} then, {} \
             with {} now",
            count(then),
            short(was),
            count(self),
            short(is)
        );
        Err(Error::new(ErrorKind::Data, message))
    }
}
