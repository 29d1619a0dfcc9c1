//! Everything between a file and a batch: datasets, the loader, and what they hand over.
//!
//! A [`Dataset`] knows how many samples it has and how to get one. A sample is an ordinary value,
//! most often a tuple such as `(Image, i64)`; [`Collate`] says how many of them become a batch of
//! leaf tensors. A [`DataLoader`] draws the samples in a seeded order, assembles batches on threads
//! of its own, and delivers them in the same order for any number of threads. Read it in this
//! order: [`Dataset`], [`Collate`], [`DataLoader`], [`datasets`].
//!
//! Invariants: a batch depends on the dataset, the loader's options, its seed and the epoch, never
//! on workers or time; every error names the sample or the file; nothing a file claims is believed
//! before it is checked against what the file can hold.
//!
//! Datasets are made of others by [`Combine`] (`subset`, `filter`, `concat`, `map`, `cached` in memory,
//! `cache_on_disk`) and by [`random_split`], [`stratified_split`] and [`k_fold`]; a loader draws
//! [in any order](DataLoader::shuffle), [by weights](DataLoader::weighted) or
//! [classes evenly](DataLoader::balanced). Samples of different lengths are [`Padded`]; what cannot be
//! had by number is a [`Stream`]; [`download`] fetches known datasets.
//!
//! # A dataset of your own
//!
//! ```
//! use gradus_data::{Array, DataLoader, Dataset};
//! use gradus_tensor::Result;
//!
//! /// Points on a line, and the height of the line there.
//! struct Line {
//!     points: Array<f32>,
//! }
//!
//! impl Dataset for Line {
//!     type Item = (Array<f32>, f32);
//!
//!     fn len(&self) -> usize {
//!         self.points.shape()[0]
//!     }
//!
//!     fn get(&self, index: usize) -> Result<Self::Item> {
//!         let point = self.points.row(index);
//!         let height = 2.0 * point.data()[0] + 1.0;
//!         Ok((point, height))
//!     }
//! }
//!
//! let line = Line { points: Array::new([10, 1], (0..10).map(|i| i as f32).collect())? };
//! let loader = DataLoader::new(line).batch_size(4).shuffle(0).workers(2);
//! for epoch in 0..3 {
//!     for batch in &loader {
//!         let (points, heights) = batch?;
//!         assert_eq!(points.shape()[1..], [1]);
//!         assert_eq!(points.shape()[0], heights.shape()[0]);
//!     }
//! }
//! # Ok::<(), gradus_tensor::Error>(())
//! ```
#![forbid(unsafe_code)]

mod array;
mod batches;
mod collate;
mod combine;
mod contact_sheet;
mod cursor;
mod dataset;
pub mod datasets;
mod decode;
mod download;
mod identity;
mod idx;
mod loader;
mod mat;
mod npy;
mod order;
mod padded;
mod part;
mod scale;
mod stream;
mod survey;
pub mod transforms;
mod zip;

pub use array::{Array, Image, Normalization};
pub use batches::Batches;
pub use collate::Collate;
pub use combine::{
    Cached, Collated, Combine, Concat, DiskCached, Map, Store, Subset, ToCollate, k_fold,
    random_split, stratified_split,
};
pub use contact_sheet::{contact_sheet, write_png};
pub use dataset::{Dataset, Split};
pub use datasets::LabelledImages;
pub use download::{DOWNLOADS, Download, DownloadProgress, Fetched, RemoteFile, download};
pub use identity::Identity;
pub use loader::{Batch, DataLoader, Position};
pub use padded::Padded;
pub use part::{Part, Parts};
pub use stream::{Samples, Stream, StreamBatch, StreamBatches, StreamLoader, StreamMap, ToChange};
pub use survey::{Finding, Survey, Surveyed, findings};
