//! The trait that users implement.

use std::fmt;
use std::sync::Arc;

use gradus_tensor::Result;

use crate::{Collate, Identity};

/// Samples that can be had by number, from any thread and in any order.
///
/// `get` is called from the loader's workers: it opens, decodes and returns one sample. Called
/// twice with the same index it should return the same sample. Its errors, and its panics, reach
/// the training loop as errors that name the dataset and the sample.
///
/// The sample is any type that [`Collate`] can put into a batch; `(Image, i64)`, `(Vec<f32>, f32)`
/// and `(Array<f32>, Array<f32>)` need no further code. An example stands at the [crate's
/// root](crate).
pub trait Dataset: Send + Sync {
    /// One sample.
    type Item: Collate;

    /// The number of samples.
    fn len(&self) -> usize;

    /// The sample `index`, in `0..len`.
    ///
    /// # Errors
    /// Whatever makes the sample unusable; there is no need to name it in the message.
    fn get(&self, index: usize) -> Result<Self::Item>;

    /// The sample `index` as epoch `epoch` sees it: what the loader asks for. By default it is
    /// [`get`](Dataset::get), the same in every epoch; [augmentation](crate::transforms) makes it
    /// another one. A sample that [weighted](crate::DataLoader::weighted) draws bring back in the
    /// same epoch sees `epoch` + 2³² the second time, and so on, so that it is augmented afresh.
    /// Called twice with the same numbers it must return the same sample.
    ///
    /// # Errors
    /// As [`get`](Dataset::get).
    fn visit(&self, index: usize, epoch: u64) -> Result<Self::Item> {
        let _ = epoch;
        self.get(index)
    }

    /// What reports call the sample `index`, such as the path of its file: by default, its number.
    fn describe(&self, index: usize) -> String {
        format!("sample {index}")
    }

    /// What error messages call this dataset: by default, the name of its type.
    fn name(&self) -> String {
        std::any::type_name::<Self>().to_string()
    }

    /// Adds what the samples depend on: a [cache on disk](crate::Combine::cache_on_disk) is used by
    /// datasets that add the same. By default, the name of the type and of the dataset, and what
    /// each sample is called. Where samples come from files that may change, add sizes and times.
    fn identify(&self, identity: &mut Identity) {
        identity.add(std::any::type_name::<Self>());
        identity.add(self.name());
        (0..self.len()).for_each(|index| identity.add(self.describe(index)));
    }

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A dataset that several loaders share.
impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    type Item = D::Item;

    fn len(&self) -> usize {
        (**self).len()
    }
    fn get(&self, index: usize) -> Result<D::Item> {
        (**self).get(index)
    }
    fn visit(&self, index: usize, epoch: u64) -> Result<D::Item> {
        (**self).visit(index, epoch)
    }
    fn describe(&self, index: usize) -> String {
        (**self).describe(index)
    }
    fn name(&self) -> String {
        (**self).name()
    }
    fn identify(&self, identity: &mut Identity) {
        (**self).identify(identity);
    }
}

/// Which part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// The samples to learn from.
    Train,
    /// The samples that training never sees.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Split::Train => "train",
            Split::Test => "test",
        })
    }
}
