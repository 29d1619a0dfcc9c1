//! Datasets one after the other.

use gradus_tensor::Result;

use super::misuse;
use crate::{Dataset, Identity};

/// The samples of several datasets, one after the other.
#[derive(Clone, Debug)]
pub struct Concat<D> {
    parts: Vec<D>,
    /// The number of the first sample after each part.
    ends: Vec<usize>,
}

impl<D: Dataset> Concat<D> {
    /// The parts in this order.
    ///
    /// # Errors
    /// If there are none, or more samples than can be counted.
    pub fn new(parts: Vec<D>) -> Result<Concat<D>> {
        if parts.is_empty() {
            return Err(misuse("Concat: there is no dataset; give at least one".to_owned()));
        }
        let mut ends = Vec::with_capacity(parts.len());
        let mut end = 0usize;
        for part in &parts {
            end = end
                .checked_add(part.len())
                .ok_or_else(|| misuse("Concat: more samples than can be counted".to_owned()))?;
            ends.push(end);
        }
        Ok(Concat { parts, ends })
    }

    /// The part that a sample is in, and its number there.
    fn find(&self, index: usize) -> (&D, usize) {
        let part = self.ends.partition_point(|end| *end <= index);
        let start = if part == 0 { 0 } else { self.ends[part - 1] };
        (&self.parts[part], index - start)
    }
}

impl<D: Dataset> Dataset for Concat<D> {
    type Item = D::Item;

    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn get(&self, index: usize) -> Result<D::Item> {
        let (part, index) = self.find(index);
        part.get(index)
    }

    fn visit(&self, index: usize, epoch: u64) -> Result<D::Item> {
        let (part, index) = self.find(index);
        part.visit(index, epoch)
    }

    fn describe(&self, index: usize) -> String {
        let (part, index) = self.find(index);
        part.describe(index)
    }

    fn name(&self) -> String {
        let names: Vec<String> = self.parts.iter().map(Dataset::name).collect();
        names.join(" + ")
    }

    fn identify(&self, identity: &mut Identity) {
        self.parts.iter().for_each(|part| part.identify(identity));
    }
}
