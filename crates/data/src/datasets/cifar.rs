//! CIFAR-10 and CIFAR-100 in their binary version: records of one or two bytes of label and an
//! image `[3, 32, 32]`, channel by channel, one after the other and nothing else.
//!
//! Such a file has no header, so its length alone tells whether it is whole.

use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};

use super::LabelledImages;
use super::archive::Source;
use crate::{Array, Split};

const URL: &str = "https://www.cs.toronto.edu/~kriz/cifar.html";
const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;

/// CIFAR-10 (A. Krizhevsky, *Learning multiple layers of features from tiny images*, 2009): 50,000
/// photographs to train on and 10,000 to test, images of shape `[3, 32, 32]` in 10 classes.
///
/// Reads the binary version: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin` in
/// `path` or in its `cifar-10-batches-bin`, or directly from the archive
/// `cifar-10-binary.tar.gz`, which `path` names or holds.
///
/// # Errors
/// If files are missing, truncated or damaged; the message names the file, the offset and what to
/// do.
///
/// ```no_run
/// use gradus_data::{DataLoader, Split, datasets};
///
/// let train = datasets::cifar10("data", Split::Train)?;
/// let loader = DataLoader::new(train).batch_size(128).shuffle(0);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub fn cifar10(path: impl AsRef<Path>, split: Split) -> Result<LabelledImages> {
    CIFAR10.open(path.as_ref(), split)
}

/// CIFAR-100 (A. Krizhevsky, 2009): 50,000 photographs to train on and 10,000 to test, images of
/// shape `[3, 32, 32]` in 100 classes (the fine labels).
///
/// Reads the binary version, `train.bin` and `test.bin` in `path` or in its `cifar-100-binary`, or
/// directly from the archive `cifar-100-binary.tar.gz`, which `path` names or holds.
///
/// # Errors
/// As for [CIFAR-10](cifar10).
pub fn cifar100(path: impl AsRef<Path>, split: Split) -> Result<LabelledImages> {
    CIFAR100.open(path.as_ref(), split)
}

/// What tells one of the two from the other.
struct Cifar {
    name: &'static str,
    folder: &'static str,
    archive: &'static str,
    train: &'static [&'static str],
    test: &'static [&'static str],
    /// How many images are in each file to train on, and in the one to test.
    images: (usize, usize),
    /// Bytes before the pixels, the last of which is the label.
    labels: usize,
    classes: &'static [&'static str],
}

const CIFAR10: Cifar = Cifar {
    name: "CIFAR10",
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: &["test_batch.bin"],
    images: (10_000, 10_000),
    labels: 1,
    classes: &[
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ],
};

const CIFAR100: Cifar = Cifar {
    name: "CIFAR100",
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    train: &["train.bin"],
    test: &["test.bin"],
    images: (50_000, 10_000),
    labels: 2,
    classes: &FINE_CLASSES,
};

#[rustfmt::skip]
const FINE_CLASSES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
    "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
    "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
    "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy",
    "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal",
    "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar",
    "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm",
];

/// Reads a file of two images: what is done to each of the files, of which there are tests with
/// many.
pub(super) fn read_two(name: &str, content: &[u8], classes: usize) -> Result<LabelledImages> {
    let cifar = if classes == 10 { CIFAR10 } else { CIFAR100 };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    cifar.split(name, content, 2, &mut pixels, &mut labels)?;
    cifar.labelled(Split::Test, pixels, labels)
}

impl Cifar {
    fn open(&self, path: &Path, split: Split) -> Result<LabelledImages> {
        let (files, images) = match split {
            Split::Train => (self.train, self.images.0),
            Split::Test => (self.test, self.images.1),
        };
        let mut pixels = Vec::with_capacity(files.len() * images * PIXELS);
        let mut labels = Vec::with_capacity(files.len() * images);
        let source =
            Source { name: self.name, folder: self.folder, archive: self.archive, url: URL };
        // One byte more than there should be tells that there is more.
        let limit = (images * self.record() + 1) as u64;
        for (name, content) in source.read(path, files, limit)? {
            self.split(&name, &content, images, &mut pixels, &mut labels)?;
        }
        self.labelled(split, pixels, labels)
    }

    fn labelled(&self, split: Split, pixels: Vec<u8>, labels: Vec<i64>) -> Result<LabelledImages> {
        Ok(LabelledImages::new(
            format!("{} ({split})", self.name),
            Array::new([labels.len(), 3, SIDE, SIDE], pixels)?,
            255,
            Array::new([labels.len()], labels)?,
            self.classes.iter().map(|class| class.to_string()).collect(),
        ))
    }

    /// Splits a file into pixels and labels.
    fn split(
        &self,
        name: &str,
        content: &[u8],
        images: usize,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<i64>,
    ) -> Result<()> {
        let (record, bytes) = (self.record(), content.len());
        let bad = |kind, text| Err(Error::new(kind, format!("{name}: {text}; get it again")));
        if bytes < images * record {
            let text = format!(
                "truncated: it ends at offset {bytes} within image {}, but {images} images of \
                 {record} bytes are {} bytes",
                bytes / record,
                images * record
            );
            return bad(ErrorKind::Format, text);
        }
        if bytes > images * record {
            let text = format!(
                "there is more after the last of {images} images, at offset {}",
                images * record
            );
            return bad(ErrorKind::Format, text);
        }
        for (image, content) in content.chunks_exact(record).enumerate() {
            let label = content[self.labels - 1];
            if usize::from(label) >= self.classes.len() {
                let text = format!(
                    "the label of image {image} is {label} (offset {}), but {} has the classes 0 \
                     to {}",
                    image * record + self.labels - 1,
                    self.name,
                    self.classes.len() - 1
                );
                return bad(ErrorKind::Data, text);
            }
            labels.push(label.into());
            pixels.extend_from_slice(&content[self.labels..]);
        }
        Ok(())
    }

    /// The bytes of an image with its labels.
    fn record(&self) -> usize {
        self.labels + PIXELS
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::PathBuf;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::Dataset;

    /// CIFAR with two images per file, so that tests stay small.
    const SMALL: Cifar = Cifar { images: (2, 2), ..CIFAR10 };
    const SMALL_100: Cifar = Cifar { images: (2, 2), ..CIFAR100 };

    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Folder {
            let name = format!("gradus-cifar-{test}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Images whose pixels are all the image's number in its file, after `labels`.
    fn file(labels: &[&[u8]]) -> Vec<u8> {
        let image = |(i, labels): (usize, &&[u8])| [*labels, &[i as u8; PIXELS]].concat();
        labels.iter().enumerate().flat_map(image).collect()
    }

    fn write_cifar10(folder: &Path) {
        for (number, name) in CIFAR10.train.iter().enumerate() {
            fs::write(folder.join(name), file(&[&[number as u8], &[9]])).unwrap();
        }
        fs::write(folder.join("test_batch.bin"), file(&[&[7], &[8]])).unwrap();
    }

    fn labels(images: &LabelledImages) -> Vec<i64> {
        (0..images.len()).map(|i| images.get(i).unwrap().1).collect()
    }

    #[test]
    fn folders_and_archives_hold_the_same() {
        let dir = Folder::new("archive");
        let raw = dir.0.join("cifar-10-batches-bin");
        fs::create_dir(&raw).unwrap();
        write_cifar10(&raw);
        let from_folder = SMALL.open(&dir.0, Split::Train).unwrap();
        assert_eq!(labels(&from_folder), [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]);
        assert_eq!(from_folder.get(3).unwrap().0.pixels().data(), [1; PIXELS]);
        assert_eq!(from_folder.image_shape()[..], [3, 32, 32]);

        let encoder =
            GzEncoder::new(File::create(dir.0.join(SMALL.archive)).unwrap(), Compression::fast());
        let mut archive = tar::Builder::new(encoder);
        archive.append_dir_all("cifar-10-batches-bin", &raw).unwrap();
        archive.into_inner().unwrap().finish().unwrap();
        fs::remove_dir_all(&raw).unwrap();
        for path in [dir.0.clone(), dir.0.join(SMALL.archive)] {
            let from_archive = SMALL.open(&path, Split::Train).unwrap();
            assert_eq!(labels(&from_archive), labels(&from_folder));
            assert_eq!(labels(&SMALL.open(&path, Split::Test).unwrap()), [7, 8]);
        }

        // Broken off anywhere, it is refused.
        let whole = fs::read(dir.0.join(SMALL.archive)).unwrap();
        for length in [0, 1, 20, whole.len() / 2] {
            fs::write(dir.0.join(SMALL.archive), &whole[..length]).unwrap();
            let error = SMALL.open(&dir.0, Split::Train).unwrap_err().to_string();
            assert!(error.contains("cifar-10-binary.tar.gz"), "{error}");
            assert!(error.contains("get"), "{error}");
        }
    }

    #[test]
    fn the_fine_label_counts() {
        let dir = Folder::new("hundred");
        fs::write(dir.0.join("train.bin"), file(&[&[19, 99], &[0, 3]])).unwrap();
        let images = SMALL_100.open(&dir.0, Split::Train).unwrap();
        assert_eq!(labels(&images), [99, 3]);
        assert_eq!(images.classes()[99], "worm");
        let error = SMALL_100.open(&dir.0, Split::Test).unwrap_err().to_string();
        assert!(error.contains("found neither test.bin nor cifar-100-binary.tar.gz"), "{error}");
    }

    #[test]
    fn damaged_files_are_told_apart() {
        let dir = Folder::new("damaged");
        let good = file(&[&[0], &[1]]);
        let cases = [
            (good[..5000].to_vec(), "truncated: it ends at offset 5000 within image 1"),
            (vec![], "truncated: it ends at offset 0 within image 0"),
            (good[..PIXELS + 1].to_vec(), "truncated: it ends at offset 3073 within image 1"),
            ([&good[..], &[0]].concat(), "more after the last of 2 images, at offset 6146"),
            (file(&[&[0], &[10]]), "the label of image 1 is 10 (offset 3073), but CIFAR10 has"),
        ];
        for (content, expected) in cases {
            write_cifar10(&dir.0);
            fs::write(dir.0.join("data_batch_4.bin"), content).unwrap();
            let error = SMALL.open(&dir.0, Split::Train).unwrap_err().to_string();
            assert!(error.contains("data_batch_4.bin: "), "{error}");
            assert!(error.contains(expected) && error.contains("get it again"), "{error}");
        }
        fs::remove_file(dir.0.join("data_batch_4.bin")).unwrap();
        let error = SMALL.open(&dir.0, Split::Train).unwrap_err().to_string();
        assert!(error.contains("data_batch_4.bin: "), "{error}");
    }
}
