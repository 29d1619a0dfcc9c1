//! A step computed once more, value by value: where do numbers stop being finite?

use std::fmt;

use gradus_nn::Module;
use gradus_tensor::{
    BackwardOptions, DType, ModuleOutput, Result, Tensor, evaluate, grad, module_outputs, no_grad,
};

use crate::metrics::thousands;

/// More checks than one step has that fail at once: those of loss and gradients, and a model's own.
const LEFT_OVER: usize = 8;

/// Every value of a step that has a name, in the order in which a step comes to them: parameters
/// and buffers, what each layer puts out, the loss, the gradients. Printed, it is a table.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The values.
    pub values: Vec<Probed>,
}

/// A value of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// Which part of the step it belongs to.
    pub pass: Pass,
    /// What it is: `the output of layer 3 › ReLU()`.
    pub what: String,
    /// The numbers in it.
    pub numbers: Numbers,
}

/// A part of a step, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// Before it: parameters and buffers.
    State,
    /// From the inputs to the loss.
    Forward,
    /// From the loss to the gradients of the parameters.
    Backward,
    /// What the optimizer makes of the gradients: see [`Dump::redo`](super::Dump::redo).
    Update,
}

/// What the elements of a tensor are like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// How many there are.
    pub elements: usize,
    /// How many of them are NaN.
    pub nan: usize,
    /// How many are infinite.
    pub infinite: usize,
    /// The smallest and the greatest of those that are finite, if there are any.
    pub range: Option<(f64, f64)>,
}

/// Computes the forward and the backward pass of a step and looks at every value on the way. `forward`
/// records the loss, a scalar.
///
/// Nothing is changed by it: buffers and gradients are put back afterwards. Random numbers are drawn
/// as in any forward pass: [`set_rng_state`](gradus_tensor::set_rng_state) repeats those of a step.
///
/// ```
/// use gradus_nn::{Layer, Linear, Sequential};
/// use gradus_tensor::{DType, Tensor};
/// use gradus_train::trainer::probe;
///
/// let model = Sequential::new().add(Linear::new(2, 3)).add(Linear::new(3, 1));
/// let x = Tensor::full([4, 2], 1e38, DType::F32);
/// let probe = probe(&model, || model.forward(&x).square().mean())?;
/// let first = probe.first_not_finite().expect("1e38 is too large to be squared");
/// assert_eq!(first.what, "the loss");
/// println!("{probe}");
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
///
/// # Errors
/// If the passes cannot be evaluated, as with a label that is no class.
pub fn probe(module: &dyn Module, forward: impl FnOnce() -> Tensor) -> Result<Probe> {
    // What a failed step has left is none of this search's business: each check fails once more.
    for _ in 0..LEFT_OVER {
        if evaluate().is_ok() {
            break;
        }
    }
    let (parameters, buffers) = (module.named_parameters(), module.named_buffers());
    let grads: Vec<Option<Tensor>> = parameters.iter().map(|(_, p)| p.grad()).collect();
    let kept: Vec<Tensor> = buffers.iter().map(|(_, buffer)| buffer.get()).collect();
    parameters.iter().for_each(|(_, parameter)| parameter.zero_grad());

    let mut values = Vec::new();
    let mut add = |pass, what: String, tensor: &Tensor| -> Result<()> {
        let numbers = Numbers::of(tensor)?;
        values.push(Probed { pass, what, numbers });
        Ok(())
    };
    let look = || {
        for (name, parameter) in &parameters {
            add(Pass::State, format!("the parameter `{name}`"), &parameter.value())?;
        }
        for ((name, _), buffer) in buffers.iter().zip(&kept) {
            add(Pass::State, format!("the buffer `{name}`"), buffer)?;
        }
        let (loss, outputs) = module_outputs(forward);
        let gradients = gradients(&loss, &outputs)?;
        evaluate()?;
        if let Some(ModuleOutput { path, input, .. }) = outputs.first() {
            add(Pass::Forward, format!("the input of {path}"), input)?;
        }
        for ModuleOutput { path, output, .. } in &outputs {
            add(Pass::Forward, format!("the output of {path}"), output)?;
        }
        add(Pass::Forward, "the loss".to_owned(), &loss)?;
        // Backward comes to the last layers first.
        for (ModuleOutput { path, .. }, gradient) in outputs.iter().zip(&gradients).rev() {
            if let Some(gradient) = gradient {
                add(Pass::Backward, format!("the gradient at the output of {path}"), gradient)?;
            }
        }
        for (name, parameter) in parameters.iter().rev() {
            if let Some(gradient) = parameter.grad() {
                add(Pass::Backward, format!("the gradient of the parameter `{name}`"), &gradient)?;
            }
        }
        Ok(())
    };
    let looked = look();
    for ((_, buffer), kept) in buffers.iter().zip(&kept) {
        buffer.set(kept);
    }
    for ((_, parameter), grad) in parameters.iter().zip(grads) {
        parameter.zero_grad();
        if let Some(grad) = grad.filter(|grad| grad.error().is_none()) {
            parameter.set_grad(grad);
        }
    }
    let settled = evaluate();
    looked.and(settled)?;
    Ok(Probe { values })
}

/// The gradients at the outputs of modules, where there are any, and those of the parameters on the
/// way. Records only.
fn gradients(loss: &Tensor, outputs: &[ModuleOutput]) -> Result<Vec<Option<Tensor>>> {
    if !loss.requires_grad() {
        return Ok(vec![None; outputs.len()]);
    }
    let at: Vec<&Tensor> = outputs.iter().map(|output| &output.output).collect();
    let gradients = grad(loss, &at, BackwardOptions::default().retain_graph())?;
    loss.backward();
    Ok(gradients)
}

impl Probe {
    /// The first value with an element that is not finite.
    pub fn first_not_finite(&self) -> Option<&Probed> {
        self.values.iter().find(|value| !value.numbers.all_finite())
    }
}

impl Numbers {
    /// Counts the elements of a tensor.
    ///
    /// # Errors
    /// If it cannot be evaluated.
    pub fn of(tensor: &Tensor) -> Result<Numbers> {
        let mut numbers = Numbers { elements: tensor.numel(), ..Numbers::default() };
        for x in no_grad(|| tensor.detach().cast(DType::F64)).to_vec::<f64>()? {
            if x.is_finite() {
                let (least, greatest) = numbers.range.unwrap_or((x, x));
                numbers.range = Some((least.min(x), greatest.max(x)));
            } else if x.is_nan() {
                numbers.nan += 1;
            } else {
                numbers.infinite += 1;
            }
        }
        Ok(numbers)
    }

    /// Whether every element is finite.
    pub fn all_finite(&self) -> bool {
        self.nan + self.infinite == 0
    }
}

/// `12 NaN and 3 infinite of 640 elements, the others from -1.2e38 to 3.1e38`.
impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: usize| thousands(n as u64);
        if !self.all_finite() {
            let parts = [(self.nan, "NaN"), (self.infinite, "infinite")];
            let parts: Vec<String> = parts
                .into_iter()
                .filter(|(n, _)| *n > 0)
                .map(|(n, what)| format!("{} {what}", count(n)))
                .collect();
            write!(f, "{} of ", parts.join(" and "))?;
        }
        write!(f, "{} elements", count(self.elements))?;
        match self.range {
            Some((least, greatest)) => {
                let others = if self.all_finite() { "" } else { ", the others" };
                write!(f, "{others} from {least:.3e} to {greatest:.3e}")
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Pass::State => "state",
            Pass::Forward => "forward",
            Pass::Backward => "backward",
            Pass::Update => "update",
        })
    }
}

/// `forward, the output of layer 3 › ReLU(): 640 NaN of 640 elements`.
impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.pass, self.what, self.numbers)
    }
}

/// A line for each value, in order.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["least", "greatest", "elements", "NaN", "infinite"];
        let [least, greatest, elements, nan, infinite] = head;
        write!(
            f,
            "{:8}  {least:>10}  {greatest:>10}  {elements:>10}  {nan:>8}  {infinite:>8}  value",
            "pass"
        )?;
        for Probed { pass, what, numbers } in &self.values {
            let bound = |pick: fn((f64, f64)) -> f64| {
                numbers.range.map_or("–".to_owned(), |range| format!("{:.3e}", pick(range)))
            };
            let count = |n: usize| thousands(n as u64);
            write!(
                f,
                "\n{pass:8}  {:>10}  {:>10}  {:>10}  {:>8}  {:>8}  {what}",
                bound(|r| r.0),
                bound(|r| r.1),
                count(numbers.elements),
                count(numbers.nan),
                count(numbers.infinite)
            )?;
        }
        Ok(())
    }
}
