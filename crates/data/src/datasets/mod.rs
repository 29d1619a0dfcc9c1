//! The datasets that come with Gradus, and the one table that lists them.

mod digits;
mod fashion_mnist;
mod idx_folder;
mod labelled_images;
mod mnist;

use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};

pub use digits::digits;
pub use fashion_mnist::fashion_mnist;
pub use labelled_images::LabelledImages;
pub use mnist::mnist;

use crate::Split;

/// Every dataset known by name: command line, help and documentation are made from this table.
///
/// ```
/// use gradus_data::{Dataset, Split, datasets};
///
/// let digits = datasets::named("digits")?.open(None, Split::Test)?;
/// assert_eq!(digits.len(), 360);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub const DATASETS: &[DatasetInfo] = &[digits::INFO, mnist::INFO, fashion_mnist::INFO];

/// A row of the [table of datasets](DATASETS).
#[derive(Debug)]
pub struct DatasetInfo {
    /// The name, as written on the command line.
    pub name: &'static str,
    /// What it is, in half a line.
    pub about: &'static str,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Embedded(fn(Split) -> LabelledImages),
    Folder(fn(&Path, Split) -> Result<LabelledImages>),
}

impl DatasetInfo {
    /// Whether the dataset is read from a folder; otherwise it is built in.
    pub fn needs_folder(&self) -> bool {
        matches!(self.source, Source::Folder(_))
    }

    /// One part of the dataset, read from `folder` if it [needs one](DatasetInfo::needs_folder).
    ///
    /// # Errors
    /// If the folder is missing or superfluous, or its files are missing or damaged.
    pub fn open(&self, folder: Option<&Path>, split: Split) -> Result<LabelledImages> {
        let usage = |text| Err(Error::new(ErrorKind::Usage, format!("{}: {text}", self.name)));
        match (&self.source, folder) {
            (Source::Embedded(make), None) => Ok(make(split)),
            (Source::Folder(open), Some(folder)) => open(folder, split),
            (Source::Embedded(_), Some(_)) => usage("this dataset is built in; give no folder"),
            (Source::Folder(_), None) => usage("give the folder that holds this dataset's files"),
        }
    }
}

/// The dataset called `name`.
///
/// # Errors
/// If there is none; the message lists those that are.
pub fn named(name: &str) -> Result<&'static DatasetInfo> {
    DATASETS.iter().find(|info| info.name == name).ok_or_else(|| {
        let names: Vec<&str> = DATASETS.iter().map(|info| info.name).collect();
        let text = format!("no dataset is called {name:?}; there are {}", names.join(", "));
        Error::new(ErrorKind::Usage, text)
    })
}
