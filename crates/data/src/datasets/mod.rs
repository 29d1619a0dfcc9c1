//! The datasets that come with Gradus: one file for each, and what several of them share.
//!
//! They are functions and types like those of your own. The names that a configuration file knows
//! them by, with their options, are a table of the trainer's.

mod archive;
mod arrays;
mod char_text;
mod cifar;
mod digits;
mod emnist;
mod fashion_mnist;
mod idx_folder;
mod image_file;
mod image_folder;
mod kmnist;
mod labelled_images;
mod mnist;
mod numpy_parts;
#[doc(hidden)]
pub mod readers;
mod stl10;
mod svhn;
mod table;

pub use arrays::{NumpyRows, read_numpy, read_numpy_labels};
pub use char_text::{CharText, CharTextOptions};
pub use cifar::{cifar10, cifar100};
pub use digits::digits;
pub use emnist::{EmnistKind, emnist};
pub use fashion_mnist::fashion_mnist;
pub use image_file::{ImageSize, read_image};
pub use image_folder::{ImageFolder, ImageFolderOptions};
pub use kmnist::kmnist;
pub use labelled_images::LabelledImages;
pub use mnist::mnist;
pub use numpy_parts::{ImageLayout, NumpyOptions, NumpyTable, numpy_images};
pub use stl10::stl10;
pub use svhn::svhn;
pub use table::{Missing, Table, TableOptions, Target};

use gradus_tensor::{Error, ErrorKind, Result};

use crate::Split;
use crate::order::Sampling;

/// Which of `len` samples belong to a part, if a random `test_fraction` of them (rounded, at least
/// one and not all) is for testing. In order; the same for the same seed, on every platform.
fn choose(len: usize, test_fraction: f64, seed: u64, split: Split) -> Result<Vec<usize>> {
    if !(test_fraction > 0.0 && test_fraction < 1.0) {
        let message =
            format!("test_fraction is {test_fraction}; give a number between 0 and 1, such as 0.2");
        return Err(Error::new(ErrorKind::Usage, message));
    }
    if len < 2 {
        let message = format!("{len} of them cannot be split; at least 2 are needed");
        return Err(Error::new(ErrorKind::Data, message));
    }
    let test = ((len as f64 * test_fraction).round() as usize).clamp(1, len - 1);
    let order = Sampling::Shuffled(seed).of_epoch(0, len);
    let mut chosen = order.samples(match split {
        Split::Test => 0..test,
        Split::Train => test..len,
    });
    chosen.sort_unstable();
    Ok(chosen)
}
