//! Parts chosen by a seed: the same for the same seed, on every platform.

use std::collections::BTreeMap;
use std::sync::Arc;

use gradus_tensor::Result;

use super::{Subset, misuse};
use crate::Dataset;
use crate::order::Sampling;

/// A dataset in parts of these shares, which add up to 1 or less: PyTorch's `random_split`. Samples
/// keep their order within a part.
///
/// # Errors
/// If the shares make no sense.
///
/// ```
/// use gradus_data::{Dataset, Split, datasets, random_split};
///
/// let parts = random_split(datasets::digits(Split::Train), &[0.8, 0.2], 0)?;
/// assert_eq!((parts[0].len(), parts[1].len()), (1150, 287));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub fn random_split<D: Dataset>(
    dataset: D,
    shares: &[f64],
    seed: u64,
) -> Result<Vec<Subset<Arc<D>>>> {
    let len = dataset.len();
    check(shares)?;
    let order = Sampling::Shuffled(seed).of_epoch(0, len).samples(0..len);
    let mut parts = vec![Vec::new(); shares.len()];
    cut(&order, shares, &mut parts);
    subsets(dataset, parts)
}

/// As [`random_split`], with the same share of each class in every part; `labels` are the classes of
/// the samples.
///
/// # Errors
/// As [`random_split`], or if there are not as many labels as samples.
pub fn stratified_split<D: Dataset>(
    dataset: D,
    labels: &[i64],
    shares: &[f64],
    seed: u64,
) -> Result<Vec<Subset<Arc<D>>>> {
    check(shares)?;
    let len = dataset.len();
    if labels.len() != len {
        let message =
            format!("there are {} labels, but {len} samples; give one for each", labels.len());
        return Err(misuse(message));
    }
    let mut classes: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for index in Sampling::Shuffled(seed).of_epoch(0, len).samples(0..len) {
        classes.entry(labels[index]).or_default().push(index);
    }
    let mut parts = vec![Vec::new(); shares.len()];
    classes.values().for_each(|class| cut(class, shares, &mut parts));
    subsets(dataset, parts)
}

/// `k` pairs of a part to train on and one to test: every sample is tested once.
///
/// # Errors
/// If `k` is below 2 or above the number of samples.
///
/// ```
/// use gradus_data::{Dataset, Split, datasets, k_fold};
///
/// let folds = k_fold(datasets::digits(Split::Train), 5, 0)?;
/// let tested: usize = folds.iter().map(|(_, test)| test.len()).sum();
/// assert_eq!(tested, 1437);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[allow(clippy::type_complexity)] // A pair of parts, as many times.
pub fn k_fold<D: Dataset>(
    dataset: D,
    k: usize,
    seed: u64,
) -> Result<Vec<(Subset<Arc<D>>, Subset<Arc<D>>)>> {
    let len = dataset.len();
    if k < 2 || k > len {
        return Err(misuse(format!("{k} folds of {len} samples; give 2 to {len}")));
    }
    let dataset = Arc::new(dataset);
    let order = Sampling::Shuffled(seed).of_epoch(0, len).samples(0..len);
    let fold = |number: usize| {
        let (start, end) = (len * number / k, len * (number + 1) / k);
        let sorted = |mut indices: Vec<usize>| {
            indices.sort_unstable();
            Subset::new(Arc::clone(&dataset), indices)
        };
        let train = [&order[..start], &order[end..]].concat();
        Ok((sorted(train)?, sorted(order[start..end].to_vec())?))
    };
    (0..k).map(fold).collect()
}

fn check(shares: &[f64]) -> Result<()> {
    let sound = shares.iter().all(|share| (0.0..=1.0).contains(share));
    // What adds up to 1 on paper may not to the last bit.
    if sound && !shares.is_empty() && shares.iter().sum::<f64>() < 1.0 + 1e-9 {
        return Ok(());
    }
    Err(misuse(format!("shares {shares:?}: give numbers from 0 to 1 that add up to 1 or less")))
}

/// Adds the shares of `order` to the parts, rounded so that they are never off by more than one.
fn cut(order: &[usize], shares: &[f64], parts: &mut [Vec<usize>]) {
    let (mut total, mut start) = (0.0, 0);
    for (share, part) in shares.iter().zip(parts) {
        total += share;
        let end = ((total * order.len() as f64).round() as usize).clamp(start, order.len());
        part.extend_from_slice(&order[start..end]);
        start = end;
    }
}

fn subsets<D: Dataset>(dataset: D, parts: Vec<Vec<usize>>) -> Result<Vec<Subset<Arc<D>>>> {
    let dataset = Arc::new(dataset);
    let subset = |mut part: Vec<usize>| {
        part.sort_unstable();
        Subset::new(Arc::clone(&dataset), part)
    };
    parts.into_iter().map(subset).collect()
}
