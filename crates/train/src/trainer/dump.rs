//! A step that went wrong, kept with all that it was computed from.
//!
//! | file | |
//! |---|---|
//! | `model.safetensors` | parameters and buffers before the step |
//! | `training.safetensors` | the batch, `inputs` and `targets` |
//! | `state.json` | the [`DumpedStep`]: step, epoch, samples, random keys, the error |
//! | `config.toml`, `data.json` | as in the folder of a run, where the step is one of `gradus train` |
//!
//! It is written as a checkpoint is: as a whole or not at all, with a `MANIFEST` that it is compared
//! with when it is read.

use std::path::{Path, PathBuf};

use gradus_nn::StateDict;
use gradus_tensor::{Error, ErrorKind, Result, RngState};
use serde::{Deserialize, Serialize};

use crate::Build;
use crate::checkpoint::{Checkpoint, CheckpointFolder, Files};

/// Where steps that go wrong are kept.
#[derive(Clone, Debug)]
pub struct Dumps {
    /// The folder that each gets a folder in.
    pub folder: CheckpointFolder,
    /// Files that are put beside those of the step: what the model can be built from.
    pub files: Files,
}

/// A step that went wrong.
///
/// ```no_run
/// use gradus_train::trainer::Dump;
/// let dump = Dump::load("runs/digits-1/dumps/step-0000000012".as_ref())?;
/// println!("{}, on the samples {:?}", dump.step.error, dump.step.samples);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dump {
    /// Parameters and buffers before the step.
    pub model: StateDict,
    /// The tensors of the batch by name.
    pub batch: StateDict,
    /// Which step it was.
    pub step: DumpedStep,
    /// The files beside: see [`Dumps::files`].
    pub files: Files,
}

/// Which step went wrong, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DumpedStep {
    /// The version of the format.
    pub version: u32,
    /// Steps of the optimizer before it.
    pub steps_before: u64,
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The batch of the epoch, counted from 1.
    pub batch: usize,
    /// The samples of the batch, as positions in what is trained on.
    pub samples: Vec<usize>,
    /// Where gradients are accumulated, how many samples of the step came before the batch.
    pub first_sample: Option<usize>,
    /// The random generator before the step: seed and stream.
    pub random: (u64, u64),
    /// What was wrong.
    pub error: String,
    /// What trained it.
    pub build: Build,
}

impl DumpedStep {
    /// The version that is written.
    pub(super) const VERSION: u32 = 1;

    /// The random generator before the step.
    pub fn rng_state(&self) -> RngState {
        let (seed, stream) = self.random;
        RngState { seed, stream }
    }
}

impl Dump {
    /// Writes it into a folder of dumps, and says where.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, folder: &CheckpointFolder) -> Result<PathBuf> {
        let state = serde_json::to_value(&self.step).map_err(|error| unreadable(&error))?;
        let (model, training) = (self.model.clone(), self.batch.clone());
        let mut files = Checkpoint { model, training, state }.to_files()?;
        files.extend(self.files.iter().cloned());
        let name = CheckpointFolder::name(self.step.steps_before, 0);
        folder.save(&name, &files)?;
        Ok(folder.path().join(name))
    }

    /// Reads a dump from its folder.
    ///
    /// # Errors
    /// If it cannot be read, or is not as it was written.
    pub fn load(path: &Path) -> Result<Dump> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let parent = path.parent().unwrap_or(Path::new(""));
        let files = CheckpointFolder::new(parent).load(&name)?;
        let Checkpoint { model, training, state } = Checkpoint::from_files(files.clone())?;
        let version = state["version"].as_u64().unwrap_or(0);
        if version != u64::from(DumpedStep::VERSION) {
            let message = format!(
                "{}: the dump has version {version}, and this gradus reads versions up to {}; use \
                 a newer gradus",
                path.display(),
                DumpedStep::VERSION
            );
            return Err(Error::new(ErrorKind::Format, message));
        }
        let step = serde_json::from_value(state).map_err(|error| unreadable(&error))?;
        Ok(Dump { model, batch: training, step, files })
    }

    /// The content of a file beside the step.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(file, _)| file == name).map(|(_, content)| &content[..])
    }
}

fn unreadable(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Format, format!("the dump of a step: {error}"))
}
