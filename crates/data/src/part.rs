//! A part of a sample whose kind is known only when the program runs.

use gradus_tensor::{Error, ErrorKind, Result, Tensor};

use crate::{Array, Collate, Dataset, Identity, Image};

/// The input or the target of a sample, of any kind that the datasets of this crate have.
///
/// It serves code that is not written for one dataset, such as the `gradus` command: through
/// [`Parts`], every dataset becomes one with samples `(Part, Part)` and batches `(Tensor, Tensor)`.
/// A batch is what the content's own [`Collate`] makes of it.
#[derive(Clone, Debug)]
pub enum Part {
    /// An image.
    Image(Image),
    /// Numbers.
    Floats(Array<f32>),
    /// Positions in a vocabulary.
    Tokens(Array<i64>),
    /// A class.
    Label(i64),
}

impl From<Image> for Part {
    fn from(image: Image) -> Part {
        Part::Image(image)
    }
}
impl From<Array<f32>> for Part {
    fn from(numbers: Array<f32>) -> Part {
        Part::Floats(numbers)
    }
}
impl From<Array<i64>> for Part {
    fn from(tokens: Array<i64>) -> Part {
        Part::Tokens(tokens)
    }
}
impl From<i64> for Part {
    fn from(label: i64) -> Part {
        Part::Label(label)
    }
}

impl Collate for Part {
    type Batch = Tensor;

    fn collate(samples: Vec<Part>, indices: &[usize]) -> Result<Tensor> {
        macro_rules! all {
            ($($kind:ident),*) => {
                match samples.first() {
                    $(Some(Part::$kind(_)) => {
                        let same: Option<Vec<_>> = samples
                            .into_iter()
                            .map(|part| match part { Part::$kind(x) => Some(x), _ => None })
                            .collect();
                        same.map(|parts| Collate::collate(parts, indices))
                    })*
                    None => None,
                }
            };
        }
        all!(Image, Floats, Tokens, Label).unwrap_or_else(|| {
            let message = "the samples of a batch are of different kinds; make them equal";
            Err(Error::new(ErrorKind::Data, message))
        })
    }
}

/// A dataset with its kinds hidden: samples `(Part, Part)`, batches `(Tensor, Tensor)`.
#[derive(Clone, Debug)]
pub struct Parts<D>(pub D);

impl<D, X, Y> Dataset for Parts<D>
where
    D: Dataset<Item = (X, Y)>,
    X: Collate + Into<Part>,
    Y: Collate + Into<Part>,
{
    type Item = (Part, Part);

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Result<(Part, Part)> {
        let (input, target) = self.0.get(index)?;
        Ok((input.into(), target.into()))
    }

    fn visit(&self, index: usize, epoch: u64) -> Result<(Part, Part)> {
        let (input, target) = self.0.visit(index, epoch)?;
        Ok((input.into(), target.into()))
    }

    fn describe(&self, index: usize) -> String {
        self.0.describe(index)
    }

    fn name(&self) -> String {
        self.0.name()
    }

    fn identify(&self, identity: &mut Identity) {
        self.0.identify(identity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_of_one_kind() {
        let row = || Part::from(Array::new([2], vec![1.0f32, 2.0]).unwrap());
        let batch = Part::collate(vec![row(), row()], &[0, 1]).unwrap();
        assert_eq!(batch.to_vec::<f32>().unwrap(), [1.0, 2.0, 1.0, 2.0]);
        let labels = Part::collate(vec![Part::Label(3), Part::Label(4)], &[0, 1]).unwrap();
        assert_eq!(labels.to_vec::<i64>().unwrap(), [3, 4]);
        let error = Part::collate(vec![row(), Part::Label(1)], &[0, 1]).unwrap_err();
        assert!(error.message().contains("different kinds"), "{error}");
    }
}
