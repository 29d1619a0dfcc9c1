//! MNIST.

use std::path::Path;

use gradus_tensor::Result;

use super::LabelledImages;
use super::idx_folder::IdxFolder;
use crate::Split;

const FILES: IdxFolder = IdxFolder {
    name: "MNIST",
    url: "https://ossci-datasets.s3.amazonaws.com/mnist/",
    classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
};

/// MNIST (Y. LeCun, C. Cortes, C. J. C. Burges): 60,000 handwritten digits to train on and 10,000
/// to test, images of shape `[1, 28, 28]`.
///
/// Reads the official files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
/// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, gzipped or not, in `dir` or in its
/// `MNIST/raw` (where torchvision puts them).
///
/// # Errors
/// If files are missing, truncated, damaged, or do not belong together; the message names the file,
/// the offset and what to do.
///
/// ```no_run
/// use gradus_data::{DataLoader, Split, datasets};
///
/// let loader = DataLoader::new(datasets::mnist("data", Split::Train)?).batch_size(64).shuffle(0);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub fn mnist(dir: impl AsRef<Path>, split: Split) -> Result<LabelledImages> {
    FILES.open(dir.as_ref(), split)
}
