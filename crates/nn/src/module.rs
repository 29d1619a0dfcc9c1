//! Modules: what holds parameters, and the walk over them.
//!
//! A module does one thing, [`Module::visit`]: it shows its parts under their names. Everything
//! else follows from the walk: parameters, buffers, saving, loading, moving to a device, training
//! mode. Names are paths such as `fc1.weight`, and the order is that of the fields.

mod parts;
mod state_dict;

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use gradus_tensor::{DType, Device, Parameter, Result, Tensor, Variable};

pub use state_dict::StateDict;
pub(crate) use state_dict::assign;

/// Something that holds parameters.
///
/// Derive it. A struct's fields may be modules, parameters, buffers ([`Variable`]), lists, options,
/// boxes, arrays and tuples of them, and plain configuration such as numbers and strings, which
/// hold nothing:
///
/// ```
/// use gradus_nn::{Layer, Linear, Module, Parameter};
/// use gradus_tensor::{DType, Tensor};
///
/// #[derive(Module)]
/// #[module(crate = gradus_nn)] // not needed with the `gradus` crate
/// struct Mixer {
///     layers: Vec<Linear>,
///     gate: Option<Parameter>,
///     passes: usize,
///     #[module(skip)]
///     activation: fn(&Tensor) -> Tensor,
/// }
///
/// let mixer = Mixer {
///     layers: vec![Linear::new(4, 4), Linear::new(4, 4).bias(false)],
///     gate: Some(Parameter::new(Tensor::ones([4], DType::F32))),
///     passes: 2,
///     activation: Tensor::tanh,
/// };
/// let names: Vec<String> = mixer.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["layers.0.weight", "layers.0.bias", "layers.1.weight", "gate"]);
/// assert_eq!(mixer.num_parameters(), 16 + 4 + 16 + 4);
/// # let x = Tensor::ones([1, 4], DType::F32);
/// # let _ = (mixer.activation)(&mixer.layers[0].forward(&x));
/// # assert_eq!(mixer.passes, 2);
/// ```
///
/// A field that is no module does not compile unless it is skipped:
///
/// ```compile_fail,E0277
/// use gradus_nn::Module;
/// #[derive(Module)]
/// #[module(crate = gradus_nn)]
/// struct Net {
///     activation: std::cell::Cell<u8>,
/// }
/// ```
///
/// Nor does an option that does not exist, or a union:
///
/// ```compile_fail
/// use gradus_nn::{Linear, Module};
/// #[derive(Module)]
/// #[module(crate = gradus_nn)]
/// struct Net {
///     #[module(ignore)]
///     layer: Linear,
/// }
/// ```
///
/// ```compile_fail
/// use gradus_nn::Module;
/// #[derive(Module)]
/// #[module(crate = gradus_nn)]
/// union Number {
///     int: u32,
///     float: f32,
/// }
/// ```
///
/// Without the derive, write `visit`:
///
/// ```
/// use gradus_nn::{Linear, Module, Visitor};
/// struct Twin(Linear, Linear);
/// impl Module for Twin {
///     fn visit(&self, visitor: &mut Visitor<'_>) {
///         visitor.child("left", &self.0);
///         visitor.child("right", &self.1);
///     }
/// }
/// assert_eq!(Twin(Linear::new(1, 1), Linear::new(1, 1)).state_dict().names()[3], "right.bias");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a module",
    label = "not a module",
    note = "a type that holds parameters or layers: add `#[derive(Module)]` to it",
    note = "a tensor that is trained: make it a `Parameter`; one that is only saved: a `Variable`",
    note = "a field that holds neither: put `#[module(skip)]` on it"
)]
pub trait Module {
    /// Shows the visitor every part, in order.
    fn visit(&self, visitor: &mut Visitor<'_>);

    /// The parameters by name, each once, under the first of its names. Parameters that have no
    /// name yet remember theirs, for error messages.
    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        let mut found: Vec<(String, Parameter)> = Vec::new();
        each(self, &mut |name, part| {
            if let Part::Parameter(p) = part
                && !found.iter().any(|(_, seen)| seen.variable().is_same(p.variable()))
            {
                remember(p.variable(), name);
                found.push((name.to_owned(), p.clone()));
            }
        });
        found
    }

    /// The parameters, each once: what an optimizer is given.
    fn parameters(&self) -> Vec<Parameter> {
        self.named_parameters().into_iter().map(|(_, parameter)| parameter).collect()
    }

    /// The buffers by name, each once: tensors that are saved with the parameters but not trained.
    fn named_buffers(&self) -> Vec<(String, Variable)> {
        let mut found: Vec<(String, Variable)> = Vec::new();
        each(self, &mut |name, part| {
            if let Part::Buffer(buffer) = part
                && !found.iter().any(|(_, seen)| seen.is_same(buffer))
            {
                remember(buffer, name);
                found.push((name.to_owned(), buffer.clone()));
            }
        });
        found
    }

    /// The buffers, each once.
    fn buffers(&self) -> Vec<Variable> {
        self.named_buffers().into_iter().map(|(_, buffer)| buffer).collect()
    }

    /// The number of trained numbers.
    fn num_parameters(&self) -> usize {
        self.parameters().iter().map(|p| p.shape().numel()).sum()
    }

    /// The values of all parameters and buffers, under PyTorch's names. A parameter that is shared
    /// appears under each of its names. Later updates do not change what is returned.
    ///
    /// ```
    /// use gradus_nn::{Linear, Module};
    /// let state = Linear::new(3, 2).state_dict();
    /// assert_eq!(state.names(), ["weight", "bias"]);
    /// assert_eq!(state["weight"].shape().dims(), [2, 3]);
    /// ```
    fn state_dict(&self) -> StateDict {
        state_dict::of(self)
    }

    /// Replaces the values of all parameters and buffers. Floats take the width of the module, and
    /// values its device.
    ///
    /// # Errors
    /// If a name is missing or unexpected or a shape differs; the error lists all of them, and
    /// nothing changes.
    ///
    /// ```
    /// use gradus_nn::{Linear, Module};
    /// let (trained, fresh) = (Linear::new(3, 2), Linear::new(3, 2));
    /// fresh.load_state_dict(&trained.state_dict())?;
    ///
    /// let error = Linear::new(4, 2).load_state_dict(&trained.state_dict()).unwrap_err();
    /// let expected = "weight: [2, 3] float32 was saved, the module has [2, 4] float32";
    /// assert!(error.message().contains(expected));
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    fn load_state_dict(&self, state: &StateDict) -> Result<()> {
        state_dict::load(self, state)
    }

    /// Switches layers that behave differently in training, such as dropout, to training (`true`,
    /// how they start) or to evaluation (`false`).
    fn train(&self, training: bool) {
        each(self, &mut |_, part| {
            if let Part::Mode(mode) = part {
                mode.set_training(training);
            }
        });
    }

    /// As `train(false)`.
    fn eval(&self) {
        self.train(false);
    }

    /// Moves parameters, gradients and buffers to a device. Optimizers made before keep their state
    /// where it is: move first.
    ///
    /// # Errors
    /// If a pending value cannot be computed.
    fn to(&self, device: Device) -> Result<()> {
        let mut moved = Ok(());
        each(self, &mut |_, part| {
            if moved.is_ok() {
                moved = match part {
                    Part::Parameter(parameter) => {
                        if let Some(grad) = parameter.grad() {
                            parameter.set_grad(grad.detach().to(device));
                        }
                        parameter.variable().to(device)
                    }
                    Part::Buffer(buffer) => buffer.to(device),
                    Part::Mode(_) => Ok(()),
                };
            }
        });
        moved
    }

    /// Converts parameters, gradients and buffers that are floats to another float dtype: PyTorch's
    /// `double()` and `half()`. Optimizers made before keep their state as it is: convert first.
    ///
    /// # Errors
    /// If the dtype is no float, or a pending value cannot be computed.
    ///
    /// ```
    /// use gradus_nn::{BatchNorm1d, Module};
    /// use gradus_tensor::DType;
    /// let layer = BatchNorm1d::new(3);
    /// layer.to_dtype(DType::F64)?;
    /// assert_eq!(layer.state_dict()["running_mean"].dtype(), DType::F64);
    /// assert_eq!(layer.state_dict()["num_batches_tracked"].dtype(), DType::I64);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    fn to_dtype(&self, dtype: DType) -> Result<()> {
        let mut converted = Ok(());
        each(self, &mut |_, part| {
            if converted.is_ok() {
                converted = match part {
                    Part::Parameter(parameter) => {
                        if let Some(grad) = parameter.grad() {
                            parameter.set_grad(grad.detach().cast(dtype));
                        }
                        parameter.variable().cast(dtype)
                    }
                    Part::Buffer(buffer) if buffer.get().dtype().is_float() => buffer.cast(dtype),
                    Part::Buffer(_) | Part::Mode(_) => Ok(()),
                };
            }
        });
        converted
    }
}

/// A module that makes one tensor of another.
///
/// ```
/// use gradus_nn::{Layer, Linear, Module};
/// use gradus_tensor::{DType, Tensor};
///
/// #[derive(Module)]
/// #[module(crate = gradus_nn)] // not needed with the `gradus` crate
/// struct Residual(Linear);
///
/// impl Layer for Residual {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         x + self.0.forward(x)
///     }
/// }
///
/// let y = Residual(Linear::new(3, 3)).forward(&Tensor::ones([8, 3], DType::F32));
/// assert_eq!(y.shape().dims(), [8, 3]);
/// ```
pub trait Layer: Module {
    /// The output for an input. Records it, like any operation on tensors.
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor;

    /// How a [`Sequential`](crate::Sequential) prints it: layers of this crate as PyTorch does,
    /// others by the name of their type.
    fn describe(&self) -> String {
        let name = std::any::type_name::<Self>();
        let path = name.split('<').next().unwrap_or(name);
        path.rsplit("::").next().unwrap_or(path).to_owned()
    }
}

/// One thing that a walk over a module finds.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// A tensor that is trained.
    Parameter(&'a Parameter),
    /// A tensor that is saved and not trained.
    Buffer(&'a Variable),
    /// A layer's training mode.
    Mode(&'a Mode),
}

/// A walk over a module: knows the path to the part it has come to.
pub struct Visitor<'a> {
    path: String,
    found: &'a mut dyn FnMut(&str, Part<'_>),
}

impl<'a> Visitor<'a> {
    /// A walk that calls `found` with the name of each part.
    ///
    /// ```
    /// use gradus_nn::{Dropout, Linear, Module, Part, Visitor};
    /// let mut modes = 0;
    /// (Linear::new(2, 2), Dropout::new(0.5)).visit(&mut Visitor::new(&mut |_, part| {
    ///     modes += usize::from(matches!(part, Part::Mode(_)));
    /// }));
    /// assert_eq!(modes, 1);
    /// ```
    pub fn new(found: &'a mut dyn FnMut(&str, Part<'_>)) -> Visitor<'a> {
        Visitor { path: String::new(), found }
    }

    /// Shows a part of a module: its parts follow under `name`.
    pub fn child(&mut self, name: impl fmt::Display, module: &(impl Module + ?Sized)) {
        let parent = self.path.len();
        let dot = if parent == 0 { "" } else { "." };
        // Writing to a string does not fail.
        let _ = write!(self.path, "{dot}{name}");
        module.visit(self);
        self.path.truncate(parent);
    }

    /// Shows a part that has no parts of its own.
    pub fn part(&mut self, part: Part<'_>) {
        (self.found)(&self.path, part);
    }
}

/// Whether a layer is in training or in evaluation; starts in training.
///
/// ```
/// use gradus_nn::{Layer, Mode, Module};
/// use gradus_tensor::Tensor;
///
/// /// Adds noise, but only in training.
/// #[derive(Module)]
/// #[module(crate = gradus_nn)] // not needed with the `gradus` crate
/// struct Noise {
///     mode: Mode,
/// }
///
/// impl Layer for Noise {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         if self.mode.is_training() { x + x.rand_like() } else { x.clone() }
///     }
/// }
///
/// let noise = Noise { mode: Mode::default() };
/// noise.eval();
/// assert_eq!(noise.forward(&Tensor::scalar(1.0)).item::<f32>()?, 1.0);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Debug)]
pub struct Mode {
    training: AtomicBool,
}

impl Mode {
    /// Whether the layer is in training.
    pub fn is_training(&self) -> bool {
        self.training.load(Ordering::Relaxed)
    }

    /// Switches it.
    pub fn set_training(&self, training: bool) {
        self.training.store(training, Ordering::Relaxed);
    }
}

impl Default for Mode {
    fn default() -> Mode {
        Mode { training: AtomicBool::new(true) }
    }
}

impl Clone for Mode {
    fn clone(&self) -> Mode {
        Mode { training: AtomicBool::new(self.is_training()) }
    }
}

/// Calls `found` with every part of a module and its name.
fn each(module: &(impl Module + ?Sized), found: &mut dyn FnMut(&str, Part<'_>)) {
    module.visit(&mut Visitor::new(found));
}

/// Gives a variable its name, unless it knows itself by a longer one: asking a submodule for its
/// parameters does not make errors in the whole model less precise.
fn remember(variable: &Variable, name: &str) {
    if !variable.name().ends_with(name) {
        variable.set_name(name);
    }
}
