//! Mixing where the kind of the samples is known only when the program runs.

use std::sync::Arc;

use gradus_tensor::{Error, ErrorKind, Result, Tensor};

use super::{Mixing, ToMix};
use crate::{Collate, Dataset, Part};

/// A dataset of [parts](Part) whose batches are mixed, or left as they are: one type for both, so that
/// code which is not written for one dataset, such as the `gradus` command, needs only one loader.
///
/// ```
/// use gradus_data::transforms::{MixedParts, Mixing};
/// use gradus_data::{DataLoader, Parts, Split, datasets};
///
/// let mixing = Mixing::new(10, 0).mixup(0.2);
/// let digits = MixedParts::new(Parts(datasets::digits(Split::Train)), Some(mixing));
/// let (_, labels) = DataLoader::new(digits).batch_size(64).into_iter().next().unwrap()?;
/// assert_eq!(labels.shape()[..], [64, 10]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MixedParts<D> {
    dataset: D,
    mixing: Option<Arc<Mixing>>,
}

impl<D> MixedParts<D> {
    /// The dataset with its batches mixed, if there is a mixing.
    pub fn new(dataset: D, mixing: Option<Mixing>) -> MixedParts<D> {
        MixedParts { dataset, mixing: mixing.map(Arc::new) }
    }
}

/// A sample that may be mixed with others.
#[derive(Clone, Debug)]
pub enum PartsToMix {
    /// It stays as it is.
    Plain(Part, Part),
    /// It will be mixed.
    Mixed(ToMix),
}

impl<D: Dataset<Item = (Part, Part)>> Dataset for MixedParts<D> {
    type Item = PartsToMix;

    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn get(&self, index: usize) -> Result<PartsToMix> {
        self.visit(index, 0)
    }

    fn visit(&self, index: usize, epoch: u64) -> Result<PartsToMix> {
        match (&self.mixing, self.dataset.visit(index, epoch)?) {
            (None, (input, target)) => Ok(PartsToMix::Plain(input, target)),
            (Some(mixing), (Part::Image(image), Part::Label(label))) => {
                ToMix::new(mixing, image, label, epoch).map(PartsToMix::Mixed)
            }
            _ => {
                let message = "only images with a class can be mixed; leave MixUp and CutMix out";
                Err(Error::new(ErrorKind::Usage, message))
            }
        }
    }

    fn describe(&self, index: usize) -> String {
        self.dataset.describe(index)
    }

    fn name(&self) -> String {
        self.dataset.name()
    }
}

impl Collate for PartsToMix {
    type Batch = (Tensor, Tensor);

    fn collate(samples: Vec<PartsToMix>, indices: &[usize]) -> Result<(Tensor, Tensor)> {
        let (mut plain, mut mixed) = (Vec::new(), Vec::new());
        for sample in samples {
            match sample {
                PartsToMix::Plain(input, target) => plain.push((input, target)),
                PartsToMix::Mixed(sample) => mixed.push(sample),
            }
        }
        // All samples of a dataset are of the one kind or the other.
        if mixed.is_empty() {
            Collate::collate(plain, indices)
        } else {
            Collate::collate(mixed, indices)
        }
    }
}
