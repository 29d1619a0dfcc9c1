//! Lesson 2: gradients.
//!
//!     cargo run --release --example 02_autograd
//!
//! Training means: make a number, the loss, smaller by moving other numbers, the parameters. The
//! gradient says which way to move them. Gradus computes it for any formula you can write.

use gradus::prelude::*;

fn main() -> Result<()> {
    // 1. A gradient.
    //
    // `requires_grad_` says: I will want the derivative with respect to this. `backward` goes
    // through the formula from its end to its beginning and leaves the derivatives in `grad`.
    let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3]).requires_grad_();
    let y = (&x * &x).sum(); // y = x₁² + x₂² + x₃²
    y.backward();
    println!("y = {y}");
    println!("dy/dx = 2x = {}\n", gradient(&x));

    // 2. Gradients add up.
    //
    // A second `backward` adds to what is there. That is what you want when one batch comes in
    // several parts, and a mistake otherwise: so every training step begins with `zero_grad`.
    x.sum().backward();
    println!("2x + 1 = {}", gradient(&x));
    x.zero_grad();
    x.sum().backward();
    println!("1 = {}\n", gradient(&x));

    // 3. Keeping out.
    //
    // Under `no_grad` nothing is remembered for `backward`, and `detach` takes a tensor out of its
    // formula: for evaluation, for updates, for whatever should count as constant.
    let length = no_grad(|| (&x * &x).sum().sqrt());
    let unit = &x / x.detach().sum();
    println!("|x| = {length}, requires grad: {}", length.requires_grad());
    println!("x / Σx = {unit}\n");

    // 4. Learning, by hand.
    //
    // Ten points on the line y = 3x + 2 with some noise. What are slope and offset? Start with 0
    // and 0, and go downhill: always a small step against the gradient of the mean squared error.
    manual_seed(0);
    let x = Tensor::arange(10, DType::F32) / 10.0;
    let y = &x * 3.0 + 2.0 + Tensor::randn([10], DType::F32) * 0.05;
    let mut slope = Tensor::scalar(0.0).requires_grad_();
    let mut offset = Tensor::scalar(0.0).requires_grad_();
    for step in 0..=200 {
        let error = &x * &slope + &offset - &y;
        let loss = (&error * &error).mean();
        loss.backward();
        if step % 50 == 0 {
            let (slope, offset): (f32, f32) = (slope.item()?, offset.item()?);
            let loss: f32 = loss.item()?;
            println!("step {step:3}: y = {slope:.3} x + {offset:.3}, loss {loss:.5}");
        }
        // The new values start a formula of their own: they are made without gradients, and become
        // what the next step differentiates with respect to.
        let rate = 0.5;
        slope = no_grad(|| &slope - gradient(&slope) * rate).requires_grad_();
        offset = no_grad(|| &offset - gradient(&offset) * rate).requires_grad_();
    }

    // 5. Gradients of gradients.
    //
    // With `create_graph` the derivative is an ordinary part of the formula, to be differentiated
    // again: of x³ the first derivative is 3x², the second 6x.
    let x = Tensor::scalar(4.0).requires_grad_();
    let cube = &x * &x * &x;
    let options = BackwardOptions::default().create_graph();
    let first = grad(&cube, &[&x], options)?.remove(0).expect("x³ depends on x");
    first.backward();
    println!("\nat 4: x³ = {cube}, its derivative {first}, and its second {}", gradient(&x));

    // The next lesson does all this for a network of 670,000 parameters. It is the same loop.
    Ok(())
}

/// What `backward` has left in `x`; `None` before there was a `backward`.
fn gradient(x: &Tensor) -> Tensor {
    x.grad().expect("backward has passed here")
}
