//! Lesson 1: tensors.
//!
//!     cargo run --release --example 01_tensors
//!
//! A tensor is an array with any number of axes. You will make some, compute with them, take them
//! apart, and see when Gradus actually computes. Every line prints what its comment promises.

use gradus::prelude::*;

fn main() -> Result<()> {
    // 1. Making tensors.
    //
    // From numbers, row by row, and a shape: here 2 rows of 3.
    let a = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]);
    println!("a = {a}");
    println!("shape {}, dtype {}, on {}\n", a.shape(), a.dtype(), a.device());

    // Filled, counted, or random. The same seed gives the same numbers, on every machine.
    manual_seed(0);
    let zeros = Tensor::zeros([2, 2], DType::F32);
    let count = Tensor::arange(5, DType::I64);
    let noise = Tensor::randn([2, 3], DType::F32);
    println!("zeros = {zeros}\ncount = {count}\nnoise = {noise}\n");

    // 2. Computing, element by element.
    //
    // Operators take references, so that you can use a tensor again, and plain numbers.
    let b = &a * 2.0 + 1.0;
    println!("a · 2 + 1 = {b}");
    println!("√a = {}", a.sqrt());
    println!("a > 3 = {}\n", a.gt(3.0));

    // 3. Broadcasting.
    //
    // Shapes are compared from the right. An axis of size 1, or one that is missing, is repeated
    // as often as needed: the row is added to both rows of `a`, the column to its three columns.
    let row = Tensor::from_slice(&[10.0f32, 20.0, 30.0], [3]);
    let column = Tensor::from_slice(&[100.0f32, 200.0], [2, 1]);
    println!("a + row = {}", &a + &row);
    println!("a + column = {}\n", &a + &column);

    // 4. Reducing.
    //
    // Over everything, or along an axis. Axes count from 0, or from −1 at the end.
    println!("sum {}, mean {}", a.sum(), a.mean());
    println!("sum of each row = {}", a.sum_axes(&[1], false));
    println!("where each row is greatest = {}\n", a.argmax(-1));

    // 5. Matrices and shapes.
    //
    // [2, 3] times [3, 2] is [2, 2]. One size of a reshape may be −1: whatever is left.
    println!("a · aᵀ = {}", a.matmul(&a.t()));
    println!("as one row = {}", a.reshape([1, -1]));
    println!("columns 1 and 2 = {}", a.slice(1, 1..));
    println!("on top of each other = {}\n", Tensor::cat(&[&a, &b], 0));

    // 6. Getting numbers out.
    //
    // `item` for one, `to_vec` for all. These return a `Result`, because this is where the
    // computation happens: operators only record what to do.
    let mean: f32 = a.mean().item()?;
    let all: Vec<f32> = a.to_vec()?;
    println!("the mean is {mean}, the elements are {all:?}\n");

    // 7. Recorded first, computed when needed.
    //
    // Nothing has been computed for `y` yet. `explain` shows what would be: all of it, the random
    // numbers too, as one loop over the elements, without intermediate tensors.
    let x = Tensor::randn([1000], DType::F32);
    let y = ((&x * &x + 1.0).sqrt() * 0.5).tanh();
    println!("is y computed? {}. The plan for it:\n{}", y.is_evaluated(), y.explain()?);
    y.eval()?;
    println!("and now? {}\n", y.is_evaluated());

    // 8. Mistakes.
    //
    // Shapes are checked while recording. A mistake does not interrupt your formula: the result is
    // a failed tensor, whatever is made of it fails too, and asking for the value returns the
    // first error, with the shapes and your line.
    let failed = a.matmul(&row.reshape([1, 3])) + 1.0;
    match failed.to_vec::<f32>() {
        Ok(_) => unreachable!("3 columns do not go with 1 row"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}
