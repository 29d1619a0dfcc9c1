//! Arrays of NumPy.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use gradus_tensor::{Error, ErrorKind};

use crate::npy::{Elements, NpyArray, read_npy, read_npz};
use crate::{Array, Dataset};

type Result<T, E = Error> = std::result::Result<T, E>;

/// Files above 8 GB are refused.
const LARGEST: u64 = 8 << 30;

/// An array of an `.npy` file, or with a key one of an `.npz` archive, as numbers.
///
/// # Errors
/// If there is none, it is damaged, or its elements are no numbers.
pub fn read_numpy(path: &Path, key: Option<&str>) -> Result<Array<f32>> {
    let NpyArray { shape, elements } = open(path, key)?;
    let numbers = match elements {
        Elements::Bytes(bytes) => bytes.into_iter().map(f32::from).collect(),
        Elements::Whole(numbers) => numbers.into_iter().map(|x| x as f32).collect(),
        Elements::Real(numbers) => numbers,
    };
    Array::new(shape, numbers)
}

/// As [`read_numpy`], as whole numbers.
///
/// # Errors
/// As [`read_numpy`], or if an element is not a whole number.
pub fn read_numpy_labels(path: &Path, key: Option<&str>) -> Result<Array<i64>> {
    let NpyArray { shape, elements } = open(path, key)?;
    let labels = whole(elements).map_err(|(at, x)| {
        let message =
            format!("{}: element {at} is {x}, but labels are whole numbers", path.display());
        Error::new(ErrorKind::Data, message)
    })?;
    Array::new(shape, labels)
}

/// The elements as whole numbers, or the first that is none.
pub(super) fn whole(elements: Elements) -> Result<Vec<i64>, (usize, f32)> {
    Ok(match elements {
        Elements::Bytes(bytes) => bytes.into_iter().map(i64::from).collect(),
        Elements::Whole(numbers) => numbers,
        Elements::Real(numbers) => {
            if let Some(at) = numbers.iter().position(|x| x.fract() != 0.0) {
                return Err((at, numbers[at]));
            }
            numbers.into_iter().map(|x| x as i64).collect()
        }
    })
}

/// The content of a file.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)).map_err(|e| {
        Error::new(ErrorKind::Io, format!("{}: {e}; check the path", path.display()))
    })?;
    Ok(bytes)
}

pub(super) fn open(path: &Path, key: Option<&str>) -> Result<NpyArray> {
    let bytes = bytes(path)?;
    let array = match key {
        Some(key) => read_npz(&bytes, key),
        None if bytes.starts_with(b"PK") => {
            Err("an .npz archive: say which array of it".to_owned())
        }
        None => read_npy(&bytes),
    };
    array.map_err(|why| Error::new(ErrorKind::Format, format!("{}: {why}", path.display())))
}

/// Rows of an array of inputs, each with its label: samples `(Array<f32>, i64)`.
#[derive(Clone, Debug)]
pub struct NumpyRows {
    path: PathBuf,
    inputs: Array<f32>,
    labels: Array<i64>,
}

impl NumpyRows {
    /// The inputs `[n, …]` and labels `[n]` under these keys of an `.npz` archive.
    ///
    /// # Errors
    /// If one is missing or damaged, or they do not belong together.
    pub fn open(path: impl AsRef<Path>, inputs: &str, labels: &str) -> Result<NumpyRows> {
        let path = path.as_ref();
        let x = read_numpy(path, Some(inputs))?;
        let y = read_numpy_labels(path, Some(labels))?;
        if x.shape().is_empty() || y.shape()[..] != x.shape()[..1] {
            let message = format!(
                "{}: {inputs} has the shape {} and {labels} {}; give [n, …] and [n]",
                path.display(),
                x.shape(),
                y.shape()
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(NumpyRows { path: path.to_owned(), inputs: x, labels: y })
    }
}

impl Dataset for NumpyRows {
    type Item = (Array<f32>, i64);

    fn len(&self) -> usize {
        self.labels.data().len()
    }

    fn get(&self, index: usize) -> Result<(Array<f32>, i64)> {
        Ok((self.inputs.row(index), self.labels.data()[index]))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}
