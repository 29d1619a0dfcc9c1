//! Some of the samples.

use gradus_tensor::Result;

use super::misuse;
use crate::{Dataset, Identity};

/// The samples of a dataset with these numbers, in this order.
#[derive(Clone, Debug)]
pub struct Subset<D> {
    dataset: D,
    indices: Vec<usize>,
}

impl<D: Dataset> Subset<D> {
    /// The samples with these numbers, in this order; repetitions are allowed.
    ///
    /// # Errors
    /// If there is no such sample.
    pub fn new(dataset: D, indices: Vec<usize>) -> Result<Subset<D>> {
        let len = dataset.len();
        if let Some(index) = indices.iter().find(|index| **index >= len) {
            let name = dataset.name();
            return Err(misuse(format!(
                "{name}: there is no sample {index}, only 0 to {len} (excluded)"
            )));
        }
        Ok(Subset { dataset, indices })
    }

    /// The numbers that the samples have in the whole.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    type Item = D::Item;

    fn len(&self) -> usize {
        self.indices.len()
    }

    fn get(&self, index: usize) -> Result<D::Item> {
        self.dataset.get(self.indices[index])
    }

    fn visit(&self, index: usize, epoch: u64) -> Result<D::Item> {
        self.dataset.visit(self.indices[index], epoch)
    }

    fn describe(&self, index: usize) -> String {
        self.dataset.describe(self.indices[index])
    }

    fn name(&self) -> String {
        self.dataset.name()
    }

    fn identify(&self, identity: &mut Identity) {
        self.dataset.identify(identity);
        self.indices.iter().for_each(|index| identity.add(index.to_le_bytes()));
    }
}
