//! Fashion-MNIST.

use std::path::Path;

use gradus_tensor::Result;

use super::LabelledImages;
use super::idx_folder::IdxFolder;
use crate::Split;

const FILES: IdxFolder = IdxFolder {
    name: "FashionMNIST",
    url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    classes: &[
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
};

/// Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf, 2017, <https://arxiv.org/abs/1708.07747>): 60,000
/// pictures of clothing to train on and 10,000 to test, images of shape `[1, 28, 28]`.
///
/// Its files are called as [MNIST's](super::mnist()) are, so keep them in a folder of their own:
/// `dir` itself or its `FashionMNIST/raw` (where torchvision puts them).
///
/// # Errors
/// As for [MNIST](super::mnist()).
pub fn fashion_mnist(dir: impl AsRef<Path>, split: Split) -> Result<LabelledImages> {
    FILES.open(dir.as_ref(), split)
}
