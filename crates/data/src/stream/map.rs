//! Streams whose samples are changed by the threads that assemble batches.

use std::sync::Arc;

use gradus_tensor::Result;

use super::{Samples, Stream};
use crate::Collate;

/// A stream whose samples are changed when they are put into a batch.
pub struct StreamMap<S, F> {
    stream: S,
    change: Arc<F>,
}

/// A sample, and what will be done to it.
pub struct ToChange<T, F> {
    sample: T,
    change: Arc<F>,
}

impl<S, F> StreamMap<S, F> {
    pub(super) fn new(stream: S, change: F) -> StreamMap<S, F> {
        StreamMap { stream, change: Arc::new(change) }
    }
}

impl<S: Stream, F> StreamMap<S, F>
where
    S::Item: 'static,
    F: Send + Sync + 'static,
{
    fn bind(&self, samples: Samples<S::Item>) -> Samples<ToChange<S::Item, F>> {
        let change = Arc::clone(&self.change);
        Box::new(
            samples
                .map(move |sample| Ok(ToChange { sample: sample?, change: Arc::clone(&change) })),
        )
    }
}

impl<S, U, F> Stream for StreamMap<S, F>
where
    S: Stream,
    S::Item: 'static,
    U: Collate,
    F: Fn(S::Item) -> Result<U> + Send + Sync + 'static,
{
    type Item = ToChange<S::Item, F>;

    fn stream(&self, epoch: u64) -> Result<Samples<Self::Item>> {
        Ok(self.bind(self.stream.stream(epoch)?))
    }

    fn stream_from(&self, epoch: u64, first: usize) -> Result<Samples<Self::Item>> {
        Ok(self.bind(self.stream.stream_from(epoch, first)?))
    }

    fn name(&self) -> String {
        self.stream.name()
    }
}

impl<T, U, F> Collate for ToChange<T, F>
where
    T: Send,
    U: Collate,
    F: Fn(T) -> Result<U> + Send + Sync,
{
    type Batch = U::Batch;

    fn collate(samples: Vec<Self>, indices: &[usize]) -> Result<U::Batch> {
        let changed = samples.into_iter().zip(indices).map(|(bound, index)| {
            (bound.change)(bound.sample).map_err(|e| e.context(format_args!("sample {index}")))
        });
        U::collate(changed.collect::<Result<_>>()?, indices)
    }
}
