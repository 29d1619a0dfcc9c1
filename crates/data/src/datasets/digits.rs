//! The UCI optical handwritten digits, embedded: there is always something to train on.

use super::LabelledImages;
use crate::idx::{self, Idx};
use crate::{Array, Split};

/// `assets/make_digits.py` wrote these, the training samples first.
const IMAGES: &[u8] = include_bytes!("../../assets/digits-images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../assets/digits-labels-idx1-ubyte.gz");
const TRAIN: usize = 1437;
const SIDE: usize = 8;
/// Pixels count the dark points of a 4×4 block.
const FULL_SCALE: u8 = 16;

/// The optical handwritten digits that scikit-learn ships: 1,797 images of shape `[1, 8, 8]`, of
/// which a fixed, stratified fifth (360) is for testing.
///
/// E. Alpaydin, C. Kaynak (1998), *Optical Recognition of Handwritten Digits*, UCI Machine Learning
/// Repository, <https://doi.org/10.24432/C50P49>, CC BY 4.0. The split is Gradus's own and never
/// changes; `assets/README.md` tells how it was made.
///
/// ```
/// use gradus_data::{Dataset, Split, datasets};
///
/// let train = datasets::digits(Split::Train);
/// assert_eq!(train.len(), 1437);
/// assert_eq!(train.image_shape()[..], [1, 8, 8]);
/// assert_eq!(train.classes()[7], "7");
/// ```
pub fn digits(split: Split) -> LabelledImages {
    let intact = "the embedded digits are intact";
    let images = embedded("digits (images)", IMAGES, &[None, Some(SIDE), Some(SIDE)]).bytes;
    let labels = embedded("digits (labels)", LABELS, &[None]).bytes;
    let range = match split {
        Split::Train => 0..TRAIN,
        Split::Test => TRAIN..labels.len(),
    };
    let pixels = images[range.start * SIDE * SIDE..range.end * SIDE * SIDE].to_vec();
    LabelledImages::new(
        format!("digits ({split})"),
        Array::new([range.len(), 1, SIDE, SIDE], pixels).expect(intact),
        FULL_SCALE,
        Array::new([range.len()], labels[range].iter().map(|&l| l.into()).collect()).expect(intact),
        (0..10).map(|digit| digit.to_string()).collect(),
    )
}

fn embedded(name: &str, file: &[u8], expected: &[Option<usize>]) -> Idx {
    idx::read(name, file, file.len() as u64, expected).expect("the embedded digits are intact")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    /// Every sample of a split: its pixels and its label.
    fn samples(split: Split) -> Vec<(Vec<u8>, i64)> {
        let digits = digits(split);
        (0..digits.len())
            .map(|i| {
                let (image, label) = digits.get(i).unwrap();
                assert_eq!(image.full_scale(), 16);
                (image.pixels().data().to_vec(), label)
            })
            .collect()
    }

    #[test]
    fn the_two_parts_make_up_the_original() {
        let (train, test) = (samples(Split::Train), samples(Split::Test));
        assert_eq!((train.len(), test.len()), (1437, 360));
        let all = || train.iter().chain(&test);
        // The sums are scikit-learn's: `load_digits().data.sum()`,
        // `np.bincount(load_digits().target)`.
        let sum: u64 = all().flat_map(|(pixels, _)| pixels).map(|&p| u64::from(p)).sum();
        assert_eq!(sum, 561_718);
        assert!(all().all(|(pixels, _)| pixels.iter().all(|&p| p <= 16)));
        let per_class: Vec<usize> = (0..10).map(|c| all().filter(|s| s.1 == c).count()).collect();
        assert_eq!(per_class, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }

    #[test]
    fn no_test_image_is_a_training_image() {
        let train: std::collections::HashSet<_> = samples(Split::Train).into_iter().collect();
        assert_eq!(train.len(), 1437, "an image occurs twice");
        assert!(samples(Split::Test).iter().all(|sample| !train.contains(sample)));
    }

    #[test]
    fn the_test_part_is_a_fifth_of_each_class() {
        let (train, test) = (samples(Split::Train), samples(Split::Test));
        for class in 0..10 {
            let count =
                |part: &[(Vec<u8>, i64)]| part.iter().filter(|s| s.1 == class).count() as f64;
            let fifth = (count(&train) + count(&test)) * 360.0 / 1797.0;
            assert!((count(&test) - fifth).abs() <= 1.0, "class {class}: {}", count(&test));
        }
    }
}
