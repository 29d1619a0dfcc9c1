//! How long an epoch of MNIST takes without a model: batches of 64, shuffled, scaled to 0–1.
//!
//!     GRADUS_DATA=folder-of-mnist cargo run --release -p gradus-data --example loader_epoch
//!
//! Without `GRADUS_DATA`, a dataset of the same size made of noise takes MNIST's place.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use gradus_data::{Array, DataLoader, Dataset, Image, Split, datasets};
use gradus_tensor::Result;

/// 60,000 grey images of 28×28.
struct Noise {
    images: Array<u8>,
}

impl Dataset for Noise {
    type Item = (Image, i64);

    fn len(&self) -> usize {
        self.images.shape()[0]
    }

    fn get(&self, index: usize) -> Result<(Image, i64)> {
        Ok((Image::new(self.images.row(index)), (index % 10) as i64))
    }
}

fn main() -> Result<()> {
    match std::env::var_os("GRADUS_DATA") {
        Some(dir) => {
            let dir = PathBuf::from(dir).join("mnist");
            let start = Instant::now();
            let mnist = datasets::mnist(dir, Split::Train)?;
            println!("{mnist:?}, opened in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
            measure(mnist)
        }
        None => {
            let n = 60_000 * 784;
            let bytes = (0..n as u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect();
            measure(Noise { images: Array::new([60_000, 1, 28, 28], bytes)? })
        }
    }
}

fn measure(dataset: impl Dataset<Item = (Image, i64)> + 'static) -> Result<()> {
    let dataset = Arc::new(dataset);
    for workers in 0..=2 {
        let loader =
            DataLoader::new(Arc::clone(&dataset)).batch_size(64).shuffle(0).workers(workers);
        let mut times: Vec<f64> = Vec::new();
        for _ in 0..11 {
            let start = Instant::now();
            for batch in &loader {
                let (images, labels) = batch?;
                assert_eq!(images.shape()[0], labels.shape()[0]);
            }
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!("{workers} workers: {:.1} ms per epoch (best {:.1})", times[5], times[0]);
    }
    Ok(())
}
