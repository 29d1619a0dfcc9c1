//! L-BFGS (Liu and Nocedal, "On the limited memory BFGS method for large scale optimization",
//! Mathematical Programming 45, 1989), as in PyTorch.
//!
//! Unlike the other optimizers it decides on the values it computes: it asks for the loss several
//! times in a step, and each time is a plan of its own. The plans do not depend on how much history
//! there is, so that a run compiles a few and no more.

mod line_search;
mod memory;

use gradus_tensor::{Error, ErrorKind, Parameter, Result, Tensor, as_one_plan, evaluate, no_grad};

use self::line_search::{Evaluation, strong_wolfe};
use self::memory::{Last, Memory, dot, number};
use super::Optimizer;
use super::options::{builders, check_not_negative};
use super::stepper::called;
use crate::StateDict;

/// A quasi-Newton method for losses without noise: small models, whole datasets.
///
/// A step iterates up to `max_iter` times. Each iteration multiplies the gradient by an estimate of
/// the inverse Hessian, made of the last `history_size` steps and changes of the gradient, and moves
/// by `lr` along it or as far as a line search says. The closure computes the loss and calls
/// `backward`; gradients are zeroed before each call.
///
/// ```
/// use gradus_nn::optim::{LBFGS, LineSearch};
/// use gradus_nn::{Layer, Linear, Module};
/// use gradus_tensor::Tensor;
/// let x = Tensor::from_slice(&[0.0f32, 1.0, 2.0, 3.0], [4, 1]);
/// let y = &x * 2.0 + 1.0;
/// let model = Linear::new(1, 1);
/// let mut optimizer = LBFGS::new(model.parameters(), 1.0).line_search_fn(LineSearch::StrongWolfe);
/// optimizer.step(|| {
///     let loss = (model.forward(&x) - &y).square().mean();
///     loss.backward();
///     loss
/// })?;
/// assert!((model.weight.value().item::<f32>()? - 2.0).abs() < 1e-3);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
///
/// There is one group of parameters. As an [`Optimizer`] it can be driven by a schedule and saved;
/// [`Optimizer::step`], which has no closure, is an error.
pub struct LBFGS {
    options: LBFGSOptions,
    parameters: Vec<Parameter>,
    memory: Memory,
}

/// The options of [`LBFGS`]. They can be changed between steps through [`LBFGS::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LBFGSOptions {
    /// The learning rate, or the length that a line search tries first: 1 by default.
    pub lr: f64,
    /// The largest number of iterations in a step: 20 by default.
    pub max_iter: usize,
    /// The largest number of times that a step asks for the loss: 1.25 · `max_iter` by default.
    pub max_eval: Option<usize>,
    /// A step ends when no element of the gradient is larger: 1e-7 by default.
    pub tolerance_grad: f64,
    /// A step ends when neither the loss nor any parameter changes by more: 1e-9 by default.
    pub tolerance_change: f64,
    /// How many past iterations the estimate is made of: 100 by default.
    pub history_size: usize,
    /// How the length of an iteration is found: by the learning rate alone by default.
    pub line_search_fn: Option<LineSearch>,
    /// Whether to ascend instead: no by default.
    pub maximize: bool,
}

/// How [`LBFGS`] finds the length of an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineSearch {
    /// A length that satisfies the strong Wolfe conditions.
    StrongWolfe,
}

builders! {
    LBFGS, LBFGSOptions:
    /// With more iterations in a step, or fewer.
    max_iter(max_iter: usize) max_iter;
    /// With another limit on how often a step asks for the loss.
    max_eval(max_eval: usize) Some(max_eval);
    /// Ending at another size of the gradient.
    tolerance_grad(tolerance_grad: f64) tolerance_grad;
    /// Ending at another size of the change.
    tolerance_change(tolerance_change: f64) tolerance_change;
    /// With more history, or less.
    history_size(history_size: usize) history_size;
    /// With a line search.
    line_search_fn(line_search_fn: LineSearch) Some(line_search_fn);
    /// Ascending, or descending.
    maximize(maximize: bool) maximize;
}

impl LBFGS {
    /// L-BFGS with default options.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> LBFGS {
        LBFGS::with_options(parameters, LBFGSOptions::new(lr))
    }

    /// L-BFGS with options.
    pub fn with_options(parameters: Vec<Parameter>, options: LBFGSOptions) -> LBFGS {
        LBFGS { options, parameters, memory: Memory::default() }
    }

    /// The options.
    pub fn options(&self) -> &LBFGSOptions {
        &self.options
    }

    /// The options, to change them.
    pub fn options_mut(&mut self) -> &mut LBFGSOptions {
        &mut self.options
    }

    /// Updates the parameters. The closure computes the loss with their current values, calls
    /// `backward` on it and returns it; the step calls it once or many times. Returns the loss of
    /// the first call, before the update.
    ///
    /// # Errors
    /// The error of any operation or check in the closure, a closure that leaves no gradient, a
    /// first loss that is not finite, options or parameters that make no sense. Then parameters and
    /// state are what they were, to the bit.
    #[track_caller]
    pub fn step(&mut self, mut closure: impl FnMut() -> Tensor) -> Result<Tensor> {
        self.check()?;
        let values = self.values()?;
        let memory = self.memory.clone();
        let result = self.minimize(&mut closure);
        if result.is_err() {
            self.memory = memory;
            self.parameters.iter().zip(&values).for_each(|(p, value)| p.set(value));
        }
        result
    }

    fn with(mut self, change: impl Fn(&mut LBFGSOptions)) -> LBFGS {
        change(&mut self.options);
        self
    }

    fn check(&self) -> Result<()> {
        let LBFGSOptions { lr, max_iter, history_size, .. } = self.options;
        if self.parameters.is_empty() {
            return Err(wrong("there are no parameters; pass `model.parameters()`"));
        }
        for (i, p) in self.parameters.iter().enumerate() {
            if self.parameters[..i].iter().any(|q| q.variable().is_same(p.variable())) {
                return Err(wrong(&format!("{} is given twice", called(p))));
            }
        }
        if max_iter == 0 || history_size == 0 {
            return Err(wrong(&format!(
                "max_iter is {max_iter} and history_size {history_size}; both must be at least 1"
            )));
        }
        check_not_negative(&[
            ("lr", lr),
            ("tolerance_grad", self.options.tolerance_grad),
            ("tolerance_change", self.options.tolerance_change),
        ])
        .map_err(|why| wrong(&why))
    }

    fn minimize(&mut self, closure: &mut dyn FnMut() -> Tensor) -> Result<Tensor> {
        let options = self.options;
        let max_eval = options.max_eval.unwrap_or(options.max_iter * 5 / 4);
        let (loss, mut here) = self.evaluate(closure)?;
        if !here.loss.is_finite() {
            let why = format!("the loss is {} before the step; it must be finite", here.loss);
            return Err(Error::new(ErrorKind::Value, format!("LBFGS: {why}")));
        }
        let mut evaluations = 1;
        self.memory.func_evals += 1;
        if largest(&here.grad)? <= options.tolerance_grad {
            return Ok(loss);
        }
        for iteration in 1..=options.max_iter {
            let d = self.memory.direction(&here.grad, options.history_size)?;
            let previous_loss = here.loss;
            let mut t = options.lr;
            if self.memory.n_iter == 1 {
                t *= (1.0 / number(&here.grad.abs().sum())?).min(1.0);
            }
            here.slope = number(&dot(&here.grad, &d))?;
            self.memory.last = Some(Last { d: d.clone(), t, grad: here.grad.clone() });
            if here.slope > -options.tolerance_change {
                break;
            }
            let from = self.values()?;
            let size = largest(&d)?;
            let mut asked = 0;
            if options.line_search_fn == Some(LineSearch::StrongWolfe) {
                let mut along = |t| {
                    self.move_to(&from, t, &d)?;
                    let (_, mut at) = self.evaluate(closure)?;
                    at.slope = number(&dot(&at.grad, &d))?;
                    Ok(Evaluation { t, ..at })
                };
                let limit = max_eval.saturating_sub(evaluations);
                let tolerance = options.tolerance_change;
                (here, asked) = strong_wolfe(&mut along, &here, t, size, tolerance, limit)?;
                t = here.t;
                self.move_to(&from, t, &d)?;
                here.t = 0.0;
            } else {
                self.move_to(&from, t, &d)?;
                if iteration != options.max_iter {
                    here = self.evaluate(closure)?.1;
                    asked = 1;
                }
            }
            self.memory.last = self.memory.last.take().map(|last| Last { t, ..last });
            evaluations += asked;
            self.memory.func_evals += asked as u64;
            if evaluations >= max_eval
                || iteration == options.max_iter
                || largest(&here.grad)? <= options.tolerance_grad
                || size * t <= options.tolerance_change
                || (here.loss - previous_loss).abs() < options.tolerance_change
            {
                break;
            }
        }
        Ok(loss)
    }

    /// The loss and the gradient where the parameters are.
    fn evaluate(&self, closure: &mut dyn FnMut() -> Tensor) -> Result<(Tensor, Evaluation)> {
        self.zero_grad();
        let loss = closure();
        let grads: Vec<Option<Tensor>> = self.parameters.iter().map(Parameter::grad).collect();
        if grads.iter().all(Option::is_none) {
            // What went wrong before backward explains it better.
            evaluate()?;
            let why = "no parameter has a gradient; the closure must call `backward()` on the loss";
            return Err(Error::new(ErrorKind::Autograd, format!("LBFGS: {why}")));
        }
        let sign = if self.options.maximize { -1.0 } else { 1.0 };
        let grad = no_grad(|| {
            let parts: Vec<Tensor> = grads
                .into_iter()
                .zip(&self.parameters)
                .map(|(grad, p)| grad.unwrap_or_else(|| p.value().zeros_like()).reshape([-1]))
                .collect();
            Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0) * sign
        });
        // One plan for both.
        let value = sign * loss.item::<f64>()?;
        grad.eval()?;
        Ok((loss.detach(), Evaluation { t: 0.0, loss: value, grad, slope: 0.0 }))
    }

    /// The values of the parameters, which later moves do not change.
    fn values(&self) -> Result<Vec<Tensor>> {
        let values = self.parameters.iter().map(|p| p.value().detach());
        values.map(|value| value.error().map_or(Ok(value), Err)).collect()
    }

    /// Moves the parameters to `from + t · d`.
    fn move_to(&self, from: &[Tensor], t: f64, d: &Tensor) -> Result<()> {
        as_one_plan(|| {
            no_grad(|| {
                let mut start = 0;
                for (parameter, value) in self.parameters.iter().zip(from) {
                    let shape = value.shape();
                    let part = d.narrow(0, start, shape.numel()).reshape(shape);
                    parameter.set(&(value + part.cast(value.dtype()) * t));
                    start += shape.numel();
                }
            });
            evaluate()
        })
    }
}

impl LBFGSOptions {
    /// The defaults, with a learning rate.
    pub fn new(lr: f64) -> LBFGSOptions {
        LBFGSOptions {
            lr,
            max_iter: 20,
            max_eval: None,
            tolerance_grad: 1e-7,
            tolerance_change: 1e-9,
            history_size: 100,
            line_search_fn: None,
            maximize: false,
        }
    }
}

impl Default for LBFGSOptions {
    fn default() -> LBFGSOptions {
        LBFGSOptions::new(1.0)
    }
}

impl Optimizer for LBFGS {
    fn step(&mut self) -> Result<()> {
        Err(wrong("a step asks for the loss several times; call `LBFGS::step` with a closure"))
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.parameters.clone()
    }

    fn lrs(&self) -> Vec<f64> {
        vec![self.options.lr]
    }

    fn set_lrs(&mut self, lrs: &[f64]) {
        let &[lr] = lrs else { panic!("LBFGS has one group of parameters, not {}", lrs.len()) };
        self.options.lr = lr;
    }

    fn state_dict(&self) -> StateDict {
        self.memory.state_dict()
    }

    fn load_state_dict(&mut self, saved: &StateDict) -> Result<()> {
        let n = self.parameters.iter().map(|p| p.shape().numel()).sum();
        let dtype = self.parameters.iter().map(Parameter::dtype).reduce(|a, b| a.promote(b));
        let device = self.parameters.first().map(|p| p.value().device());
        let (Some(dtype), Some(device)) = (dtype, device) else {
            return Err(wrong("there are no parameters; pass `model.parameters()`"));
        };
        self.memory = Memory::load(saved, n, dtype, device)?;
        Ok(())
    }
}

fn wrong(why: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("LBFGS: {why}"))
}

/// The largest magnitude.
fn largest(x: &Tensor) -> Result<f64> {
    number(&x.abs().amax(&[], false))
}
