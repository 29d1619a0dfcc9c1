//! Looking for the module that first puts out a number that is not finite.
//!
//! Layers name themselves on what they return ([`Tensor::within`]). Under a watch, what they return is evaluated and
//! looked at, which is slow, and is done only once something is known to be wrong.

use std::cell::{Cell, RefCell};
use std::fmt;

use gradus_ir::DType;

use crate::record::no_grad;
use crate::tensor::Tensor;

thread_local! {
    static WATCHING: Cell<bool> = const { Cell::new(false) };
    static FOUND: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a forward pass, and returns with its result the path of the first module whose output is not finite although
/// its input is.
///
/// ```
/// use gradus_tensor::{Tensor, first_not_finite};
/// let x = Tensor::from_slice(&[0.0f32], [1]);
/// let (_, path) = first_not_finite(|| x.log().within(&x, &"Log"));
/// assert_eq!(path.as_deref(), Some("Log"));
/// ```
pub fn first_not_finite<R>(forward: impl FnOnce() -> R) -> (R, Option<String>) {
    struct Stop;
    impl Drop for Stop {
        fn drop(&mut self) {
            WATCHING.set(false);
        }
    }
    FOUND.take();
    WATCHING.set(true);
    let _stop = Stop;
    let result = forward();
    (result, FOUND.take())
}

/// Looks at what a module makes of an operand, if there is a watch.
pub(crate) fn look(output: &Tensor, operand: &Tensor, module: &dyn fmt::Display) {
    if !WATCHING.get() {
        return;
    }
    if !is_finite(operand) || is_finite(output) {
        return;
    }
    FOUND.with_borrow_mut(|found| {
        *found = Some(match found.take() {
            // Of the module that this one has just run.
            Some(inner) => format!("{module} › {inner}"),
            None => module.to_string(),
        });
    });
}

impl Tensor {
    /// Whether every element is finite; evaluates the tensor. Integers are, and so is what cannot be evaluated.
    pub fn is_all_finite(&self) -> bool {
        is_finite(self)
    }
}

fn is_finite(tensor: &Tensor) -> bool {
    if tensor.error().is_some() || !tensor.dtype().is_float() {
        return true;
    }
    // Times 0, what is not finite becomes NaN, and a sum keeps it; finite numbers cannot overflow.
    let sum = no_grad(|| (tensor.detach() * 0.0).cast(DType::F64).sum());
    sum.item::<f64>().is_ok_and(f64::is_finite)
}
