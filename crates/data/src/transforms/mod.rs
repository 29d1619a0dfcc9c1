//! Transforms of images: what is done to a sample between its file and its batch.
//!
//! Each is a struct with torchvision's name, parameters and defaults, in the file of its family.
//! They work on bytes; what is deterministic in them matches torchvision on Pillow images, or its
//! tensor kernels where those are the finer, to one grey level. Numbers for each channel
//! ([`Normalize`]) wait until the image becomes part of a batch.
//!
//! A random transform draws from [`Draws`], which are keyed by (seed, epoch, sample, position in the
//! pipeline): each epoch sees other crops, and the same ones for any number of workers and after
//! resuming. What mixes the samples of a batch is in [`mix`](Mixed).
//!
//! ```
//! use gradus_data::transforms::{Pipeline, RandomCrop, RandomHorizontalFlip};
//! use gradus_data::{DataLoader, Split, datasets};
//!
//! let augment = Pipeline::new(0)
//!     .add(RandomCrop::new(8).padding(1))
//!     .add(RandomHorizontalFlip::default());
//! let digits = augment.over(datasets::digits(Split::Train));
//! for batch in &DataLoader::new(digits).batch_size(64).shuffle(0).workers(2) {
//!     let (images, _) = batch?;
//!     assert_eq!(images.shape()[1..], [1, 8, 8]);
//! }
//! # Ok::<(), gradus_tensor::Error>(())
//! ```

mod blur;
mod color;
mod crop;
mod draws;
mod erasing;
mod flip;
#[cfg(test)]
mod golden;
mod jitter;
mod mix;
mod mixed_parts;
mod normalize;
mod pipeline;
mod policy;
mod resample;
mod resize;
mod resized_crop;
mod warp;
mod warps;

pub use blur::GaussianBlur;
pub use crop::{CenterCrop, Pad, PaddingMode, RandomCrop};
pub use draws::Draws;
pub use erasing::RandomErasing;
pub use flip::{RandomHorizontalFlip, RandomVerticalFlip};
pub use jitter::{ColorJitter, Grayscale, RandomGrayscale};
pub use mix::{Mixed, Mixing, ToMix};
pub use mixed_parts::{MixedParts, PartsToMix};
pub use normalize::Normalize;
pub use pipeline::{Pictured, Pipeline, Transform, Transformed};
pub use policy::{AugmentPolicy, AutoAugment, RandAugment, TrivialAugmentWide};
pub use resample::Resampling;
pub use resize::Resize;
pub use resized_crop::RandomResizedCrop;
pub use warps::{RandomAffine, RandomPerspective, RandomRotation};

pub(crate) use color::gray_level;
pub(crate) use resample::resample;
