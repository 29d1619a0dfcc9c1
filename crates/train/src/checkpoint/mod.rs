//! Checkpoints: the whole state of a run in a folder, so that it can go on as if nothing had been.
//!
//! | file | |
//! |---|---|
//! | `model.safetensors` | parameters and buffers, under PyTorch's names |
//! | `training.safetensors` | `optimizer.*`, `schedule.*`, `ema.*`, `totals.*` (the metrics of the epoch so far), `grad.*` (where gradients are being accumulated) |
//! | `state.json` | step, position in the data, random keys, early stopping, the epochs so far |
//! | `MANIFEST` | the SHA-256 of the others and of itself; written last |
//!
//! [`CheckpointFolder`] writes and reads such folders whole or not at all, whatever fails
//! meanwhile; [`CheckpointWriter`] does so while training goes on; [`Checkpoint`] is the content.
//! They know nothing of the trainer and serve a loop of your own:
//!
//! ```
//! use gradus_nn::{Linear, Module};
//! use gradus_train::checkpoint::{Checkpoint, CheckpointFolder};
//!
//! # let path = std::env::temp_dir().join(format!("gradus-doc-checkpoint-{}", std::process::id()));
//! let (model, again) = (Linear::new(3, 2), Linear::new(3, 2));
//! let folder = CheckpointFolder::new(&path);
//! let checkpoint = Checkpoint { model: model.state_dict(), ..Checkpoint::default() };
//! folder.save(&CheckpointFolder::name(100, 0), &checkpoint.to_files()?)?;
//!
//! let loaded = folder.load_newest(Checkpoint::from_files, |warning| eprintln!("{warning}"))?;
//! let (name, checkpoint) = loaded.expect("it was saved");
//! assert_eq!(name, "step-0000000100");
//! again.load_state_dict(&checkpoint.model)?;
//! # std::fs::remove_dir_all(&path).unwrap();
//! # Ok::<(), gradus_tensor::Error>(())
//! ```

mod file_system;
mod folder;
mod manifest;
mod signals;
mod writer;

use gradus_io::{from_safetensors, to_safetensors};
use gradus_nn::StateDict;
use gradus_tensor::{Error, ErrorKind, Result};
use serde_json::Value;

pub use file_system::{Disk, FileSystem, NewFile};
pub use folder::{CheckpointFolder, Files};
pub(crate) use manifest::hexadecimal;
pub use signals::{Held, Signals};
pub use writer::{CheckpointWriter, Written};

const MODEL: &str = "model.safetensors";
const TRAINING: &str = "training.safetensors";
const STATE: &str = "state.json";

/// What a checkpoint holds.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// The parameters and buffers of the model.
    pub model: StateDict,
    /// Every other tensor, under names of your own.
    pub training: StateDict,
    /// Everything else.
    pub state: Value,
}

impl Checkpoint {
    /// The files of the checkpoint. Tensors are copied: training may go on at once.
    ///
    /// # Errors
    /// If a tensor cannot be evaluated.
    pub fn to_files(&self) -> Result<Files> {
        let state = serde_json::to_vec_pretty(&self.state)
            .map_err(|error| Error::new(ErrorKind::Format, format!("{STATE}: {error}")))?;
        Ok(vec![
            (MODEL.to_owned(), to_safetensors(&self.model, &[])?),
            (TRAINING.to_owned(), to_safetensors(&self.training, &[])?),
            (STATE.to_owned(), state),
        ])
    }

    /// The checkpoint that files hold.
    ///
    /// # Errors
    /// If one is missing, or not what it should be.
    pub fn from_files(files: Files) -> Result<Checkpoint> {
        let find = |wanted: &str| {
            let found = files.iter().find(|(name, _)| name == wanted);
            found.map(|(_, content)| &content[..]).ok_or_else(|| {
                let message = format!("the checkpoint has no {wanted}");
                Error::new(ErrorKind::Format, message)
            })
        };
        let state = serde_json::from_slice(find(STATE)?)
            .map_err(|error| Error::new(ErrorKind::Format, format!("{STATE}: {error}")))?;
        Ok(Checkpoint {
            model: from_safetensors(find(MODEL)?, MODEL)?.into(),
            training: from_safetensors(find(TRAINING)?, TRAINING)?.into(),
            state,
        })
    }
}
