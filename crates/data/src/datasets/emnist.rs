//! EMNIST.

use std::fs::File;
use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};

use super::LabelledImages;
use crate::idx::{self, Idx};
use crate::{Array, Split, zip};

const URL: &str = "https://www.nist.gov/itl/products-and-services/emnist-dataset";
const ARCHIVE: &str = "gzip.zip";
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
/// (where the archive puts them) or in its `EMNIST/raw` (torchvision), or directly from the archive
/// `gzip.zip`, which `dir` names or holds.
///
/// # Errors
/// If files are missing, truncated, damaged, or do not belong together; the message names the file,
/// the offset and what to do.
pub fn emnist(dir: impl AsRef<Path>, split: Split, kind: EmnistKind) -> Result<LabelledImages> {
    let sides = [None, Some(SIDE), Some(SIDE)];
    let (images_name, images) = load(dir.as_ref(), split, kind, "images", &sides)?;
    let (labels_name, labels) = load(dir.as_ref(), split, kind, "labels", &[None])?;
    let count = images.dims[0];
    if labels.bytes.len() != count {
        let message = format!(
            "{images_name} holds {count} images, but {labels_name} holds {} labels; get both again \
             from {URL}",
            labels.bytes.len()
        );
        return Err(Error::new(ErrorKind::Data, message));
    }
    let classes = kind.classes();
    let labels = checked(&labels_name, &labels, kind.first(), classes.len())?;
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
fn checked(name: &str, labels: &Idx, first: u8, classes: usize) -> Result<Vec<i64>> {
    let label = |(sample, &label): (usize, &u8)| {
        let class = i64::from(label) - i64::from(first);
        if (0..classes as i64).contains(&class) {
            return Ok(class);
        }
        let message = format!(
            "{name}: the label of sample {sample} is {label} (offset {}), but there are the classes \
             {first} to {}; get the file again from {URL}",
            idx::offset(1, sample),
            usize::from(first) + classes - 1
        );
        Err(Error::new(ErrorKind::Data, message))
    };
    labels.bytes.iter().enumerate().map(label).collect()
}

/// The content of a file, and what messages call it. It is in a folder or in the archive, which is
/// read, never unpacked.
fn load(
    dir: &Path,
    split: Split,
    kind: EmnistKind,
    what: &str,
    sizes: &[Option<usize>],
) -> Result<(String, Idx)> {
    let name = format!("emnist-{}-{split}-{what}-idx{}-ubyte", kind.name(), sizes.len());
    let folders = [dir.to_owned(), dir.join("gzip"), dir.join("EMNIST").join("raw")];
    let mut paths =
        folders.iter().flat_map(|dir| [dir.join(&name), dir.join(format!("{name}.gz"))]);
    if let Some(path) = paths.find(|path| path.is_file()) {
        return Ok((path.display().to_string(), idx::read_file(&path, sizes)?));
    }
    let archives = [dir.to_owned(), dir.join(ARCHIVE)];
    let Some(archive) = archives.iter().find(|path| path.is_file()) else {
        let message = format!(
            "EMNIST: found neither {name}, {name}.gz nor {ARCHIVE} in {}, its gzip or its EMNIST/raw; \
             give the folder that holds the files, or get {ARCHIVE} from {URL}",
            dir.display()
        );
        return Err(Error::new(ErrorKind::Io, message));
    };
    let broken = |why: String| {
        let message = format!("{}: {why}; get it again from {URL}", archive.display());
        Error::new(ErrorKind::Format, message)
    };
    let mut file = File::open(archive).map_err(|e| broken(e.to_string()))?;
    let inside = format!("gzip/{name}.gz");
    let entries = zip::entries(&mut file, ".zip").map_err(broken)?;
    let entry = entries.iter().find(|entry| entry.name == inside);
    let entry = entry.ok_or_else(|| broken(format!("there is no {inside} in it")))?;
    let content = entry.content(&mut file).map_err(|why| broken(format!("{inside}: {why}")))?;
    let name = format!("{}, {inside}", archive.display());
    let idx = idx::read(&name, &content[..], content.len() as u64, sizes)?;
    Ok((name, idx))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Dataset;

    /// A ZIP archive of these files, not compressed again.
    fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
        let (mut archive, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in files {
            let mut crc = flate2::Crc::new();
            crc.update(content);
            let size = (content.len() as u32).to_le_bytes();
            let (crc, length) = (crc.sum().to_le_bytes(), (name.len() as u16).to_le_bytes());
            let common =
                [&[10, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &crc, &size, &size, &length, &[0; 2]];
            let common = common.concat();
            let offset = (archive.len() as u32).to_le_bytes();
            directory.extend([b"PK\x01\x02\x0a\x00", &common[..], &[0; 10], &offset].concat());
            directory.extend(name.as_bytes());
            archive.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        }
        let (count, start) = ((files.len() as u16).to_le_bytes(), archive.len() as u32);
        let size = (directory.len() as u32).to_le_bytes();
        archive.extend(directory);
        archive.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &size].concat());
        archive.extend([&start.to_le_bytes()[..], &[0; 2]].concat());
        archive
    }

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
        // The same from the archive.
        labels(&[1, 26]).unwrap();
        let files = ["images-idx3", "labels-idx1"].map(|what| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut gzip, &fs::read(file(what)).unwrap()).unwrap();
            (format!("gzip/emnist-letters-test-{what}-ubyte.gz"), gzip.finish().unwrap())
        });
        fs::remove_dir_all(dir.join("gzip")).unwrap();
        fs::write(dir.join(ARCHIVE), archive(&files)).unwrap();
        for path in [dir.clone(), dir.join(ARCHIVE)] {
            let again = emnist(path, Split::Test, EmnistKind::Letters).unwrap();
            assert_eq!(again.get(1).unwrap().0.pixels().data(), image.pixels().data());
        }
        let error = emnist(&dir, Split::Train, EmnistKind::Letters).unwrap_err().to_string();
        assert!(
            error.contains("gzip.zip: there is no gzip/emnist-letters-train-images"),
            "{error}"
        );
        let _ = fs::remove_dir_all(&dir);
        for (kind, count) in [(EmnistKind::Balanced, 47), (EmnistKind::ByClass, 62)] {
            assert_eq!(kind.classes().len(), count);
        }
    }
}
