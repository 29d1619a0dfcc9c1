//! MNIST's four files: where they are looked for, and that they belong together.

use std::fs;
use std::path::PathBuf;

use gradus_data::{Dataset, LabelledImages, Split, datasets};

/// A folder of its own for each test, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("gradus-data-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn idx(dims: &[u32], elements: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    file.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
    file.extend(elements);
    file
}

/// `n` training images, all of whose pixels are the image's number.
fn images(n: u8) -> Vec<u8> {
    idx(&[n.into(), 28, 28], (0..n).flat_map(|i| [i; 784]))
}

fn labels(labels: &[u8]) -> Vec<u8> {
    idx(&[labels.len() as u32], labels.iter().copied())
}

fn error(result: gradus_tensor::Result<LabelledImages>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn files_are_found_under_all_their_names() {
    for (test, folder, images_name, labels_name) in [
        ("plain", "", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("dotted", "", "train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        // By content, not by extension: these are not compressed.
        ("gz", "", "train-images-idx3-ubyte.gz", "train-labels.idx1-ubyte.gz"),
        ("torchvision", "MNIST/raw", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ] {
        let dir = Folder::new(test);
        let raw = dir.0.join(folder);
        fs::create_dir_all(&raw).unwrap();
        fs::write(raw.join(images_name), images(3)).unwrap();
        fs::write(raw.join(labels_name), labels(&[9, 0, 4])).unwrap();
        let mnist = datasets::mnist(&dir.0, Split::Train).unwrap();
        assert_eq!(format!("{mnist:?}"), "MNIST (train): 3 images [1, 28, 28], 10 classes");
        let (image, label) = mnist.get(2).unwrap();
        assert_eq!((image.pixels().data(), label), (&[2; 784][..], 4));
        assert!(error(datasets::mnist(&dir.0, Split::Test)).contains("t10k-images-idx3-ubyte"));
    }
}

#[test]
fn missing_files_tell_what_was_looked_for() {
    let text = error(datasets::fashion_mnist("no/such/folder", Split::Train));
    for part in [
        "FashionMNIST: found none of",
        "train-images-idx3-ubyte, train-images.idx3-ubyte, train-images-idx3-ubyte.gz",
        "no/such/folder or ",
        "raw; give the folder that holds the files, or get them from http",
    ] {
        assert!(text.contains(part), "{text}\n{part}");
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let dir = Folder::new("mismatch");
    let write = |name: &str, content: Vec<u8>| fs::write(dir.0.join(name), content).unwrap();
    let open = || error(datasets::mnist(&dir.0, Split::Train));

    write("train-images-idx3-ubyte", images(3));
    write("train-labels-idx1-ubyte", labels(&[1, 2]));
    let text = open();
    assert!(text.contains("train-images-idx3-ubyte holds 3 images"), "{text}");
    assert!(text.contains("train-labels-idx1-ubyte holds 2 labels"), "{text}");

    write("train-labels-idx1-ubyte", labels(&[1, 10, 2]));
    let text = open();
    assert!(text.contains("the label of sample 1 is 10 (offset 9)"), "{text}");
    assert!(text.contains("MNIST has the classes 0 to 9"), "{text}");

    write("train-labels-idx1-ubyte", images(3));
    assert!(open().contains("are the image and label files exchanged?"));
}

#[test]
fn the_official_files() {
    let Some(dir) = std::env::var_os("GRADUS_DATA") else {
        println!("skipped: GRADUS_DATA is not set");
        return;
    };
    let dir = PathBuf::from(dir).join("mnist");
    let train = datasets::mnist(&dir, Split::Train).unwrap();
    let test = datasets::mnist(&dir, Split::Test).unwrap();
    assert_eq!((train.len(), test.len()), (60_000, 10_000));
    let labels =
        |set: &LabelledImages| -> Vec<i64> { (0..8).map(|i| set.get(i).unwrap().1).collect() };
    assert_eq!(labels(&train), [5, 0, 4, 1, 9, 2, 1, 3]);
    assert_eq!(labels(&test), [7, 2, 1, 0, 4, 1, 4, 9]);
    let sum: u64 = (0..train.len())
        .map(|i| train.get(i).unwrap().0.pixels().data().iter().map(|&p| u64::from(p)).sum::<u64>())
        .sum();
    // The mean that everyone normalises by: 0.1307.
    let mean = sum as f64 / 255.0 / (60_000.0 * 784.0);
    assert!((mean - 0.1307).abs() < 5e-5, "{mean}");
}
