//! Batches made by a function.

use std::sync::Arc;

use gradus_tensor::Result;

use crate::{Collate, Dataset, Identity};

/// A dataset whose batches are made by a function.
#[derive(Clone, Debug)]
pub struct Collated<D, F> {
    dataset: D,
    collate: Arc<F>,
}

/// A sample, and the function that will make a batch of it and others.
#[derive(Debug)]
pub struct ToCollate<T, F> {
    sample: T,
    collate: Arc<F>,
}

impl<D, F> Collated<D, F> {
    pub(super) fn new(dataset: D, collate: F) -> Collated<D, F> {
        Collated { dataset, collate: Arc::new(collate) }
    }

    fn wrapped<T>(&self, sample: T) -> ToCollate<T, F> {
        ToCollate { sample, collate: Arc::clone(&self.collate) }
    }
}

impl<D, B, F> Dataset for Collated<D, F>
where
    D: Dataset,
    B: Send,
    F: Fn(Vec<D::Item>, &[usize]) -> Result<B> + Send + Sync,
{
    type Item = ToCollate<D::Item, F>;

    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn get(&self, index: usize) -> Result<Self::Item> {
        Ok(self.wrapped(self.dataset.get(index)?))
    }

    fn visit(&self, index: usize, epoch: u64) -> Result<Self::Item> {
        Ok(self.wrapped(self.dataset.visit(index, epoch)?))
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

impl<T, B, F> Collate for ToCollate<T, F>
where
    T: Send,
    B: Send,
    F: Fn(Vec<T>, &[usize]) -> Result<B> + Send + Sync,
{
    type Batch = B;

    fn collate(samples: Vec<Self>, indices: &[usize]) -> Result<B> {
        let collate = samples.first().map(|first| Arc::clone(&first.collate));
        let samples: Vec<T> = samples.into_iter().map(|bound| bound.sample).collect();
        match collate {
            Some(collate) => collate(samples, indices),
            None => Err(super::misuse("a batch needs at least one sample".to_owned())),
        }
    }
}
