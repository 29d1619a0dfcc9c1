//! The data of a run, of whatever kind: samples, and what a model must know of them.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use gradus_data::transforms::Pipeline;
use gradus_data::{Dataset, Normalization, Part, Subset};
use gradus_tensor::philox::philox4x32;
use gradus_tensor::{DType, Error, ErrorKind, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::metrics::thousands;

/// Samples of any kind, whose batches are an input and a target.
pub type Samples = Arc<dyn Dataset<Item = (Part, Part)>>;

/// One part of the data of a run.
#[derive(Clone)]
pub struct Data {
    samples: Samples,
    spec: DataSpec,
    unread: Option<Unread>,
}

/// What reads all samples at once, and the bytes that they take then.
#[derive(Clone)]
struct Unread {
    bytes: usize,
    read: Arc<dyn Fn() -> Result<Data> + Send + Sync>,
}

impl Data {
    /// Samples and what they are.
    pub fn new(samples: impl Dataset<Item = (Part, Part)> + 'static, spec: DataSpec) -> Data {
        Data { samples: Arc::new(samples), spec, unread: None }
    }

    /// The same, to be read at once by [`read_at_once`](Data::read_at_once), which makes so many bytes of
    /// it.
    pub(crate) fn until_read(
        self,
        bytes: usize,
        read: impl Fn() -> Result<Data> + Send + Sync + 'static,
    ) -> Data {
        Data { unread: Some(Unread { bytes, read: Arc::new(read) }), ..self }
    }

    /// With all its samples in memory, if they are meant to be.
    pub(crate) fn read_at_once(self) -> Result<Data> {
        self.unread.as_ref().map(|unread| (unread.read)()).unwrap_or(Ok(self))
    }

    /// Bytes that its samples will take once they are all read.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.unread.as_ref().map_or(0, |unread| unread.bytes)
    }

    /// The same with its images transformed, and as large as the first is then; up to `skip_errors`
    /// before it may be bad.
    ///
    /// # Errors
    /// If the samples are no images, or the first one cannot be transformed.
    pub fn transformed(self, pipeline: Pipeline, skip_errors: usize) -> Result<Data> {
        let Data { samples, mut spec, unread } = self;
        let Input::Image { channels, height, width, mean, std } = &mut spec.input else {
            let message = "transforms are for images, and these data are none; leave them out";
            return Err(Error::new(ErrorKind::Usage, message));
        };
        let samples = pipeline.over(samples);
        let mut first = (0..samples.len()).take(skip_errors.saturating_add(1));
        let good = first.find_map(|index| samples.get(index).ok());
        if !samples.is_empty()
            && let Part::Image(image) = good.map_or_else(|| samples.get(0), Ok)?.0
            && let [c, h, w] = image.pixels().shape()[..]
        {
            (*channels, *height, *width) = (c, h, w);
            if let Some(normalization) = image.normalization() {
                (*mean, *std) = (normalization.mean().to_vec(), normalization.std().to_vec());
            }
        }
        Ok(Data { unread, ..Data::new(samples, spec) })
    }

    /// Holds out a part of the samples, chosen at random by a seed: what is left, and what was held
    /// out, as it is in `evaluated`, the same samples as evaluation sees them; both keep their order.
    pub(crate) fn hold_out(&self, evaluated: &Data, part: f64, seed: u64) -> (Data, Data) {
        let held = self.held_out(part);
        let mut order: Vec<(u64, usize)> =
            (0..self.samples.len()).map(|i| (draw(seed, i), i)).collect();
        order.sort_unstable();
        let choose = |of: &Data, chosen: &[(u64, usize)]| {
            let mut indices: Vec<usize> = chosen.iter().map(|(_, i)| *i).collect();
            indices.sort_unstable();
            of.choose(indices)
        };
        (choose(self, &order[held..]), choose(evaluated, &order[..held]))
    }

    /// How many samples such a part is.
    pub(crate) fn held_out(&self, part: f64) -> usize {
        (part * self.samples.len() as f64).round() as usize
    }

    /// The first so many samples, or all if there are fewer.
    pub(crate) fn first(&self, count: usize) -> Data {
        let indices = (0..self.samples.len().min(count)).collect();
        self.choose(indices)
    }

    /// Those of its samples.
    fn choose(&self, indices: Vec<usize>) -> Data {
        let samples = Subset::new(self.samples.clone(), indices).expect("they are its samples");
        Data::new(samples, self.spec.clone())
    }

    /// The samples.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// What they are.
    pub fn spec(&self) -> &DataSpec {
        &self.spec
    }
}

/// A random number for a sample. The sample's own, so that equal draws are settled by position.
fn draw(seed: u64, sample: usize) -> u64 {
    /// Keeps these draws apart from those of other purposes under the same seed.
    const HOLD_OUT: u32 = u32::from_le_bytes(*b"hold");
    let sample = sample as u64;
    let key = [seed as u32, (seed >> 32) as u32];
    let [low, high, ..] = philox4x32(key, [sample as u32, (sample >> 32) as u32, HOLD_OUT, 0]);
    u64::from(high) << 32 | u64::from(low)
}

/// What a model must know of its data, as `data.json` in a run's folder holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// What a sample is.
    pub input: Input,
    /// What is to be predicted of it.
    pub task: Task,
}

/// What a sample is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Input {
    /// An image, scaled to 0–1 and then normalised by each channel's mean and standard deviation.
    Image {
        /// 1 is grey, 3 is colour.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// One for each channel; empty if images are not normalised.
        mean: Vec<f32>,
        /// One for each channel; empty if images are not normalised.
        std: Vec<f32>,
    },
    /// A row of numbers.
    Columns {
        /// What they are called.
        names: Vec<String>,
    },
    /// Positions in a vocabulary.
    Tokens {
        /// How many.
        length: usize,
    },
}

/// What is to be predicted of a sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Task {
    /// Its class.
    Classification {
        /// The names of the classes.
        classes: Vec<String>,
    },
    /// A number.
    Regression {
        /// What it is called.
        target: String,
    },
    /// The next character, at each position.
    Language {
        /// The characters.
        vocabulary: String,
    },
}

impl Input {
    /// Images of a shape `[channels, height, width]`.
    pub(crate) fn image(shape: &[usize], normalization: Option<&Normalization>) -> Input {
        let size = |axis: usize| shape.get(axis).copied().unwrap_or(1);
        Input::Image {
            channels: size(0),
            height: size(1),
            width: size(2),
            mean: normalization.map_or(Vec::new(), |n| n.mean().to_vec()),
            std: normalization.map_or(Vec::new(), |n| n.std().to_vec()),
        }
    }

    /// The shape of one sample.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Input::Image { channels, height, width, .. } => vec![*channels, *height, *width],
            Input::Columns { names } => vec![names.len()],
            Input::Tokens { length } => vec![*length],
        }
    }

    /// The dtype of a batch.
    pub fn dtype(&self) -> DType {
        match self {
            Input::Image { .. } | Input::Columns { .. } => DType::F32,
            Input::Tokens { .. } => DType::I64,
        }
    }

    /// So many samples, in words: `1,437 images [1, 8, 8]`.
    pub(crate) fn count(&self, samples: usize) -> String {
        let n = thousands(samples as u64);
        match self {
            Input::Image { channels, height, width, .. } => {
                format!("{n} images [{channels}, {height}, {width}]")
            }
            Input::Columns { names } => format!("{n} rows of {} columns", names.len()),
            Input::Tokens { length } => format!("{n} blocks of {length} characters"),
        }
    }
}

impl Task {
    /// How many numbers a model puts out for each prediction.
    pub(crate) fn outputs(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(match self {
            Task::Classification { classes } => classes.len(),
            Task::Regression { .. } => 1,
            Task::Language { vocabulary } => vocabulary.chars().count(),
        })
    }

    pub(crate) fn default_loss(&self) -> &'static str {
        match self {
            Task::Classification { .. } | Task::Language { .. } => "CrossEntropyLoss",
            Task::Regression { .. } => "MSELoss",
        }
    }

    /// Predictions and targets with one row for each prediction: the positions of a text are
    /// predictions of their own, `[N, T, vocabulary]` and `[N, T]` → `[N·T, vocabulary]` and
    /// `[N·T]`.
    pub(crate) fn align(&self, predictions: Tensor, targets: Tensor) -> (Tensor, Tensor) {
        match self {
            Task::Language { .. } => (predictions.flatten(0, -2), targets.flatten(0, -1)),
            _ => (predictions, targets),
        }
    }
}

impl DataSpec {
    /// The shape of a model's output for one sample.
    pub fn output(&self) -> Vec<usize> {
        let outputs = self.task.outputs().map_or(0, NonZeroUsize::get);
        match &self.task {
            Task::Language { .. } => self.input.shape().into_iter().chain([outputs]).collect(),
            _ => vec![outputs],
        }
    }
}

/// `10 classes`, `to predict price`.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Classification { classes } => write!(f, "{} classes", classes.len()),
            Task::Regression { target } => write!(f, "to predict {target}"),
            Task::Language { vocabulary } => {
                write!(f, "{} different characters", vocabulary.chars().count())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gradus_data::Split;

    use super::*;

    #[test]
    fn what_is_held_out_is_left_out() {
        let data = crate::Config::default().open(Split::Train).unwrap();
        let (rest, held) = data.hold_out(&data, 0.1, 7);
        let parts = [&rest, &held].map(|d| d.samples().len());
        assert_eq!(parts, [1293, 144]);
        let text = |data: &Data| -> Vec<String> {
            (0..data.samples().len()).map(|i| format!("{:?}", data.samples().get(i))).collect()
        };
        let mut both = [text(&rest), text(&held)].concat();
        let mut all = text(&data);
        both.sort();
        all.sort();
        assert_eq!(both, all);
        assert_eq!(text(&data.hold_out(&data, 0.1, 7).1), text(&held));
        assert_ne!(text(&data.hold_out(&data, 0.1, 8).1), text(&held));
    }

    #[test]
    fn what_is_held_out_is_not_augmented() {
        let text = |transforms: &str| {
            let model = "[model]\nlayers = [\"Flatten\", \"Linear\"]\n[train]\nvalidation = 0.2\n";
            format!("[data]\ntype = \"digits\"\n{transforms}\n{model}")
        };
        let open = |transforms: &str| {
            let mut config = crate::Config::parse(&text(transforms), "test").unwrap();
            let (data, evaluated) = config.open_to_train().unwrap();
            let (rest, held) = data.hold_out(&evaluated.unwrap(), 0.2, config.seed);
            let test = config.open(Split::Test).unwrap();
            [rest, held, test]
        };
        let all = |data: &Data, epoch| -> Vec<(Vec<u8>, String)> {
            let sample = |i| match data.samples().visit(i, epoch).unwrap() {
                (Part::Image(image), label) => {
                    let rest = format!("{:?} {label:?}", image.normalization());
                    (image.pixels().data().to_vec(), rest)
                }
                other => panic!("{other:?}"),
            };
            (0..data.samples().len()).map(sample).collect()
        };
        let random = "{ type = \"RandomRotation\", degrees = 90 }, \"RandomErasing\"";
        let small = "{ type = \"Resize\", size = [6, 6] }, { type = \"Normalize\", mean = [0.5], std = [0.2] }";
        let [rest, held, _] = open(&format!("transforms = [{random}, {small}]"));
        let [_, plain, _] = open(&format!("transforms = [{small}]"));
        assert_eq!(held.spec(), plain.spec());
        for epoch in [0, 5] {
            assert!(all(&held, epoch) == all(&plain, epoch), "augmented in epoch {epoch}");
        }
        assert!(all(&rest, 0) != all(&rest, 5), "what is trained on is augmented anew");
        // A list of its own holds for both parts that are evaluated on.
        let [_, held, test] =
            open(&format!("transforms = [{random}]\ntest_transforms = [{small}]"));
        assert!(all(&held, 3) == all(&plain, 3));
        assert_eq!(held.spec(), test.spec());
    }

    #[test]
    fn positions_of_a_text_are_predictions_of_their_own() {
        let task = Task::Language { vocabulary: "abcd".to_owned() };
        let spec = DataSpec { input: Input::Tokens { length: 3 }, task };
        assert_eq!(spec.output(), [3, 4]);
        let logits = Tensor::zeros([2, 3, 4], DType::F32);
        let targets = Tensor::zeros([2, 3], DType::I64);
        let (logits, targets) = spec.task.align(logits, targets);
        assert_eq!((&logits.shape()[..], &targets.shape()[..]), (&[6, 4][..], &[6][..]));
    }

    #[test]
    fn specs_survive_a_file() {
        let normalization = Normalization::new(&[0.1307], &[0.3081]).unwrap();
        let specs = [
            DataSpec {
                input: Input::image(&[1, 28, 28], Some(&normalization)),
                task: Task::Classification { classes: vec!["T-shirt/top".to_owned()] },
            },
            DataSpec {
                input: Input::Columns { names: vec!["a".to_owned()] },
                task: Task::Regression { target: "\"y\"".to_owned() },
            },
        ];
        for spec in specs {
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<DataSpec>(&text).unwrap(), spec);
        }
    }
}
