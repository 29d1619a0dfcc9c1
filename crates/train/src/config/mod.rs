//! What decides the result of a run: the configuration file, read, checked and written.
//!
//! A configuration chooses from tables: [`DATASETS`], [`LAYERS`], [`LOSSES`], [`OPTIMIZERS`],
//! [`SCHEDULES`]. Reading one checks names, keys and types at once, with the line of each mistake;
//! what depends on the data, such as the sizes of layers, is found when the model is
//! [made](Config::model) by recording its forward pass, which computes nothing.

mod datasets;
mod document;
mod layers;
mod losses;
mod optimizers;
mod schedules;
mod table;
mod value;

use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{self, Path};

use gradus_data::{Dataset, Split};
use gradus_nn::optim::Optimizer;
use gradus_nn::{Layer, Module, Sequential};
use gradus_tensor::{Device, Error, ErrorKind, Result, Tensor, evaluate, no_grad};

pub use datasets::DATASETS;
pub(crate) use layers::batch_of;
pub use layers::{AnyLayer, LAYERS, LayerInput};
pub use losses::{AnyLoss, LOSSES};
pub use optimizers::{AnyOptimizer, OPTIMIZERS};
pub use schedules::{AnySchedule, Elapsed, RunLength, SCHEDULES};
pub use table::{Choice, Keys, Row};
pub use value::{Positive, Probability, Setting, Value};

use self::document::{Entry, Node, Place, parse};
use self::table::known_among;
use crate::data::{Data, DataSpec, Task};

/// The configuration of `gradus train` without arguments: the built-in digits in about a second. Of
/// 12 seeds, the worst got 97.5% of the test part right.
pub const DEFAULT: &str = r#"[data]
type = "digits"

[model]
layers = [
    "Flatten",
    { type = "Linear", out_features = 256 },
    "ReLU",
    "Linear",
]

[optimizer]
type = "Adam"
lr = 0.003

[train]
epochs = 30
batch_size = 32
"#;

/// Everything that decides the bits of a trained model, as a configuration file holds it. How many
/// threads and loader workers there are does not, so it is not here.
///
/// ```
/// use gradus_train::Config;
///
/// let mut config = Config::default();
/// config.epochs = 3;
/// assert_eq!(config.data.name(), "digits");
/// let error = Config::parse("[optimiser]\ntype = \"Adam\"", "my.toml").unwrap_err();
/// assert!(error.message().starts_with("my.toml, line 1: "));
/// assert!(error.message().contains("did you mean `optimizer`?"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// One of [`DATASETS`].
    pub data: Choice,
    /// Each one of [`LAYERS`].
    pub layers: Vec<Choice>,
    /// One of [`LOSSES`]; by default the one that suits the data.
    pub loss: Option<Choice>,
    /// One of [`OPTIMIZERS`].
    pub optimizer: Choice,
    /// One of [`SCHEDULES`]; by default the learning rate stays.
    pub schedule: Option<Choice>,
    /// How often training visits each sample.
    pub epochs: usize,
    /// Samples per step.
    pub batch_size: usize,
    /// Decides the initial weights and the order of the samples.
    pub seed: u64,
    /// Where the network lives. Results of different devices agree up to rounding.
    pub device: Device,
}

/// [`DEFAULT`].
impl Default for Config {
    fn default() -> Config {
        Config::parse(DEFAULT, "the default configuration").expect("the default is well-formed")
    }
}

/// The tables of a file.
const SECTIONS: [&str; 6] = ["data", "model", "loss", "optimizer", "schedule", "train"];

impl Config {
    /// Reads a configuration, which messages call `name`.
    ///
    /// # Errors
    /// If it is no TOML, or a name, a key or a value is not known: the message names the line, and
    /// what was probably meant.
    pub fn parse(text: &str, name: &str) -> Result<Config> {
        let entries = parse(text, name)?;
        for Entry { key, place, .. } in &entries {
            known_among(&SECTIONS, key, "table of a configuration", place)?;
        }
        let start = Place::new(name);
        let section = |name: &str| entries.iter().find(|entry| entry.key == name);
        let required = |name: &str| {
            let missing = || start.error(format_args!("the table [{name}] is missing; add it"));
            section(name).ok_or_else(missing)
        };

        let data = required("data")?;
        let data = Choice::read(DATASETS, "dataset", &data.place, &data.node)?;
        let layers = read_layers(required("model")?)?;
        let read_loss = |e: &Entry| Choice::read(LOSSES, "loss", &e.place, &e.node);
        let loss = section("loss").map(read_loss).transpose()?;
        let optimizer = match section("optimizer") {
            Some(e) => Choice::read(OPTIMIZERS, "optimizer", &e.place, &e.node)?,
            None => Choice::plain(OPTIMIZERS, "Adam", "optimizer", start.clone())?,
        };
        let read_schedule = |e: &Entry| Choice::read(SCHEDULES, "schedule", &e.place, &e.node);
        let schedule = section("schedule").map(read_schedule).transpose()?;
        let train = match section("train") {
            None => Keys::new("[train]", start),
            Some(Entry { place, node: Node::Table(entries), .. }) => {
                let known = ["epochs", "batch_size", "seed", "device"];
                Keys::read("[train]", place.clone(), &known, entries)?
            }
            Some(Entry { place, .. }) => return Err(place.error("`train` is a table: [train]")),
        };
        let count = |key, default| -> Result<usize> {
            Ok(train.get::<NonZeroUsize>(key)?.map_or(default, NonZeroUsize::get))
        };
        Ok(Config {
            data,
            layers,
            loss,
            optimizer,
            schedule,
            epochs: count("epochs", 10)?,
            batch_size: count("batch_size", 32)?,
            seed: train.get("seed")?.unwrap_or(0),
            device: train.get("device")?.unwrap_or(Device::Cpu),
        })
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// If it cannot be read, or as [`parse`](Config::parse).
    pub fn read(path: &Path) -> Result<Config> {
        let text = fs::read_to_string(path).map_err(|error| {
            let file = path.display();
            let message = match path.is_dir() {
                true => format!("{file} is a folder; give the configuration file in it"),
                false => format!("cannot read the configuration {file}: {error}; check the path"),
            };
            Error::new(ErrorKind::Io, message)
        })?;
        Config::parse(&text, &path.display().to_string())
    }

    /// Takes another dataset, with default keys. `from` says who asks, for messages.
    ///
    /// # Errors
    /// If none has the name.
    pub fn set_data(&mut self, name: &str, from: &str) -> Result<()> {
        self.data = Choice::plain(DATASETS, name, "dataset", Place::new(from))?;
        Ok(())
    }

    /// Sets a key of the data. `from` says who asks, for messages.
    ///
    /// # Errors
    /// If this dataset has no such key, or it cannot have this value.
    pub fn set_data_key(&mut self, key: &str, value: Value, from: &str) -> Result<()> {
        self.data.set(DATASETS, key, value, &Place::new(from))
    }

    /// Sets a key of the optimizer. `from` says who asks, for messages.
    ///
    /// # Errors
    /// If this optimizer has no such key, or it cannot have this value.
    pub fn set_optimizer_key(&mut self, key: &str, value: Value, from: &str) -> Result<()> {
        self.optimizer.set(OPTIMIZERS, key, value, &Place::new(from))
    }

    /// The path that the data are read from; none if they are built in.
    pub fn data_path(&self) -> Option<&str> {
        match self.data.keys.value("path") {
            Some(Value::Text(path)) => Some(path),
            _ => None,
        }
    }

    /// Makes the path to the data absolute, so that what is saved holds anywhere.
    pub(crate) fn make_absolute(&mut self) {
        if let Some(path) = self.data_path().and_then(|path| path::absolute(path).ok()) {
            let value = Value::Text(path.to_string_lossy().into_owned());
            let place = self.data.place().clone();
            self.data.keys.set("path", value, place);
        }
    }

    /// What a model must know of the data. They are read no further than that needs.
    ///
    /// # Errors
    /// As [`open`](Config::open).
    pub fn spec(&self) -> Result<DataSpec> {
        let mut config = self.clone();
        config.check()?;
        let place = config.data.place().clone();
        // Only some datasets have this key.
        let _ = config.data.set(DATASETS, "in_memory", Value::Bool(false), &place);
        Ok(config.open(Split::Train)?.spec().clone())
    }

    /// Whether the data are read from a path; otherwise they are built in.
    pub fn needs_path(&self) -> bool {
        DATASETS.iter().any(|row| row.name == self.data.name() && row.keys.contains(&"path"))
    }

    /// Looks whether a key that must be given is missing.
    ///
    /// # Errors
    /// If one is; the message names it.
    pub fn check(&self) -> Result<()> {
        if self.needs_path() && self.data_path().is_none() {
            return Err(self.data.place().error(format_args!(
                "{} is not built in: give `path` in [data], or --data-dir, where its files are",
                self.data.name()
            )));
        }
        self.data.check(DATASETS)?;
        self.layers.iter().try_for_each(|layer| layer.check(LAYERS))?;
        self.loss.iter().try_for_each(|loss| loss.check(LOSSES))?;
        self.optimizer.check(OPTIMIZERS)?;
        self.schedule.iter().try_for_each(|schedule| schedule.check(SCHEDULES))
    }

    /// One part of the data.
    ///
    /// # Errors
    /// If their files are missing or damaged, or there are no samples.
    pub fn open(&mut self, split: Split) -> Result<Data> {
        let data = self.data.build(DATASETS, split)?;
        if data.samples().is_empty() {
            let message = format!("{}: there are no samples in it", data.samples().name());
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(data)
    }

    /// The model for such data, in evaluation mode. From now on, the layers' keys hold the sizes
    /// that were inferred.
    ///
    /// # Errors
    /// If a layer cannot follow the one before, or the last one's output does not suit the data.
    pub fn model(&mut self, spec: &DataSpec) -> Result<Sequential> {
        // What was recorded before is none of the model's business.
        evaluate()?;
        let mut model = Sequential::new();
        let mut x = spec.dummy(DUMMY_BATCH);
        let last = self.layers.len().saturating_sub(1);
        let mut before = "the data, which are".to_owned();
        for (at, choice) in self.layers.iter_mut().enumerate() {
            let shape = x.shape()[1..].into();
            let outputs = if at == last { spec.task.outputs() } else { None };
            let layer = choice.build(LAYERS, LayerInput { shape, outputs })?;
            layer.eval();
            let output = no_grad(|| layer.forward(&x));
            let name = format!("layer {at}, {},", choice.name());
            let input = batch_of(&x.shape()[1..]);
            let misfit = |why: &str| {
                let place = choice.place();
                place.error(format_args!(
                    "{name} cannot follow {before} {input}: {why}; change one of the two, or leave \
                     out keys that the layer before decides"
                ))
            };
            let shape = match output.try_shape() {
                Ok(shape) if shape.first() == Some(&DUMMY_BATCH) => shape,
                Ok(shape) => {
                    let why = format!("it joins the samples of a batch: its output is {shape}");
                    return Err(misfit(&why));
                }
                Err(error) => {
                    // The error waits for an evaluation: it has been reported here.
                    let _ = evaluate();
                    return Err(misfit(error.message()));
                }
            };
            before = format!("layer {at}, {}, whose output is", choice.name());
            debug_assert!(shape.rank() >= 1);
            model = model.add(layer);
            x = output;
        }
        let (output, wanted) = (&x.shape()[1..], spec.output());
        if output != &wanted[..] {
            let message = format!(
                "the model's output is {}, but the data ask for {} ({}); change the last layers (a \
                 Linear at the end without `out_features` takes them from the data)",
                batch_of(output),
                batch_of(&wanted),
                spec.task
            );
            let place = self.layers.last().map_or(self.data.place(), Choice::place);
            return Err(place.error(message));
        }
        Ok(model)
    }

    /// The loss, which must suit what the data ask for.
    ///
    /// # Errors
    /// If it does not.
    pub fn criterion(&mut self, spec: &DataSpec) -> Result<AnyLoss> {
        let choice = match &mut self.loss {
            Some(choice) => choice,
            none => none.insert(Choice::plain(
                LOSSES,
                spec.task.default_loss(),
                "loss",
                self.data.place().clone(),
            )?),
        };
        let loss = choice.build(LOSSES, ())?;
        let predictions = spec.dummy_output(DUMMY_BATCH);
        let outcome = no_grad(|| loss(&predictions, &spec.dummy_target(DUMMY_BATCH)));
        if let Some(error) = outcome.error() {
            let _ = evaluate();
            let place = choice.place();
            let name = choice.name();
            let task = &spec.task;
            let why = error.message();
            return Err(place.error(format_args!(
                "{name} does not suit the data ({task}): {why}; leave [loss] out for {}",
                task.default_loss()
            )));
        }
        Ok(loss)
    }

    /// The optimizer of a model's parameters.
    ///
    /// # Errors
    /// If its keys make no sense.
    pub fn optimizer(&mut self, model: &dyn Module) -> Result<AnyOptimizer> {
        self.optimizer.build(OPTIMIZERS, model.parameters())
    }

    /// The learning-rate schedule for an optimizer, if there is one.
    ///
    /// # Errors
    /// If its keys make no sense.
    pub fn schedule(
        &mut self,
        optimizer: &dyn Optimizer,
        steps_per_epoch: usize,
    ) -> Result<Option<AnySchedule>> {
        let run = RunLength { lr: optimizer.lr(), epochs: self.epochs, steps_per_epoch };
        self.schedule.as_mut().map(|schedule| schedule.build(SCHEDULES, run)).transpose()
    }
}

/// Samples in the batch that only shapes are wanted of; not 1, which fits everywhere.
const DUMMY_BATCH: usize = 2;

fn read_layers(section: &Entry) -> Result<Vec<Choice>> {
    let Node::Table(entries) = &section.node else {
        return Err(section.place.error("`model` is a table: [model]"));
    };
    for Entry { key, place, .. } in entries {
        known_among(&["layers"], key, "key of [model]", place)?;
    }
    let Some(layers) = entries.first() else {
        return Err(section.place.error("`layers` is missing; give a list of layers"));
    };
    match &layers.node {
        Node::List(list) if !list.is_empty() => {
            list.iter().map(|(place, node)| Choice::read(LAYERS, "layer", place, node)).collect()
        }
        _ => Err(layers.place.error("`layers` is a list of at least one layer")),
    }
}

impl Setting for Device {
    const WANTED: &'static str = "\"cpu\" or \"reference\"";
    fn read(value: &Value) -> Option<Device> {
        String::read(value)?.parse().ok()
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Text(self.to_string()))
    }
}

/// The configuration as a file that [`Config::parse`] reads.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let section = |f: &mut fmt::Formatter<'_>, name: &str, choice: &Choice| {
            writeln!(f, "[{name}]\ntype = {}", Value::Text(choice.name().to_owned()))?;
            choice.keys.lines().try_for_each(|line| writeln!(f, "{line}"))?;
            writeln!(f)
        };
        section(f, "data", &self.data)?;
        writeln!(f, "[model]\nlayers = [")?;
        self.layers.iter().try_for_each(|layer| writeln!(f, "    {layer},"))?;
        writeln!(f, "]\n")?;
        if let Some(loss) = &self.loss {
            section(f, "loss", loss)?;
        }
        section(f, "optimizer", &self.optimizer)?;
        if let Some(schedule) = &self.schedule {
            section(f, "schedule", schedule)?;
        }
        let device = Value::Text(self.device.to_string());
        let (epochs, batch_size, seed) = (self.epochs, self.batch_size, self.seed);
        write!(
            f,
            "[train]\nepochs = {epochs}\nbatch_size = {batch_size}\nseed = {seed}\ndevice = {device}\n"
        )
    }
}

impl DataSpec {
    /// Inputs of a batch that only shapes are wanted of.
    pub(crate) fn dummy(&self, batch: usize) -> Tensor {
        let shape: Vec<usize> = [batch].into_iter().chain(self.input.shape()).collect();
        Tensor::zeros(shape, self.input.dtype())
    }

    fn dummy_output(&self, batch: usize) -> Tensor {
        let shape: Vec<usize> = [batch].into_iter().chain(self.output()).collect();
        let output = Tensor::zeros(shape, gradus_tensor::DType::F32);
        self.task.align(output, self.dummy_target(batch)).0
    }

    fn dummy_target(&self, batch: usize) -> Tensor {
        use gradus_tensor::DType;
        match &self.task {
            Task::Classification { .. } => Tensor::zeros([batch], DType::I64),
            Task::Regression { .. } => Tensor::zeros([batch, 1], DType::F32),
            Task::Language { .. } => {
                Tensor::zeros([batch * self.input.shape().iter().product::<usize>()], DType::I64)
            }
        }
    }
}
