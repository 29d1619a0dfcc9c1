//! Images in folders: which files make which part, and what is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use gradus_data::datasets::{ImageFolder, ImageFolderOptions, ImageSize, read_image};
use gradus_data::{Dataset, Split};

/// A folder of its own for each test, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("gradus-images-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// An image of one colour, `width × height`.
    fn image(&self, path: &str, (width, height): (u32, u32), colour: [u8; 3]) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixels = colour.repeat((width * height) as usize);
        fs::write(path, png((width, height), png::ColorType::Rgb, &pixels)).unwrap();
    }

    fn open(
        &self,
        split: Split,
        options: ImageFolderOptions,
    ) -> gradus_tensor::Result<ImageFolder> {
        ImageFolder::open(&self.0, split, options)
    }
}

/// An image as the bytes of a PNG file.
fn png((width, height): (u32, u32), colour: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(colour);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    file
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pixels(folder: &ImageFolder, index: usize) -> Vec<u8> {
    folder.get(index).unwrap().0.pixels().data().to_vec()
}

#[test]
fn parts_with_folders_of_their_own() {
    for test in ["test", "val", "valid"] {
        let dir = Folder::new(&format!("parts-{test}"));
        dir.image("train/dog/1.png", (3, 2), [1, 2, 3]);
        dir.image("train/cat/2.png", (3, 2), [4, 5, 6]);
        dir.image(&format!("{test}/dog/3.PNG"), (3, 2), [7, 8, 9]);
        dir.image(&format!("{test}/cat/4.png"), (3, 2), [10, 11, 12]);
        fs::write(dir.0.join("train/cat/notes.txt"), "not an image").unwrap();
        fs::write(dir.0.join("train/cat/.hidden.png"), "nor this").unwrap();
        let train = dir.open(Split::Train, ImageFolderOptions::default()).unwrap();
        assert_eq!(train.classes(), ["cat", "dog"]);
        assert_eq!(train.image_size(), Some(ImageSize { height: 2, width: 3 }));
        assert_eq!((train.len(), train.get(0).unwrap().1, train.get(1).unwrap().1), (2, 0, 1));
        // Channel by channel.
        assert_eq!(pixels(&train, 1), [[1; 6], [2; 6], [3; 6]].concat());
        let tested = dir.open(Split::Test, ImageFolderOptions::default()).unwrap();
        assert_eq!(pixels(&tested, 0), [[10; 6], [11; 6], [12; 6]].concat());
        let in_memory = tested.in_memory(3).unwrap();
        assert_eq!(in_memory.image_shape()[..], [3, 2, 3]);
        assert_eq!(in_memory.get(1).unwrap().0.pixels().data(), pixels(&tested, 1));
    }
}

#[test]
fn a_part_chosen_by_a_seed_has_the_same_share_of_each_class() {
    let dir = Folder::new("chosen");
    for i in 0..10u8 {
        dir.image(&format!("a/{i}.png"), (1, 1), [i; 3]);
        dir.image(&format!("b/{i}.png"), (1, 1), [100 + i; 3]);
    }
    let samples = |split, seed| -> Vec<(u8, i64)> {
        let options = ImageFolderOptions { seed, test_fraction: 0.3, ..Default::default() };
        let folder = dir.open(split, options).unwrap();
        (0..folder.len()).map(|i| (pixels(&folder, i)[0], folder.get(i).unwrap().1)).collect()
    };
    let (train, test) = (samples(Split::Train, 5), samples(Split::Test, 5));
    for class in 0..2 {
        assert_eq!(test.iter().filter(|(_, label)| *label == class).count(), 3);
    }
    let mut all = [&train[..], &test[..]].concat();
    all.sort_unstable();
    let expected: Vec<(u8, i64)> =
        (0..10).map(|i| (i, 0)).chain((100..110).map(|i| (i, 1))).collect();
    assert_eq!(all, expected);
    assert_eq!(samples(Split::Test, 5), test);
    assert_ne!(samples(Split::Test, 6), test);
}

#[test]
fn grey_becomes_colour_and_colour_grey() {
    let dir = Folder::new("grey");
    let grey = dir.0.join("grey.png");
    fs::write(&grey, png((2, 1), png::ColorType::Grayscale, &[9, 9])).unwrap();
    assert_eq!(read_image(&grey, 3, None).unwrap().pixels().data(), [9; 6]);
    dir.image("green.png", (1, 1), [0, 255, 0]);
    let green = read_image(&dir.0.join("green.png"), 1, None).unwrap();
    // 0.587 · 255: ITU-R BT.601.
    assert_eq!(green.pixels().data(), [150]);
    assert_eq!(green.pixels().shape()[..], [1, 1, 1]);
    // Opacity is dropped.
    for (colour, pixel) in
        [(png::ColorType::Rgba, &[1, 2, 3, 99][..]), (png::ColorType::GrayscaleAlpha, &[5, 99])]
    {
        let path = dir.0.join("opaque.png");
        fs::write(&path, png((1, 1), colour, pixel)).unwrap();
        let expected = if pixel.len() == 4 { [1, 2, 3] } else { [5, 5, 5] };
        assert_eq!(read_image(&path, 3, None).unwrap().pixels().data(), expected);
        // 0.299 · 1 + 0.587 · 2 + 0.114 · 3 is 2, rounded.
        let expected = if pixel.len() == 4 { [2] } else { [5] };
        assert_eq!(read_image(&path, 1, None).unwrap().pixels().data(), expected);
    }
}

#[test]
fn other_sizes_are_an_error_or_are_scaled() {
    let dir = Folder::new("sizes");
    dir.image("train/a/1.png", (4, 4), [50; 3]);
    dir.image("train/a/2.png", (4, 6), [60; 3]);
    dir.image("test/a/3.png", (4, 4), [70; 3]);
    let train = dir.open(Split::Train, ImageFolderOptions::default()).unwrap();
    for error in [train.get(1).unwrap_err(), train.in_memory(2).unwrap_err()] {
        let text = error.to_string();
        assert!(text.contains("2.png: the image is 6×4, but "), "{text}");
        assert!(text.contains("1.png, the first, is 4×4") && text.contains("`resize`"), "{text}");
    }
    let size = ImageSize { height: 2, width: 3 };
    let options = ImageFolderOptions { resize: Some(size), ..Default::default() };
    let scaled = dir.open(Split::Train, options).unwrap().in_memory(2).unwrap();
    assert_eq!(scaled.image_shape()[..], [3, 2, 3]);
    assert_eq!(scaled.get(1).unwrap().0.pixels().data(), [60; 18]);
}

#[test]
fn folders_that_make_no_sense_are_named() {
    let error = |dir: &Folder| {
        dir.open(Split::Train, ImageFolderOptions::default()).unwrap_err().to_string()
    };
    let empty = Folder::new("empty");
    assert!(error(&empty).contains("there are no folders in it"), "{}", error(&empty));

    let no_test = Folder::new("no-test");
    no_test.image("train/a/1.png", (1, 1), [0; 3]);
    assert!(error(&no_test).contains("none of test, val, valid"), "{}", error(&no_test));

    no_test.image("test/a/1.png", (1, 1), [0; 3]);
    no_test.image("test/b/1.png", (1, 1), [0; 3]);
    let text = error(&no_test);
    assert!(text.contains("the class \"b\" is in ") && text.contains("but not in"), "{text}");

    fs::create_dir_all(no_test.0.join("train/b")).unwrap();
    let text = error(&no_test);
    assert!(text.contains("there are no images in it (files that end in png"), "{text}");

    let damaged = Folder::new("damaged");
    damaged.image("train/a/1.png", (8, 8), [0; 3]);
    damaged.image("test/a/1.png", (8, 8), [0; 3]);
    let whole = fs::read(damaged.0.join("test/a/1.png")).unwrap();
    damaged.image("train/a/0.png", (8, 8), [0; 3]);
    fs::write(damaged.0.join("train/a/1.png"), &whole[..whole.len() / 2]).unwrap();
    let folder = damaged.open(Split::Train, ImageFolderOptions::default()).unwrap();
    let text = folder.get(1).unwrap_err().to_string();
    assert!(text.contains("1.png: no PNG, JPEG, WebP or BMP image that can be read"), "{text}");
    fs::write(damaged.0.join("train/a/0.png"), "<!DOCTYPE html>").unwrap();
    assert!(
        error(&damaged).contains("0.png: no PNG, JPEG, WebP or BMP image"),
        "{}",
        error(&damaged)
    );
    let text = read_image(Path::new("no/such.png"), 3, None).unwrap_err().to_string();
    assert!(text.starts_with("no/such.png: "), "{text}");
}

/// Images deeper than a class are those of nobody: they are not left out without a word.
#[test]
fn folders_within_a_class_are_named() {
    let dir = Folder::new("nested");
    for path in ["cat/1.png", "cat/2.png", "cat/more/3.png", "dog/4.png", "dog/5.png"] {
        dir.image(path, (3, 2), [1, 2, 3]);
    }
    fs::create_dir(dir.0.join("dog/notes")).unwrap();
    let error = dir.open(Split::Train, ImageFolderOptions::default()).unwrap_err().to_string();
    assert!(error.contains("cat/more/3.png: an image in a folder within"), "{error}");
    fs::remove_dir_all(dir.0.join("cat/more")).unwrap();
    assert!(dir.open(Split::Train, ImageFolderOptions::default()).is_ok());
    for path in ["dog/notes/deep/6.png", "cat/notes/7.gif", "cat/8", "9.png"] {
        dir.image("dog/4.png", (3, 2), [1, 2, 3]);
        fs::create_dir_all(dir.0.join(path).parent().unwrap()).unwrap();
        fs::copy(dir.0.join("dog/4.png"), dir.0.join(path)).unwrap();
        let error = dir.open(Split::Train, ImageFolderOptions::default()).unwrap_err().to_string();
        assert!(error.contains(&format!("{path}: an image")), "{error}");
        fs::remove_file(dir.0.join(path)).unwrap();
    }
    fs::write(dir.0.join("LICENSE"), "none").unwrap();
    fs::write(dir.0.join("cat/README"), "none").unwrap();
    assert!(dir.open(Split::Train, ImageFolderOptions::default()).is_ok());
}

/// An image that is not read is not left out without a word; notes are.
#[test]
fn images_of_other_formats_are_named() {
    let dir = Folder::new("formats");
    for path in ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"] {
        dir.image(path, (3, 2), [1, 2, 3]);
    }
    fs::write(dir.0.join("cat/notes.txt"), "two cats").unwrap();
    assert!(dir.open(Split::Train, ImageFolderOptions::default()).is_ok());
    fs::write(dir.0.join("dog/5.GIF"), "GIF89a").unwrap();
    let error = dir.open(Split::Train, ImageFolderOptions::default()).unwrap_err().to_string();
    let expected = "dog/5.GIF: an image, but only files that end in png, jpg, jpeg, webp, bmp are read; \
                    convert or rename it, or move it elsewhere";
    assert!(error.ends_with(expected), "{error}");
}

/// A bad file says so when it is asked for; the size of the others is that of the first good one.
#[test]
fn a_bad_first_image_is_one_bad_sample() {
    let dir = Folder::new("bad-first");
    for (path, side) in [("a/1.png", 1), ("a/2.png", 3), ("b/3.png", 3), ("b/4.png", 2)] {
        dir.image(&format!("train/{path}"), (side, 2), [1, 2, 3]);
        dir.image(&format!("test/{path}"), (side, 2), [1, 2, 3]);
    }
    fs::write(dir.0.join("train/a/1.png"), "no image").unwrap();
    let folder = dir.open(Split::Train, ImageFolderOptions::default()).unwrap();
    assert_eq!(folder.image_size(), Some(ImageSize { height: 2, width: 3 }));
    let error = |index: usize| folder.get(index).unwrap_err().to_string();
    assert!(error(0).contains("1.png: no PNG") && folder.get(2).is_ok());
    assert!(error(3).contains("a/2.png, the first, is 2×3"), "{}", error(3));
}

#[test]
fn cifar_as_jpeg_files() {
    let Some(dir) = std::env::var_os("GRADUS_DATA").map(|dir| PathBuf::from(dir).join("cifar10"))
    else {
        println!("skipped: GRADUS_DATA is not set");
        return;
    };
    if !dir.is_dir() {
        println!("skipped: there is no folder cifar10 (the unpacked JPEG files) in GRADUS_DATA");
        return;
    }
    let test = ImageFolder::open(&dir, Split::Test, ImageFolderOptions::default()).unwrap();
    assert_eq!((test.len(), test.classes().len()), (10_000, 10));
    assert_eq!(test.image_size(), Some(ImageSize { height: 32, width: 32 }));
    let images = test.in_memory(2).unwrap();
    let sum: u64 = (0..images.len())
        .map(|i| {
            images.get(i).unwrap().0.pixels().data().iter().map(|&p| u64::from(p)).sum::<u64>()
        })
        .sum();
    // The channels' means that everyone normalises by are 0.491, 0.482 and 0.447.
    let mean = sum as f64 / 255.0 / (10_000.0 * 3072.0);
    assert!((mean - 0.4734).abs() < 0.01, "{mean}");

    // A JPEG file that breaks off is an error.
    let whole = fs::read(dir.join("test/cat/0000.jpg")).unwrap();
    let folder = Folder::new("jpeg");
    for length in [2, 100, whole.len() / 2, whole.len() - 20] {
        let path = folder.0.join("cut.jpg");
        fs::write(&path, &whole[..length]).unwrap();
        let error = read_image(&path, 3, None).unwrap_err().to_string();
        assert!(
            error.contains("cut.jpg: no PNG, JPEG, WebP or BMP image"),
            "{length} bytes: {error}"
        );
    }
}
