//! Losses of class labels, and the look-up of rows by index.

use std::panic::Location;

use gradus_ir::DType;
use gradus_ir::ops::{CrossEntropy, Gather};
use smallvec::smallvec;

use crate::error::ErrorKind;
use crate::record::{fail, record};
use crate::tensor::Tensor;

impl Tensor {
    /// The cross-entropy of each row of logits `[n, classes]` with its label (int64 `[n]`): `[n]`, in nats. Softmax
    /// is part of it.
    ///
    /// # Errors
    /// A label out of range fails the evaluation and is named with its position and the number of classes.
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Tensor) -> Tensor {
        let labels = match self.try_shape() {
            Ok(shape) if shape.rank() == 2 => labels.checked_below(shape[1], "label"),
            _ => labels.clone(),
        };
        record(CrossEntropy, smallvec![self.operand(), labels.operand()])
    }

    /// The negative of the element of each row of log-probabilities `[n, classes]` that its label (int64 `[n]`) names:
    /// `[n]`.
    ///
    /// # Errors
    /// A label out of range fails the evaluation and is named with its position and the number of classes.
    #[track_caller]
    pub fn nll_loss(&self, labels: &Tensor) -> Tensor {
        let (Ok(shape), Ok(of)) = (self.try_shape(), labels.try_shape()) else {
            return if self.try_shape().is_err() { self.clone() } else { labels.clone() };
        };
        if shape.rank() != 2 || of[..] != shape[..1] {
            let message = format!(
                "nll_loss: log-probabilities {shape} and labels {of}: expected [n, classes] and [n]"
            );
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        let column = labels.checked_below(shape[1], "label").unsqueeze(1);
        -record(Gather { axis: 1 }, smallvec![self.operand(), column.operand()]).squeeze(1)
    }

    /// The rows of this table `[rows, size]` that integers `[…]` name: `[…, size]`. PyTorch's `F.embedding` with the
    /// arguments exchanged. The row `padding_idx` receives no gradient.
    ///
    /// # Errors
    /// An index out of range fails the evaluation and is named with its position and the range.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let table = Tensor::from_slice(&[0.0f32, 0.5, 1.0, 1.5, 2.0, 2.5], [3, 2]);
    /// let rows = table.embedding(&Tensor::from_slice(&[2i64, 0], [2]), None);
    /// assert_eq!(rows.to_vec::<f32>()?, [2.0, 2.5, 0.0, 0.5]);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    #[track_caller]
    pub fn embedding(&self, indices: &Tensor, padding_idx: Option<usize>) -> Tensor {
        let (Ok(table), Ok(of)) = (self.try_shape(), indices.try_shape()) else {
            return if self.try_shape().is_err() { self.clone() } else { indices.clone() };
        };
        let location = Location::caller();
        let wrong = |message| fail(ErrorKind::Shape, message, location);
        if table.rank() != 2 {
            return wrong(format!("embedding: a table is [rows, size], not {table}"));
        }
        if !indices.dtype().is_int() {
            let dtype = indices.dtype();
            return wrong(format!("embedding: indices are integers, not {dtype}; cast them"));
        }
        if let Some(row) = padding_idx.filter(|&row| row >= table[0]) {
            return wrong(format!(
                "embedding: padding_idx is {row}, but the table has {} rows",
                table[0]
            ));
        }
        let (count, size) = (of.numel(), table[1]);
        let checked = indices.cast(DType::I64).checked_below(table[0], "embedding index");
        let column = checked.reshape([count as isize, 1]);
        let index = column.expand([count, size]);
        let rows = record(Gather { axis: 0 }, smallvec![self.operand(), index.operand()]);
        let rows = match padding_idx {
            Some(row) => Tensor::where_(&column.ne(row), &rows, rows.detach()),
            None => rows,
        };
        let dims: Vec<isize> = of.iter().chain([&size]).map(|&d| d as isize).collect();
        rows.reshape(&dims[..])
    }
}
