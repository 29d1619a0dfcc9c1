//! Matrix products.

use std::panic::Location;

use gradus_ir::Shape;
use gradus_ir::ops::MatMul;
use smallvec::smallvec;

use crate::error::ErrorKind;
use crate::record::{fail, record};
use crate::tensor::Tensor;

impl Tensor {
    /// The matrix product, as `torch.matmul`: vectors dot, a vector meets a matrix as row or column, leading
    /// axes broadcast. Operands promote.
    ///
    /// # Errors
    /// If the inner sizes differ.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let location = Location::caller();
        let (Ok(a), Ok(b)) = (self.try_shape(), other.try_shape()) else {
            return if self.try_shape().is_err() { self.clone() } else { other.clone() };
        };
        let (a, b) = (a.clone(), b.clone());
        if a.rank() == 0 || b.rank() == 0 {
            let message = format!("matmul: needs at least one axis on each side: {a} and {b}");
            return fail(ErrorKind::Shape, message, location);
        }
        let dtype = self.dtype().promote(other.dtype());
        // Vectors become matrices of one row or column, and the result loses that axis again.
        let mut x = self.cast(dtype);
        let mut y = other.cast(dtype);
        if a.rank() == 1 {
            x = x.unsqueeze(0);
        }
        if b.rank() == 1 {
            y = y.unsqueeze(1);
        }
        let (xs, ys) = (x.shape().clone(), y.shape().clone());
        let (xb, yb) = (batch_of(&xs), batch_of(&ys));
        let product = if xb == yb {
            record(MatMul, smallvec![x.operand(), y.operand()])
        } else if yb.rank() == 0 && xs[xs.rank() - 1] == ys[0] {
            // One matrix for the whole batch: a taller product, not many small ones.
            let rows = xs.numel() / xs[xs.rank() - 1].max(1);
            let tall = x.reshape([rows as isize, xs[xs.rank() - 1] as isize]);
            let result: Shape = xs[..xs.rank() - 1].iter().copied().chain([ys[1]]).collect();
            record(MatMul, smallvec![tall.operand(), y.operand()]).reshape(result)
        } else {
            let Some(batch) = xb.broadcast(&yb) else {
                let message = format!("matmul: leading axes do not broadcast: {a} and {b}");
                return fail(ErrorKind::Shape, message, location);
            };
            let full = |s: &Shape| -> Shape {
                batch.iter().copied().chain(s[s.rank() - 2..].iter().copied()).collect()
            };
            let (x, y) = (x.expand(full(&xs)), y.expand(full(&ys)));
            record(MatMul, smallvec![x.operand(), y.operand()])
        };
        match (a.rank(), b.rank()) {
            (1, 1) => product.squeeze(-1).squeeze(-1),
            (1, _) => product.squeeze(-2),
            (_, 1) => product.squeeze(-1),
            _ => product,
        }
    }
}

fn batch_of(shape: &Shape) -> Shape {
    shape[..shape.rank() - 2].into()
}
