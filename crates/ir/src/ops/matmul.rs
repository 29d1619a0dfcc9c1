//! The matrix product over a batch.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, SampleInput, Vjp};
use crate::{Array, DType, Shape, Type};

/// `[…, m, k] · […, k, n] → […, m, n]`, with equal batch axes. Half-precision operands accumulate in f32.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MatMul;

/// The sizes of a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatMulSize {
    /// Products in the batch.
    pub batch: usize,
    /// Rows of the left operand and the result.
    pub m: usize,
    /// Columns of the right operand and the result.
    pub n: usize,
    /// The summed axis.
    pub k: usize,
}

impl MatMul {
    /// The sizes of `a · b`, whose types fit.
    pub fn size(a: &Shape, b: &Shape) -> MatMulSize {
        let rank = a.rank();
        MatMulSize {
            batch: a[..rank - 2].iter().product(),
            m: a[rank - 2],
            n: b[rank - 1],
            k: a[rank - 1],
        }
    }
}

impl Primitive for MatMul {
    const NAME: &'static str = "matmul";
    const SUMS_PRODUCTS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let [a, b] = x else {
            return Err(format!("matmul takes two operands, not {}", x.len()));
        };
        let rank = a.shape.rank();
        if rank < 2 || b.shape.rank() != rank {
            return Err(format!(
                "matmul: needs two operands of the same rank, at least 2: {} and {}",
                a.shape, b.shape
            ));
        }
        if a.dtype != b.dtype || a.dtype == DType::Bool {
            return Err(format!(
                "matmul: needs two numbers of one dtype: {} and {}",
                a.dtype, b.dtype
            ));
        }
        if a.shape[rank - 1] != b.shape[rank - 2] {
            return Err(format!(
                "matmul: {} · {}: the left has {} columns, the right {} rows; they must be equal",
                a.shape,
                b.shape,
                a.shape[rank - 1],
                b.shape[rank - 2]
            ));
        }
        if a.shape[..rank - 2] != b.shape[..rank - 2] {
            return Err(format!("matmul: batch axes differ: {} and {}", a.shape, b.shape));
        }
        Ok(Type { shape: a.shape.with_dim(rank - 1, b.shape[rank - 1]), dtype: a.dtype })
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let [a, b, dy] = [v.x[0], v.x[1], v.dy];
        // The gradient of a transpose, such as a layer's weight, is computed transposed too: the weight's own
        // gradient then lies in memory as the weight does.
        let da = || match a.is_transpose() {
            true => b.matmul(dy.transposed()).transposed(),
            false => dy.matmul(b.transposed()),
        };
        let db = || match b.is_transpose() {
            true => dy.transposed().matmul(a).transposed(),
            false => a.transposed().matmul(dy),
        };
        Some(smallvec![v.needs[0].then(da), v.needs[1].then(db)])
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let MatMulSize { batch, m, n, k } = MatMul::size(x[0].shape(), x[1].shape());
        let each = |f: &mut dyn FnMut(usize, usize, usize)| {
            for b in 0..batch {
                for i in 0..m {
                    for j in 0..n {
                        f(b, i, j);
                    }
                }
            }
        };
        if ty.dtype.is_float() {
            let (a, b) = (x[0].floats(), x[1].floats());
            let mut y = Vec::with_capacity(ty.shape.numel());
            each(&mut |s, i, j| {
                let products = (0..k).map(|p| a[(s * m + i) * k + p] * b[(s * k + p) * n + j]);
                y.push(products.fold(0.0, |sum, p| sum + p));
            });
            Ok(Array::float(ty.clone(), y))
        } else {
            let (a, b) = (x[0].ints(), x[1].ints());
            let mut y = Vec::with_capacity(ty.shape.numel());
            each(&mut |s, i, j| {
                let products =
                    (0..k).map(|p| a[(s * m + i) * k + p].wrapping_mul(b[(s * k + p) * n + j]));
                y.push(products.fold(0, i64::wrapping_add));
            });
            Ok(Array::int(ty.clone(), y))
        }
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        let MatMulSize { batch, m, n, k } = MatMul::size(x[0], x[1]);
        2 * batch * m * n * k
    }

    fn samples() -> Vec<Sample> {
        let f2 = SampleInput::float::<2>;
        let f3 = SampleInput::float::<3>;
        vec![
            Sample::new(MatMul, vec![f2([3, 4]), f2([4, 5])]),
            Sample::new(MatMul, vec![f2([1, 1]), f2([1, 1])]),
            Sample::new(MatMul, vec![f2([17, 9]), f2([9, 1])]),
            Sample::new(MatMul, vec![f2([2, 0]), f2([0, 3])]),
            Sample::new(MatMul, vec![f2([0, 2]), f2([2, 3])]),
            Sample::new(MatMul, vec![f3([2, 3, 4]), f3([2, 4, 2])]),
            Sample::new(MatMul, vec![SampleInput::index([2, 3], 9), SampleInput::index([3, 2], 9)]),
        ]
    }
}
