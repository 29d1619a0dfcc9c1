//! What mixes the samples of a batch: MixUp, CutMix, and labels that are not quite certain.

use std::sync::Arc;

use gradus_tensor::{Error, ErrorKind, Result, Tensor};

use super::Draws;
use super::pipeline::misuse;
use crate::{Collate, Dataset, Image};

/// The position of the draws of a batch: after those of any pipeline.
const POSITION: u32 = u32::MAX;

/// How the samples of a batch are mixed. Labels become a probability for each class, float32 `[n,
/// classes]`, as [`CrossEntropyLoss`] takes them.
///
/// * [`mixup`](Mixing::mixup) (H. Zhang et al., 2017): `λ·x + (1 − λ)·x'`, where `x'` is the sample
///   before in the batch and λ, one for each batch, is Beta(α, α); labels alike.
/// * [`cutmix`](Mixing::cutmix) (S. Yun et al., 2019): a random rectangle comes from the sample before;
///   labels are mixed by its share of the area.
/// * [`smoothing`](Mixing::smoothing) (C. Szegedy et al., 2016): a share ε of each label goes to all
///   classes alike.
///
/// With both MixUp and CutMix, one of the two is chosen for each batch. The draws are keyed by seed,
/// epoch and the batch's first sample.
///
/// [`CrossEntropyLoss`]: https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
///
/// ```
/// use gradus_data::transforms::Mixing;
/// use gradus_data::{DataLoader, Split, datasets};
///
/// let digits = Mixing::new(10, 0).mixup(0.2).cutmix(1.0).over(datasets::digits(Split::Train));
/// let loader = DataLoader::new(digits).batch_size(64).shuffle(0);
/// let (images, labels) = loader.into_iter().next().unwrap()?;
/// assert_eq!(images.shape()[..], [64, 1, 8, 8]);
/// assert_eq!(labels.shape()[..], [64, 10]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mixing {
    classes: usize,
    seed: u64,
    mixup: Option<f64>,
    cutmix: Option<f64>,
    smoothing: f64,
}

impl Mixing {
    /// Among so many classes, with draws that follow from `seed`; nothing is mixed yet.
    pub fn new(classes: usize, seed: u64) -> Mixing {
        Mixing { classes, seed, mixup: None, cutmix: None, smoothing: 0.0 }
    }

    /// Mixes by weights, with this α (above 0).
    #[must_use]
    pub fn mixup(self, alpha: f64) -> Mixing {
        Mixing { mixup: Some(alpha), ..self }
    }

    /// Mixes by rectangles, with this α (above 0).
    #[must_use]
    pub fn cutmix(self, alpha: f64) -> Mixing {
        Mixing { cutmix: Some(alpha), ..self }
    }

    /// Gives a share of each label to all classes alike.
    #[must_use]
    pub fn smoothing(self, share: f64) -> Mixing {
        Mixing { smoothing: share, ..self }
    }

    /// The dataset with its batches mixed.
    pub fn over<D>(self, dataset: D) -> Mixed<D> {
        Mixed { dataset, mixing: Arc::new(self) }
    }

    /// Mixes images `[n, channels, height, width]` and labels `[n, classes]` in place.
    fn mix(&self, images: &mut [f32], extent: [usize; 3], labels: &mut [f32], mut draws: Draws) {
        let both = self.mixup.is_some() && self.cutmix.is_some();
        let cut = if both { draws.chance(0.5) } else { self.cutmix.is_some() };
        let alpha = if cut { self.cutmix } else { self.mixup };
        let Some(alpha) = alpha else { return };
        let lambda = draws.beta(alpha);
        let [channels, height, width] = extent;
        let share = if cut {
            let [top, bottom, left, right] = rectangle(lambda, height, width, &mut draws);
            with_before(images, channels * height * width, |image, before| {
                for row in (0..channels).flat_map(|c| (top..bottom).map(move |y| c * height + y)) {
                    let columns = row * width + left..row * width + right;
                    image[columns.clone()].copy_from_slice(&before[columns]);
                }
            });
            1.0 - ((bottom - top) * (right - left)) as f64 / (height * width) as f64
        } else {
            with_before(images, channels * height * width, weighted(lambda as f32));
            lambda
        };
        with_before(labels, self.classes, weighted(share as f32));
    }
}

/// Mixes by weights.
fn weighted(lambda: f32) -> impl FnMut(&mut [f32], &[f32]) {
    move |one, before| {
        for (x, y) in one.iter_mut().zip(before) {
            *x = *y * (1.0 - lambda) + *x * lambda;
        }
    }
}

/// Changes each of the parts of `all`, `size` long, knowing the one before it; before the first is
/// the last.
fn with_before(all: &mut [f32], size: usize, mut change: impl FnMut(&mut [f32], &[f32])) {
    let count = all.len() / size.max(1);
    if count == 0 {
        return;
    }
    let last = all[(count - 1) * size..].to_vec();
    for part in (1..count).rev() {
        let (before, rest) = all.split_at_mut(part * size);
        change(&mut rest[..size], &before[(part - 1) * size..]);
    }
    change(&mut all[..size], &last);
}

/// Top, bottom, left and right of a rectangle that covers `1 − lambda` of an image, less what hangs
/// over its edge.
fn rectangle(lambda: f64, height: usize, width: usize, draws: &mut Draws) -> [usize; 4] {
    let half = 0.5 * (1.0 - lambda).sqrt();
    let mut side = |size: usize| {
        let (at, reach) = (draws.below(size), (half * size as f64) as usize);
        (at.saturating_sub(reach), (at + reach).min(size))
    };
    let ((left, right), (top, bottom)) = (side(width), side(height));
    [top, bottom, left, right]
}

/// A dataset whose batches are [mixed](Mixing).
#[derive(Clone, Debug)]
pub struct Mixed<D> {
    dataset: D,
    mixing: Arc<Mixing>,
}

/// A sample that will be mixed with others.
#[derive(Clone, Debug)]
pub struct ToMix {
    image: Image,
    label: i64,
    epoch: u64,
    mixing: Arc<Mixing>,
}

impl<D: Dataset<Item = (Image, i64)>> Dataset for Mixed<D> {
    type Item = ToMix;

    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn get(&self, index: usize) -> Result<ToMix> {
        self.visit(index, 0)
    }

    fn visit(&self, index: usize, epoch: u64) -> Result<ToMix> {
        let (image, label) = self.dataset.visit(index, epoch)?;
        ToMix::new(&self.mixing, image, label, epoch)
    }

    fn describe(&self, index: usize) -> String {
        self.dataset.describe(index)
    }

    fn name(&self) -> String {
        self.dataset.name()
    }
}

impl ToMix {
    /// A sample as an epoch sees it.
    pub(super) fn new(mixing: &Arc<Mixing>, image: Image, label: i64, epoch: u64) -> Result<ToMix> {
        let classes = mixing.classes;
        if usize::try_from(label).is_ok_and(|label| label < classes) {
            return Ok(ToMix { image, label, epoch, mixing: Arc::clone(mixing) });
        }
        let message = format!(
            "the label is {label}, but there are {classes} classes to mix; give their number"
        );
        Err(Error::new(ErrorKind::Data, message))
    }
}

impl Collate for ToMix {
    type Batch = (Tensor, Tensor);

    fn collate(samples: Vec<ToMix>, indices: &[usize]) -> Result<(Tensor, Tensor)> {
        let Some(ToMix { image, epoch, mixing, .. }) = samples.first() else {
            return Err(Error::new(ErrorKind::Data, "a batch needs at least one sample"));
        };
        let (extent, epoch, mixing) = (image.extent()?, *epoch, Arc::clone(mixing));
        let wrong = |alpha: &&f64| !(**alpha > 0.0 && alpha.is_finite());
        if let Some(alpha) = mixing.mixup.iter().chain(&mixing.cutmix).find(wrong) {
            return Err(misuse(format!("an alpha of {alpha}; give a number above 0")));
        }
        if !(0.0..=1.0).contains(&mixing.smoothing) {
            let share = mixing.smoothing;
            return Err(misuse(format!("a smoothing of {share}; give a number from 0 to 1")));
        }
        let count = samples.len();
        let even = mixing.smoothing as f32 / mixing.classes as f32;
        let mut labels = vec![even; count * mixing.classes];
        for (row, sample) in labels.chunks_mut(mixing.classes).zip(&samples) {
            row[sample.label as usize] += 1.0 - mixing.smoothing as f32;
        }
        let images: Vec<Image> = samples.into_iter().map(|sample| sample.image).collect();
        let draws = Draws::new(mixing.seed, epoch, indices[0] as u64, POSITION);
        let images = Image::batch(&images, indices, |images| {
            mixing.mix(images, extent, &mut labels, draws);
        })?;
        Ok((images, Tensor::from_vec(labels, [count, mixing.classes])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Array, DataLoader};

    /// Images of 4×4 whose every pixel is 51 times their number.
    struct Plain;

    impl Dataset for Plain {
        type Item = (Image, i64);
        fn len(&self) -> usize {
            4
        }
        fn get(&self, index: usize) -> Result<(Image, i64)> {
            let pixels = Array::new([1, 4, 4], vec![51 * index as u8; 16])?;
            Ok((Image::new(pixels), index as i64))
        }
    }

    fn batch(mixing: Mixing, epoch: u64) -> (Vec<f32>, Vec<f32>) {
        let loader = DataLoader::new(mixing.over(Plain)).batch_size(4);
        let (images, labels) = loader.batches_from(epoch, 0).next().unwrap().unwrap();
        (images.to_vec().unwrap(), labels.to_vec().unwrap())
    }

    #[test]
    fn nothing_is_mixed_unless_asked_for() {
        let (images, labels) = batch(Mixing::new(4, 0), 0);
        assert_eq!(images, [0.0, 0.2, 0.4, 0.6].map(|x| [x; 16]).concat());
        let identity = |i: usize| if i.is_multiple_of(5) { 1.0 } else { 0.0 };
        assert_eq!(labels, (0..16).map(identity).collect::<Vec<f32>>());
        let (_, smooth) = batch(Mixing::new(4, 0).smoothing(0.2), 0);
        assert_eq!(smooth[..4], [0.05 + 0.8, 0.05, 0.05, 0.05]);
    }

    #[test]
    fn mixup_weights_images_and_labels_alike() {
        let (images, labels) = batch(Mixing::new(4, 3).mixup(1.0), 0);
        let lambda = labels[0];
        assert!(lambda > 0.0 && lambda < 1.0, "{lambda}");
        for (i, image) in images.chunks(16).enumerate() {
            let before = (i + 3) % 4;
            let mixed = 0.2 * (lambda * i as f32 + (1.0 - lambda) * before as f32);
            assert!(image.iter().all(|x| (x - mixed).abs() < 1e-6), "{image:?}, {mixed}");
            assert_eq!(labels[4 * i + before], 1.0 - lambda);
        }
        let again = batch(Mixing::new(4, 3).mixup(1.0), 0);
        assert_eq!((images, labels), again);
        assert_ne!(again, batch(Mixing::new(4, 3).mixup(1.0), 1));
        assert_ne!(again, batch(Mixing::new(4, 4).mixup(1.0), 0));
    }

    #[test]
    fn cutmix_takes_as_much_of_the_label_as_of_the_image() {
        let mut cut = 0;
        for epoch in 0..40 {
            let (images, labels) = batch(Mixing::new(4, 0).cutmix(1.0), epoch);
            for (i, image) in images.chunks(16).enumerate() {
                let before = (i + 3) % 4;
                let theirs = image.iter().filter(|x| **x == 0.2 * before as f32).count();
                let ours = image.iter().filter(|x| **x == 0.2 * i as f32).count();
                assert_eq!(ours + theirs, 16, "{image:?}");
                assert_eq!(labels[4 * i + before], theirs as f32 / 16.0);
                cut += theirs;
            }
        }
        assert!(cut > 0);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |mixing: Mixing| {
            let loader = DataLoader::new(mixing.over(Plain)).batch_size(4);
            loader.into_iter().next().unwrap().unwrap_err().message().to_owned()
        };
        assert!(error(Mixing::new(3, 0)).contains("sample 3: the label is 3, but there are 3"));
        assert!(error(Mixing::new(4, 0).mixup(0.0)).contains("an alpha of 0"));
        assert!(error(Mixing::new(4, 0).smoothing(2.0)).contains("a smoothing of 2"));
    }
}
