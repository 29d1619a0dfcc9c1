//! Clipping of gradients (Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent
//! neural networks", ICML 2013).
//!
//! It stands between `backward` and `step`. Both functions record and evaluate nothing, so that the
//! clipped gradients are part of the step's plan; bounds are numbers in the code and may change at
//! every step.

use gradus_tensor::{Error, ErrorKind, Parameter, Tensor, as_one_plan, no_grad};

/// Scales the gradients of all parameters by one factor, so that their norm, taken over all of them
/// as if they were one vector, is at most `max_norm`. Returns the norm they had, a tensor without
/// axes.
///
/// ```text
/// total = (Σ |g|^p)^(1/p)
/// g ← g · min(1, max_norm / (total + 1e-6))
/// ```
///
/// A number is the largest 2-norm; [`ClipNorm`] has other norms and an error for norms that are not
/// finite. Parameters without a gradient are left out. As in PyTorch, an infinite `max_norm` only
/// measures.
///
/// ```
/// use gradus_nn::optim::{Optimizer, SGD};
/// use gradus_nn::{Layer, Linear, Module, clip_grad_norm_};
/// use gradus_tensor::{DType, Tensor};
/// let model = Linear::new(4, 1);
/// let mut optimizer = SGD::new(model.parameters(), 0.1);
/// model.forward(&Tensor::ones([2, 4], DType::F32)).sum().backward();
/// let norm = clip_grad_norm_(&model.parameters(), 1.0);
/// optimizer.step()?;
/// // Each of the five gradients is 2.
/// assert!((norm.item::<f32>()? - 20f32.sqrt()).abs() < 1e-6);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
///
/// # Errors
/// If no parameter has a gradient, or if `max_norm` is negative or NaN, the result is a failed
/// tensor, and the next step returns the error.
#[track_caller]
pub fn clip_grad_norm_(parameters: &[Parameter], options: impl Into<ClipNorm>) -> Tensor {
    let options = options.into();
    let grads = match options.check().and_then(|()| gradients("clip_grad_norm_", parameters)) {
        Ok(grads) => grads,
        Err(error) => return Tensor::from_error(error),
    };
    record(|| {
        let mut total = options.norm(grads.iter().map(|(_, grad)| grad));
        if options.error_if_nonfinite {
            total = total.checked_finite("clip_grad_norm_: the norm of the gradients");
        }
        let factor = (options.max_norm / (&total + 1e-6)).minimum(1.0);
        for (parameter, grad) in grads {
            parameter.set_grad(&grad * &factor);
        }
        total
    })
}

/// Bounds every element of the gradients of all parameters to `-clip_value..=clip_value`. NaN stays
/// NaN.
///
/// ```
/// use gradus_nn::{Layer, Linear, Module, clip_grad_value_};
/// use gradus_tensor::{DType, Tensor};
/// let model = Linear::new(2, 1);
/// model.forward(&Tensor::full([1, 2], 3.0, DType::F32)).sum().backward();
/// clip_grad_value_(&model.parameters(), 2.0);
/// assert_eq!(model.weight.grad().unwrap().to_vec::<f32>()?, [2.0, 2.0]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
///
/// # Errors
/// If no parameter has a gradient, or if `clip_value` is negative or NaN, the next step returns the
/// error.
#[track_caller]
pub fn clip_grad_value_(parameters: &[Parameter], clip_value: f64) {
    let checked = not_negative("clip_grad_value_: clip_value", clip_value);
    match checked.and_then(|()| gradients("clip_grad_value_", parameters)) {
        Ok(grads) => record(|| {
            for (parameter, grad) in grads {
                parameter.set_grad(grad.clamp(-clip_value, clip_value));
            }
        }),
        Err(error) => drop(Tensor::from_error(error)),
    }
}

/// How [`clip_grad_norm_`] clips.
///
/// ```
/// use gradus_nn::{ClipNorm, Layer, Linear, Module, clip_grad_norm_};
/// # use gradus_tensor::{DType, Tensor};
/// # let model = Linear::new(4, 1);
/// # model.forward(&Tensor::ones([2, 4], DType::F32)).sum().backward();
/// let clip = ClipNorm::new(1.0).norm_type(f64::INFINITY).error_if_nonfinite(true);
/// let largest = clip_grad_norm_(&model.parameters(), clip);
/// # assert_eq!(largest.item::<f32>()?, 2.0);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipNorm {
    /// The largest norm.
    pub max_norm: f64,
    /// The p of the norm, positive; infinity for the largest element. 2 by default.
    pub norm_type: f64,
    /// Whether a norm that is not finite is an error of the next evaluation: no by default, as in
    /// PyTorch. Such an error leaves parameters and optimizer as they were.
    pub error_if_nonfinite: bool,
}

impl ClipNorm {
    /// Clips the 2-norm.
    pub fn new(max_norm: f64) -> ClipNorm {
        ClipNorm { max_norm, norm_type: 2.0, error_if_nonfinite: false }
    }

    /// With another norm.
    #[must_use]
    pub fn norm_type(mut self, norm_type: f64) -> ClipNorm {
        self.norm_type = norm_type;
        self
    }

    /// With an error for norms that are not finite, or without.
    #[must_use]
    pub fn error_if_nonfinite(mut self, error_if_nonfinite: bool) -> ClipNorm {
        self.error_if_nonfinite = error_if_nonfinite;
        self
    }

    #[track_caller]
    fn check(&self) -> Result<(), Error> {
        not_negative("clip_grad_norm_: max_norm", self.max_norm)?;
        if self.norm_type.is_nan() || self.norm_type <= 0.0 {
            return Err(usage(format!(
                "clip_grad_norm_: norm_type is {}; it must be positive, or infinity for the \
                 largest element",
                self.norm_type
            )));
        }
        Ok(())
    }

    /// The norm of tensors as if they were one vector, in the dtype of the first.
    #[track_caller]
    fn norm<'a>(&self, tensors: impl Iterator<Item = &'a Tensor>) -> Tensor {
        let p = self.norm_type;
        let part = |x: &Tensor| match p {
            f64::INFINITY => x.abs().amax(&[], false),
            1.0 => x.abs().sum(),
            2.0 => x.square().sum(),
            p => x.abs().pow(p).sum(),
        };
        let sum = tensors.map(part).reduce(|a, b| {
            let b = b.cast(a.dtype());
            if p == f64::INFINITY { a.maximum(b) } else { a + b }
        });
        match sum {
            Some(sum) if p == 2.0 => sum.sqrt(),
            Some(sum) if p == 1.0 || p == f64::INFINITY => sum,
            Some(sum) => sum.pow(1.0 / p),
            None => unreachable!("there is a gradient: it was checked"),
        }
    }
}

/// Clips the 2-norm.
impl From<f64> for ClipNorm {
    fn from(max_norm: f64) -> ClipNorm {
        ClipNorm::new(max_norm)
    }
}

/// The parameters that have a gradient, with it.
#[track_caller]
fn gradients<'a>(
    op: &str,
    parameters: &'a [Parameter],
) -> Result<Vec<(&'a Parameter, Tensor)>, Error> {
    let found: Vec<_> = parameters.iter().filter_map(|p| Some((p, p.grad()?))).collect();
    if found.is_empty() {
        return Err(Error::new(
            ErrorKind::Autograd,
            format!("{op}: no parameter has a gradient; clip after `backward()`, before `step()`"),
        ));
    }
    Ok(found)
}

fn not_negative(what: &str, value: f64) -> Result<(), Error> {
    if value >= 0.0 {
        return Ok(());
    }
    Err(usage(format!("{what} is {value}; it must not be negative")))
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// Records without history, all in the plan that computes the gradients.
fn record<R>(f: impl FnOnce() -> R) -> R {
    as_one_plan(|| no_grad(f))
}
