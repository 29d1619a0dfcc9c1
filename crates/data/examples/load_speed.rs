//! How fast the loader is, without a model: run it again and again, the fastest epoch counts.
//!
//! ```sh
//! cargo run --release -p gradus-data --example load_speed -- mnist DIR
//! cargo run --release -p gradus-data --example load_speed -- images DIR    # class folders of JPEGs
//! ```
//!
//! `images` compares the loader with the bare JPEG decoder on the same files in the same run, epoch by
//! epoch in turn: once with reading them, as the loader must, and once on bytes that are in memory
//! already. Options: `--threads N` (2: those of the bare decoder; the loader has as many, of which one
//! is the loop's own), `--epochs N` (10), `--batch-size N` (64). `benches/peers/loader.py` measures
//! PyTorch on the same data.

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
    let (threads, epochs) = (option("--threads", 2).max(1), option("--epochs", 10));
    let batch_size = option("--batch-size", 64);
    match &arguments[..] {
        [what, dir, ..] if what == "mnist" => {
            let normalization = Normalization::new(&[0.1307], &[0.3081])?;
            let mnist = datasets::mnist(dir, Split::Train)?.normalize(Some(normalization))?;
            let mnist = Loader::new(mnist, batch_size, threads - 1);
            let best = fastest(epochs, &mut [&mut || mnist.epoch()])?[0];
            println!("{threads} threads, batches of {batch_size}: {:.1} ms", 1e3 * best);
        }
        [what, dir, ..] if what == "images" => {
            let normalization = Normalization::new(&[0.491, 0.482, 0.447], &[0.247, 0.243, 0.262])?;
            let open = |split| -> Result<ImageFolder> {
                let folder = ImageFolder::open(dir, split, ImageFolderOptions::default())?;
                Ok(folder.normalize(Some(normalization.clone())))
            };
            let all: Concat<ImageFolder> = open(Split::Train)?.concat(open(Split::Test)?)?;
            let all = Loader::new(all, batch_size, threads - 1);
            images(Path::new(dir), &all, threads, epochs)?;
        }
        _ => {
            let message = "usage: load_speed mnist|images DIR [--threads N] [--epochs N]";
            return Err(Error::new(ErrorKind::Usage, message));
        }
    }
    Ok(())
}

/// A dataset that is loaded again and again.
struct Loader<D> {
    loader: DataLoader<D>,
}

impl<D: Dataset<Item = (Image, i64)> + 'static> Loader<D> {
    fn new(dataset: D, batch_size: usize, workers: usize) -> Loader<D> {
        let loader = DataLoader::new(dataset).batch_size(batch_size).shuffle(0);
        // The loop takes part in the work where it would wait.
        Loader { loader: loader.workers(workers).prefetch(4) }
    }

    fn epoch(&self) -> Result<()> {
        for batch in &self.loader {
            let _ = std::hint::black_box(batch?);
        }
        Ok(())
    }
}

/// Compares a loader of JPEGs with their bare decoder.
fn images<D: Dataset<Item = (Image, i64)> + 'static>(
    dir: &Path,
    loader: &Loader<D>,
    threads: usize,
    epochs: usize,
) -> Result<()> {
    let mut paths = Vec::new();
    find(dir, &mut paths);
    // In the order of a shuffle, as the loader's: neighbours on the disk are found faster.
    paths.sort();
    let step = (1..).map(|i| paths.len() * 5 / 8 + i).find(|step| gcd(*step, paths.len()) == 1);
    let paths: Vec<&PathBuf> =
        (0..paths.len()).map(|i| &paths[i * step.unwrap_or(1) % paths.len()]).collect();
    let failed = |e: std::io::Error| Error::new(ErrorKind::Io, e.to_string());
    let files: Vec<Vec<u8>> =
        paths.iter().map(fs::read).collect::<std::io::Result<_>>().map_err(failed)?;
    let best = fastest(
        epochs,
        &mut [
            &mut || {
                share_out(threads, files.len(), |i| decode(&files[i]));
                Ok(())
            },
            &mut || {
                let read = |i: usize| decode(&fs::read(paths[i]).unwrap_or_default());
                share_out(threads, paths.len(), read);
                Ok(())
            },
            &mut || loader.epoch(),
        ],
    )?;
    let [in_memory, read, loaded] = best[..] else { unreachable!("three were measured") };
    println!("{threads} threads, {} images", files.len());
    println!("  decoded, of bytes in memory: {:7.1} ms", 1e3 * in_memory);
    println!("  read and decoded:            {:7.1} ms", 1e3 * read);
    println!("  read, decoded and batched:   {:7.1} ms", 1e3 * loaded);
    println!(
        "the loader has {:.1}% of the speed of reading and decoding, {:.1}% of decoding alone",
        100.0 * read / loaded,
        100.0 * in_memory / loaded
    );
    Ok(())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn decode(bytes: &[u8]) {
    let pixels = JpegDecoder::new(ZCursor::new(bytes)).decode().expect("a JPEG");
    std::hint::black_box(pixels);
}

/// The seconds that each of `works` takes at best, in rounds.
fn fastest(rounds: usize, works: &mut [&mut dyn FnMut() -> Result<()>]) -> Result<Vec<f64>> {
    let mut best = vec![f64::INFINITY; works.len()];
    for _ in 0..rounds {
        for (work, best) in works.iter_mut().zip(&mut best) {
            let start = Instant::now();
            work()?;
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

/// Does `work` for each number below `count`, on so many threads.
fn share_out(threads: usize, count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
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
