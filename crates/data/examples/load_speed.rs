//! How fast the loader is, without a model: run it again and again, the fastest epoch counts.
//!
//! ```sh
//! cargo run --release -p gradus-data --example load_speed -- mnist DIR
//! cargo run --release -p gradus-data --example load_speed -- images DIR    # class folders of JPEGs
//! ```
//!
//! `images` compares the loader with the bare JPEG decoder on the same files in the same run, once on
//! bytes that are in memory already and once with reading the files. Options: `--workers N` (2; the
//! training loop's thread helps when it has nothing else to do), `--epochs N` (10), `--batch-size N`
//! (64). `benches/peers/loader.py` measures PyTorch on the same data.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use gradus_data::datasets::{self, ImageFolder, ImageFolderOptions};
use gradus_data::{Combine, Concat, DataLoader, Dataset, Image, Normalization, Split};
use gradus_tensor::{Error, ErrorKind, Result};
use zune_core::bytestream::ZCursor;
use zune_jpeg::JpegDecoder;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: usize| {
        let at = arguments.iter().position(|a| a == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let (workers, epochs) = (option("--workers", 2), option("--epochs", 10));
    let batch_size = option("--batch-size", 64);
    match &arguments[..] {
        [what, dir, ..] if what == "mnist" => {
            let normalization = Normalization::new(&[0.1307], &[0.3081])?;
            let mnist = datasets::mnist(dir, Split::Train)?.normalize(Some(normalization))?;
            measure(mnist, "MNIST", workers, epochs, batch_size)?;
        }
        [what, dir, ..] if what == "images" => {
            let raw: f64 = decoding(Path::new(dir), workers, epochs)?;
            let normalization = Normalization::new(&[0.491, 0.482, 0.447], &[0.247, 0.243, 0.262])?;
            let open = |split| -> Result<ImageFolder> {
                let folder = ImageFolder::open(dir, split, ImageFolderOptions::default())?;
                Ok(folder.normalize(Some(normalization.clone())))
            };
            let all: Concat<ImageFolder> = open(Split::Train)?.concat(open(Split::Test)?)?;
            let loaded = measure(all, "image folder", workers, epochs, batch_size)?;
            println!("decoded and batched at {:.1}% of the decoder's speed", 100.0 * raw / loaded);
        }
        _ => {
            let message = "usage: load_speed mnist|images DIR [--workers N] [--epochs N]";
            return Err(Error::new(ErrorKind::Usage, message));
        }
    }
    Ok(())
}

/// The seconds of the fastest epoch.
fn measure<D: Dataset<Item = (Image, i64)> + 'static>(
    dataset: D,
    name: &str,
    workers: usize,
    epochs: usize,
    batch_size: usize,
) -> Result<f64> {
    let samples = dataset.len();
    let loader = DataLoader::new(dataset).batch_size(batch_size).shuffle(0).workers(workers);
    let mut best = f64::INFINITY;
    for _ in 0..epochs {
        let start = Instant::now();
        for batch in &loader {
            let _ = std::hint::black_box(batch?);
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "{name}, batches of {batch_size}, {workers} workers: {:.1} ms for {samples} samples",
        1e3 * best
    );
    Ok(best)
}

/// The seconds that `threads` threads take to decode every JPEG below a folder, and nothing else.
fn decoding(dir: &Path, threads: usize, epochs: usize) -> Result<f64> {
    let mut paths = Vec::new();
    find(dir, &mut paths);
    let failed = |e: std::io::Error| Error::new(ErrorKind::Io, e.to_string());
    let files: Vec<Vec<u8>> =
        paths.iter().map(fs::read).collect::<std::io::Result<_>>().map_err(failed)?;
    let in_memory = fastest(epochs, threads, files.len(), |i| decode(&files[i]));
    let from_disk = fastest(epochs, threads, paths.len(), |i| {
        decode(&fs::read(&paths[i]).unwrap_or_default());
    });
    println!(
        "bare decoder, {threads} threads: {:.1} ms for {} images in memory, {:.1} ms with reading \
         them",
        1e3 * in_memory,
        files.len(),
        1e3 * from_disk
    );
    Ok(in_memory)
}

fn decode(bytes: &[u8]) {
    let pixels = JpegDecoder::new(ZCursor::new(bytes)).decode().expect("a JPEG");
    std::hint::black_box(pixels);
}

fn fastest(epochs: usize, threads: usize, count: usize, work: impl Fn(usize) + Sync) -> f64 {
    let epoch = |_| {
        let next = AtomicUsize::new(0);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let first = next.fetch_add(64, Ordering::Relaxed);
                        if first >= count {
                            return;
                        }
                        (first..count.min(first + 64)).for_each(&work);
                    }
                });
            }
        });
        start.elapsed().as_secs_f64()
    };
    (0..epochs).map(epoch).fold(f64::INFINITY, f64::min)
}

fn find(dir: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            find(&path, paths);
        } else if path.extension().is_some_and(|ending| ending == "jpg") {
            paths.push(path);
        }
    }
}
