//! What the loader promises, for any number of workers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use gradus_data::{Array, DataLoader, Dataset, Normalization, Position, Split, datasets};
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
fn an_error_says_what_the_sample_is_known_by() {
    struct Files;
    impl Dataset for Files {
        type Item = i64;
        fn len(&self) -> usize {
            3
        }
        fn get(&self, index: usize) -> Result<i64> {
            match index {
                0 => panic!("out of ideas"),
                1 => Err(Error::new(ErrorKind::Format, "b.png: half a file")),
                _ => Err(Error::new(ErrorKind::Format, "half a file")),
            }
        }
        fn describe(&self, index: usize) -> String {
            ["a.png", "b.png", "c.png"][index].to_owned()
        }
        fn name(&self) -> String {
            "files".to_owned()
        }
    }
    let errors: Vec<String> =
        DataLoader::new(Files).into_iter().map(|b| b.unwrap_err().message().to_owned()).collect();
    let expected = [
        "files: sample 0 (a.png): panicked: out of ideas",
        "files: sample 1: b.png: half a file",
        "files: sample 2 (c.png): half a file",
    ];
    assert_eq!(errors, expected);
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
    // Room for all: an odd number of batches ahead could leave one sample waiting for a partner that
    // may not be claimed.
    let loader = DataLoader::new(Numbers { len: 20, hook }).workers(2).prefetch(20);
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

/// Normalised images, compared by their bits: however many workers there are, and wherever a run
/// was interrupted.
#[test]
fn every_batch_has_the_same_bits_for_any_workers_and_after_resuming() {
    let loader = |workers| {
        let normalization = Normalization::new(&[0.3], &[0.37]).unwrap();
        let digits = datasets::digits(Split::Test).normalize(Some(normalization)).unwrap();
        DataLoader::new(digits).batch_size(64).shuffle(3).workers(workers)
    };
    type Bits = (Vec<u32>, Vec<i64>);
    let bits = |batches: gradus_data::Batches<_>| -> Vec<Bits> {
        let batches =
            batches.map(|batch: Result<(gradus_tensor::Tensor, gradus_tensor::Tensor)>| {
                let (images, labels) = batch.unwrap();
                let images: Vec<f32> = images.to_vec().unwrap();
                (images.into_iter().map(f32::to_bits).collect(), labels.to_vec().unwrap())
            });
        batches.collect()
    };
    let whole = bits(loader(0).batches_from(2, 0));
    assert_eq!(whole.len(), 6);
    for workers in [0, 1, 2, 7] {
        let loader = loader(workers);
        for first in 0..=whole.len() {
            loader.seek(2, first);
            assert!(bits((&loader).into_iter()) == whole[first..], "{workers} workers, {first}");
            assert_eq!(loader.position(), Position { epoch: 3, batch: 0 });
        }
    }
}

#[test]
fn the_position_is_that_of_the_loop() {
    for workers in [0, 2] {
        let loader = DataLoader::new(numbers(10)).batch_size(3).shuffle(8).workers(workers);
        let whole: Vec<Vec<Vec<i64>>> = (0..3).map(|_| epoch(&loader)).collect();
        loader.seek(0, 0);
        let at = |epoch, batch| Position { epoch, batch };
        assert_eq!(loader.position(), at(0, 0));
        let mut batches = (&loader).into_iter();
        for number in 1..=4 {
            let _ = batches.next().unwrap().unwrap();
            assert_eq!(loader.position(), at(0, number));
        }
        assert!(batches.next().is_none());
        assert_eq!(loader.position(), at(1, 0));
        // Interrupted, then resumed by another loader.
        assert_eq!((&loader).into_iter().take(2).count(), 2);
        let interrupted = loader.position();
        assert_eq!(interrupted, at(1, 2));
        let resumed = DataLoader::new(numbers(10)).batch_size(3).shuffle(8).workers(workers);
        resumed.seek(interrupted.epoch, interrupted.batch);
        assert_eq!(epoch(&resumed), whole[1][2..]);
        assert_eq!(epoch(&resumed), whole[2]);
        // A loop that was left goes over to the next epoch.
        assert_eq!(epoch(&loader), whole[2]);
        // Others do not move it.
        assert_eq!(loader.batches_from(7, 1).count(), 3);
        assert_eq!(loader.position(), at(3, 0));
    }
}

#[test]
fn ranks_share_an_epoch_without_duplicates() {
    for (samples, size, ranks) in [(50, 4, 3), (7, 2, 4), (2, 1, 3), (24, 4, 2), (0, 3, 2)] {
        let alone = epoch(&DataLoader::new(numbers(samples)).batch_size(size * ranks).shuffle(5));
        let rank = |rank, drop_last| {
            let loader = DataLoader::new(numbers(samples)).batch_size(size).shuffle(5);
            let loader = loader.shard(rank, ranks).drop_last(drop_last).workers(rank);
            let batches = epoch(&loader);
            assert_eq!(batches.len(), loader.len());
            batches
        };
        let all: Vec<Vec<Vec<i64>>> = (0..ranks).map(|r| rank(r, false)).collect();
        for (number, batch) in alone.iter().enumerate() {
            let together: Vec<i64> =
                all.iter().filter_map(|batches| batches.get(number)).flatten().copied().collect();
            assert_eq!(together, *batch);
        }
        assert!(all.iter().all(|batches| batches.len() <= alone.len()));
        // Full batches alone: every rank has as many.
        for r in 0..ranks {
            let batches = rank(r, true);
            assert_eq!(batches.len(), samples / (size * ranks));
            assert!(batches.iter().all(|batch| batch.len() == size));
        }
    }
    let loader = DataLoader::new(numbers(4)).shard(2, 2);
    let error = loader.into_iter().next().unwrap().unwrap_err();
    assert!(error.message().contains("rank 2 of 2"), "{error}");
}

#[test]
fn bad_samples_are_left_out_up_to_a_declared_number() {
    for workers in [0, 1, 3] {
        let hook = |index| match index {
            2 => panic!("cannot be read"),
            5 | 9 => Err(Error::new(ErrorKind::Data, "half a file".to_string())),
            _ => Ok(()),
        };
        let loader = |most| {
            let loader = DataLoader::new(Numbers { len: 12, hook }).batch_size(4);
            loader.workers(workers).skip_errors(most)
        };
        let enough = loader(3);
        let batches = epoch(&enough);
        assert_eq!(batches, [vec![0, 1, 3], vec![4, 6, 7], vec![8, 10, 11]]);
        let reasons = enough.skipped();
        assert_eq!(reasons[0], "numbers: sample 2: panicked: cannot be read");
        assert_eq!(
            reasons[1..],
            ["numbers: sample 5: half a file", "numbers: sample 9: half a file"]
        );
        // Each epoch has its own.
        assert_eq!(epoch(&enough).len(), 3);
        let batches: Vec<_> = loader(2).into_iter().collect();
        assert!(batches[0].is_ok() && batches[1].is_ok());
        let error = batches[2].as_ref().unwrap_err().to_string();
        let expected = "numbers: sample 9: half a file (that is one sample more than the 2 that";
        assert!(error.starts_with(expected), "{error}");
        let single = DataLoader::new(Numbers { len: 12, hook }).skip_errors(9).workers(workers);
        let error = single.into_iter().nth(2).unwrap().unwrap_err().to_string();
        assert!(
            error.contains("batch 2 has no good sample; the last: numbers: sample 2"),
            "{error}"
        );
    }
}

#[test]
fn weights_decide_how_often_a_sample_comes_up() {
    let labels = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let loader = |workers| {
        let loader = DataLoader::new(numbers(10)).batch_size(3).balanced(1, &labels);
        loader.workers(workers)
    };
    let epochs: Vec<_> = (0..200).map(|e| (e, loader(0).batches_from(e, 0))).collect();
    let mut rare = 0;
    for (number, batches) in epochs {
        let all: Vec<i64> = batches.flat_map(|b| b.unwrap().to_vec::<i64>().unwrap()).collect();
        assert_eq!(all.len(), 10);
        rare += all.iter().filter(|sample| **sample == 9).count();
        if number == 5 {
            let again = loader(2).batches_from(5, 0);
            let again: Vec<i64> = again.flat_map(|b| b.unwrap().to_vec::<i64>().unwrap()).collect();
            assert_eq!(again, all);
        }
    }
    // Half of 2,000, within five standard deviations.
    assert!((888..=1112).contains(&rare), "{rare}");
    let error = DataLoader::new(numbers(10)).weighted(0, &[1.0]).into_iter().next().unwrap();
    assert!(error.unwrap_err().message().contains("1 weights, but 10 samples"));
}

/// What is drawn again is augmented afresh, and the same way whoever assembles it.
#[test]
fn a_sample_that_comes_up_again_sees_another_epoch() {
    struct Seen;
    impl Dataset for Seen {
        type Item = (i64, i64);
        fn len(&self) -> usize {
            6
        }
        fn get(&self, _: usize) -> Result<(i64, i64)> {
            unreachable!("the loader visits")
        }
        fn visit(&self, index: usize, epoch: u64) -> Result<(i64, i64)> {
            Ok((index as i64, epoch as i64))
        }
    }
    let seen = |workers, first| -> Vec<(i64, i64)> {
        let loader = DataLoader::new(Seen).weighted(1, &[0.0, 1.0, 5.0, 0.0, 1.0, 1.0]);
        let batches = loader.batch_size(2).workers(workers).batches_from(3, first);
        let pairs = batches.flat_map(|batch| {
            let (samples, epochs) = batch.unwrap();
            samples.to_vec::<i64>().unwrap().into_iter().zip(epochs.to_vec::<i64>().unwrap())
        });
        pairs.collect()
    };
    let all = seen(0, 0);
    for (at, &(sample, epoch)) in all.iter().enumerate() {
        let before = all[..at].iter().filter(|(s, _)| *s == sample).count() as i64;
        assert_eq!(epoch, 3 + (before << 32), "{all:?}");
    }
    assert!(all.iter().any(|(_, epoch)| *epoch > 3), "{all:?}");
    for workers in [0, 2] {
        assert_eq!(seen(workers, 1), all[2..]);
    }
}

#[test]
fn waiting_is_measured() {
    let hook = |_| {
        thread::sleep(Duration::from_millis(4));
        Ok(())
    };
    let slow = DataLoader::new(Numbers { len: 5, hook });
    assert_eq!(slow.into_iter().count(), 5);
    assert!(slow.waited() >= Duration::from_millis(20), "{:?}", slow.waited());
    assert!(slow.assembling() >= Duration::from_millis(20), "{:?}", slow.assembling());
    // A loop that takes longer than its data waits for the first batch alone.
    let ahead = DataLoader::new(Numbers { len: 5, hook }).workers(2).prefetch(5);
    for batch in &ahead {
        let _ = batch.unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    assert!(ahead.waited() < ahead.assembling(), "{:?}", ahead.waited());
}
