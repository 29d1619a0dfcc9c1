//! The tensor: a cheap handle to a recorded value.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use gradus_ir::ops::{Op, Reshape};
use gradus_ir::{Array, DType, Element, Shape, Type};
use smallvec::smallvec;

use crate::device::{Device, Storage};
use crate::engine;
use crate::error::{self, Error, ErrorKind, Result};
use crate::node::{NewNode, Node, Operand, State};
use crate::record::{self, no_grad, record};
use crate::{GradCell, PlanCost, display, watch};

/// A multi-dimensional array whose value may not have been computed yet.
///
/// Operations record what to compute and return at once; the value is computed when something asks for it
/// ([`item`](Tensor::item), [`to_vec`](Tensor::to_vec), printing, an optimizer's step), together with everything
/// else that is pending, as one compiled plan. A tensor is a handle: cloning it copies no elements, and it may be
/// sent to other threads.
///
/// Operations do not return `Result`. One that cannot be done, because shapes do not fit, say, returns a *failed*
/// tensor that carries the error through whatever is made of it; the evaluation returns it.
///
/// ```
/// use gradus_tensor::Tensor;
/// let a = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 2]);
/// let b = (&a * 2.0).matmul(&a) + 1.0;
/// assert_eq!(b.to_vec::<f32>()?, [15.0, 21.0, 31.0, 45.0]);
///
/// let wrong = a.matmul(&Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3, 1]));
/// assert!(wrong.item::<f32>().unwrap_err().to_string().contains("2 columns, the right 3 rows"));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[must_use = "a tensor that nobody looks at is never computed"]
pub struct Tensor {
    node: Arc<Node>,
}

impl Tensor {
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// A handle to a node; a pending one becomes a root of the thread's next evaluation.
    pub(crate) fn from_node(node: Arc<Node>) -> Tensor {
        if !node.is_ready() && node.failed.is_none() {
            record::watch(&node);
        }
        Tensor::handle(node)
    }

    pub(crate) fn handle(node: Arc<Node>) -> Tensor {
        node.add_handle();
        Tensor { node }
    }

    /// A tensor with elements.
    pub(crate) fn leaf(
        storage: Storage,
        ty: Type,
        device: Device,
        grad: Option<Arc<GradCell>>,
        location: &'static Location<'static>,
    ) -> Tensor {
        let state = State::Ready { storage, history: None };
        let requires_grad = grad.is_some();
        Tensor::handle(Node::new(NewNode { ty, device, requires_grad, location, grad, state }))
    }

    /// A leaf of zeros, made without recording.
    #[track_caller]
    pub(crate) fn zeroed(ty: &Type, device: Device) -> Tensor {
        Tensor::leaf(Storage::zeroed(ty, device), ty.clone(), device, None, Location::caller())
    }

    pub(crate) fn failed(error: Error, location: &'static Location<'static>) -> Tensor {
        Tensor::handle(Node::failed(error, location))
    }

    /// A tensor that carries an error of the caller's making; the error also waits for the thread's next
    /// evaluation.
    #[track_caller]
    pub fn from_error(error: Error) -> Tensor {
        error::leave(&error);
        Tensor::failed(error, Location::caller())
    }

    pub(crate) fn operand(&self) -> Operand {
        Operand::Node(self.node.clone())
    }

    /// The shape.
    ///
    /// # Panics
    /// With the error, if the tensor is a failed one; [`try_shape`](Tensor::try_shape) does not.
    #[track_caller]
    pub fn shape(&self) -> &Shape {
        match self.try_shape() {
            Ok(shape) => shape,
            Err(error) => panic!("the shape of a failed tensor: {error}"),
        }
    }

    /// The shape, or the error of a failed tensor.
    pub fn try_shape(&self) -> Result<&Shape> {
        match &self.node.failed {
            Some(error) => Err(error.clone()),
            None => Ok(&self.node.ty.shape),
        }
    }

    /// The number of axes.
    #[track_caller]
    pub fn rank(&self) -> usize {
        self.shape().rank()
    }

    /// The number of elements.
    #[track_caller]
    pub fn numel(&self) -> usize {
        self.shape().numel()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.node.ty.dtype
    }

    /// The device.
    pub fn device(&self) -> Device {
        self.node.device
    }

    /// Whether a gradient can be computed with respect to it, or through it to others.
    pub fn requires_grad(&self) -> bool {
        self.node.requires_grad
    }

    /// The error of a failed tensor.
    pub fn error(&self) -> Option<Error> {
        self.node.error()
    }

    /// Whether it has been computed. Asking computes nothing.
    pub fn is_evaluated(&self) -> bool {
        self.node.is_ready()
    }

    /// Names the module that made a failed tensor: prepends `module` to the path that the error shows, unless
    /// the operand had failed already. Layers call this on what they return.
    pub fn within(self, operand: &Tensor, module: &dyn fmt::Display) -> Tensor {
        let Some(error) = self.node.failed.as_ref().filter(|_| operand.node.failed.is_none())
        else {
            watch::look(&self, operand, module);
            return self;
        };
        let named = error.within(module);
        error::replace(error, Some(&named));
        Tensor::failed(named, self.node.location)
    }

    /// Computes the value, and with it everything else that is pending on this thread.
    #[track_caller]
    pub fn eval(&self) -> Result<()> {
        self.ready(Location::caller()).map(drop)
    }

    fn ready(&self, location: &'static Location<'static>) -> Result<Storage> {
        if let Some(error) = &self.node.failed {
            error::replace(error, None);
            return Err(error.clone());
        }
        if let Some(storage) = self.node.storage() {
            return Ok(storage);
        }
        engine::evaluate_pending(&[&self.node], location)?;
        match self.node.storage() {
            Some(storage) => Ok(storage),
            None => Err(self.node.error().unwrap_or_else(|| {
                Error::new(
                    ErrorKind::Value,
                    "the buffer of this tensor was overwritten by an update",
                )
            })),
        }
    }

    /// The elements, row-major, cast where `T` is not the tensor's dtype.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        Ok(self.ready(Location::caller())?.to_vec(&self.node.ty))
    }

    /// Shows `f` the bytes of the elements as memory holds them, row-major and in the byte order of the machine.
    /// On the processor nothing is copied.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], [2]);
    /// assert_eq!(x.with_bytes(<[u8]>::len)?, 8);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the tensor cannot be evaluated.
    #[track_caller]
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R> {
        Ok(self.ready(Location::caller())?.with_bytes(&self.node.ty, f))
    }

    /// The one element of a tensor of one element.
    #[track_caller]
    pub fn item<T: Element>(&self) -> Result<T> {
        let location = Location::caller();
        let storage = self.ready(location)?;
        match storage.to_vec(&self.node.ty)[..] {
            [x] => Ok(x),
            _ => Err(Error::located(
                ErrorKind::Shape,
                format!(
                    "item: a tensor of shape {} has {} elements; use `to_vec`, or index or reduce it first",
                    self.node.ty.shape,
                    self.node.ty.shape.numel()
                ),
                location,
            )),
        }
    }

    /// The elements as the reference interpreter holds them.
    #[track_caller]
    pub fn to_array(&self) -> Result<Array> {
        Ok(self.ready(Location::caller())?.to_array(&self.node.ty))
    }

    /// The compiled plan that evaluating this tensor would run now: kernels, fused loops, FLOPs, bytes and arena
    /// size. Computes nothing.
    pub fn explain(&self) -> Result<String> {
        if let Some(error) = &self.node.failed {
            return Err(error.clone());
        }
        engine::explain_pending(&self.node)
    }

    /// What the plan that evaluating this tensor would run now costs; nothing if it is evaluated, and on the
    /// reference device, which has no plans. Computes nothing.
    ///
    /// ```
    /// use gradus_tensor::Tensor;
    /// let x = Tensor::from_slice(&[1.0f32; 6], [2, 3]);
    /// assert_eq!(x.matmul(&x.t()).cost()?.flops, 2 * 2 * 3 * 2);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    pub fn cost(&self) -> Result<PlanCost> {
        if let Some(error) = &self.node.failed {
            return Err(error.clone());
        }
        Ok(engine::cost_pending(&self.node))
    }

    /// The same elements on a device; the tensor itself if it is there.
    ///
    /// # Errors
    /// A tensor that requires grad cannot move, as its gradient would stop there: move the leaf before using it,
    /// or `detach` first.
    #[track_caller]
    pub fn to(&self, device: Device) -> Tensor {
        let location = Location::caller();
        if device == self.device() || self.node.failed.is_some() {
            return self.clone();
        }
        if self.requires_grad() && record::is_grad_enabled() {
            let message = format!(
                "to({device}): this tensor requires grad and its gradient could not follow; \
                 move leaves before using them, or `detach()` first"
            );
            return record::fail(ErrorKind::Autograd, message, location);
        }
        match self.ready(location) {
            Ok(storage) => {
                let moved = Storage::from_array(device, &storage.to_array(&self.node.ty));
                Tensor::leaf(moved, self.node.ty.clone(), device, None, location)
            }
            Err(error) => Tensor::failed(error, location),
        }
    }

    /// The same value without history: no gradient flows through it.
    #[track_caller]
    pub fn detach(&self) -> Tensor {
        if !self.requires_grad() {
            return self.clone();
        }
        match self.node.storage() {
            Some(storage) => {
                let ty = self.node.ty.clone();
                Tensor::leaf(storage, ty, self.device(), None, Location::caller())
            }
            // Recorded without grad, a reshape to its own shape is the value and nothing else.
            None => no_grad(|| {
                let same = Op::Reshape(Reshape { shape: self.node.ty.shape.clone() });
                record(same, smallvec![self.operand()])
            }),
        }
    }

    /// A leaf with this tensor's elements that requires grad and collects it in [`grad`](Tensor::grad).
    /// Evaluates the tensor if need be.
    ///
    /// # Errors
    /// Only floats have gradients.
    #[track_caller]
    pub fn requires_grad_(self) -> Tensor {
        let location = Location::caller();
        if self.node.failed.is_some() {
            return self;
        }
        if !self.dtype().is_float() {
            let message =
                format!("requires_grad_: only floats have gradients, not {}", self.dtype());
            return record::fail(ErrorKind::Autograd, message, location);
        }
        match self.ready(location) {
            Ok(storage) => {
                let grad = Some(Arc::new(GradCell::default()));
                Tensor::leaf(storage, self.node.ty.clone(), self.device(), grad, location)
            }
            Err(error) => Tensor::failed(error, location),
        }
    }

    /// The gradient that backward passes have collected in this leaf.
    pub fn grad(&self) -> Option<Tensor> {
        self.node.grad.as_ref().and_then(|cell| cell.get())
    }

    /// Forgets the gradient.
    pub fn zero_grad(&self) {
        if let Some(cell) = &self.node.grad {
            cell.clear();
        }
    }
}

impl Clone for Tensor {
    fn clone(&self) -> Tensor {
        Tensor::handle(self.node.clone())
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        self.node.drop_handle();
    }
}

/// As PyTorch prints; computes the value. A failed tensor prints its error.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_array() {
            Ok(a) => {
                let grad = self.requires_grad();
                f.write_str(&display::format(a.shape(), self.dtype(), a.values(), grad))
            }
            Err(error) => write!(f, "failed tensor: {error}"),
        }
    }
}

/// Type, device and state; computes nothing.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.node.state() {
            State::Pending(h) => format!("pending {}", h.op.name()),
            State::Ready { .. } => "ready".to_owned(),
            State::Failed(error) => return write!(f, "Tensor(failed: {error})"),
            State::Donated => "overwritten".to_owned(),
        };
        write!(f, "Tensor({}, {}, {state})", self.node.ty, self.node.device)
    }
}
