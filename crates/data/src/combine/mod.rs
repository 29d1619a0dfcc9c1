//! Datasets made of other datasets: parts, sums, changed samples.
//!
//! Every combinator passes the epoch on, so that augmentation below it stays fresh.

mod cached;
mod collated;
mod concat;
mod disk_cache;
mod map;
mod split;
mod stored;
mod subset;

pub use cached::Cached;
pub use collated::{Collated, ToCollate};
pub use concat::Concat;
pub use disk_cache::DiskCached;
pub use map::Map;
pub use split::{k_fold, random_split, stratified_split};
pub use stored::Store;
pub use subset::Subset;

use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};

use crate::{Collate, Dataset};

/// What can be made of any dataset.
///
/// ```
/// use gradus_data::{Combine, Dataset, Split, datasets};
///
/// let digits = datasets::digits(Split::Train);
/// let even = digits.clone().filter(|(_, label)| label % 2 == 0)?;
/// let halves = even.map(|(image, label)| Ok((image, label / 2)));
/// assert!(halves.get(0)?.1 < 5);
/// let both = digits.clone().concat(digits)?;
/// assert_eq!(both.len(), 2 * 1437);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub trait Combine: Dataset + Sized {
    /// The samples with these numbers, in this order; repetitions are allowed.
    ///
    /// # Errors
    /// If there is no such sample.
    fn subset(self, indices: Vec<usize>) -> Result<Subset<Self>> {
        Subset::new(self, indices)
    }

    /// The samples for which `keep` holds. Each is looked at once, now.
    ///
    /// # Errors
    /// That of a sample that cannot be had.
    fn filter(self, keep: impl Fn(&Self::Item) -> bool) -> Result<Subset<Self>> {
        let mut indices = Vec::new();
        for index in 0..self.len() {
            let named = |e: Error| e.context(format_args!("{}: sample {index}", self.name()));
            if keep(&self.get(index).map_err(named)?) {
                indices.push(index);
            }
        }
        Subset::new(self, indices)
    }

    /// These samples, then the others'. Datasets of different types can be joined as
    /// `Arc<dyn Dataset<Item = …>>`.
    ///
    /// # Errors
    /// If there are more of them than can be counted.
    fn concat(self, other: Self) -> Result<Concat<Self>> {
        Concat::new(vec![self, other])
    }

    /// Each sample changed by `change`, whenever it is asked for.
    fn map<T, F>(self, change: F) -> Map<Self, F>
    where
        T: Collate,
        F: Fn(Self::Item) -> Result<T> + Send + Sync,
    {
        Map::new(self, change)
    }

    /// Keeps every sample in memory from the first time on. What is random (augmentation) belongs
    /// after it, not before: a sample is kept as epoch 0 sees it.
    fn cached(self) -> Cached<Self>
    where
        Self::Item: Clone + Sync,
    {
        Cached::new(self)
    }

    /// Keeps every sample in a file of `folder` from the first time on, for later runs too. The file
    /// belongs to datasets of the same [identity](Dataset::identify); several processes may use it
    /// at once, and what a kill or a bad disk has damaged is made again, which is said on the
    /// standard error. What is random belongs after it, as with [`cached`](Combine::cached).
    ///
    /// ```no_run
    /// use gradus_data::datasets::{ImageFolder, ImageFolderOptions};
    /// use gradus_data::{Combine, DataLoader, Split};
    ///
    /// let photos = ImageFolder::open("photos", Split::Train, ImageFolderOptions::default())?;
    /// let loader = DataLoader::new(photos.cache_on_disk("cache")?).workers(2);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the file cannot be made or opened.
    fn cache_on_disk(self, folder: impl AsRef<Path>) -> Result<DiskCached<Self>>
    where
        Self::Item: Store,
    {
        DiskCached::new(self, folder.as_ref())
    }

    /// Makes batches by a function of the samples and their numbers. For a type of sample of your own,
    /// [`Collate`] does the same.
    ///
    /// ```
    /// use gradus_data::{Combine, DataLoader, Split, datasets};
    ///
    /// let digits = datasets::digits(Split::Test);
    /// let loader = DataLoader::new(digits.collate_with(|samples, _| {
    ///     let labels: Vec<i64> = samples.iter().map(|(_, label)| *label).collect();
    ///     Ok((labels.len(), labels.into_iter().max()))
    /// }));
    /// let (count, largest) = loader.batch_size(100).into_iter().next().unwrap()?;
    /// assert_eq!((count, largest), (100, Some(9)));
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    fn collate_with<B, F>(self, collate: F) -> Collated<Self, F>
    where
        B: Send,
        F: Fn(Vec<Self::Item>, &[usize]) -> Result<B> + Send + Sync,
    {
        Collated::new(self, collate)
    }
}

impl<D: Dataset> Combine for D {}

/// An error of an option that makes no sense.
fn misuse(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}
