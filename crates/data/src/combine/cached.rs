//! Samples kept in memory.

use std::sync::OnceLock;

use gradus_tensor::Result;

use crate::{Dataset, Identity};

/// A dataset that keeps every sample it has handed out.
#[derive(Debug)]
pub struct Cached<D: Dataset> {
    dataset: D,
    samples: Vec<OnceLock<D::Item>>,
}

impl<D: Dataset> Cached<D> {
    pub(super) fn new(dataset: D) -> Cached<D> {
        let samples = (0..dataset.len()).map(|_| OnceLock::new()).collect();
        Cached { dataset, samples }
    }
}

impl<D> Dataset for Cached<D>
where
    D: Dataset,
    D::Item: Clone + Sync,
{
    type Item = D::Item;

    fn len(&self) -> usize {
        self.samples.len()
    }

    fn get(&self, index: usize) -> Result<D::Item> {
        let slot = &self.samples[index];
        if let Some(sample) = slot.get() {
            return Ok(sample.clone());
        }
        // Two threads may both fetch it; they fetch the same. An error is not kept.
        let sample = self.dataset.get(index)?;
        Ok(slot.get_or_init(|| sample).clone())
    }

    fn describe(&self, index: usize) -> String {
        self.dataset.describe(index)
    }

    fn name(&self) -> String {
        self.dataset.name()
    }

    fn identify(&self, identity: &mut Identity) {
        self.dataset.identify(identity);
    }
}
