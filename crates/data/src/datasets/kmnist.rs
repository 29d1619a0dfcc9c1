//! KMNIST.

use std::path::Path;

use gradus_tensor::Result;

use super::LabelledImages;
use super::idx_folder::IdxFolder;
use crate::Split;

const FILES: IdxFolder = IdxFolder {
    name: "KMNIST",
    url: "http://codh.rois.ac.jp/kmnist/",
    classes: &["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
};

/// Kuzushiji-MNIST (T. Clanuwat et al., 2018): 60,000 handwritten hiragana to train on and 10,000 to
/// test, images of shape `[1, 28, 28]`.
///
/// Reads the four files under MNIST's names, gzipped or not, in `dir` or in its `KMNIST/raw` (where
/// torchvision puts them).
///
/// # Errors
/// If files are missing, truncated, damaged, or do not belong together; the message names the file,
/// the offset and what to do.
pub fn kmnist(dir: impl AsRef<Path>, split: Split) -> Result<LabelledImages> {
    FILES.open(dir.as_ref(), split)
}
