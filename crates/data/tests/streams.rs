//! Streams: the same batches for any number of workers and after resuming, and errors in their place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gradus_data::{Array, Padded, Position, Samples, Stream, StreamLoader};
use gradus_tensor::{Error, ErrorKind, Result};

/// Numbers from 1000 times the epoch on, which go wrong where they are told to.
struct Numbers {
    len: i64,
    /// An error after so many.
    fails: Option<i64>,
    panics: Option<i64>,
    read: Arc<AtomicUsize>,
}

fn numbers(len: i64) -> Numbers {
    Numbers { len, fails: None, panics: None, read: Arc::default() }
}

impl Stream for Numbers {
    type Item = i64;

    fn stream(&self, epoch: u64) -> Result<Samples<i64>> {
        let (fails, panics, read) = (self.fails, self.panics, Arc::clone(&self.read));
        Ok(Box::new((0..self.len).map(move |i| {
            read.fetch_add(1, Ordering::Relaxed);
            assert!(Some(i) != panics, "out of numbers");
            match Some(i) == fails {
                true => Err(Error::new(ErrorKind::Data, "no such number")),
                false => Ok(i + 1000 * epoch as i64),
            }
        })))
    }

    fn name(&self) -> String {
        "numbers".to_owned()
    }
}

fn all<S: Stream<Item = i64> + 'static>(loader: &StreamLoader<S>, epoch: u64) -> Vec<Vec<i64>> {
    loader.epoch(epoch).map(|batch| batch.unwrap().to_vec().unwrap()).collect()
}

#[test]
fn batches_come_in_order_for_any_number_of_workers() {
    for (len, drop_last, batches) in [(20, false, 7), (20, true, 6), (21, true, 7), (0, false, 0)] {
        let loader = |workers| {
            StreamLoader::new(numbers(len)).batch_size(3).drop_last(drop_last).workers(workers)
        };
        let alone = all(&loader(0), 2);
        assert_eq!(alone.len(), batches);
        let delivered = if drop_last { 3 * batches as i64 } else { len };
        assert!(alone.concat().into_iter().eq(2000..2000 + delivered));
        for workers in [1, 2, 7] {
            for prefetch in [1, 2, 50] {
                assert_eq!(all(&loader(workers).prefetch(prefetch), 2), alone, "{workers}");
            }
            assert_eq!(all(&loader(workers), 2), alone, "{workers}");
        }
    }
}

#[test]
fn a_run_goes_on_where_it_was() {
    for workers in [0, 1, 2, 7] {
        let loader = StreamLoader::new(numbers(20)).batch_size(3).workers(workers);
        let whole = all(&loader, 1);
        for first in 0..=whole.len() {
            let rest: Vec<Vec<i64>> =
                loader.batches_from(1, first).map(|b| b.unwrap().to_vec().unwrap()).collect();
            assert_eq!(rest, whole[first..], "{workers} workers, from {first}");
        }
        assert_eq!(loader.position(), Position { epoch: 0, batch: 0 });
        assert_eq!(loader.into_iter().count(), 7);
        let mut batches = (&loader).into_iter();
        for _ in 0..4 {
            let _ = batches.next().unwrap().unwrap();
        }
        drop(batches);
        assert_eq!(loader.position(), Position { epoch: 1, batch: 4 });
        loader.seek(1, 4);
        let rest: Vec<Vec<i64>> =
            (&loader).into_iter().map(|b| b.unwrap().to_vec().unwrap()).collect();
        assert_eq!(rest, whole[4..]);
        assert_eq!(loader.position(), Position { epoch: 2, batch: 0 });
    }
}

#[test]
fn an_error_ends_the_epoch_and_names_the_sample() {
    for workers in [0, 1, 4] {
        let errors = |stream| {
            let loader = StreamLoader::new(stream).batch_size(4).workers(workers);
            let mut batches: Vec<_> = loader.epoch(0).collect();
            let last = batches.pop().unwrap().err().unwrap();
            assert!(batches.iter().all(|batch| batch.is_ok()));
            (batches.len(), last.message().to_owned())
        };
        let failing = Numbers { fails: Some(9), ..numbers(100) };
        assert_eq!(errors(failing), (2, "numbers: sample 9: no such number".to_owned()));
        let panicking = Numbers { panics: Some(9), ..numbers(100) };
        assert_eq!(
            errors(panicking),
            (2, "numbers: sample 9: panicked: out of numbers".to_owned())
        );
        let changed = numbers(100).map(|number| match number {
            6 => Err(Error::new(ErrorKind::Data, "not this one")),
            8 => panic!("and not this one"),
            _ => Ok(number),
        });
        let loader = StreamLoader::new(changed).batch_size(4).workers(workers);
        let outcomes: Vec<_> = loader.epoch(0).map(|batch| batch.map(drop)).collect();
        assert_eq!(outcomes.len(), 2);
        let error = outcomes[1].as_ref().unwrap_err();
        assert_eq!(error.message(), "numbers: batch 1: sample 6: not this one");
    }
}

#[test]
fn no_more_is_read_than_there_is_room_for() {
    let stream = numbers(1_000_000);
    let read = Arc::clone(&stream.read);
    let loader = StreamLoader::new(stream).batch_size(10).workers(3).prefetch(4);
    let mut batches = loader.epoch(0);
    for taken in 1..=5 {
        let _ = batches.next().unwrap().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(read.load(Ordering::Relaxed) <= 10 * (taken + 4));
    }
    // Threads end with the loop that they work for.
    drop(batches);
    let after = read.load(Ordering::Relaxed);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(read.load(Ordering::Relaxed), after);
}

/// A stream that can jump is not read from its beginning, and lines of any length are padded.
#[test]
fn samples_are_decoded_by_the_workers() {
    struct Lines;
    impl Stream for Lines {
        type Item = String;
        fn stream(&self, epoch: u64) -> Result<Samples<String>> {
            self.stream_from(epoch, 0)
        }
        fn stream_from(&self, epoch: u64, first: usize) -> Result<Samples<String>> {
            let line = move |i: usize| Ok("ab".repeat(1 + (i + epoch as usize) % 5));
            Ok(Box::new((first..30).map(line)))
        }
    }
    let loader = |workers| {
        let tokens = Lines.map(|line| {
            let tokens: Vec<i64> = line.bytes().map(i64::from).collect();
            Padded::new(Array::new([tokens.len()], tokens)?, -1)
        });
        StreamLoader::new(tokens).batch_size(4).workers(workers)
    };
    type Lists = (Vec<usize>, Vec<i64>, Vec<i64>);
    let all = |workers, first| -> Vec<Lists> {
        let batches = loader(workers).batches_from(3, first).map(|batch| {
            let (tokens, lengths) = batch.unwrap();
            let shape = tokens.shape().to_vec();
            (shape, tokens.to_vec().unwrap(), lengths.to_vec().unwrap())
        });
        batches.collect()
    };
    let alone = all(0, 0);
    assert_eq!(alone.len(), 8);
    assert_eq!((&alone[0].0[..], &alone[0].2[..]), (&[4, 10][..], &[8, 10, 2, 4][..]));
    for workers in [0, 1, 2, 7] {
        for first in 0..=8 {
            assert_eq!(all(workers, first), alone[first..]);
        }
    }
}
