//! A step that went wrong, computed again from its dump: the job of `gradus replay`.

use std::fmt;
use std::path::Path;

use gradus_nn::Module;
use gradus_tensor::{Error, ErrorKind, Result, Tensor, set_rng_state, with_samples};

use crate::run_folder::{CONFIG, DATA};
use crate::trainer::{Dump, DumpedStep, Objective, Probe, Supervised, probe};
use crate::{Config, DataSpec};

/// A step computed again. Printed: which step it was, its values layer by layer, and what the update
/// would have changed.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Which step it was, and what was wrong then.
    pub step: DumpedStep,
    /// What is found now.
    pub probe: Probe,
}

/// Computes the step of a dump again, on the model of its configuration, with the batch, the
/// parameters, the random numbers and the optimizer of then.
///
/// # Errors
/// If the dump cannot be read, is none of `gradus train`, or the model cannot be built from it.
pub fn replay(path: &Path) -> Result<Replay> {
    let dump = Dump::load(path)?;
    let missing = |what: &str| {
        let message = format!(
            "{}: the dump has no {what}: it is of a loop of your own; read it with \
             `gradus::train::trainer::Dump::load`, and compute it with `probe`",
            path.display()
        );
        Error::new(ErrorKind::Format, message)
    };
    let text = |name: &str| {
        let text = dump.file(name).ok_or_else(|| missing(name))?;
        String::from_utf8(text.to_vec()).map_err(|_| missing(name))
    };
    let mut config = Config::parse(&text(CONFIG)?, &path.join(CONFIG).display().to_string())?;
    let spec: DataSpec = serde_json::from_str(&text(DATA)?).map_err(|error| {
        let message = format!("{}: {error}", path.join(DATA).display());
        Error::new(ErrorKind::Format, message)
    })?;
    let model = config.model(&spec)?;
    model.load_state_dict(&dump.model).map_err(|error| error.context(path.display()))?;
    model.to(config.device)?;
    model.train(true);
    let criterion = config.criterion(&spec)?;
    let align = |predictions: Tensor, targets: Tensor| spec.task.align(predictions, targets);
    let objective = Supervised::new(&model, &*criterion).on(config.device).align(&align);
    let tensor = |name: &str| dump.batch.get(name).cloned().ok_or_else(|| missing(name));
    let batch = (tensor("inputs")?, tensor("targets")?);

    set_rng_state(dump.step.rng_state());
    let cost = || objective.cost(&batch).loss;
    let mut probe = probe(&model, || match dump.step.first_sample {
        Some(first) => with_samples(first, objective.samples(&batch), cost),
        None => cost(),
    })?;
    if dump.step.update.is_some() {
        let mut optimizer = config.optimizer(&model)?;
        probe.values.extend(dump.redo(&objective, &batch, &mut *optimizer)?);
    }
    Ok(Replay { step: dump.step, probe })
}

impl Replay {
    /// Nothing, if every value is finite.
    ///
    /// # Errors
    /// The first value that is not.
    pub fn verdict(&self) -> Result<()> {
        match self.probe.first_not_finite() {
            Some(first) => {
                let message = format!("first not finite: {first}");
                Err(Error::new(ErrorKind::Value, message))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DumpedStep { steps_before, epoch, batch, error, build, update, .. } = &self.step;
        let step = steps_before + 1;
        writeln!(
            f,
            "step {step}, epoch {epoch}, batch {batch}, of gradus {}: {error}",
            build.gradus
        )?;
        write!(f, "\n{}", self.probe)?;
        match update {
            None => write!(
                f,
                "\n\nan older gradus has kept it without the optimizer: no update is shown"
            ),
            Some(update) if !update.ends_step => {
                write!(f, "\n\nno update follows this batch: gradients of the next are added first")
            }
            Some(_) => Ok(()),
        }
    }
}
