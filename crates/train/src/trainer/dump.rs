//! A step that went wrong, kept with all that it was computed from.
//!
//! | file | |
//! |---|---|
//! | `model.safetensors` | parameters and buffers before the step |
//! | `training.safetensors` | `batch.*`: the batch, such as `inputs` and `targets`; `optimizer.*`; `grad.*`, where gradients are accumulated |
//! | `state.json` | the [`DumpedStep`]: step, epoch, samples, random keys, learning rate, clipping, the error |
//! | `config.toml`, `data.json` | as in the folder of a run, where the step is one of `gradus train` |
//!
//! It is written as a checkpoint is: as a whole or not at all, with a `MANIFEST` that it is compared
//! with when it is read. Averages of the weights are not in it: they are made after the update.
//!
//! Version 1 held the batch without its prefix, and neither optimizer nor gradients.

use std::path::{Path, PathBuf};

use gradus_nn::StateDict;
use gradus_nn::optim::{Optimizer, clip_grad_norm_, clip_grad_value_};
use gradus_tensor::{Error, ErrorKind, Result, RngState, no_grad, set_rng_state};
use serde::{Deserialize, Serialize};

use super::state::{part, put, set_grads};
use super::{Accumulator, Numbers, Objective, Pass, Probed};
use crate::Build;
use crate::checkpoint::{Checkpoint, CheckpointFolder, Files};

/// In front of the names of tensors.
const BATCH: &str = "batch";
const OPTIMIZER: &str = "optimizer";
const GRADIENTS: &str = "grad";

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
    /// The state of the optimizer before the step. Empty before the first one.
    pub optimizer: StateDict,
    /// The gradients of the batches of the step before this one: `0`, `1` …, in the order of the
    /// optimizer's parameters.
    pub gradients: StateDict,
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
    /// How the update would have been made; unknown in dumps of version 1.
    pub update: Option<DumpedUpdate>,
}

/// How the update of a step would have been made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DumpedUpdate {
    /// The learning rate of each group of parameters.
    pub lrs: Vec<f64>,
    /// The momentum of each group, where the optimizer has one.
    pub momentums: Option<Vec<f64>>,
    /// The bound of the elements of the gradients.
    pub clip_value: Option<f64>,
    /// The bound of the norm of all gradients.
    pub clip_norm: Option<f64>,
    /// The batches of the step before this one.
    pub accumulated: Accumulator,
    /// Whether the update follows this batch, or gradients of more are added first.
    pub ends_step: bool,
}

impl DumpedStep {
    /// The version that is written.
    pub(super) const VERSION: u32 = 2;

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
        let step = DumpedStep { version: DumpedStep::VERSION, ..self.step.clone() };
        let state = serde_json::to_value(&step).map_err(|error| unreadable(&error))?;
        let (model, mut training) = (self.model.clone(), StateDict::default());
        put(&mut training, BATCH, &self.batch);
        put(&mut training, OPTIMIZER, &self.optimizer);
        put(&mut training, GRADIENTS, &self.gradients);
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
        let of = |prefix| part(&training, prefix);
        let (batch, optimizer, gradients) = match state["version"].as_u64().unwrap_or(0) {
            1 => (training, StateDict::default(), StateDict::default()),
            2 => (of(BATCH), of(OPTIMIZER), of(GRADIENTS)),
            version => {
                let message = format!(
                    "{}: the dump has version {version}, and this gradus reads versions up to {}; \
                     use a newer gradus",
                    path.display(),
                    DumpedStep::VERSION
                );
                return Err(Error::new(ErrorKind::Format, message));
            }
        };
        let step = serde_json::from_value(state).map_err(|error| unreadable(&error))?;
        Ok(Dump { model, batch, optimizer, gradients, step, files })
    }

    /// Makes the whole step, as the trainer would have made it without its
    /// [`guard`](super::Trainer::guard): forward, backward, clipping, update. What the update changes
    /// each parameter by; nothing if it does not follow this batch.
    ///
    /// `optimizer` has the parameters of the objective's module, and the options of then. Both are
    /// put into the state of then first, and have made the step afterwards.
    ///
    /// # Errors
    /// If module or optimizer do not fit the dump, or the dump has version 1, which held no update.
    pub fn redo<O: Objective>(
        &self,
        objective: &O,
        batch: &O::Batch,
        optimizer: &mut dyn Optimizer,
    ) -> Result<Vec<Probed>> {
        let misfit = |why: &str| Err(Error::new(ErrorKind::Usage, format!("the dump {why}")));
        let Some(update) = &self.step.update else {
            return misfit("is of an older gradus, which did not keep the optimizer");
        };
        let groups = |momentums: &Option<Vec<f64>>| momentums.as_ref().map(Vec::len);
        if optimizer.lrs().len() != update.lrs.len()
            || groups(&optimizer.momentums()) != groups(&update.momentums)
        {
            return misfit("is of an optimizer with other groups of parameters, or another one");
        }
        if !update.ends_step {
            return Ok(Vec::new());
        }
        let (module, parameters) = (objective.module(), optimizer.parameters());
        module.load_state_dict(&self.model)?;
        optimizer.load_state_dict(&self.optimizer)?;
        optimizer.set_lrs(&update.lrs);
        if let Some(momentums) = &update.momentums {
            optimizer.set_momentums(momentums);
        }
        optimizer.zero_grad();
        set_grads(&parameters, &self.gradients)?;
        module.train(true);
        set_rng_state(self.step.rng_state());
        let named = module.named_parameters();
        let before: Vec<_> = named.iter().map(|(_, p)| p.value().detach()).collect();

        // From here on as in the loop.
        match self.step.first_sample {
            None => objective.cost(batch).loss.backward(),
            Some(_) => {
                let mut accumulated = update.accumulated.clone();
                let samples = objective.samples(batch);
                let cost = accumulated.record(samples, || objective.cost(batch));
                accumulated.backward(&cost.loss, cost.weight);
                accumulated.finish(&parameters);
            }
        }
        if let Some(bound) = update.clip_value {
            clip_grad_value_(&parameters, bound);
        }
        if let Some(max) = update.clip_norm {
            let _ = clip_grad_norm_(&parameters, max);
        }
        optimizer.step()?;
        optimizer.zero_grad();
        let changes = named.iter().zip(before).map(|((name, parameter), before)| {
            let change = no_grad(|| parameter.value().detach() - before);
            let what = format!("the change of the parameter `{name}`");
            Ok(Probed { pass: Pass::Update, what, numbers: Numbers::of(&change)? })
        });
        changes.collect()
    }

    /// The content of a file beside the step.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(file, _)| file == name).map(|(_, content)| &content[..])
    }
}

fn unreadable(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Format, format!("the dump of a step: {error}"))
}
