//! Datasets made of others: what is in them, and that the epoch reaches what is below.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gradus_data::{
    Combine, DataLoader, Dataset, Split, datasets, k_fold, random_split, stratified_split,
};
use gradus_tensor::{Error, ErrorKind, Result};

/// Each sample is its number, and a thousand for each epoch.
struct Numbers {
    len: usize,
    gets: AtomicUsize,
}

fn numbers(len: usize) -> Numbers {
    Numbers { len, gets: AtomicUsize::new(0) }
}

impl Dataset for Numbers {
    type Item = i64;
    fn len(&self) -> usize {
        self.len
    }
    fn get(&self, index: usize) -> Result<i64> {
        self.visit(index, 0)
    }
    fn visit(&self, index: usize, epoch: u64) -> Result<i64> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        match index {
            99 => Err(Error::new(ErrorKind::Data, "no such number")),
            _ => Ok(index as i64 + 1000 * epoch as i64),
        }
    }
    fn name(&self) -> String {
        "numbers".to_owned()
    }
}

fn all(dataset: &impl Dataset<Item = i64>, epoch: u64) -> Vec<i64> {
    (0..dataset.len()).map(|index| dataset.visit(index, epoch).unwrap()).collect()
}

#[test]
fn parts_sums_and_changes_pass_the_epoch_on() {
    let subset = numbers(10).subset(vec![7, 2, 2]).unwrap();
    assert_eq!(all(&subset, 3), [3007, 3002, 3002]);
    assert_eq!(subset.describe(0), "sample 7");
    let both = numbers(3).concat(numbers(2)).unwrap();
    assert_eq!(all(&both, 1), [1000, 1001, 1002, 1000, 1001]);
    assert_eq!((both.name(), both.describe(4)), ("numbers + numbers".into(), "sample 1".into()));
    let doubled = numbers(3).map(|x| Ok(2 * x));
    assert_eq!(all(&doubled, 2), [4000, 4002, 4004]);
    let odd = numbers(9).filter(|x| x % 2 == 1).unwrap();
    assert_eq!(all(&odd, 1), [1001, 1003, 1005, 1007]);
    let error = numbers(3).subset(vec![0, 3]).err().unwrap();
    assert!(error.message().contains("there is no sample 3"), "{error}");
    let error = numbers(100).filter(|_| true).err().unwrap();
    assert_eq!(error.message(), "numbers: sample 99: no such number");
}

#[test]
fn kept_samples_are_fetched_once() {
    let shared = Arc::new(numbers(4));
    let cached = Arc::clone(&shared).cached();
    for _ in 0..3 {
        assert_eq!(all(&cached, 5), [0, 1, 2, 3]);
    }
    assert_eq!(shared.gets.load(Ordering::Relaxed), 4);
}

#[test]
fn a_function_makes_batches() {
    let summed = numbers(5)
        .collate_with(|samples, indices| Ok((samples.iter().sum::<i64>(), indices.to_vec())));
    let loader = DataLoader::new(summed).batch_size(2).workers(2);
    let batches: Vec<_> = loader.into_iter().map(|batch| batch.unwrap()).collect();
    assert_eq!(batches, [(1, vec![0, 1]), (5, vec![2, 3]), (4, vec![4])]);
}

#[test]
fn splits_share_out_every_sample_once() {
    let sizes = |shares: &[f64]| -> Vec<usize> {
        let parts = random_split(numbers(10), shares, 3).unwrap();
        let mut samples: Vec<i64> = parts.iter().flat_map(|part| all(part, 0)).collect();
        samples.sort_unstable();
        samples.dedup();
        let sizes: Vec<usize> = parts.iter().map(Dataset::len).collect();
        assert_eq!(samples.len(), sizes.iter().sum::<usize>());
        sizes
    };
    assert_eq!(sizes(&[0.5, 0.5]), [5, 5]);
    assert_eq!(sizes(&[0.7, 0.2, 0.1]), [7, 2, 1]);
    assert_eq!(sizes(&[0.25]), [3]);
    assert_eq!(sizes(&[0.0, 1.0]), [0, 10]);
    for shares in [&[0.6, 0.6][..], &[-0.1, 0.5], &[f64::NAN], &[]] {
        assert!(random_split(numbers(10), shares, 0).is_err(), "{shares:?}");
    }
    let indices = |seed| random_split(numbers(50), &[0.5], seed).unwrap()[0].indices().to_vec();
    assert_eq!(indices(1), indices(1));
    assert_ne!(indices(1), indices(2));
}

#[test]
fn stratified_parts_have_the_same_share_of_each_class() {
    let digits = datasets::digits(Split::Train);
    let labels: Vec<i64> = (0..digits.len()).map(|i| digits.get(i).unwrap().1).collect();
    let parts = stratified_split(digits, &labels, &[0.75, 0.25], 0).unwrap();
    for class in 0..10 {
        let count = |part: usize| {
            parts[part].indices().iter().filter(|i| labels[**i] == class).count() as f64
        };
        let all = count(0) + count(1);
        assert!((count(1) - all / 4.0).abs() <= 0.5, "class {class}: {} of {all}", count(1));
    }
    let error = stratified_split(numbers(3), &[0, 1], &[0.5], 0).err().unwrap();
    assert!(error.message().contains("2 labels, but 3 samples"), "{error}");
}

#[test]
fn every_fold_is_tested_once() {
    for (len, k) in [(10, 5), (11, 3), (4, 4)] {
        let folds = k_fold(numbers(len), k, 0).unwrap();
        assert_eq!(folds.len(), k);
        let mut tested = Vec::new();
        for (train, test) in &folds {
            assert_eq!(train.len() + test.len(), len);
            assert!(test.indices().iter().all(|i| !train.indices().contains(i)));
            tested.extend(all(test, 0));
        }
        tested.sort_unstable();
        assert!(tested.into_iter().eq(0..len as i64));
    }
    assert!(k_fold(numbers(3), 1, 0).is_err() && k_fold(numbers(3), 4, 0).is_err());
}
