//! EMNIST.

use std::path::{Path, PathBuf};

use gradus_tensor::{Error, ErrorKind, Result};

use super::LabelledImages;
use crate::idx::{self, Idx};
use crate::{Array, Split};

const URL: &str = "https://www.nist.gov/itl/products-and-services/emnist-dataset";
const SIDE: usize = 28;
/// The capitals whose small letters look like them share a class where classes are merged.
const MERGED: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt";

/// Which characters of EMNIST, and how they are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmnistKind {
    /// 47 classes, as many samples of each: digits, capitals, and small letters of another shape.
    #[default]
    Balanced,
    /// 62 classes: digits, capitals and small letters.
    ByClass,
    /// The 47 classes of `Balanced`, as often as they are written.
    ByMerge,
    /// 26 classes: letters, capital or small.
    Letters,
    /// 10 classes: digits.
    Digits,
    /// 10 classes: digits, as many as in MNIST.
    Mnist,
}

impl EmnistKind {
    /// As the files are called.
    fn name(self) -> &'static str {
        match self {
            EmnistKind::Balanced => "balanced",
            EmnistKind::ByClass => "byclass",
            EmnistKind::ByMerge => "bymerge",
            EmnistKind::Letters => "letters",
            EmnistKind::Digits => "digits",
            EmnistKind::Mnist => "mnist",
        }
    }

    fn classes(self) -> Vec<String> {
        let of = |characters: &str| characters.chars().map(String::from).collect();
        match self {
            EmnistKind::Balanced | EmnistKind::ByMerge => of(MERGED),
            EmnistKind::ByClass => {
                ('0'..='9').chain('A'..='Z').chain('a'..='z').map(String::from).collect()
            }
            EmnistKind::Letters => ('a'..='z').map(String::from).collect(),
            EmnistKind::Digits | EmnistKind::Mnist => ('0'..='9').map(String::from).collect(),
        }
    }

    /// The label of the first class in the files.
    fn first(self) -> u8 {
        u8::from(self == EmnistKind::Letters)
    }
}

/// EMNIST (G. Cohen et al., *EMNIST: an extension of MNIST to handwritten letters*, 2017): handwritten
/// characters, images of shape `[1, 28, 28]`, upright (in the files they lie on their sides). Labels
/// count from 0.
///
/// Reads `emnist-KIND-train-images-idx3-ubyte` and its kin, gzipped or not, in `dir`, in its `gzip`
/// (where the archive puts them) or in its `EMNIST/raw` (torchvision).
///
/// # Errors
/// If files are missing, truncated, damaged, or do not belong together; the message names the file,
/// the offset and what to do.
pub fn emnist(dir: impl AsRef<Path>, split: Split, kind: EmnistKind) -> Result<LabelledImages> {
    let images_path = find(dir.as_ref(), split, kind, "images", 3)?;
    let labels_path = find(dir.as_ref(), split, kind, "labels", 1)?;
    let images = idx::read_file(&images_path, &[None, Some(SIDE), Some(SIDE)])?;
    let labels = idx::read_file(&labels_path, &[None])?;
    let count = images.dims[0];
    if labels.bytes.len() != count {
        let message = format!(
            "{} holds {count} images, but {} holds {} labels; get both again from {URL}",
            images_path.display(),
            labels_path.display(),
            labels.bytes.len()
        );
        return Err(Error::new(ErrorKind::Data, message));
    }
    let classes = kind.classes();
    let labels = checked(&labels_path, &labels, kind.first(), classes.len())?;
    let mut upright = Vec::with_capacity(images.bytes.len());
    for image in images.bytes.chunks_exact(SIDE * SIDE) {
        let transposed = |at: usize| image[at % SIDE * SIDE + at / SIDE];
        upright.extend((0..SIDE * SIDE).map(transposed));
    }
    Ok(LabelledImages::new(
        format!("EMNIST {} ({split})", kind.name()),
        Array::new([count, 1, SIDE, SIDE], upright)?,
        255,
        Array::new([count], labels)?,
        classes,
    ))
}

/// The labels, from 0.
fn checked(path: &Path, labels: &Idx, first: u8, classes: usize) -> Result<Vec<i64>> {
    let label = |(sample, &label): (usize, &u8)| {
        let class = i64::from(label) - i64::from(first);
        if (0..classes as i64).contains(&class) {
            return Ok(class);
        }
        let message = format!(
            "{}: the label of sample {sample} is {label} (offset {}), but there are the classes {first} \
             to {}; get the file again from {URL}",
            path.display(),
            idx::offset(1, sample),
            usize::from(first) + classes - 1
        );
        Err(Error::new(ErrorKind::Data, message))
    };
    labels.bytes.iter().enumerate().map(label).collect()
}

fn find(dir: &Path, split: Split, kind: EmnistKind, what: &str, axes: usize) -> Result<PathBuf> {
    let name = format!("emnist-{}-{split}-{what}-idx{axes}-ubyte", kind.name());
    let folders = [dir.to_owned(), dir.join("gzip"), dir.join("EMNIST").join("raw")];
    let mut paths =
        folders.iter().flat_map(|dir| [dir.join(&name), dir.join(format!("{name}.gz"))]);
    paths.find(|path| path.is_file()).ok_or_else(|| {
        let message = format!(
            "EMNIST: found neither {name} nor {name}.gz in {}, its gzip or its EMNIST/raw; give the \
             folder that holds the files, or get gzip.zip from {URL} and unpack it",
            dir.display()
        );
        Error::new(ErrorKind::Io, message)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Dataset;

    #[test]
    fn images_stand_upright_and_labels_count_from_0() {
        let dir = std::env::temp_dir().join(format!("gradus-emnist-{}", std::process::id()));
        fs::create_dir_all(dir.join("gzip")).unwrap();
        let mut images = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28];
        images.extend((0..2 * SIDE * SIDE).map(|i| (i % SIDE) as u8));
        let file = |what: &str| dir.join(format!("gzip/emnist-letters-test-{what}-ubyte"));
        fs::write(file("images-idx3"), images).unwrap();
        let labels = |bytes: &[u8]| {
            let content = [&[0, 0, 8, 1, 0, 0, 0, bytes.len() as u8][..], bytes].concat();
            fs::write(file("labels-idx1"), content).unwrap();
            emnist(&dir, Split::Test, EmnistKind::Letters)
        };
        let letters = labels(&[1, 26]).unwrap();
        assert_eq!((letters.get(0).unwrap().1, letters.get(1).unwrap().1), (0, 25));
        assert_eq!(letters.classes()[25], "z");
        // In the file every row counts the columns; upright, every column counts the rows.
        let image = letters.get(1).unwrap().0;
        let rows = |at: usize| (at / SIDE) as u8;
        assert_eq!(image.pixels().data(), (0..SIDE * SIDE).map(rows).collect::<Vec<u8>>());
        let error = labels(&[1, 0]).unwrap_err().to_string();
        assert!(
            error.contains("sample 1 is 0 (offset 9), but there are the classes 1 to 26"),
            "{error}"
        );
        let error = labels(&[1]).unwrap_err().to_string();
        assert!(error.contains("holds 2 images") && error.contains("holds 1 labels"), "{error}");
        let error = emnist(&dir, Split::Train, EmnistKind::Letters).unwrap_err().to_string();
        assert!(error.contains("emnist-letters-train-images-idx3-ubyte.gz"), "{error}");
        let _ = fs::remove_dir_all(&dir);
        for (kind, count) in [(EmnistKind::Balanced, 47), (EmnistKind::ByClass, 62)] {
            assert_eq!(kind.classes().len(), count);
        }
    }
}
