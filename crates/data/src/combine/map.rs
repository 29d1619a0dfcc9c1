//! Changed samples.

use gradus_tensor::Result;

use crate::{Collate, Dataset, Identity};

/// A dataset whose samples are changed whenever they are asked for.
#[derive(Clone, Debug)]
pub struct Map<D, F> {
    dataset: D,
    change: F,
}

impl<D, F> Map<D, F> {
    pub(super) fn new(dataset: D, change: F) -> Map<D, F> {
        Map { dataset, change }
    }
}

impl<D, T, F> Dataset for Map<D, F>
where
    D: Dataset,
    T: Collate,
    F: Fn(D::Item) -> Result<T> + Send + Sync,
{
    type Item = T;

    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn get(&self, index: usize) -> Result<T> {
        (self.change)(self.dataset.get(index)?)
    }

    fn visit(&self, index: usize, epoch: u64) -> Result<T> {
        (self.change)(self.dataset.visit(index, epoch)?)
    }

    fn describe(&self, index: usize) -> String {
        self.dataset.describe(index)
    }

    fn name(&self) -> String {
        self.dataset.name()
    }

    fn identify(&self, identity: &mut Identity) {
        self.dataset.identify(identity);
        // The function itself cannot be told from another at its place.
        identity.add(std::any::type_name::<F>());
    }
}
