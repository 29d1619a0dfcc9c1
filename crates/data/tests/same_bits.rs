//! Every batch has the same bits for any number of workers and wherever a run is resumed: of images in
//! files with augmentation, tables and streams. (`loader.rs` and `augmentation.rs` have data in memory.)

use std::path::{Path, PathBuf};

use gradus_data::datasets::{
    ImageFolder, ImageFolderOptions, Missing, Table, TableOptions, Target,
};
use gradus_data::transforms::*;
use gradus_data::{
    Array, Collate, Combine, DataLoader, Dataset, Image, Parts, Samples, Split, Stream,
    StreamLoader, write_png,
};
use gradus_tensor::{Result, Tensor};

const FILES: &[&str] =
    if cfg!(feature = "parquet") { &["table.csv", "zstd.parquet"] } else { &["table.csv"] };
type Bits = (Vec<u32>, Vec<u32>);

fn bits(batch: Result<(Tensor, Tensor)>) -> Bits {
    let of = |tensor: Tensor| match tensor.to_vec::<f32>() {
        Ok(numbers) => numbers.into_iter().map(f32::to_bits).collect(),
        Err(_) => tensor.to_vec::<i64>().unwrap().into_iter().map(|x| x as u32).collect(),
    };
    let (inputs, targets) = batch.unwrap();
    (of(inputs), of(targets))
}

/// Compares the batches of an epoch from each of its batches on.
fn check(name: &str, count: usize, batches: impl Fn(usize, u64, usize) -> Vec<Bits>) {
    let whole = batches(0, 2, 0);
    assert_eq!(whole.len(), count, "{name}");
    assert!((1..count).all(|number| whole[number] != whole[0]), "{name}: batches are equal");
    for workers in [0, 1, 2, 7] {
        for first in 0..=count {
            assert!(batches(workers, 2, first) == whole[first..], "{name}: {workers}, {first}");
        }
        assert!(batches(workers, 1, 0) != whole, "{name}: every epoch is the same");
    }
}

fn check_dataset<D>(name: &str, count: usize, dataset: impl Fn() -> D)
where
    D: Dataset + 'static,
    D::Item: Collate<Batch = (Tensor, Tensor)>,
{
    check(name, count, |workers, epoch, first| {
        let loader = DataLoader::new(dataset()).batch_size(7).shuffle(11).workers(workers);
        loader.batches_from(epoch, first).map(bits).collect()
    });
}

/// A folder of the test's own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("gradus-bits-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Photographs of different sizes, in two classes.
fn photographs() -> Folder {
    let folder = Folder::new("photographs");
    for number in 0..30usize {
        let class = folder.0.join(["cat", "dog"][number % 2]);
        std::fs::create_dir_all(&class).unwrap();
        let (height, width) = (20 + number % 7, 24 + number % 5);
        let pixel = |at: usize| (at * (number + 3) * 7 % 253) as u8;
        let pixels = (0..3 * height * width).map(pixel).collect();
        let image = Image::new(Array::new([3, height, width], pixels).unwrap());
        write_png(&class.join(format!("{number}.png")), &image).unwrap();
    }
    folder
}

#[test]
fn of_images_in_files_with_augmentation() {
    let folder = photographs();
    let pipeline = || {
        Pipeline::new(5)
            .add(RandomResizedCrop::new(16))
            .add(RandomHorizontalFlip::default())
            .add(ColorJitter::new(0.4, 0.4, 0.4, 0.1))
            .add(RandAugment::default())
            .add(Normalize::new(&[0.4, 0.5, 0.6], &[0.2, 0.3, 0.4]).unwrap())
            .add(RandomErasing::default())
    };
    let photos = || {
        let options = ImageFolderOptions { any_size: true, ..ImageFolderOptions::default() };
        ImageFolder::open(&folder.0, Split::Train, options).unwrap()
    };
    check_dataset("folder", 4, || pipeline().over(photos()));
    let cache = Folder::new("cache");
    // The first time from the files, later from the cache; the same as without one.
    let cached = || pipeline().over(photos().cache_on_disk(&cache.0).unwrap());
    fn batches<D>(dataset: D) -> Vec<Bits>
    where
        D: Dataset + 'static,
        D::Item: Collate<Batch = (Tensor, Tensor)>,
    {
        let loader = DataLoader::new(dataset).batch_size(7).shuffle(11).workers(3);
        loader.batches_from(2, 0).map(bits).collect()
    }
    let plain = batches(pipeline().over(photos()));
    assert!(batches(cached()) == plain && batches(cached()) == plain);
    check_dataset("cached folder", 4, cached);
    check_dataset("mixed folder", 4, || {
        Mixing::new(2, 9).mixup(0.4).cutmix(1.0).over(pipeline().over(photos()))
    });
}

#[test]
fn of_tables() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tables");
    for kind in [Target::Number, Target::Class] {
        let options = TableOptions {
            categorical: vec!["city".into()],
            ignore: vec!["class".into()],
            missing: Missing::Mean,
            missing_in: vec![("city".into(), Missing::Category)],
            ..TableOptions::new(if kind == Target::Number { "y" } else { "code" }, kind)
        };
        for file in FILES {
            let open = || Parts(Table::open(golden.join(file), Split::Train, &options).unwrap());
            check_dataset(file, 5, open);
        }
    }
}

#[test]
fn of_streams() {
    /// Lines of numbers, others in each epoch.
    struct Lines;
    impl Stream for Lines {
        type Item = String;
        fn stream(&self, epoch: u64) -> Result<Samples<String>> {
            let line = move |i: u64| Ok(format!("{} {}", i * i % 17 + epoch, 100 * i));
            Ok(Box::new((0..40).map(line)))
        }
    }
    check("stream", 6, |workers, epoch, first| {
        let parsed = Lines.map(|line| {
            let numbers = line.split(' ').map(|word| word.parse().unwrap_or(f32::NAN));
            Ok((numbers.collect::<Vec<f32>>(), line.len() as i64))
        });
        let loader = StreamLoader::new(parsed).batch_size(7).workers(workers);
        loader.batches_from(epoch, first).map(bits).collect()
    });
}
