//! What the loader promises, for any number of workers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use gradus_data::{Array, DataLoader, Dataset, Split, datasets};
use gradus_tensor::{Error, ErrorKind, Result};

/// `0..len`, each sample its own number, with a hook at every `get`.
struct Numbers<F> {
    len: usize,
    hook: F,
}

impl<F: Fn(usize) -> Result<()> + Send + Sync> Dataset for Numbers<F> {
    type Item = i64;

    fn len(&self) -> usize {
        self.len
    }
    fn get(&self, index: usize) -> Result<i64> {
        (self.hook)(index)?;
        Ok(index as i64)
    }
    fn name(&self) -> String {
        "numbers".to_string()
    }
}

fn numbers(len: usize) -> Numbers<fn(usize) -> Result<()>> {
    Numbers { len, hook: |_| Ok(()) }
}

/// One epoch: the samples of each batch.
fn epoch<D: Dataset<Item = i64> + 'static>(loader: &DataLoader<D>) -> Vec<Vec<i64>> {
    loader.into_iter().map(|batch| batch.unwrap().to_vec().unwrap()).collect()
}

/// The result of `run`, or a failed test instead of one that hangs.
fn finishes<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(run()));
    receive.recv_timeout(Duration::from_secs(60)).expect("it hangs, or has panicked")
}

#[test]
fn without_options_single_samples_come_in_order() {
    let loader = DataLoader::new(numbers(3));
    assert_eq!(loader.len(), 3);
    assert_eq!(epoch(&loader), [[0], [1], [2]]);
}

#[test]
fn the_last_batch_is_short_or_left_out() {
    let loader = DataLoader::new(numbers(7)).batch_size(3);
    assert_eq!((loader.len(), epoch(&loader)), (3, vec![vec![0, 1, 2], vec![3, 4, 5], vec![6]]));
    let loader = DataLoader::new(numbers(7)).batch_size(3).drop_last(true);
    assert_eq!((loader.len(), epoch(&loader)), (2, vec![vec![0, 1, 2], vec![3, 4, 5]]));
    let loader = DataLoader::new(numbers(6)).batch_size(usize::MAX).drop_last(true);
    assert_eq!((loader.len(), epoch(&loader)), (0, vec![]));
    let loader = DataLoader::new(numbers(0)).batch_size(3).workers(2);
    assert_eq!((loader.is_empty(), epoch(&loader)), (true, vec![]));
}

#[test]
fn the_order_is_the_same_for_any_number_of_workers() {
    let shuffled = |workers, prefetch| {
        let loader = DataLoader::new(numbers(1000)).batch_size(7).shuffle(9);
        let loader = loader.workers(workers).prefetch(prefetch);
        [epoch(&loader), epoch(&loader)]
    };
    let alone = shuffled(0, 1);
    for workers in 1..=7 {
        for prefetch in [0, 1, 3, 1000] {
            assert_eq!(shuffled(workers, prefetch), alone, "{workers} workers, {prefetch} ahead");
        }
    }
}

#[test]
fn each_epoch_is_another_shuffle_and_every_run_the_same() {
    let new = || DataLoader::new(numbers(100)).batch_size(10).shuffle(1);
    let (a, b) = (new(), new());
    let epochs: Vec<_> = (0..3).map(|_| epoch(&a)).collect();
    assert_eq!(a.epoch(), 3);
    assert_ne!(epochs[0], epochs[1]);
    assert_ne!(epochs[1], epochs[2]);
    assert_eq!(epochs, (0..3).map(|_| epoch(&b)).collect::<Vec<_>>());
    assert_ne!(epochs[0], epoch(&new().shuffle(2)));
    a.set_epoch(1);
    assert_eq!(epoch(&a), epochs[1]);
    assert_eq!(epoch(&a), epochs[2]);
    let mut all: Vec<i64> = epochs[0].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100));
}

#[test]
fn an_epoch_resumes_at_any_batch() {
    for workers in [0, 2] {
        let loader = DataLoader::new(numbers(50)).batch_size(8).shuffle(4).workers(workers);
        loader.set_epoch(6);
        let whole = epoch(&loader);
        for first in 0..=loader.len() {
            let batches = loader.batches_from(6, first);
            assert_eq!(batches.len(), loader.len() - first);
            let rest: Vec<Vec<i64>> = batches.map(|b| b.unwrap().to_vec().unwrap()).collect();
            assert_eq!(rest, whole[first..]);
        }
        assert_eq!(loader.batches_from(6, 99).count(), 0);
    }
}

#[test]
fn images_do_not_depend_on_workers() {
    let batches = |workers| -> Vec<(Vec<f32>, Vec<i64>)> {
        let loader = DataLoader::new(datasets::digits(Split::Test)).batch_size(50).shuffle(0);
        let batches = loader.workers(workers).batches_from(0, 0).map(|batch| {
            let (images, labels) = batch.unwrap();
            assert_eq!(images.shape()[1..], [1, 8, 8]);
            (images.to_vec().unwrap(), labels.to_vec().unwrap())
        });
        batches.collect()
    };
    let alone = batches(0);
    assert_eq!(alone.len(), 8);
    assert!(alone.iter().all(|(images, _)| images.iter().all(|&x| (0.0..=1.0).contains(&x))));
    assert!(alone.iter().any(|(images, _)| images.contains(&1.0)));
    for workers in [1, 2, 7] {
        assert!(batches(workers) == alone, "{workers} workers");
    }
}

#[test]
fn a_bad_sample_is_an_error_of_its_batch_alone() {
    for workers in [0, 1, 3] {
        let hook = |index| match index {
            5 => Err(Error::new(ErrorKind::Io, "the disk is on fire".to_string())),
            _ => Ok(()),
        };
        let loader = DataLoader::new(Numbers { len: 8, hook }).batch_size(2).workers(workers);
        let batches: Vec<_> = finishes(move || loader.into_iter().collect());
        let error = batches[2].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(error.to_string(), "numbers: sample 5: the disk is on fire");
        assert_eq!(batches[3].as_ref().unwrap().to_vec::<i64>().unwrap(), [6, 7]);
        assert_eq!(batches.iter().filter(|b| b.is_ok()).count(), 3);
    }
}

#[test]
fn a_panic_is_an_error_that_names_the_sample() {
    for workers in [0, 1, 3] {
        let hook = |index| if index == 1 { panic!("no image {index}") } else { Ok(()) };
        let loader = DataLoader::new(Numbers { len: 8, hook }).batch_size(2).workers(workers);
        let batches: Vec<_> = finishes(move || loader.into_iter().collect());
        let error = batches[0].as_ref().unwrap_err().to_string();
        assert_eq!(error, "numbers: sample 1: panicked: no image 1");
        assert_eq!(batches.iter().filter(|b| b.is_ok()).count(), 3);
    }
}

#[test]
fn samples_that_do_not_fit_together_are_named() {
    struct Ragged;
    impl Dataset for Ragged {
        type Item = (Array<f32>, i64);
        fn len(&self) -> usize {
            4
        }
        fn get(&self, index: usize) -> Result<Self::Item> {
            let side = 2 + index / 3;
            Ok((Array::new([side, side], vec![0.0; side * side])?, 0))
        }
    }
    let loader = DataLoader::new(Ragged).batch_size(2).workers(1);
    let batches: Vec<_> = loader.into_iter().collect();
    assert!(batches[0].is_ok());
    let error = batches[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("Ragged: batch 1: sample 3 has shape [3, 3], but sample 2"), "{error}");
}

#[test]
fn a_batch_size_of_zero_is_an_error() {
    let loader = DataLoader::new(numbers(3)).batch_size(0).workers(2);
    let batches: Vec<_> = loader.into_iter().collect();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].as_ref().unwrap_err().kind(), ErrorKind::Usage);
}

/// Two samples that can only be had at the same time.
#[test]
fn workers_assemble_side_by_side() {
    let barrier = Barrier::new(2);
    let hook = move |_| {
        barrier.wait();
        Ok(())
    };
    let loader = DataLoader::new(Numbers { len: 20, hook }).workers(2);
    assert_eq!(finishes(move || loader.into_iter().count()), 20);
}

#[test]
fn no_more_than_prefetch_batches_are_assembled_ahead() {
    let gets = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&gets);
    let hook = move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let loader = DataLoader::new(Numbers { len: 1000, hook }).batch_size(10).workers(3).prefetch(4);
    for (taken, batch) in loader.into_iter().take(5).enumerate() {
        let _ = batch.unwrap();
        // Time enough for workers that know no bound to run through all of it.
        thread::sleep(Duration::from_millis(10));
        let ahead = gets.load(Ordering::Relaxed) - 10 * (taken + 1);
        assert!(ahead <= 40, "{ahead} samples ahead");
    }
    let after = gets.load(Ordering::Relaxed);
    assert!(after >= 50, "five batches of ten were taken, but {after} samples were asked for");
}

/// Dropped after the first batch, the loader finishes neither the epoch nor the batches it is at:
/// either would take hours.
#[test]
fn dropping_the_iterator_stops_the_workers() {
    let gets = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&gets);
    let hook = move |index| {
        counter.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(if index < 10 { 0 } else { 10 }));
        Ok(())
    };
    let dataset = Numbers { len: 10_000_000, hook };
    // From batch 0 on, in order; the second batch is the long one.
    let loader = DataLoader::new(dataset).batch_size(5_000_000).workers(2);
    finishes(move || {
        let batches = loader.into_iter();
        thread::sleep(Duration::from_millis(20));
        drop(batches);
    });
    let after = gets.load(Ordering::Relaxed);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(gets.load(Ordering::Relaxed), after, "a worker is left");

    // And workers that wait for room.
    let loader = DataLoader::new(numbers(1000)).workers(4).prefetch(1);
    finishes(move || {
        let mut batches = loader.into_iter();
        let _ = batches.next().unwrap().unwrap();
        thread::sleep(Duration::from_millis(20));
        drop(batches);
    });
}

#[test]
fn a_dataset_is_shared_through_an_arc() {
    let shared: Arc<dyn Dataset<Item = i64>> = Arc::new(numbers(4));
    let forward = DataLoader::new(Arc::clone(&shared));
    let shuffled = DataLoader::new(shared).shuffle(0).batch_size(4);
    assert_eq!(epoch(&forward).len(), 4);
    assert_eq!(epoch(&shuffled)[0].len(), 4);
    assert_eq!(shuffled.dataset().name(), "numbers");
}
