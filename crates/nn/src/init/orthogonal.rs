//! Orthogonal matrices.

use gradus_tensor::{DType, Shape, Tensor};

use super::refuse;

/// A matrix with orthogonal rows or columns, whichever are fewer, each of length `gain` (Saxe et al.,
/// "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", ICLR
/// 2014). A weight `[out, in, …]` counts as the matrix `[out, in · …]`.
///
/// The rows of a matrix of normal numbers are made orthogonal one after the other, in double
/// precision on the host: `fewer² · more` operations. The result is uniformly distributed.
///
/// # Errors
/// If the shape has fewer than two axes.
///
/// ```
/// use gradus_nn::init;
/// let w = init::orthogonal([2, 5], 1.0);
/// let product = w.matmul(&w.t()).to_vec::<f32>()?;
/// assert!(product.iter().zip([1.0, 0.0, 0.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-6));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[track_caller]
pub fn orthogonal(shape: impl Into<Shape>, gain: f64) -> Tensor {
    let shape = shape.into();
    if shape.rank() < 2 {
        return refuse(format!("orthogonal: needs two axes or more, not {shape}"));
    }
    let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
    let (few, many) = (rows.min(columns), rows.max(columns));
    let drawn = match Tensor::randn([few, many], DType::F64).to_vec::<f64>() {
        Ok(drawn) => drawn,
        Err(error) => return Tensor::from_error(error),
    };
    let vectors = orthonormal(drawn, many);
    let at = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        let (vector, part) = if rows <= columns { (row, column) } else { (column, row) };
        (vectors[vector * many + part] * gain) as f32
    };
    let data: Vec<f32> = (0..rows * columns).map(at).collect();
    Tensor::from_vec(data, shape)
}

/// Makes vectors of `n` numbers orthogonal and of length 1, by Gram and Schmidt's method; twice, as
/// the first pass leaves rounding errors where vectors are nearly parallel.
fn orthonormal(mut vectors: Vec<f64>, n: usize) -> Vec<f64> {
    if n == 0 {
        return vectors;
    }
    for i in 0..vectors.len() / n {
        let (before, rest) = vectors.split_at_mut(i * n);
        let vector = &mut rest[..n];
        for _ in 0..2 {
            for other in before.chunks_exact(n) {
                let along: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
            let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
            vector.iter_mut().for_each(|x| *x /= length);
        }
    }
    vectors
}
