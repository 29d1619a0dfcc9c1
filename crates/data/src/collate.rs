//! From samples to a batch.

use gradus_tensor::{Element, Error, ErrorKind, Result, Shape, Tensor, bf16, f16};

use crate::scale::scale;
use crate::{Array, Image};

/// A sample, or a part of one, that knows what many of it become.
///
/// | sample | batch of `n` |
/// |---|---|
/// | `i64`, `f32`, … | a tensor `[n]` |
/// | `Vec<T>`, `[T; k]` | a tensor `[n, k]` |
/// | [`Array<T>`] `[…]` | a tensor `[n, …]` |
/// | [`Image`] `[c, h, w]` | a float32 tensor `[n, c, h, w]`, 0–1 |
/// | a tuple of these | a tuple of their batches |
///
/// Parts of unequal shape are an error that names the sample. Implement the trait for a type of
/// your own to pad, to pack or to name the parts of a batch:
///
/// ```
/// use gradus_data::Collate;
/// use gradus_tensor::{Result, Tensor};
///
/// /// Sentences of different lengths: padded with 0 to the longest of the batch.
/// struct Sentence(Vec<i64>);
///
/// struct Sentences {
///     tokens: Tensor,
///     lengths: Tensor,
/// }
///
/// impl Collate for Sentence {
///     type Batch = Sentences;
///
///     fn collate(samples: Vec<Sentence>, indices: &[usize]) -> Result<Sentences> {
///         let lengths: Vec<i64> = samples.iter().map(|s| s.0.len() as i64).collect();
///         let longest = samples.iter().map(|s| s.0.len()).max().unwrap_or(0);
///         let padded = samples.into_iter().map(|mut s| {
///             s.0.resize(longest, 0);
///             s.0
///         });
///         Ok(Sentences {
///             tokens: Collate::collate(padded.collect(), indices)?,
///             lengths: Collate::collate(lengths, indices)?,
///         })
///     }
/// }
///
/// let batch = Sentence::collate(vec![Sentence(vec![7]), Sentence(vec![8, 9])], &[0, 1])?;
/// assert_eq!(batch.tokens.to_vec::<i64>()?, [7, 0, 8, 9]);
/// assert_eq!(batch.lengths.to_vec::<i64>()?, [1, 2]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub trait Collate: Send + Sized {
    /// What a batch is.
    type Batch: Send;

    /// The batch of `samples`, of which there is at least one; `indices` are their numbers in the
    /// dataset, for error messages.
    ///
    /// # Errors
    /// If the samples do not fit together.
    fn collate(samples: Vec<Self>, indices: &[usize]) -> Result<Self::Batch>;
}

macro_rules! collate_scalars {
    ($($t:ty),*) => {$(
        impl Collate for $t {
            type Batch = Tensor;

            fn collate(samples: Vec<$t>, _: &[usize]) -> Result<Tensor> {
                let shape = [samples.len()];
                Ok(Tensor::from_vec(samples, shape))
            }
        }
    )*};
}
collate_scalars!(bool, u8, i32, i64, f16, bf16, f32, f64);

macro_rules! collate_tuples {
    ($($($name:ident)*;)*) => {$(
        impl<$($name: Collate),*> Collate for ($($name,)*) {
            type Batch = ($($name::Batch,)*);

            fn collate(samples: Vec<Self>, indices: &[usize]) -> Result<Self::Batch> {
                #[allow(non_snake_case)]
                let ($($name,)*): ($(Vec<$name>,)*) = samples.into_iter().collect();
                Ok(($($name::collate($name, indices)?,)*))
            }
        }
    )*};
}
collate_tuples! {
    A;
    A B;
    A B C;
    A B C D;
}

impl<T: Element> Collate for Array<T> {
    type Batch = Tensor;

    fn collate(samples: Vec<Array<T>>, indices: &[usize]) -> Result<Tensor> {
        let shape = common_shape(samples.iter().map(|s| s.shape().clone()), indices)?;
        Ok(concatenate(shape, samples.iter().map(Array::data)))
    }
}

impl<T: Element> Collate for Vec<T> {
    type Batch = Tensor;

    fn collate(samples: Vec<Vec<T>>, indices: &[usize]) -> Result<Tensor> {
        let shape = common_shape(samples.iter().map(|s| Shape::from([s.len()])), indices)?;
        Ok(concatenate(shape, samples.iter().map(Vec::as_slice)))
    }
}

impl<T: Element, const K: usize> Collate for [T; K] {
    type Batch = Tensor;

    fn collate(samples: Vec<[T; K]>, _: &[usize]) -> Result<Tensor> {
        let shape = [samples.len(), K];
        Ok(concatenate(shape.into(), samples.iter().map(<[T; K]>::as_slice)))
    }
}

impl Collate for Image {
    type Batch = Tensor;

    fn collate(samples: Vec<Image>, indices: &[usize]) -> Result<Tensor> {
        Image::batch(&samples, indices, |_| ())
    }
}

impl Image {
    /// The batch of `samples`, after `mix` has changed it as a whole.
    pub(crate) fn batch(
        samples: &[Image],
        indices: &[usize],
        mix: impl FnOnce(&mut [f32]),
    ) -> Result<Tensor> {
        let shape = common_shape(samples.iter().map(|s| s.pixels().shape().clone()), indices)?;
        let channels = shape.get(1).copied().unwrap_or(0);
        for normalization in samples.iter().filter_map(Image::normalization) {
            if channels != normalization.mean().len() {
                let message = format!(
                    "mean and std have {} numbers, but the images have {channels} channels; give \
                     one for each channel",
                    normalization.mean().len()
                );
                return Err(Error::new(ErrorKind::Usage, message));
            }
        }
        let one = samples.first().map_or(1, |image| image.pixels().data().len()).max(1);
        Tensor::from_writer(shape, |batch: &mut [f32]| {
            for (image, out) in samples.iter().zip(batch.chunks_mut(one)) {
                scale(image.pixels().data(), image.full_scale(), image.normalization(), out);
            }
            mix(batch);
            Ok(())
        })
    }
}

/// `[n, …]` of `n` samples that all have the shape `[…]`.
fn common_shape(shapes: impl ExactSizeIterator<Item = Shape>, indices: &[usize]) -> Result<Shape> {
    let count = shapes.len();
    let mut shapes = shapes.zip(indices);
    let Some((first, first_index)) = shapes.next() else {
        return Err(Error::new(ErrorKind::Data, "a batch needs at least one sample".to_string()));
    };
    if let Some((other, index)) = shapes.find(|(shape, _)| *shape != first) {
        return Err(Error::new(
            ErrorKind::Data,
            format!(
                "sample {index} has shape {other}, but sample {first_index} of the same batch has \
                 shape {first}; make them equal in the dataset's `get`, or implement `Collate` to \
                 pad them"
            ),
        ));
    }
    Ok(std::iter::once(count).chain(first.iter().copied()).collect())
}

fn concatenate<'a, T: Element>(shape: Shape, parts: impl Iterator<Item = &'a [T]>) -> Tensor {
    let mut batch = Vec::with_capacity(shape.numel());
    parts.for_each(|part| batch.extend_from_slice(part));
    Tensor::from_vec(batch, shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_sample_becomes_its_tensor() {
        let image = |byte| Image::new(Array::new([1, 1, 2], vec![byte, 255]).unwrap());
        let array = |x: f32| Array::new([2, 1], vec![x, -x]).unwrap();
        let samples = vec![
            (image(0), array(1.0), vec![1i64, 2], [true]),
            (image(51), array(2.0), vec![3, 4], [false]),
        ];
        let (images, arrays, vecs, flags) = Collate::collate(samples, &[0, 1]).unwrap();
        assert_eq!(images.shape()[..], [2, 1, 1, 2]);
        assert_eq!(images.to_vec::<f32>().unwrap(), [0.0, 1.0, 0.2, 1.0]);
        assert_eq!(arrays.shape()[..], [2, 2, 1]);
        assert_eq!(arrays.to_vec::<f32>().unwrap(), [1.0, -1.0, 2.0, -2.0]);
        assert_eq!(vecs.shape()[..], [2, 2]);
        assert_eq!(vecs.to_vec::<i64>().unwrap(), [1, 2, 3, 4]);
        assert_eq!(flags.shape()[..], [2, 1]);
        assert_eq!(flags.to_vec::<bool>().unwrap(), [true, false]);
        let labels = i64::collate(vec![5, 6, 7], &[0, 1, 2]).unwrap();
        assert_eq!(labels.shape()[..], [3]);
    }

    #[test]
    fn scaling_divides_exactly() {
        for full_scale in [16, 255] {
            let bytes: Vec<u8> = (0..=full_scale).collect();
            let image = Image::new(Array::new([1, 1, bytes.len()], bytes.clone()).unwrap());
            let batch = Image::collate(vec![image.with_full_scale(full_scale)], &[0]).unwrap();
            let wanted: Vec<f32> =
                bytes.iter().map(|&b| f32::from(b) / f32::from(full_scale)).collect();
            assert_eq!(batch.to_vec::<f32>().unwrap(), wanted);
        }
    }

    #[test]
    fn channels_are_normalised_each_by_its_own_numbers() {
        let image = Image::new(Array::new([2, 1, 2], vec![0, 255, 51, 102]).unwrap());
        let of = |mean: &[f32], std: &[f32]| {
            let normalization = crate::Normalization::new(mean, std).unwrap();
            image.clone().with_normalization(Some(normalization.into()))
        };
        let batch = Image::collate(vec![of(&[0.5, 0.1], &[0.5, 0.25])], &[0]).unwrap();
        let wanted = [-1.0, 1.0, (0.2 - 0.1) / 0.25, (0.4 - 0.1) / 0.25];
        assert_eq!(batch.to_vec::<f32>().unwrap(), wanted);
        let error = Image::collate(vec![of(&[0.5], &[0.5])], &[0]).unwrap_err();
        assert!(error.message().contains("1 numbers, but the images have 2 channels"), "{error}");
    }

    #[test]
    fn unequal_shapes_name_both_samples() {
        let samples = vec![vec![1.0f32], vec![1.0], vec![1.0, 2.0]];
        let error = Vec::collate(samples, &[40, 7, 12]).unwrap_err().to_string();
        assert!(error.contains("sample 12 has shape [2]"), "{error}");
        assert!(error.contains("sample 40 of the same batch has shape [1]"), "{error}");
    }
}
