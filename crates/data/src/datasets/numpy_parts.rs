//! Training and test parts of NumPy's arrays, in an `.npz` archive or as `.npy` files of a folder.

use std::path::{Path, PathBuf};

use gradus_tensor::{Error, ErrorKind, Result};

use super::arrays::{open, whole};
use super::{LabelledImages, Target, choose};
use crate::npy::{Elements, NpyArray, npz_names};
use crate::{Array, Dataset, Part, Split};

/// Where the arrays are, and what becomes of them.
#[derive(Clone, Debug, PartialEq)]
pub struct NumpyOptions {
    /// The name of the inputs' array, `x` by default. If there are `x_train` and `x_test`, these are
    /// the parts; from `x` alone, a part is chosen by a seed.
    pub inputs: String,
    /// The name of the targets' array, in the same way: `y` by default.
    pub targets: String,
    /// The share of the rows to test on, if there are no parts: 0.2 by default.
    pub test_fraction: f64,
    /// Decides which rows these are: 0 by default.
    pub seed: u64,
}

impl Default for NumpyOptions {
    fn default() -> NumpyOptions {
        let (inputs, targets) = ("x".to_owned(), "y".to_owned());
        NumpyOptions { inputs, targets, test_fraction: 0.2, seed: 0 }
    }
}

/// The order of the axes of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageLayout {
    /// `[n, height, width]`, grey.
    Grey,
    /// `[n, channels, height, width]`, as PyTorch has them.
    ChannelsFirst,
    /// `[n, height, width, channels]`, as TensorFlow has them.
    ChannelsLast,
}

/// Rows of numbers with a target each, of NumPy's arrays.
///
/// Samples are `(Array<f32> [inputs], Part)`: what a row of the inputs holds, flat; the target being
/// numbers `[targets]` or a label.
#[derive(Clone, Debug)]
pub struct NumpyTable {
    name: String,
    /// `[n, inputs]`.
    inputs: Array<f32>,
    targets: Targets,
    classes: usize,
}

#[derive(Clone, Debug)]
enum Targets {
    /// `[n, targets]`.
    Numbers(Array<f32>),
    /// `[n]`.
    Labels(Array<i64>),
}

impl NumpyTable {
    /// One part of an `.npz` archive, or of a folder of `.npy` files.
    ///
    /// # Errors
    /// If an array is missing or damaged, inputs and targets do not belong together, or a label is
    /// below 0; the message names the file and the array.
    pub fn open(
        path: impl AsRef<Path>,
        split: Split,
        kind: Target,
        options: &NumpyOptions,
    ) -> Result<NumpyTable> {
        let arrays = Arrays::find(path.as_ref(), options)?;
        let Rows { inputs, targets, numbers } = arrays.part(split, options)?;
        let count = inputs.shape[0];
        let (targets, classes) = match kind {
            Target::Number => {
                let width = targets.shape.numel() / count.max(1);
                (Targets::Numbers(Array::new([count, width], real(targets.elements))?), 0)
            }
            Target::Class => {
                let (labels, classes) = arrays.labels(targets, options)?;
                (Targets::Labels(labels), classes)
            }
        };
        let width = inputs.shape.numel() / count.max(1);
        let inputs = Array::new([count, width], real(inputs.elements))?;
        if let Some(at) = inputs.data().iter().position(|x| !x.is_finite()) {
            let message = format!(
                "{}: element {} of row {} is {}; replace it, or leave the row out",
                arrays.name(&options.inputs, split),
                at % width,
                numbers.map_or(at / width, |numbers| numbers[at / width]),
                inputs.data()[at]
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        let file = arrays.path.file_name().unwrap_or(arrays.path.as_os_str()).to_string_lossy();
        Ok(NumpyTable { name: format!("{file} ({split})"), inputs, targets, classes })
    }

    /// The number of inputs.
    pub fn width(&self) -> usize {
        self.inputs.shape()[1]
    }

    /// How many numbers are to be predicted; 0 for a class.
    pub fn targets(&self) -> usize {
        match &self.targets {
            Targets::Numbers(numbers) => numbers.shape()[1],
            Targets::Labels(_) => 0,
        }
    }

    /// The number of classes: one more than the largest label of both parts; 0 for numbers.
    pub fn classes(&self) -> usize {
        self.classes
    }
}

impl Dataset for NumpyTable {
    type Item = (Array<f32>, Part);

    fn len(&self) -> usize {
        self.inputs.shape()[0]
    }

    fn get(&self, index: usize) -> Result<Self::Item> {
        let target = match &self.targets {
            Targets::Numbers(numbers) => Part::Floats(numbers.row(index)),
            Targets::Labels(labels) => Part::Label(labels.data()[index]),
        };
        Ok((self.inputs.row(index), target))
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Images of NumPy's arrays, of bytes, with a label each: one part of an `.npz` archive, or of a folder
/// of `.npy` files. Labels are 0 or more; the classes are called by their numbers.
///
/// # Errors
/// As [`NumpyTable::open`], or if the inputs are not bytes or not as the layout says.
pub fn numpy_images(
    path: impl AsRef<Path>,
    split: Split,
    layout: ImageLayout,
    options: &NumpyOptions,
) -> Result<LabelledImages> {
    let arrays = Arrays::find(path.as_ref(), options)?;
    let Rows { inputs, targets, .. } = arrays.part(split, options)?;
    let (labels, classes) = arrays.labels(targets, options)?;
    let wrong = |why: String| {
        let name = arrays.name(&options.inputs, split);
        Err(Error::new(ErrorKind::Data, format!("{name}: {why}")))
    };
    let Elements::Bytes(pixels) = inputs.elements else {
        return wrong("images are bytes (uint8), and these are not; convert them".to_owned());
    };
    let (sizes, pixels) = match (layout, &inputs.shape[..]) {
        (ImageLayout::Grey, &[n, h, w]) => ([n, 1, h, w], pixels),
        (ImageLayout::ChannelsFirst, &[n, c @ (1 | 3), h, w]) => ([n, c, h, w], pixels),
        (ImageLayout::ChannelsLast, &[n, h, w, c @ (1 | 3)]) => {
            let mut planes = Vec::with_capacity(pixels.len());
            for image in pixels.chunks_exact((h * w * c).max(1)) {
                (0..c).for_each(|of| planes.extend(image.iter().skip(of).step_by(c)));
            }
            ([n, c, h, w], planes)
        }
        (_, shape) => {
            let why =
                format!("an image of shape {:?} is not of the layout {layout:?}", &shape[1..]);
            return wrong(why);
        }
    };
    let file = arrays.path.file_name().unwrap_or(arrays.path.as_os_str()).to_string_lossy();
    Ok(LabelledImages::new(
        format!("{file} ({split})"),
        Array::new(sizes, pixels)?,
        255,
        labels,
        (0..classes).map(|class| class.to_string()).collect(),
    ))
}

/// The rows of a part.
struct Rows {
    inputs: NpyArray,
    targets: NpyArray,
    /// Which they are in the file, unless it holds them alone.
    numbers: Option<Vec<usize>>,
}

/// Where arrays of certain names are.
struct Arrays {
    path: PathBuf,
    /// Whether it is a folder of `.npy` files.
    folder: bool,
    /// Whether there are parts of their own.
    parts: bool,
}

impl Arrays {
    fn find(path: &Path, options: &NumpyOptions) -> Result<Arrays> {
        let folder = path.is_dir();
        let names: Vec<String> = if folder {
            let failed = |e| Error::new(ErrorKind::Io, format!("{}: {e}", path.display()));
            let files = std::fs::read_dir(path).map_err(failed)?;
            let stem = |name: std::ffi::OsString| {
                name.to_str().and_then(|name| name.strip_suffix(".npy")).map(str::to_owned)
            };
            files.filter_map(|file| file.ok().and_then(|file| stem(file.file_name()))).collect()
        } else {
            npz_names(&super::arrays::bytes(path)?).map_err(|why| {
                Error::new(ErrorKind::Format, format!("{}: {why}", path.display()))
            })?
        };
        let has = |name: &str| names.iter().any(|known| known == name);
        let all = |parts: &[Split]| {
            [&options.inputs, &options.targets]
                .iter()
                .all(|of| parts.iter().all(|part| has(&format!("{of}_{part}"))))
        };
        let parts = all(&[Split::Train, Split::Test]);
        let whole = has(&options.inputs) && has(&options.targets);
        if !parts && !whole {
            let mut names = names;
            names.sort_unstable();
            let (x, y) = (&options.inputs, &options.targets);
            let message = format!(
                "{}: there are neither {x} and {y} in it, nor {x}_train, {y}_train, {x}_test and \
                 {y}_test, but {}; give the names of the arrays",
                path.display(),
                if names.is_empty() { "no arrays".to_owned() } else { names.join(", ") }
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(Arrays { path: path.to_owned(), folder, parts })
    }

    /// What messages call an array.
    fn name(&self, of: &str, split: Split) -> String {
        let array = if self.parts { format!("{of}_{split}") } else { of.to_owned() };
        format!("{}, {array}", self.path.display())
    }

    fn read(&self, of: &str, split: Split) -> Result<NpyArray> {
        let array = if self.parts { format!("{of}_{split}") } else { of.to_owned() };
        match self.folder {
            true => open(&self.path.join(format!("{array}.npy")), None),
            false => open(&self.path, Some(&array)),
        }
    }

    /// The inputs and targets of a part.
    fn part(&self, split: Split, options: &NumpyOptions) -> Result<Rows> {
        let inputs = self.read(&options.inputs, split)?;
        let targets = self.read(&options.targets, split)?;
        if inputs.shape.is_empty() || inputs.shape.first() != targets.shape.first() {
            let message = format!(
                "{} has the shape {} and {} {}; give [n, …] and [n] or [n, …]",
                self.name(&options.inputs, split),
                inputs.shape,
                self.name(&options.targets, split),
                targets.shape
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        if self.parts {
            return Ok(Rows { inputs, targets, numbers: None });
        }
        let chosen = choose(inputs.shape[0], options.test_fraction, options.seed, split);
        let chosen =
            chosen.map_err(|e| e.context(format_args!("{}, rows", self.path.display())))?;
        let (inputs, targets) = (inputs.select(&chosen), targets.select(&chosen));
        Ok(Rows { inputs, targets, numbers: Some(chosen) })
    }

    /// Labels `[n]`, and the number of classes of both parts.
    fn labels(&self, targets: NpyArray, options: &NumpyOptions) -> Result<(Array<i64>, usize)> {
        let of = |targets: NpyArray, split: Split| -> Result<Vec<i64>> {
            let name = self.name(&options.targets, split);
            let wrong = |why: String| Error::new(ErrorKind::Data, format!("{name}: {why}"));
            let count = targets.shape.first().copied().unwrap_or(0);
            if targets.shape.numel() != count {
                let shape = targets.shape;
                return Err(wrong(format!("labels have the shape [n] or [n, 1], not {shape}")));
            }
            let labels = whole(targets.elements).map_err(|(at, x)| {
                wrong(format!("element {at} is {x}, but labels are whole numbers"))
            })?;
            match labels.iter().position(|label| !(0..MOST_CLASSES).contains(label)) {
                None => Ok(labels),
                Some(at) => Err(wrong(format!(
                    "the label of row {at} is {}; labels count from 0, and are below {MOST_CLASSES}",
                    labels[at]
                ))),
            }
        };
        // Of parts or of the whole, every label counts.
        let splits: &[Split] =
            if self.parts { &[Split::Train, Split::Test] } else { &[Split::Train] };
        let mut classes = 0;
        for &split in splits {
            let labels = of(self.read(&options.targets, split)?, split)?;
            classes = labels.into_iter().fold(classes, |most, label| most.max(label + 1));
        }
        let labels = of(targets, Split::Train)?;
        Ok((Array::new([labels.len()], labels)?, classes as usize))
    }
}

/// A label above is no label.
const MOST_CLASSES: i64 = 1 << 20;

fn real(elements: Elements) -> Vec<f32> {
    match elements {
        Elements::Bytes(bytes) => bytes.into_iter().map(f32::from).collect(),
        Elements::Whole(numbers) => numbers.into_iter().map(|x| x as f32).collect(),
        Elements::Real(numbers) => numbers,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// An `.npy` file.
    fn npy(dtype: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
        let header = format!("{header:<117}\n");
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), elements].concat()
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str, files: &[(&str, Vec<u8>)]) -> Folder {
            let name = format!("gradus-numpy-{test}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            let folder = Folder(path);
            files.iter().for_each(|(name, content)| folder.write(name, content));
            folder
        }
        fn write(&self, name: &str, content: &[u8]) {
            fs::write(self.0.join(format!("{name}.npy")), content).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn floats(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn parts_are_arrays_or_chosen() {
        let numbers: Vec<f32> = (0..20).map(|i| i as f32 / 2.0).collect();
        let x = npy("<f4", "(10, 1, 2)", &floats(&numbers));
        let y = npy("|u1", "(10,)", &[0, 1, 2, 0, 1, 2, 0, 1, 2, 4]);
        let folder = Folder::new("chosen", &[("x", x.clone()), ("y", y.clone())]);
        let options = NumpyOptions::default();
        let open = |split, kind| NumpyTable::open(&folder.0, split, kind, &options);
        let (train, test) =
            (open(Split::Train, Target::Class).unwrap(), open(Split::Test, Target::Class).unwrap());
        assert_eq!((train.len(), test.len(), train.width()), (8, 2, 2));
        // A class may be in one part alone.
        assert_eq!((train.classes(), test.classes()), (5, 5));
        let mut seen = Vec::new();
        for part in [&train, &test] {
            for index in 0..part.len() {
                let (input, Part::Label(label)) = part.get(index).unwrap() else { panic!() };
                let row = input.data()[0] as usize;
                assert_eq!(input.data()[1], row as f32 + 0.5);
                assert_eq!(label, if row == 9 { 4 } else { row as i64 % 3 });
                seen.push(row);
            }
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..10));
        let regression = open(Split::Test, Target::Number).unwrap();
        assert_eq!(regression.classes(), 0);
        assert!(matches!(regression.get(0).unwrap().1, Part::Floats(y) if y.shape()[..] == [1]));
        // Where there are parts, they are taken.
        for name in ["x_train", "x_test", "y_train", "y_test"] {
            folder.write(name, if name.starts_with('x') { &x } else { &y });
        }
        assert_eq!(open(Split::Test, Target::Class).unwrap().len(), 10);
    }

    #[test]
    fn images_are_channel_by_channel() {
        // Two images of 2×1 with three channels.
        let hwc: Vec<u8> = (0..12).collect();
        let y = npy("<i8", "(2, 1)", &[[1u8, 0, 0, 0, 0, 0, 0, 0], [0; 8]].concat());
        let x = npy("|u1", "(2, 2, 1, 3)", &hwc);
        let folder = Folder::new("images", &[("x", x), ("y", y)]);
        let options = NumpyOptions { test_fraction: 0.5, ..NumpyOptions::default() };
        let open = |layout| numpy_images(&folder.0, Split::Train, layout, &options);
        let images = open(ImageLayout::ChannelsLast).unwrap();
        let (image, label) = images.get(0).unwrap();
        assert_eq!(image.pixels().shape()[..], [3, 2, 1]);
        let first = if label == 1 { 0 } else { 6 };
        let planes: Vec<u8> = [0, 3, 1, 4, 2, 5].iter().map(|at| at + first).collect();
        assert_eq!((image.pixels().data(), images.classes().len()), (&planes[..], 2));
        let error = open(ImageLayout::Grey).unwrap_err().to_string();
        assert!(error.contains("an image of shape [2, 1, 3] is not of the layout Grey"), "{error}");
        folder.write("x", &npy("|u1", "(2, 2, 3)", &hwc));
        let grey = open(ImageLayout::Grey).unwrap();
        assert_eq!(grey.image_shape()[..], [1, 2, 3]);
    }

    #[test]
    fn what_is_wrong_names_file_and_array() {
        let x = npy("<f4", "(2,)", &floats(&[1.0, f32::NAN]));
        let folder = Folder::new("wrong", &[("x", x)]);
        let options = NumpyOptions::default();
        let error = |kind| {
            let open = NumpyTable::open(&folder.0, Split::Train, kind, &options);
            open.unwrap_err().message().to_owned()
        };
        assert!(error(Target::Class).contains("neither x and y in it, nor x_train"));
        folder.write("y", &npy("|i1", "(2,)", &[255, 255]));
        assert!(error(Target::Class).contains(", y: the label of row 0 is -1; labels count"));
        folder.write("y", &npy("<f4", "(2,)", &floats(&[0.5, 1.0])));
        assert!(error(Target::Class).contains(", y: element 0 is 0.5, but labels are whole"));
        folder.write("y", &npy("<f4", "(3,)", &floats(&[0.5, 1.0, 2.0])));
        assert!(
            error(Target::Number).contains("x has the shape [2] and"),
            "{}",
            error(Target::Number)
        );
        for name in ["x", "y"] {
            folder.write(&format!("{name}_train"), &npy("<f4", "(2,)", &floats(&[1.0, f32::NAN])));
            folder.write(&format!("{name}_test"), &npy("<f4", "(1,)", &floats(&[1.0])));
        }
        let message = error(Target::Number);
        assert!(message.contains("x_train: element 0 of row 1 is NaN"), "{message}");
        assert!(matches!(fs::remove_file(folder.0.join("y.npy")), Ok(())));
    }
}
