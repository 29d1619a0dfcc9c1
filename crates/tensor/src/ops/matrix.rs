//! Matrices: triangles, diagonals, and products by their names.

use std::panic::Location;

use gradus_ir::DType;
use gradus_ir::ops::Iota;
use smallvec::smallvec;

use super::{IntoOperand, Operator, axis_of};
use crate::device::Device;
use crate::error::ErrorKind;
use crate::record::{fail, record_source};
use crate::tensor::Tensor;

impl Tensor {
    /// The lower triangles of matrices in the last two axes, up to the `diagonal`-th diagonal (0: the main one); zeros
    /// above.
    #[track_caller]
    pub fn tril(&self, diagonal: isize) -> Tensor {
        self.triangle("tril", |column, row| column.le(row + diagonal as i64))
    }

    /// The upper triangles of matrices in the last two axes, from the `diagonal`-th diagonal on; zeros below.
    #[track_caller]
    pub fn triu(&self, diagonal: isize) -> Tensor {
        self.triangle("triu", |column, row| column.ge(row + diagonal as i64))
    }

    #[track_caller]
    fn triangle(&self, op: &str, keep: impl Fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
        let Ok(shape) = self.try_shape() else { return self.clone() };
        let &[.., rows, columns] = shape.dims() else {
            let message = format!("{op}: needs at least two axes, this tensor has shape {shape}");
            return fail(ErrorKind::Shape, message, Location::caller());
        };
        let column = positions(columns, self.device());
        let row = positions(rows, self.device()).unsqueeze(1);
        Tensor::where_(&keep(&column, &row), self, self.zeros_like())
    }

    /// The elements of two axes whose positions satisfy second = first + offset, along a new last axis.
    #[track_caller]
    pub fn diagonal(&self, offset: isize, first: isize, second: isize) -> Tensor {
        let location = Location::caller();
        let axes = axis_of("diagonal", self, first, 0, location)
            .and_then(|a| Ok((a, axis_of("diagonal", self, second, 0, location)?)));
        let (a, b) = match axes {
            Ok((a, b)) if a == b => {
                let message = format!("diagonal: needs two axes, not {a} twice");
                return fail(ErrorKind::Shape, message, location);
            }
            Ok(axes) => axes,
            Err(failed) => return failed,
        };
        let matrices = self.movedim(&[a as isize, b as isize], &[-2, -1]);
        let shape = matrices.shape().clone();
        let outer = &shape[..shape.rank() - 2];
        let (rows, columns) = (shape[shape.rank() - 2], shape[shape.rank() - 1]);
        let shift = offset.unsigned_abs();
        let (start, len) = if offset >= 0 {
            (shift, rows.min(columns.saturating_sub(shift)))
        } else {
            (shift * columns, rows.saturating_sub(shift).min(columns))
        };
        // In a row, the diagonal's elements are as far apart as a row is long, and one more.
        let flat = outer.iter().copied().chain([rows * columns]);
        let flat = matrices.reshape(flat.collect::<gradus_ir::Shape>());
        if len == 0 {
            return flat.slice(-1, ..0);
        }
        let end = start + (len - 1) * (columns + 1) + 1;
        flat.slice_step(-1, start..end, columns + 1)
    }

    /// The `offset`-th diagonal of a matrix, or the matrix with a vector as that diagonal.
    #[track_caller]
    pub fn diag(&self, offset: isize) -> Tensor {
        let shape = match self.try_shape() {
            Ok(shape) => shape,
            Err(_) => return self.clone(),
        };
        match shape.rank() {
            1 => {
                let shift = offset.unsigned_abs();
                let n = shape[0];
                let (up, left) = if offset >= 0 { (0, shift) } else { (shift, 0) };
                let at = positions(n, self.device());
                let square = at.unsqueeze(1).eq(&at);
                let matrix = Tensor::where_(&square, self, self.zeros_like());
                // The vector broadcasts over rows: on the diagonal, row and column agree.
                matrix.pad(0, up, shift - up).pad(1, left, shift - left)
            }
            2 => self.diagonal(offset, 0, 1),
            _ => {
                let message = format!("diag: needs a vector or a matrix, not shape {shape}");
                fail(ErrorKind::Shape, message, Location::caller())
            }
        }
    }

    /// The sum of the main diagonal of a matrix.
    #[track_caller]
    pub fn trace(&self) -> Tensor {
        match self.expect_rank("trace", 2, Location::caller()) {
            Ok(()) => self.diagonal(0, 0, 1).sum(),
            Err(failed) => failed,
        }
    }

    /// All products of two vectors' elements: `[n]` and `[m]` → `[n, m]`.
    #[track_caller]
    pub fn outer(&self, other: &Tensor) -> Tensor {
        let location = Location::caller();
        let ranks = self
            .expect_rank("outer", 1, location)
            .and_then(|()| other.expect_rank("outer", 1, location));
        match ranks {
            Ok(()) => self.unsqueeze(1) * other,
            Err(failed) => failed,
        }
    }

    /// The inner product of two vectors.
    #[track_caller]
    pub fn dot(&self, other: &Tensor) -> Tensor {
        self.product("dot", other, 1, 1)
    }

    /// The product of a matrix and a vector.
    #[track_caller]
    pub fn mv(&self, vector: &Tensor) -> Tensor {
        self.product("mv", vector, 2, 1)
    }

    /// The product of two matrices.
    #[track_caller]
    pub fn mm(&self, other: &Tensor) -> Tensor {
        self.product("mm", other, 2, 2)
    }

    /// The products of two batches of matrices: `[b, n, k]` and `[b, k, m]` → `[b, n, m]`.
    #[track_caller]
    pub fn bmm(&self, other: &Tensor) -> Tensor {
        if let (Ok(a), Ok(b)) = (self.try_shape(), other.try_shape())
            && a.rank() == 3
            && b.rank() == 3
            && a[0] != b[0]
        {
            let message = format!("bmm: batches of {} and {} matrices: {a} and {b}", a[0], b[0]);
            return fail(ErrorKind::Shape, message, Location::caller());
        }
        self.product("bmm", other, 3, 3)
    }

    /// beta · x + alpha · a · b, for matrices a and b; x broadcasts. PyTorch's defaults are 1.
    #[track_caller]
    pub fn addmm(
        &self,
        a: &Tensor,
        b: &Tensor,
        beta: impl IntoOperand,
        alpha: impl IntoOperand,
    ) -> Tensor {
        combined(self, a.mm(b), beta.into_operand(), alpha.into_operand())
    }

    /// beta · x + alpha · a · v, for a matrix a and a vector v; x broadcasts.
    #[track_caller]
    pub fn addmv(
        &self,
        a: &Tensor,
        v: &Tensor,
        beta: impl IntoOperand,
        alpha: impl IntoOperand,
    ) -> Tensor {
        combined(self, a.mv(v), beta.into_operand(), alpha.into_operand())
    }

    /// beta · x + alpha · a · b, for batches of matrices a and b; x broadcasts.
    #[track_caller]
    pub fn baddbmm(
        &self,
        a: &Tensor,
        b: &Tensor,
        beta: impl IntoOperand,
        alpha: impl IntoOperand,
    ) -> Tensor {
        combined(self, a.bmm(b), beta.into_operand(), alpha.into_operand())
    }

    #[track_caller]
    fn product(&self, op: &str, other: &Tensor, left: usize, right: usize) -> Tensor {
        let location = Location::caller();
        let ranks = self
            .expect_rank(op, left, location)
            .and_then(|()| other.expect_rank(op, right, location));
        match ranks {
            Ok(()) => self.matmul(other),
            Err(failed) => failed,
        }
    }

    fn expect_rank(
        &self,
        op: &str,
        rank: usize,
        location: &'static Location<'static>,
    ) -> Result<(), Tensor> {
        match self.try_shape() {
            Ok(shape) if shape.rank() == rank => Ok(()),
            Ok(shape) => {
                let what = ["a number", "a vector", "a matrix", "a batch of matrices"][rank];
                let message = format!("{op}: expects {what} here, not a tensor of shape {shape}");
                Err(fail(ErrorKind::Shape, message, location))
            }
            Err(_) => Err(self.clone()),
        }
    }
}

/// beta · x + alpha · product; a factor of 0 written in the code leaves x out, NaN and all.
#[track_caller]
fn combined(x: &Tensor, product: Tensor, beta: Operator<'_>, alpha: Operator<'_>) -> Tensor {
    let is = |o: &Operator<'_>, n: f64| matches!(o, Operator::Number(s) if s.to_f64() == n);
    let product = if is(&alpha, 1.0) { product } else { product * &alpha };
    if is(&beta, 0.0) {
        product
    } else if is(&beta, 1.0) {
        x + product
    } else {
        x * &beta + product
    }
}

/// 0, 1, …, n − 1 on a device.
#[track_caller]
pub(super) fn positions(n: usize, device: Device) -> Tensor {
    record_source(Iota { len: n, dtype: DType::I64 }, smallvec![], device)
}
