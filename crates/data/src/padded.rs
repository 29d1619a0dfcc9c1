//! Samples of different lengths, made equal in the batch.

use gradus_tensor::{Element, Error, ErrorKind, Result, Tensor};

use crate::{Array, Collate};

/// An array whose first axis may differ from sample to sample.
///
/// In a batch, arrays `[length, …]` become a pair: a tensor `[batch, longest, …]`, in which the
/// shorter ones are filled up at their ends, and their lengths as an int64 tensor `[batch]`.
///
/// ```
/// use gradus_data::{Array, Collate, Padded};
///
/// let sentence = |words: &[i64]| Padded::new(Array::new([words.len()], words.to_vec())?, 0);
/// let (words, lengths) = Padded::collate(vec![sentence(&[7])?, sentence(&[8, 9])?], &[0, 1])?;
/// assert_eq!(words.to_vec::<i64>()?, [7, 0, 8, 9]);
/// assert_eq!(lengths.to_vec::<i64>()?, [1, 2]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Padded<T: Element> {
    array: Array<T>,
    fill: T,
}

impl<T: Element> Padded<T> {
    /// An array that is filled up with `fill`.
    ///
    /// # Errors
    /// If it has no axis.
    pub fn new(array: Array<T>, fill: T) -> Result<Padded<T>> {
        if array.shape().is_empty() {
            let message = "Padded: a number has no length; give an array of at least one axis";
            return Err(Error::new(ErrorKind::Shape, message));
        }
        Ok(Padded { array, fill })
    }

    /// The array.
    pub fn array(&self) -> &Array<T> {
        &self.array
    }
}

impl<T: Element> Collate for Padded<T> {
    type Batch = (Tensor, Tensor);

    fn collate(samples: Vec<Padded<T>>, indices: &[usize]) -> Result<(Tensor, Tensor)> {
        let rest = samples.first().map_or(&[][..], |first| &first.array.shape()[1..]);
        let odd = samples.iter().position(|sample| sample.array.shape()[1..] != *rest);
        if let Some(at) = odd {
            let message = format!(
                "sample {} has shape {}, but sample {} of the same batch has shape {}: only the \
                 first axis may differ",
                indices[at],
                samples[at].array.shape(),
                indices[0],
                samples[0].array.shape()
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        let lengths: Vec<usize> = samples.iter().map(|sample| sample.array.shape()[0]).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let width: usize = rest.iter().product();
        let shape: Vec<usize> =
            [samples.len(), longest].into_iter().chain(rest.iter().copied()).collect();
        let mut batch = Vec::with_capacity(samples.len() * longest * width);
        for (number, sample) in samples.iter().enumerate() {
            batch.extend_from_slice(sample.array.data());
            batch.resize((number + 1) * longest * width, sample.fill);
        }
        let lengths: Vec<i64> = lengths.into_iter().map(|length| length as i64).collect();
        let count = [lengths.len()];
        Ok((Tensor::from_vec(batch, shape), Tensor::from_vec(lengths, count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_axis_may_differ() {
        let sample = |shape: [usize; 2]| {
            let elements = (0..shape[0] * shape[1]).map(|i| i as f32).collect();
            Padded::new(Array::new(shape, elements).unwrap(), -1.0).unwrap()
        };
        let samples = vec![sample([1, 2]), sample([0, 2]), sample([2, 2])];
        let (batch, lengths) = Padded::collate(samples, &[0, 1, 2]).unwrap();
        assert_eq!(batch.shape()[..], [3, 2, 2]);
        let expected = [0., 1., -1., -1., -1., -1., -1., -1., 0., 1., 2., 3.];
        assert_eq!(batch.to_vec::<f32>().unwrap(), expected);
        assert_eq!(lengths.to_vec::<i64>().unwrap(), [1, 0, 2]);
        let error = Padded::collate(vec![sample([1, 2]), sample([1, 3])], &[4, 7]).unwrap_err();
        assert!(error.message().contains("sample 7 has shape [1, 3], but sample 4"), "{error}");
        assert!(Padded::new(Array::new([], vec![1i64]).unwrap(), 0).is_err());
    }
}
