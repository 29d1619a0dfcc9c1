//! What decides the result of a run: the configuration file, read, checked and written.
//!
//! A configuration chooses from tables: [`DATASETS`], [`LAYERS`], [`LOSSES`], [`OPTIMIZERS`],
//! [`SCHEDULES`], [`TRANSFORMS`], [`METRICS`]. Reading one checks names, keys and types at once, with the line of each mistake;
//! what depends on the data, such as the sizes of layers, is found when the model is
//! [made](Config::model) by recording its forward pass, which computes nothing.

mod batch_transforms;
mod build;
mod datasets;
mod document;
mod layers;
mod losses;
mod metrics;
mod optimizers;
mod schedules;
mod table;
mod training;
mod transforms;
mod value;

use std::fmt;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{self, Path};

use gradus_tensor::{Device, Error, ErrorKind, Result};

pub use batch_transforms::BATCH_TRANSFORMS;
pub use datasets::DATASETS;
pub(crate) use layers::batch_of;
pub use layers::{AnyLayer, LAYERS, LayerInput};
pub use losses::{AnyLoss, LOSSES};
pub use metrics::{AnyMetric, METRICS, MetricInput};
pub use optimizers::{AnyOptimizer, OPTIMIZERS};
pub use schedules::{AnySchedule, Every, RunLength, SCHEDULES, Scheduler};
pub use table::{Choice, Keys, Row};
pub use training::Training;
pub use transforms::{AnyTransform, Byte, Margins, Sides, TRANSFORMS};
pub use value::{Positive, Probability, Setting, Value};

use self::document::{Entry, Node, Place, parse};
use self::table::known_among;

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

/// Everything that decides the bits of a trained model, as a configuration file holds it, and when
/// to save it. How many threads and loader workers there are does not, so it is not here.
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
    /// Each one of [`TRANSFORMS`]: what is done to the images that are trained on.
    pub transforms: Vec<Choice>,
    /// What is done to those that are tested on; by default, what is not random in `transforms`.
    pub test_transforms: Option<Vec<Choice>>,
    /// Each one of [`BATCH_TRANSFORMS`]: what is done to the batches that are trained on.
    pub batch_transforms: Vec<Choice>,
    /// Each one of [`LAYERS`].
    pub layers: Vec<Choice>,
    /// One of [`LOSSES`]; by default the one that suits the data.
    pub loss: Option<Choice>,
    /// One of [`OPTIMIZERS`].
    pub optimizer: Choice,
    /// One of [`SCHEDULES`]; by default the learning rate stays.
    pub schedule: Option<Choice>,
    /// Each one of [`METRICS`], taken of every evaluation beside loss and accuracy.
    pub metrics: Vec<Choice>,
    /// How often training visits each sample.
    pub epochs: usize,
    /// Samples per step.
    pub batch_size: usize,
    /// Whether a last, smaller batch is left out.
    pub drop_last: bool,
    /// How many samples of an epoch may be left out of training because they cannot be had.
    pub skip_errors: usize,
    /// Decides the initial weights and the order of the samples.
    pub seed: u64,
    /// Where the network lives. Results of different devices agree up to rounding.
    pub device: Device,
    /// How the loop goes.
    pub training: Training,
}

/// [`DEFAULT`].
impl Default for Config {
    fn default() -> Config {
        Config::parse(DEFAULT, "the default configuration").expect("the default is well-formed")
    }
}

/// The tables of a file.
const SECTIONS: [&str; 7] = ["data", "model", "loss", "optimizer", "schedule", "metrics", "train"];

/// The keys of `[train]` that are not [`Training`]'s.
const OWN_KEYS: [&str; 6] = ["epochs", "batch_size", "drop_last", "skip_errors", "seed", "device"];

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
        let (data_node, [transforms, test_transforms, batch_transforms]) =
            data.without(["transforms", "test_transforms", "batch_transforms"]);
        let data = Choice::read(DATASETS, "dataset", &data.place, &data_node)?;
        let images = |entry| read_transforms(TRANSFORMS, entry);
        let transforms = transforms.map(images).transpose()?.unwrap_or_default();
        let test_transforms = test_transforms.map(images).transpose()?;
        let batches = |entry| read_transforms(BATCH_TRANSFORMS, entry);
        let batch_transforms = batch_transforms.map(batches).transpose()?.unwrap_or_default();
        let layers = read_layers(required("model")?)?;
        let read_loss = |e: &Entry| Choice::read(LOSSES, "loss", &e.place, &e.node);
        let loss = section("loss").map(read_loss).transpose()?;
        let optimizer = match section("optimizer") {
            Some(e) => Choice::read(OPTIMIZERS, "optimizer", &e.place, &e.node)?,
            None => Choice::plain(OPTIMIZERS, "Adam", "optimizer", start.clone())?,
        };
        let read_schedule = |e: &Entry| Choice::read(SCHEDULES, "schedule", &e.place, &e.node);
        let schedule = section("schedule").map(read_schedule).transpose()?;
        let metrics = section("metrics").map(read_metrics).transpose()?.unwrap_or_default();
        let train = match section("train") {
            None => Keys::new("[train]", start),
            Some(Entry { place, node: Node::Table(entries), .. }) => {
                let loop_keys = Training::KEYS.iter().map(|(key, _)| *key);
                let known: Vec<&str> = OWN_KEYS.into_iter().chain(loop_keys).collect();
                Keys::read("[train]", place.clone(), &known, entries)?
            }
            Some(Entry { place, .. }) => return Err(place.error("`train` is a table: [train]")),
        };
        let count = |key, default| -> Result<usize> {
            Ok(train.get::<NonZeroUsize>(key)?.map_or(default, NonZeroUsize::get))
        };
        Ok(Config {
            data,
            transforms,
            test_transforms,
            batch_transforms,
            layers,
            loss,
            optimizer,
            schedule,
            metrics,
            epochs: count("epochs", 10)?,
            batch_size: count("batch_size", 32)?,
            drop_last: train.get("drop_last")?.unwrap_or(false),
            skip_errors: train.get("skip_errors")?.unwrap_or(0),
            seed: train.get("seed")?.unwrap_or(0),
            device: train.get("device")?.unwrap_or(Device::Cpu),
            training: Training::read(&train)?,
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
                false if error.kind() == io::ErrorKind::InvalidData => {
                    format!("{file} is no text in UTF-8, so no configuration; give another file")
                }
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

    /// What a reader calls the part of the model at a path, such as `0` or `0.fc1`: the position of the
    /// layer, and its name.
    pub(crate) fn layer_name(&self, path: &str) -> String {
        let (at, inner) = path.split_once('.').map_or((path, ""), |(at, inner)| (at, inner));
        match at.parse().ok().and_then(|at: usize| self.layers.get(at)) {
            Some(layer) if inner.is_empty() => format!("{at} {}", layer.name()),
            // A whole network in one layer: its own names say enough.
            Some(_) if self.layers.len() == 1 => inner.to_owned(),
            Some(layer) => format!("{at} {}.{inner}", layer.name()),
            None => path.to_owned(),
        }
    }

    /// The path that the data are read from; none if they are built in.
    pub fn data_path(&self) -> Option<&str> {
        match self.data.keys.value("path") {
            Some(Value::Text(path)) => Some(path),
            _ => None,
        }
    }

    /// Makes the paths of the data absolute, so that what is saved holds anywhere.
    pub(crate) fn make_absolute(&mut self) {
        let place = self.data.place().clone();
        for key in ["path", "cache"] {
            if let Some(Value::Text(path)) = self.data.keys.value(key)
                && let Ok(path) = path::absolute(path)
            {
                let value = Value::Text(path.to_string_lossy().into_owned());
                self.data.keys.set(key, value, place.clone());
            }
        }
    }

    /// Whether the data are read from a path; otherwise they are built in.
    pub fn needs_path(&self) -> bool {
        DATASETS.iter().any(|row| row.name == self.data.name() && row.keys.contains(&"path"))
    }

    /// Looks whether a key that must be given is missing, or the device does not offer the precision.
    ///
    /// # Errors
    /// If so; the message names it.
    pub fn check(&self) -> Result<()> {
        if self.needs_path() && self.data_path().is_none() {
            return Err(self.data.place().error(format_args!(
                "{} is not built in: give `path` in [data], or --data-dir, where its files are",
                self.data.name()
            )));
        }
        self.data.check(DATASETS)?;
        let transforms = self.transforms.iter().chain(self.test_transforms.iter().flatten());
        for transform in transforms {
            transform.check(TRANSFORMS)?;
            if transform.name() == "Normalize" && self.data.keys.value("mean").is_some() {
                return Err(transform.place().error(
                    "Normalize: `mean` and `std` in [data] normalise already; leave out one of the two",
                ));
            }
        }
        let batches = self.batch_transforms.iter();
        batches.into_iter().try_for_each(|transform| transform.check(BATCH_TRANSFORMS))?;
        self.layers.iter().try_for_each(|layer| layer.check(LAYERS))?;
        self.loss.iter().try_for_each(|loss| loss.check(LOSSES))?;
        self.optimizer.check(OPTIMIZERS)?;
        self.schedule.iter().try_for_each(|schedule| schedule.check(SCHEDULES))?;
        self.metrics.iter().try_for_each(|metric| metric.check(METRICS))?;
        self.training.precision.unwrap_or_default().check(self.device)
    }
}

fn read_transforms<I, O>(table: &'static [Row<I, O>], entry: &Entry) -> Result<Vec<Choice>> {
    let Node::List(list) = &entry.node else {
        let key = &entry.key;
        return Err(entry
            .place
            .error(format_args!("`{key}` is a list of transforms, in brackets")));
    };
    let read = |(place, node): &(Place, Node)| Choice::read(table, "transform", place, node);
    list.iter().map(read).collect()
}

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

fn read_metrics(section: &Entry) -> Result<Vec<Choice>> {
    let Node::Table(entries) = &section.node else {
        return Err(section.place.error("`metrics` is a table: [metrics]"));
    };
    for Entry { key, place, .. } in entries {
        known_among(&["evaluation"], key, "key of [metrics]", place)?;
    }
    match entries.first() {
        None => Ok(Vec::new()),
        Some(Entry { node: Node::List(list), .. }) => {
            list.iter().map(|(place, node)| Choice::read(METRICS, "metric", place, node)).collect()
        }
        Some(Entry { place, .. }) => Err(place.error("`evaluation` is a list of metrics")),
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
        let head = |f: &mut fmt::Formatter<'_>, name: &str, choice: &Choice| {
            writeln!(f, "[{name}]\ntype = {}", Value::Text(choice.name().to_owned()))?;
            choice.keys.lines().try_for_each(|line| writeln!(f, "{line}"))
        };
        let section = |f: &mut fmt::Formatter<'_>, name: &str, choice: &Choice| {
            head(f, name, choice)?;
            writeln!(f)
        };
        let list = |f: &mut fmt::Formatter<'_>, key: &str, choices: &[Choice]| {
            writeln!(f, "{key} = [")?;
            choices.iter().try_for_each(|choice| writeln!(f, "    {choice},"))?;
            writeln!(f, "]")
        };
        head(f, "data", &self.data)?;
        if !self.transforms.is_empty() {
            list(f, "transforms", &self.transforms)?;
        }
        if let Some(transforms) = &self.test_transforms {
            list(f, "test_transforms", transforms)?;
        }
        if !self.batch_transforms.is_empty() {
            list(f, "batch_transforms", &self.batch_transforms)?;
        }
        writeln!(f)?;
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
        if !self.metrics.is_empty() {
            writeln!(f, "[metrics]\nevaluation = [")?;
            self.metrics.iter().try_for_each(|metric| writeln!(f, "    {metric},"))?;
            writeln!(f, "]\n")?;
        }
        let device = Value::Text(self.device.to_string());
        let Config { epochs, batch_size, drop_last, skip_errors, seed, .. } = self;
        write!(
            f,
            "[train]\nepochs = {epochs}\nbatch_size = {batch_size}\ndrop_last = {drop_last}\n\
             skip_errors = {skip_errors}\nseed = {seed}\ndevice = {device}\n"
        )?;
        self.training.lines().try_for_each(|line| writeln!(f, "{line}"))
    }
}
