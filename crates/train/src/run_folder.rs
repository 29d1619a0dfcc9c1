//! The folder of a run: what was asked for, what came of it, and the model.
//!
//! | file | |
//! |---|---|
//! | `config.toml` | the [`Config`], resolved: all that is needed to repeat the run or its evaluation |
//! | `data.json` | the [`DataSpec`]: what the model must know of the data, such as names of classes |
//! | `data_hashes.json` | SHA-256 of the data, to notice that they have changed when a run goes on |
//! | `metrics.json` | the [`RunMetrics`], written anew after each epoch |
//! | `model.safetensors` | the trained model, under PyTorch's names |
//! | `receipt.json` | the [`Receipt`], once the run is finished: what went in, and the hash of what came out |
//! | `checkpoints` | the state of the run, to go on from: see [`checkpoint`](crate::checkpoint) |
//! | `dumps` | a step that was not finite, to compute it again: see [`Dump`](crate::trainer::Dump) |
//! | `log.jsonl` | every step, epoch and evaluation ([`JsonLines`](crate::log::JsonLines)) |
//! | `steps.csv`, `epochs.csv`, `validations.csv` | the same numbers as tables ([`Csv`](crate::log::Csv)) |
//! | `report.html` | all of it to look at ([`report`](crate::report)) |
//!
//! Files are written under another name and renamed, so that a run that is killed leaves the file
//! of before or a whole one.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gradus_io::{load_safetensors, save_safetensors};
use gradus_nn::{Module, Sequential};
use gradus_tensor::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checkpoint::CheckpointFolder;
use crate::fingerprint::Fingerprint;
use crate::{Config, DataSpec, Receipt, RunMetrics};

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const DATA: &str = "data.json";
const DATA_HASHES: &str = "data_hashes.json";
const METRICS: &str = "metrics.json";
const MODEL: &str = "model.safetensors";
const RECEIPT: &str = "receipt.json";
const CHECKPOINTS: &str = "checkpoints";
const DUMPS: &str = "dumps";
/// At the end of names of files that are being written.
const UNFINISHED: &str = ".unfinished";
const REPORT: &str = "report.html";

/// A folder that holds a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// A new run's folder, made if need be together with the folders above it.
    ///
    /// # Errors
    /// If there is something in it already, or it cannot be made.
    pub fn create(path: &Path) -> Result<RunFolder> {
        fs::create_dir_all(path).map_err(|error| cannot("make the folder", path, &error))?;
        let mut entries =
            fs::read_dir(path).map_err(|error| cannot("read the folder", path, &error))?;
        if entries.next().is_some() {
            let message = format!(
                "{}: the folder is not empty, and a run overwrites nothing; give another folder or \
                 remove this one",
                path.display()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(RunFolder { path: path.to_owned() })
    }

    /// A new run's folder `parent/<name>-<number>`, with the first number that is free.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create_numbered(parent: &Path, name: &str) -> Result<RunFolder> {
        fs::create_dir_all(parent).map_err(|error| cannot("make the folder", parent, &error))?;
        let mut number = 1;
        loop {
            // Whoever makes the folder owns it, also if several runs start at once.
            let path = parent.join(format!("{name}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunFolder { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(cannot("make the folder", &path, &error)),
            }
        }
    }

    /// The run in a folder, to go on with it, or that folder for a new run: it is not there yet, or
    /// empty, or its run was killed before it began.
    ///
    /// # Errors
    /// If there is something else in it, or it cannot be made.
    pub fn create_or_open(path: &Path) -> Result<RunFolder> {
        if path.join(CONFIG).is_file() {
            return RunFolder::open(path);
        }
        let unread = |error: io::Error| cannot("read the folder", path, &error);
        match fs::read_dir(path) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.map_err(unread)?;
                    if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
                        fs::remove_file(entry.path()).map_err(unread)?;
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unread(error)),
        }
        RunFolder::create(path)
    }

    /// The newest run `parent/<name>-<number>` that has begun and is not finished, if there is one.
    pub fn unfinished(parent: &Path, name: &str) -> Option<RunFolder> {
        let number = |entry: fs::DirEntry| -> Option<u64> {
            let folder = entry.file_name().into_string().ok()?;
            folder.strip_prefix(name)?.strip_prefix('-')?.parse().ok()
        };
        let newest = fs::read_dir(parent).ok()?.filter_map(|e| number(e.ok()?)).max()?;
        let folder = RunFolder::open(&parent.join(format!("{name}-{newest}"))).ok()?;
        (!folder.is_finished()).then_some(folder)
    }

    /// Keeps other processes from training in the folder as long as what it returns lives, and no longer:
    /// not after this one was killed either.
    ///
    /// # Errors
    /// If another process, or a run of this one, trains in it.
    pub(crate) fn claim(&self) -> Result<Option<File>> {
        // Where folders cannot be opened, or have no locks, it is not known.
        let Ok(folder) = File::open(&self.path) else { return Ok(None) };
        if let Err(TryLockError::WouldBlock) = folder.try_lock() {
            let message = format!(
                "{}: another process trains in this folder; wait for it, or stop it",
                self.path.display()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(Some(folder))
    }

    /// Whether the run has ended and left its receipt.
    pub fn is_finished(&self) -> bool {
        self.path.join(RECEIPT).is_file()
    }

    /// Its checkpoints.
    pub fn checkpoints(&self) -> CheckpointFolder {
        CheckpointFolder::new(self.path.join(CHECKPOINTS))
    }

    /// The steps of it that went wrong.
    pub fn dumps(&self) -> CheckpointFolder {
        CheckpointFolder::new(self.path.join(DUMPS))
    }

    /// Writes what went into the run and what came out.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_receipt(&self, receipt: &Receipt) -> Result<()> {
        self.save_json(RECEIPT, receipt)
    }

    /// Reads what went into the run and what came out.
    ///
    /// # Errors
    /// If the run is not finished, or the file is not what it should be.
    pub fn receipt(&self) -> Result<Receipt> {
        if !self.is_finished() {
            return Err(self.unfinished_without(RECEIPT));
        }
        self.read_json(RECEIPT)
    }

    /// What a file that the end of a run makes is missing for.
    fn unfinished_without(&self, file: &str) -> Error {
        let folder = self.path.display();
        let message = format!(
            "{folder} has no {file}: its run is not finished; gradus train --resume {folder} goes \
             on with it"
        );
        Error::new(ErrorKind::Usage, message)
    }

    /// The folder of a run there has been.
    ///
    /// # Errors
    /// If it is not one.
    pub fn open(path: &Path) -> Result<RunFolder> {
        let folder = RunFolder { path: path.to_owned() };
        if folder.path.join(CONFIG).is_file() {
            return Ok(folder);
        }
        let message = format!(
            "{}: not the folder of a run, as there is no {CONFIG} in it; give one that \
             `gradus train` has made",
            path.display()
        );
        Err(Error::new(ErrorKind::Io, message))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what the run was asked for.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_config(&self, config: &Config) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        let text =
            format!("# The configuration of this run, resolved by gradus {version}.\n{config}");
        self.save(CONFIG, &text)
    }

    /// Reads what the run was asked for.
    ///
    /// # Errors
    /// If the file cannot be read or is not what it should be.
    pub fn config(&self) -> Result<Config> {
        let config = Config::read(&self.path.join(CONFIG));
        config
            .and_then(|config| config.check().map(|()| config))
            .map_err(|error| self.broken(&error))
    }

    /// Writes what the model must know of the data.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_data(&self, spec: &DataSpec) -> Result<()> {
        self.save_json(DATA, spec)
    }

    /// Reads what the model must know of the data.
    ///
    /// # Errors
    /// If the file cannot be read or is not what it should be.
    pub fn data(&self) -> Result<DataSpec> {
        self.read_json(DATA)
    }

    /// Writes what the data are.
    pub(crate) fn save_fingerprint(&self, data: &Fingerprint) -> Result<()> {
        self.save_json(DATA_HASHES, data)
    }

    /// Reads what the data were, if that was written.
    pub(crate) fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        match self.path.join(DATA_HASHES).exists() {
            true => self.read_json(DATA_HASHES).map(Some),
            false => Ok(None),
        }
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.path.join(name);
        let text = fs::read_to_string(&path).map_err(|error| cannot("read", &path, &error))?;
        serde_json::from_str(&text).map_err(|error| {
            let message = format!("{}: {error}", path.display());
            self.broken(&Error::new(ErrorKind::Format, message))
        })
    }

    /// Writes what has come of the run so far.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_metrics(&self, metrics: &RunMetrics) -> Result<()> {
        self.save_json(METRICS, metrics)
    }

    /// Writes the model's parameters and buffers.
    ///
    /// # Errors
    /// If they cannot be evaluated or the file cannot be written.
    pub fn save_model(&self, model: &dyn Module) -> Result<()> {
        let metadata = [("gradus", env!("CARGO_PKG_VERSION"))];
        save_safetensors(self.path.join(MODEL), &model.state_dict(), &metadata)
    }

    /// Writes the report.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn save_report(&self, html: &str) -> Result<()> {
        self.save(REPORT, html)
    }

    /// Reads the model.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or holds another model than the configuration's.
    pub fn load_model(&self, config: &mut Config, spec: &DataSpec) -> Result<Sequential> {
        let path = self.path.join(MODEL);
        if !path.exists() && !self.is_finished() {
            return Err(self.unfinished_without(MODEL));
        }
        let state = load_safetensors(&path)?;
        let model = config.model(spec).map_err(|error| self.broken(&error))?;
        model.load_state_dict(&state.into()).map_err(|error| error.context(path.display()))?;
        model.eval();
        Ok(model)
    }

    /// What is wrong with a file that `gradus train` has written is no mistake of the command's.
    fn broken(&self, error: &Error) -> Error {
        let message = format!(
            "{}; {} should be as `gradus train` wrote it, version {} or near",
            error.message(),
            self.path.display(),
            env!("CARGO_PKG_VERSION")
        );
        Error::new(
            if error.kind() == ErrorKind::Io { ErrorKind::Io } else { ErrorKind::Format },
            message,
        )
    }

    fn save_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(|error| {
            let path = self.path.join(name);
            Error::new(ErrorKind::Format, format!("{}: {error}", path.display()))
        })?;
        self.save(name, &(text + "\n"))
    }

    fn save(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        let unfinished = self.path.join(format!("{name}{UNFINISHED}"));
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(text.as_bytes())?;
            // Metrics are written after each epoch, and again by a run that is resumed.
            if name == METRICS { Ok(()) } else { file.sync_all() }
        };
        write()
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|error| cannot("write", &path, &error))
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("cannot {what} {}: {error}", path.display());
    Error::new(ErrorKind::Io, message)
}
