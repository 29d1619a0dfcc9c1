//! Datasets in MNIST's four files: images and labels, to train and to test.

use std::path::{Path, PathBuf};

use gradus_tensor::{Error, ErrorKind, Result};

use super::LabelledImages;
use crate::idx::{self, Idx};
use crate::{Array, Split};

/// The side of an image.
const SIDE: usize = 28;

/// One such dataset.
pub(super) struct IdxFolder {
    /// Its name, also that of the folder in which torchvision keeps it.
    pub(super) name: &'static str,
    /// Where the files can be had.
    pub(super) url: &'static str,
    pub(super) classes: &'static [&'static str],
}

impl IdxFolder {
    /// Reads the images and labels of `split` below `dir`, and checks that they agree.
    pub(super) fn open(&self, dir: &Path, split: Split) -> Result<LabelledImages> {
        let images_path = self.find(dir, split, "images", 3)?;
        let labels_path = self.find(dir, split, "labels", 1)?;
        let images = idx::read_file(&images_path, &[None, Some(SIDE), Some(SIDE)])?;
        let labels = idx::read_file(&labels_path, &[None])?;
        let n = images.dims[0];
        if labels.bytes.len() != n {
            return Err(Error::new(
                ErrorKind::Data,
                format!(
                    "{} holds {n} images, but {} holds {} labels; get both again from {}",
                    images_path.display(),
                    labels_path.display(),
                    labels.bytes.len(),
                    self.url
                ),
            ));
        }
        self.check(&labels_path, &labels)?;
        Ok(LabelledImages::new(
            format!("{} ({split})", self.name),
            Array::new([n, 1, SIDE, SIDE], images.bytes)?,
            255,
            Array::new([n], labels.bytes.into_iter().map(i64::from).collect())?,
            self.classes.iter().map(|class| class.to_string()).collect(),
        ))
    }

    fn check(&self, path: &Path, labels: &Idx) -> Result<()> {
        let classes = self.classes.len();
        match labels.bytes.iter().position(|&label| usize::from(label) >= classes) {
            None => Ok(()),
            Some(sample) => Err(Error::new(
                ErrorKind::Data,
                format!(
                    "{}: the label of sample {sample} is {} (offset {}), but {} has the classes 0 \
                     to {}; get the file again from {}",
                    path.display(),
                    labels.bytes[sample],
                    idx::offset(labels.dims.len(), sample),
                    self.name,
                    classes - 1,
                    self.url
                ),
            )),
        }
    }

    /// The file of "images" or "labels" under one of the names in use, in `dir` or where
    /// torchvision puts it below `dir`.
    fn find(&self, dir: &Path, split: Split, content: &str, axes: usize) -> Result<PathBuf> {
        let part = match split {
            Split::Train => "train",
            Split::Test => "t10k",
        };
        let [dashed, dotted] = ["-", "."].map(|s| format!("{part}-{content}{s}idx{axes}-ubyte"));
        let [dashed_gz, dotted_gz] = [&dashed, &dotted].map(|name| format!("{name}.gz"));
        let names = [dashed, dotted, dashed_gz, dotted_gz];
        let folders = [dir.to_path_buf(), dir.join(self.name).join("raw")];
        let mut paths = folders.iter().flat_map(|dir| names.iter().map(|name| dir.join(name)));
        paths.find(|path| path.is_file()).ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                format!(
                    "{}: found none of {} in {} or {}; give the folder that holds the files, or \
                     get them from {}",
                    self.name,
                    names.join(", "),
                    folders[0].display(),
                    folders[1].display(),
                    self.url
                ),
            )
        })
    }
}
