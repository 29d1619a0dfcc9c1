//! What the modules of a forward pass put out, to find out which of them went wrong.
//!
//! Layers name themselves on what they return ([`Tensor::within`]). Under a watch, what they return is kept, which
//! takes as much memory as all activations: it is done only once something is known to be wrong. Nothing is computed
//! otherwise than without a watch.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use gradus_ir::DType;
use rustc_hash::FxHashSet;

use crate::node::{Node, Operand, State};
use crate::record::no_grad;
use crate::tensor::Tensor;

thread_local! {
    static WATCHING: Cell<bool> = const { Cell::new(false) };
    static SEEN: RefCell<Vec<ModuleOutput>> = const { RefCell::new(Vec::new()) };
}

/// What a module has made of its input.
#[derive(Clone, Debug)]
pub struct ModuleOutput {
    /// The module, after those that it is a part of: `layer 3 › Linear(…)`.
    pub path: String,
    /// What it was given; the first of several operands.
    pub input: Tensor,
    /// What it put out.
    pub output: Tensor,
}

/// Runs a forward pass, and returns with its result what each module has put out, in the order in which they were
/// run; the parts of a module come before the whole. Computes nothing.
///
/// ```
/// use gradus_tensor::{Tensor, module_outputs};
/// let x = Tensor::from_slice(&[0.0f32], [1]);
/// let (_, outputs) = module_outputs(|| x.log().within(&x, &"Log").within(&x, &"layer 0"));
/// assert_eq!(outputs[0].path, "layer 0 › Log");
/// assert!(outputs[0].input.is_all_finite() && !outputs[0].output.is_all_finite());
/// ```
pub fn module_outputs<R>(forward: impl FnOnce() -> R) -> (R, Vec<ModuleOutput>) {
    struct Stop;
    impl Drop for Stop {
        fn drop(&mut self) {
            WATCHING.set(false);
        }
    }
    SEEN.take();
    WATCHING.set(true);
    let _stop = Stop;
    let result = forward();
    (result, SEEN.take())
}

/// Notes what a module makes of an operand, if there is a watch.
pub(crate) fn look(output: &Tensor, operand: &Tensor, module: &dyn fmt::Display) {
    if !WATCHING.get() {
        return;
    }
    SEEN.with_borrow_mut(|seen| {
        let mut is_new = true;
        for part in seen.iter_mut() {
            let node = part.output.node();
            // Its parts lie between its operand and its output.
            if node.seq > operand.node().seq && leads_to(node, output.node()) {
                part.path = format!("{module} › {}", part.path);
                // What passes on the output of its part is another name for it.
                is_new &= node.seq != output.node().seq;
            }
        }
        if is_new {
            let (input, output) = (operand.clone(), output.clone());
            seen.push(ModuleOutput { path: module.to_string(), input, output });
        }
    });
}

/// Whether a node is another one, or among what that was made of.
fn leads_to(from: &Arc<Node>, to: &Arc<Node>) -> bool {
    let mut met = FxHashSet::default();
    let mut stack = vec![to.clone()];
    while let Some(node) = stack.pop() {
        if node.seq == from.seq {
            return true;
        }
        // What was recorded earlier leads nowhere near.
        if node.seq < from.seq || !met.insert(node.seq) {
            continue;
        }
        let state = node.state();
        if let State::Pending(history) | State::Ready { history: Some(history), .. } = &*state {
            stack.extend(history.operands.iter().filter_map(|operand| match operand {
                Operand::Node(n) => Some(n.clone()),
                _ => None,
            }));
        }
    }
    false
}

impl Tensor {
    /// Whether every element is finite; evaluates the tensor. Integers are, and so is what cannot be evaluated.
    pub fn is_all_finite(&self) -> bool {
        if self.error().is_some() || !self.dtype().is_float() {
            return true;
        }
        // Times 0, what is not finite becomes NaN, and a sum keeps it; finite numbers cannot overflow.
        let sum = no_grad(|| (self.detach() * 0.0).cast(DType::F64).sum());
        sum.item::<f64>().is_ok_and(f64::is_finite)
    }
}
