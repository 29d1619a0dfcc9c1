//! Images in folders, one folder for each class.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use gradus_tensor::{Error, ErrorKind, Result};

use super::image_file::{LONGEST, image_size};
use super::{ImageSize, LabelledImages, choose, read_image};
use crate::{Array, Dataset, Identity, Image, Normalization, Split};

/// The endings of files that are read.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];
/// The endings of images that are not: an error, so that none is left out without a word.
const OTHERS: [&str; 11] =
    ["avif", "gif", "heic", "jfif", "jp2", "jxl", "pgm", "ppm", "tga", "tif", "tiff"];
/// How the part to train on is called, and those to test.
const TRAIN: &str = "train";
const TEST: [&str; 3] = ["test", "val", "valid"];

/// What an [`ImageFolder`] does with its files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageFolderOptions {
    /// 3, colour, by default; or 1, grey.
    pub channels: usize,
    /// The size that every image is scaled to; by default none, and all must have one size.
    pub resize: Option<ImageSize>,
    /// Whether images may have different sizes, which [transforms](crate::transforms) will make
    /// equal. Not by default: another size than the first image's is then an error.
    pub any_size: bool,
    /// The share of each class to test on, where the folder itself has no parts: 0.2 by default.
    pub test_fraction: f64,
    /// Decides which images these are: 0 by default.
    pub seed: u64,
}

impl Default for ImageFolderOptions {
    fn default() -> ImageFolderOptions {
        ImageFolderOptions {
            channels: 3,
            resize: None,
            any_size: false,
            test_fraction: 0.2,
            seed: 0,
        }
    }
}

/// PNG, JPEG, WebP and BMP files, the classes being the names of the folders they are in: torchvision's class
/// of this name.
///
/// ```text
/// pets/train/cat/1.png          or, without parts:     pets/cat/1.png
/// pets/train/dog/2.jpg                                 pets/dog/2.jpg
/// pets/test/cat/3.png   (or val, or valid)
/// ```
///
/// Files of other endings are none of them; but an image of another format, such as GIF or TIFF, without an ending,
/// in a folder further down or beside the classes is an error.
///
/// Without parts, a share of each class is kept for testing, chosen by a seed. Files are decoded
/// when a sample is asked for, so that a loader's workers share that work;
/// [`in_memory`](ImageFolder::in_memory) decodes all of them once.
///
/// Samples are `(Image, i64)`.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    name: String,
    files: Vec<(PathBuf, i64)>,
    classes: Vec<String>,
    channels: usize,
    resize: Option<ImageSize>,
    /// None if they differ.
    size: Option<ImageSize>,
    /// The image that has it.
    first: usize,
    normalization: Option<Arc<Normalization>>,
}

impl ImageFolder {
    /// The images of one part below `dir`.
    ///
    /// # Errors
    /// If there are no classes or a class has no images, the parts have different classes, or no
    /// image can be read whose size the others must have.
    pub fn open(
        dir: impl AsRef<Path>,
        split: Split,
        options: ImageFolderOptions,
    ) -> Result<ImageFolder> {
        let dir = dir.as_ref();
        let sides = options.resize.map_or([1; 2], |size| [size.height, size.width]);
        if ![1, 3].contains(&options.channels)
            || sides.iter().any(|side| !(1..=LONGEST).contains(side))
        {
            let message = format!(
                "images have 1 channel (grey) or 3 (colour), not {}, and are resized to 1 to {LONGEST} \
                 pixels along each side, not {sides:?}",
                options.channels
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let test = TEST.iter().map(|name| dir.join(name)).find(|part| part.is_dir());
        let (classes, files) = match (dir.join(TRAIN).is_dir(), test) {
            (true, Some(test)) => part(&dir.join(TRAIN), &test, split)?,
            (true, None) => {
                let message = format!(
                    "{}: there is a folder {TRAIN}, but none of {}; add one, or remove {TRAIN} to \
                     have a part chosen",
                    dir.display(),
                    TEST.join(", ")
                );
                return Err(Error::new(ErrorKind::Data, message));
            }
            (false, _) => chosen(dir, split, &options)?,
        };
        let (size, first) = match (options.resize, files.first()) {
            (Some(size), _) => (Some(size), 0),
            (None, _) if options.any_size => (None, 0),
            (None, None) => (Some(ImageSize { height: 0, width: 0 }), 0),
            (None, Some(_)) => {
                // A bad one is an error when it is asked for, unless it is left out.
                let first = files.iter().position(|(path, _)| image_size(path).is_ok());
                let first = first.unwrap_or(0);
                (Some(image_size(&files[first].0)?), first)
            }
        };
        let folder = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy();
        Ok(ImageFolder {
            name: format!("{folder} ({split})"),
            files,
            classes,
            channels: options.channels,
            resize: options.resize,
            size,
            first,
            normalization: None,
        })
    }

    /// The same images, [normalised](Normalization) when they are put into a batch, or not.
    #[must_use]
    pub fn normalize(self, normalization: Option<Normalization>) -> ImageFolder {
        ImageFolder { normalization: normalization.map(Arc::new), ..self }
    }

    /// The names of the classes, in order; a label is a position in this list.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The size of every image; none if they may differ.
    pub fn image_size(&self) -> Option<ImageSize> {
        self.size
    }

    /// All images, decoded by so many threads.
    ///
    /// # Errors
    /// The first, in the order of the files, of those that a sample has.
    pub fn in_memory(&self, threads: usize) -> Result<LabelledImages> {
        let Some(size) = self.size else {
            let message = format!(
                "{}: images of different sizes make no array; set `resize`, or decode them when they \
                 are asked for",
                self.name
            );
            return Err(Error::new(ErrorKind::Usage, message));
        };
        let pixels = self.channels * size.height * size.width;
        let count = self.files.len();
        let total = pixels.checked_mul(count).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("{}: too large for memory", self.name))
        })?;
        let mut images = vec![0u8; total];
        let slots: Vec<Mutex<&mut [u8]>> =
            images.chunks_mut(pixels.max(1)).map(Mutex::new).collect();
        let next = AtomicUsize::new(0);
        let failure: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..threads.clamp(1, count.max(1)) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= count {
                            return;
                        }
                        match self.get(index) {
                            Ok((image, _)) => slots[index]
                                .lock()
                                .expect("no thread panics with it")
                                .copy_from_slice(image.pixels().data()),
                            Err(error) => {
                                // Numbers only grow, so what is asked for is before this already.
                                next.store(count, Ordering::Relaxed);
                                let mut first = failure.lock().expect("no thread panics with it");
                                if first.as_ref().is_none_or(|(at, _)| index < *at) {
                                    *first = Some((index, error));
                                }
                                return;
                            }
                        }
                    }
                });
            }
        });
        drop(slots);
        if let Some((_, error)) = failure.into_inner().expect("no thread panics with it") {
            return Err(error);
        }
        let images = LabelledImages::new(
            self.name.clone(),
            Array::new([count, self.channels, size.height, size.width], images)?,
            255,
            Array::new([count], self.files.iter().map(|(_, label)| *label).collect())?,
            self.classes.clone(),
        );
        images.normalize(self.normalization.as_deref().cloned())
    }
}

impl Dataset for ImageFolder {
    type Item = (Image, i64);

    fn len(&self) -> usize {
        self.files.len()
    }

    fn get(&self, index: usize) -> Result<(Image, i64)> {
        let (path, label) = &self.files[index];
        let image = read_image(path, self.channels, self.resize)?;
        let shape = image.pixels().shape();
        let size = ImageSize { height: shape[1], width: shape[2] };
        if let Some(expected) = self.size
            && size != expected
        {
            let message = format!(
                "{}: the image is {size}, but {}, the first, is {} (height × width); set `resize` \
                 to scale all images to one size",
                path.display(),
                self.files[self.first].0.display(),
                expected
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok((image.with_normalization(self.normalization.clone()), *label))
    }

    fn describe(&self, index: usize) -> String {
        self.files[index].0.display().to_string()
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn identify(&self, identity: &mut Identity) {
        identity.add(format!("{} {:?} {:?}", self.channels, self.resize, self.normalization));
        for (path, label) in &self.files {
            identity.add(path.as_os_str().as_encoded_bytes());
            let metadata = fs::metadata(path).ok();
            let changed = metadata.as_ref().and_then(|m| m.modified().ok());
            identity.add(format!("{label} {:?} {changed:?}", metadata.map(|m| m.len())));
        }
    }
}

type Labelled = (Vec<String>, Vec<(PathBuf, i64)>);

/// One of two parts that have folders of their own.
fn part(train: &Path, test: &Path, split: Split) -> Result<Labelled> {
    let (trained, tested) = (classes(train)?, classes(test)?);
    let odd = |a: &[String], b: &[String]| a.iter().find(|class| !b.contains(class)).cloned();
    let missing = odd(&trained, &tested).map(|class| (class, train, test));
    if let Some((class, here, there)) =
        missing.or_else(|| odd(&tested, &trained).map(|class| (class, test, train)))
    {
        let message = format!(
            "the class {class:?} is in {}, but not in {}; both need the same folders",
            here.display(),
            there.display()
        );
        return Err(Error::new(ErrorKind::Data, message));
    }
    let root = match split {
        Split::Train => train,
        Split::Test => test,
    };
    let mut files = Vec::new();
    for (label, class) in trained.iter().enumerate() {
        files.extend(images(&root.join(class))?.into_iter().map(|path| (path, label as i64)));
    }
    Ok((trained, files))
}

/// A part chosen by the seed: the same share of each class.
fn chosen(dir: &Path, split: Split, options: &ImageFolderOptions) -> Result<Labelled> {
    let classes = classes(dir)?;
    let mut files = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        let folder = dir.join(class);
        let all = images(&folder)?;
        // Each class is shuffled by a seed of its own.
        let seed = options.seed.wrapping_add((label as u64) << 32);
        let chosen = choose(all.len(), options.test_fraction, seed, split)
            .map_err(|e| e.context(format_args!("the images in {}", folder.display())))?;
        files.extend(chosen.into_iter().map(|i| (all[i].clone(), label as i64)));
    }
    Ok((classes, files))
}

/// The names of the folders in a folder, in order.
fn classes(dir: &Path) -> Result<Vec<String>> {
    let mut classes = Vec::new();
    for path in entries(dir)? {
        if looks_like_an_image(&path) {
            let message = format!(
                "{}: an image beside the folders of the classes; move it into one of them, or elsewhere",
                path.display()
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        if path.is_dir() {
            let name = path.file_name().and_then(OsStr::to_str).ok_or_else(|| {
                let message = format!("{path:?}: the name of a class must be UTF-8; rename it");
                Error::new(ErrorKind::Data, message)
            })?;
            classes.push(name.to_owned());
        }
    }
    if classes.is_empty() {
        let message = format!(
            "{}: there are no folders in it; images lie in one folder for each class",
            dir.display()
        );
        return Err(Error::new(ErrorKind::Data, message));
    }
    Ok(classes)
}

/// Whether the name of a file ends in one of these, in whatever case.
fn ends_in(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|e| endings.iter().any(|known| known.eq_ignore_ascii_case(e)))
}

/// Whether a file is an image, by its name, or by how it begins if the name does not say.
fn looks_like_an_image(path: &Path) -> bool {
    let named = ends_in(path, &ENDINGS) || ends_in(path, &OTHERS);
    (named || path.extension().is_none()) && path.is_file() && (named || image_size(path).is_ok())
}

/// The first image in a folder or in those within it.
fn any_image(dir: &Path) -> Result<Option<PathBuf>> {
    for path in entries(dir)? {
        // A link may lead back.
        let within = path.is_dir() && !path.is_symlink();
        let found = if within { any_image(&path)? } else { None };
        if found.is_some() || looks_like_an_image(&path) {
            return Ok(found.or(Some(path)));
        }
    }
    Ok(None)
}

/// The images in a folder, in order.
fn images(dir: &Path) -> Result<Vec<PathBuf>> {
    let is_image = |path: &PathBuf| ends_in(path, &ENDINGS);
    let all = entries(dir)?;
    if let Some(other) = all.iter().find(|path| !is_image(path) && looks_like_an_image(path)) {
        let message = format!(
            "{}: an image, but only files that end in {} are read; convert or rename it, or move it \
             elsewhere",
            other.display(),
            ENDINGS.join(", ")
        );
        return Err(Error::new(ErrorKind::Data, message));
    }
    // Whether they are of the class or not is not guessed.
    for folder in all.iter().filter(|path| path.is_dir()) {
        if let Some(image) = any_image(folder)? {
            let message = format!(
                "{}: an image in a folder within the folder of a class; move the images of {} to {}, \
                 or the folder to another place",
                image.display(),
                folder.display(),
                dir.display()
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
    }
    let images: Vec<PathBuf> = all.into_iter().filter(is_image).collect();
    if images.is_empty() {
        let message = format!(
            "{}: there are no images in it (files that end in {})",
            dir.display(),
            ENDINGS.join(", ")
        );
        return Err(Error::new(ErrorKind::Data, message));
    }
    Ok(images)
}

/// What is in a folder and not hidden, in order.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: std::io::Error| {
        let message = format!("cannot read the folder {}: {e}", dir.display());
        Error::new(ErrorKind::Io, message)
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
