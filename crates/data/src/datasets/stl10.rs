//! STL-10 in its binary version: pixels and labels in files of their own, neither with a header.

use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};

use super::LabelledImages;
use super::archive::Source;
use crate::{Array, Split};

const SOURCE: Source = Source {
    name: "STL10",
    folder: "stl10_binary",
    archive: "stl10_binary.tar.gz",
    url: "https://cs.stanford.edu/~acoates/stl10/",
};
const SIDE: usize = 96;
const PIXELS: usize = 3 * SIDE * SIDE;
const CLASSES: [&str; 10] =
    ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"];

/// STL-10 (A. Coates, H. Lee, A. Y. Ng, 2011): 5,000 photographs to train on and 8,000 to test, images
/// of shape `[3, 96, 96]` in 10 classes. Its 100,000 images without labels are not read.
///
/// Reads `train_X.bin`, `train_y.bin`, `test_X.bin` and `test_y.bin` in `path` or in its
/// `stl10_binary`, or directly from the archive `stl10_binary.tar.gz`, which `path` names or holds.
///
/// # Errors
/// If files are missing, truncated or damaged; the message names the file, the offset and what to
/// do.
pub fn stl10(path: impl AsRef<Path>, split: Split) -> Result<LabelledImages> {
    let (files, count) = match split {
        Split::Train => (["train_X.bin", "train_y.bin"], 5000),
        Split::Test => (["test_X.bin", "test_y.bin"], 8000),
    };
    open(path.as_ref(), split, &files, count)
}

fn open(path: &Path, split: Split, files: &[&str; 2], count: usize) -> Result<LabelledImages> {
    let contents = SOURCE.read(path, files, (count * PIXELS + 1) as u64)?;
    let [images, labels] = &contents[..] else { unreachable!("two files were asked for") };
    labelled(split, images, labels, count)
}

/// Reads a label and then an image, as they stand in their files: tests have many of them.
pub(super) fn read_one(bytes: &[u8]) -> Result<LabelledImages> {
    let (label, image) = bytes.split_at(bytes.len().min(1));
    let file = |name: &str, content: &[u8]| (name.to_owned(), content.to_owned());
    labelled(Split::Test, &file("images", image), &file("labels", label), 1)
}

/// A file of images and one of labels, each with its name.
fn labelled(
    split: Split,
    (images_name, images): &(String, Vec<u8>),
    (labels_name, labels): &(String, Vec<u8>),
    count: usize,
) -> Result<LabelledImages> {
    for (name, content, wanted) in
        [(images_name, images, count * PIXELS), (labels_name, labels, count)]
    {
        if content.len() != wanted {
            let found = match content.len() > wanted {
                true => format!("there is more after offset {wanted}"),
                false => format!("truncated: it ends at offset {}", content.len()),
            };
            let message = format!(
                "{name}: {found}, but {count} images make {wanted} bytes; get it again from {}",
                SOURCE.url
            );
            return Err(Error::new(ErrorKind::Format, message));
        }
    }
    if let Some(sample) = labels.iter().position(|label| !(1..=10).contains(label)) {
        let message = format!(
            "{labels_name}: the label of image {sample} is {} (offset {sample}), but STL10 has the \
             classes 1 to 10; get it again from {}",
            labels[sample], SOURCE.url
        );
        return Err(Error::new(ErrorKind::Data, message));
    }
    // Column by column in the file.
    let mut pixels = Vec::with_capacity(images.len());
    for plane in images.chunks_exact(SIDE * SIDE) {
        pixels.extend((0..SIDE * SIDE).map(|at| plane[at % SIDE * SIDE + at / SIDE]));
    }
    Ok(LabelledImages::new(
        format!("STL10 ({split})"),
        Array::new([count, 3, SIDE, SIDE], pixels)?,
        255,
        Array::new([count], labels.iter().map(|&label| i64::from(label) - 1).collect())?,
        CLASSES.map(String::from).to_vec(),
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Dataset;

    #[test]
    fn pixels_stand_column_by_column() {
        let dir = std::env::temp_dir().join(format!("gradus-stl10-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let files = ["test_X.bin", "test_y.bin"];
        let write = |images: &[u8], labels: &[u8]| {
            fs::write(dir.join(files[0]), images).unwrap();
            fs::write(dir.join(files[1]), labels).unwrap();
            open(&dir, Split::Test, &files, 2)
        };
        let images: Vec<u8> = (0..2 * PIXELS).map(|i| (i % SIDE) as u8).collect();
        let stl = write(&images, &[1, 10]).unwrap();
        let (image, label) = stl.get(1).unwrap();
        assert_eq!(label, 9);
        let rows = |at: usize| (at / SIDE % SIDE) as u8;
        assert_eq!(image.pixels().data(), (0..PIXELS).map(rows).collect::<Vec<u8>>());
        let error = |images: &[u8], labels: &[u8]| write(images, labels).unwrap_err().to_string();
        assert!(
            error(&images[1..], &[1, 1]).contains("test_X.bin: truncated: it ends at offset 55295")
        );
        let more = [&images[..], &[0, 0]].concat();
        assert!(error(&more, &[1, 1]).contains("there is more after offset 55296"));
        assert!(error(&images, &[1]).contains("test_y.bin: truncated: it ends at offset 1"));
        assert!(error(&images, &[1, 0]).contains("the label of image 1 is 0 (offset 1)"));
        assert!(
            stl10(dir.join("none"), Split::Train).unwrap_err().message().contains("stl10_binary")
        );
        let _ = fs::remove_dir_all(&dir);
    }
}
