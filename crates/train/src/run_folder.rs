//! The folder of a run: what was asked for, what came of it, and the model.
//!
//! | file | |
//! |---|---|
//! | `config.toml` | the [`Config`], resolved: all that is needed to repeat the run or its evaluation |
//! | `data.json` | the [`DataSpec`]: what the model must know of the data, such as names of classes |
//! | `metrics.json` | the [`RunMetrics`], written anew after each epoch |
//! | `model.safetensors` | the trained model, under PyTorch's names |
//! | `log.jsonl` | every step, epoch and evaluation ([`JsonLines`](crate::log::JsonLines)) |
//! | `steps.csv`, `epochs.csv` | the same numbers as tables ([`Csv`](crate::log::Csv)) |
//! | `report.html` | all of it to look at ([`report`](crate::report)) |
//!
//! Files are written under another name and renamed, so that a run that is killed leaves the file
//! of before or a whole one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gradus_io::{load_safetensors, save_safetensors};
use gradus_nn::{Module, Sequential};
use gradus_tensor::{Error, ErrorKind, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Config, DataSpec, RunMetrics};

const CONFIG: &str = "config.toml";
const DATA: &str = "data.json";
const METRICS: &str = "metrics.json";
const MODEL: &str = "model.safetensors";
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
        let path = self.path.join(DATA);
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

    /// The SHA-256 of the file that holds the model, as `sha256sum` prints it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn model_sha256(&self) -> Result<String> {
        let path = self.path.join(MODEL);
        let bytes = fs::read(&path).map_err(|error| cannot("read", &path, &error))?;
        Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
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
        let unfinished = self.path.join(format!("{name}.unfinished"));
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|error| cannot("write", &path, &error))
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("cannot {what} {}: {error}", path.display());
    Error::new(ErrorKind::Io, message)
}
