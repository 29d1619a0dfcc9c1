//! The datasets that a configuration may choose.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use gradus_data::datasets::{
    self, CharText, CharTextOptions, EmnistKind, ImageFolder, ImageFolderOptions, ImageLayout,
    ImageSize, Missing, NumpyOptions, NumpyTable, Table, TableOptions, Target,
};
use gradus_data::{Combine, Dataset, LabelledImages, Normalization, Parts, Split};
use gradus_tensor::{Error, ErrorKind, Result};

use super::table::table;
use super::transforms::words;
use super::value::{Probability, Setting, Value};
use crate::data::{Data, DataSpec, Input, Task};
use crate::resident::available_memory;

/// Numbers for each channel of an image.
type Channels = Option<Vec<f64>>;

table! {
    /// Every dataset known by name. A dataset of another kind is one more row. Those that are read
    /// from files have a `path`.
    pub const DATASETS: fn(split: Split) -> Data;

    /// UCI optical handwritten digits, 1,437 + 360 of 1×8×8, built in
    "digits" { mean: Channels = None, std: Channels = None } => {
        images(datasets::digits(split), mean, std)
    };
    /// MNIST: handwritten digits, 60,000 + 10,000 of 1×28×28
    "mnist" { path: PathBuf, mean: Channels = None, std: Channels = None } => {
        images(datasets::mnist(path, split)?, mean, std)
    };
    /// Fashion-MNIST: articles of clothing, 60,000 + 10,000 of 1×28×28
    "fashion-mnist" { path: PathBuf, mean: Channels = None, std: Channels = None } => {
        images(datasets::fashion_mnist(path, split)?, mean, std)
    };
    /// KMNIST: handwritten hiragana, 60,000 + 10,000 of 1×28×28
    "kmnist" { path: PathBuf, mean: Channels = None, std: Channels = None } => {
        images(datasets::kmnist(path, split)?, mean, std)
    };
    /// EMNIST: handwritten characters of 1×28×28; `kind` is balanced, byclass, bymerge, letters, digits or mnist
    "emnist" {
        path: PathBuf,
        kind: EmnistKind = EmnistKind::Balanced,
        mean: Channels = None,
        std: Channels = None,
    } => {
        images(datasets::emnist(path, split, kind)?, mean, std)
    };
    /// SVHN: digits of house numbers, 73,257 + 26,032 of 3×32×32
    "svhn" { path: PathBuf, mean: Channels = None, std: Channels = None } => {
        images(datasets::svhn(path, split)?, mean, std)
    };
    /// STL-10: photographs, 5,000 + 8,000 of 3×96×96
    "stl10" { path: PathBuf, mean: Channels = None, std: Channels = None } => {
        images(datasets::stl10(path, split)?, mean, std)
    };
    /// CIFAR-10: photographs, 50,000 + 10,000 of 3×32×32
    "cifar10" { path: PathBuf, mean: Channels = None, std: Channels = None } => {
        images(datasets::cifar10(path, split)?, mean, std)
    };
    /// CIFAR-100: photographs of 100 classes, 50,000 + 10,000 of 3×32×32
    "cifar100" { path: PathBuf, mean: Channels = None, std: Channels = None } => {
        images(datasets::cifar100(path, split)?, mean, std)
    };
    /// PNG, JPEG, WebP and BMP files, a folder for each class
    "image-folder" {
        path: PathBuf,
        channels: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2),
        resize: Option<[usize; 2]> = None,
        any_size: bool = false,
        test_fraction: Probability = Probability(0.2),
        seed: u64 = 0,
        cache: Option<PathBuf> = None,
        in_memory: bool = !any_size && cache.is_none(),
        mean: Channels = None,
        std: Channels = None,
    } => {
        let resize = resize.map(|[height, width]| ImageSize { height, width });
        let test_fraction = test_fraction.0;
        let options =
            ImageFolderOptions { channels: channels.get(), resize, any_size, test_fraction, seed };
        let folder = ImageFolder::open(path, split, options)?;
        image_folder(folder, channels, in_memory, cache, mean, std)
    };
    /// A table (CSV, Parquet or Arrow) with a number to predict
    "table-regression" {
        path: PathBuf,
        target: String,
        inputs: Vec<String> = Vec::new(),
        categorical: Vec<String> = Vec::new(),
        ignore: Vec<String> = Vec::new(),
        missing: MissingRules = MissingRules::default(),
        missing_values: Vec<String> = Vec::new(),
        delimiter: char = ',',
        standardize: bool = true,
        test_fraction: Probability = Probability(0.2),
        seed: u64 = 0,
    } => {
        let options = TableOptions {
            inputs, categorical, ignore, missing: missing.default, missing_in: missing.columns,
            missing_values, delimiter, standardize, test_fraction: test_fraction.0, seed,
            ..TableOptions::new(target, Target::Number)
        };
        from_table(Table::open(path, split, &options)?, &options.target)
    };
    /// A table (CSV, Parquet or Arrow) with a class to predict
    "table-classification" {
        path: PathBuf,
        target: String,
        inputs: Vec<String> = Vec::new(),
        categorical: Vec<String> = Vec::new(),
        ignore: Vec<String> = Vec::new(),
        missing: MissingRules = MissingRules::default(),
        missing_values: Vec<String> = Vec::new(),
        delimiter: char = ',',
        standardize: bool = true,
        test_fraction: Probability = Probability(0.2),
        seed: u64 = 0,
    } => {
        let options = TableOptions {
            inputs, categorical, ignore, missing: missing.default, missing_in: missing.columns,
            missing_values, delimiter, standardize, test_fraction: test_fraction.0, seed,
            ..TableOptions::new(target, Target::Class)
        };
        from_table(Table::open(path, split, &options)?, &options.target)
    };
    /// Images of bytes in NumPy's arrays: an `.npz` archive, or a folder of `.npy` files
    "numpy-images" {
        path: PathBuf,
        inputs: String = "x".to_owned(),
        targets: String = "y".to_owned(),
        layout: ImageLayout = ImageLayout::Grey,
        test_fraction: Probability = Probability(0.2),
        seed: u64 = 0,
        mean: Channels = None,
        std: Channels = None,
    } => {
        let options = NumpyOptions { inputs, targets, test_fraction: test_fraction.0, seed };
        images(datasets::numpy_images(path, split, layout, &options)?, mean, std)
    };
    /// Numbers to predict from the rows of NumPy's arrays
    "numpy-regression" {
        path: PathBuf,
        inputs: String = "x".to_owned(),
        targets: String = "y".to_owned(),
        test_fraction: Probability = Probability(0.2),
        seed: u64 = 0,
    } => {
        let options = NumpyOptions { inputs, targets, test_fraction: test_fraction.0, seed };
        numpy(NumpyTable::open(path, split, Target::Number, &options)?, &options)
    };
    /// Classes to predict from the rows of NumPy's arrays
    "numpy-classification" {
        path: PathBuf,
        inputs: String = "x".to_owned(),
        targets: String = "y".to_owned(),
        test_fraction: Probability = Probability(0.2),
        seed: u64 = 0,
    } => {
        let options = NumpyOptions { inputs, targets, test_fraction: test_fraction.0, seed };
        numpy(NumpyTable::open(path, split, Target::Class, &options)?, &options)
    };
    /// A text file, whose next character is to be predicted; or any file, and its next byte
    "text" {
        path: PathBuf,
        unit: TextUnit = TextUnit::Character,
        block_size: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63),
        stride: NonZeroUsize = block_size,
        test_fraction: Probability = Probability(0.1),
    } => {
        let (block_size, test_fraction) = (block_size.get(), test_fraction.0);
        let stride = Some(stride.get());
        let options = CharTextOptions { block_size, stride, test_fraction };
        let text = match unit {
            TextUnit::Character => CharText::open(path, split, options)?,
            TextUnit::Byte => CharText::open_bytes(path, split, options)?,
        };
        let task = Task::Language { vocabulary: text.vocabulary().iter().collect() };
        let input = Input::Tokens { length: block_size };
        Ok(Data::new(Parts(text), DataSpec { input, task }))
    };
}

/// What a token of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextUnit {
    /// A character that occurs in the text.
    Character,
    /// A byte.
    Byte,
}

words!(TextUnit, "\"character\" or \"byte\"", {
    "character" => TextUnit::Character,
    "byte" => TextUnit::Byte,
});

words!(ImageLayout, "\"hw\" (grey), \"chw\" or \"hwc\"", {
    "hw" => ImageLayout::Grey,
    "chw" => ImageLayout::ChannelsFirst,
    "hwc" => ImageLayout::ChannelsLast,
});

words!(EmnistKind, "\"balanced\", \"byclass\", \"bymerge\", \"letters\", \"digits\" or \"mnist\"", {
    "balanced" => EmnistKind::Balanced,
    "byclass" => EmnistKind::ByClass,
    "bymerge" => EmnistKind::ByMerge,
    "letters" => EmnistKind::Letters,
    "digits" => EmnistKind::Digits,
    "mnist" => EmnistKind::Mnist,
});

/// What becomes of missing values: of all columns, and of single ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MissingRules {
    default: Missing,
    columns: Vec<(String, Missing)>,
}

impl Setting for Missing {
    const WANTED: &'static str =
        "\"error\", \"drop-row\", \"mean\", \"median\", \"category\" or a number to fill in";

    fn read(value: &Value) -> Option<Missing> {
        Some(match value {
            Value::Text(word) => match word.as_str() {
                "error" => Missing::Refuse,
                "drop-row" => Missing::DropRow,
                "mean" => Missing::Mean,
                "median" => Missing::Median,
                "category" => Missing::Category,
                _ => return None,
            },
            number => Missing::Fill(f64::read(number)?),
        })
    }

    fn write(&self) -> Option<Value> {
        let word = match self {
            Missing::Refuse => "error",
            Missing::DropRow => "drop-row",
            Missing::Mean => "mean",
            Missing::Median => "median",
            Missing::Category => "category",
            Missing::Fill(number) => return number.write(),
        };
        word.to_owned().write()
    }
}

/// One rule, or pairs of a column and a rule; `"*"` are all others.
impl Setting for MissingRules {
    const WANTED: &'static str = "\"error\", \"drop-row\", \"mean\", \"median\", \"category\" or a \
                                  number to fill in; or pairs, such as [[\"age\", \"mean\"], [\"*\", 0]]";

    fn read(value: &Value) -> Option<MissingRules> {
        let Value::List(pairs) = value else {
            return Some(MissingRules { default: Missing::read(value)?, columns: Vec::new() });
        };
        let mut rules = MissingRules::default();
        for pair in pairs {
            let Value::List(pair) = pair else { return None };
            let [Value::Text(column), rule] = &pair[..] else { return None };
            match column.as_str() {
                "*" => rules.default = Missing::read(rule)?,
                _ => rules.columns.push((column.clone(), Missing::read(rule)?)),
            }
        }
        Some(rules)
    }

    fn write(&self) -> Option<Value> {
        if self.columns.is_empty() {
            return self.default.write();
        }
        let pair = |column: &str, rule: Missing| {
            Some(Value::List(vec![Value::Text(column.to_owned()), rule.write()?]))
        };
        let pairs = self.columns.iter().map(|(column, rule)| pair(column, *rule));
        Some(Value::List(pairs.chain([pair("*", self.default)]).collect::<Option<_>>()?))
    }
}

fn images(images: LabelledImages, mean: Channels, std: Channels) -> Result<Data> {
    let normalization = normalization(mean, std)?;
    let spec = DataSpec {
        input: Input::image(&images.image_shape(), normalization.as_ref()),
        task: Task::Classification { classes: images.classes().to_vec() },
    };
    Ok(Data::new(Parts(images.normalize(normalization)?), spec))
}

fn image_folder(
    folder: ImageFolder,
    channels: NonZeroUsize,
    in_memory: bool,
    cache: Option<PathBuf>,
    mean: Channels,
    std: Channels,
) -> Result<Data> {
    let normalized = normalization(mean.clone(), std.clone())?;
    let folder = Arc::new(folder.normalize(normalized.clone()));
    // Of images of any size, what the first one becomes is known once it is transformed.
    let size = folder.image_size().unwrap_or(ImageSize { height: 1, width: 1 });
    let spec = DataSpec {
        input: Input::image(&[channels.get(), size.height, size.width], normalized.as_ref()),
        task: Task::Classification { classes: folder.classes().to_vec() },
    };
    if in_memory {
        let lazily = Data::new(Parts(Arc::clone(&folder)), spec);
        let pixels = folder.image_size().map_or(0, |size| size.height.saturating_mul(size.width));
        let needed = pixels.saturating_mul(channels.get()).saturating_mul(folder.len());
        let read = move || {
            if let Some(available) = available_memory().filter(|available| needed > *available) {
                let message = format!(
                    "{}: {} images take {:.1} GB in memory, but the machine has {:.1} GB left; set \
                     `in_memory = false`, and each is read when it is asked for",
                    folder.name(),
                    folder.len(),
                    needed as f64 / 1e9,
                    available as f64 / 1e9
                );
                return Err(Error::new(ErrorKind::Data, message));
            }
            images(folder.in_memory(gradus_tensor::num_threads())?, mean.clone(), std.clone())
        };
        return Ok(lazily.until_read(needed, read));
    }
    Ok(match cache {
        None => Data::new(Parts(folder), spec),
        Some(cache) => Data::new(Parts(folder.cache_on_disk(cache)?), spec),
    })
}

fn from_table(table: Table, target: &str) -> Result<Data> {
    let input = Input::Columns { names: table.columns().to_vec() };
    let task = match table.classes() {
        [] => Task::Regression { target: target.to_owned() },
        classes => Task::Classification { classes: classes.to_vec() },
    };
    Ok(Data::new(Parts(table), DataSpec { input, task }))
}

fn numpy(table: NumpyTable, options: &NumpyOptions) -> Result<Data> {
    let name = |at: usize| format!("{}[{at}]", options.inputs);
    let input = Input::Columns { names: (0..table.width()).map(name).collect() };
    if table.targets() > 1 {
        let message = format!(
            "`targets` is {}, which has {} numbers in each row; give an array of one",
            options.targets,
            table.targets()
        );
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let task = match table.classes() {
        0 => Task::Regression { target: options.targets.clone() },
        classes => Task::Classification { classes: (0..classes).map(|c| c.to_string()).collect() },
    };
    Ok(Data::new(Parts(table), DataSpec { input, task }))
}

fn normalization(mean: Channels, std: Channels) -> Result<Option<Normalization>> {
    let single = |numbers: Vec<f64>| -> Vec<f32> { numbers.iter().map(|&x| x as f32).collect() };
    match (mean, std) {
        (None, None) => Ok(None),
        (Some(mean), Some(std)) => Normalization::new(&single(mean), &single(std)).map(Some),
        _ => {
            let message = "`mean` and `std` belong together; give both or neither";
            Err(Error::new(ErrorKind::Usage, message))
        }
    }
}
