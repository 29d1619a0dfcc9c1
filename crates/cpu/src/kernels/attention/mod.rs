//! Scaled dot-product attention of f32, head by head, and its gradient.
//!
//! A few queries at a time, their scores against all keys that they see stay in the first- or second-level cache, become
//! weights there and are used up: no more of the scores is ever in memory. A softmax over whole rows needs no second
//! look at what was computed before, unlike one that proceeds key by key. The gradient computes the weights anew, which
//! takes one product of five.
//!
//! A task is a head, or for long sequences some of its queries; the gradients of keys and values are sums over queries,
//! in their order.

mod head;
mod softmax;

use gradus_ir::ops;
use gradus_ir::schedule::{ValueId, View};
use pulp::{Simd, WithSimd};

use self::head::{Head, QUERIES};
use super::Kernel;
use super::matmul::starts;
use crate::gemm::Matrix;
use crate::memory::{Memory, with_strips};
use crate::tier::with_simd;

/// Queries per task, if a head has more: then its keys are laid out anew for each task.
const QUERIES_PER_TASK: usize = 8 * QUERIES;

/// The operands of attention.
struct Operands {
    q: Operand,
    k: Operand,
    v: Operand,
    mask: Option<Operand>,
    /// Queries, keys, features of both, and of values.
    sizes: [usize; 4],
    causal: bool,
    scale: f32,
    heads: usize,
}

/// A matrix per head.
struct Operand {
    view: View,
    starts: Vec<usize>,
}

impl Operand {
    fn new(view: &View) -> Operand {
        let heads = view.shape[..view.shape.rank() - 2].iter().product();
        Operand { view: view.clone(), starts: starts(view, heads) }
    }

    fn matrix(&self, head: usize, memory: &Memory<'_>) -> Matrix<f32> {
        let rank = self.view.shape.rank();
        let at = memory.view::<f32>(&self.view).wrapping_add(self.starts[head]);
        // A stride is below 0 only where a tensor was flipped, and the plan copies such operands.
        let stride = |axis: usize| self.view.strides[axis] as usize;
        Matrix { at, row: stride(rank - 2), col: stride(rank - 1) }
    }
}

impl Operands {
    fn new(op: &ops::Attention, x: &[View]) -> Operands {
        let (q, k, v) = (&x[0], &x[1], &x[2]);
        let batch = q.shape.rank() - 2;
        let sizes = [q.shape[batch], k.shape[batch], q.shape[batch + 1], v.shape[batch + 1]];
        Operands {
            q: Operand::new(q),
            k: Operand::new(k),
            v: Operand::new(v),
            mask: x.get(3).map(Operand::new),
            sizes,
            causal: op.causal,
            scale: op.scale.to_f64() as f32,
            heads: q.shape[..batch].iter().product(),
        }
    }

    /// In multiplications, of which a core does about four while it moves a byte.
    fn cost(&self) -> usize {
        let [l, s, e, f] = self.sizes;
        self.heads * l * s * (e + f + 16) / 4
    }

    fn head(&self, head: usize, memory: &Memory<'_>) -> Head {
        Head {
            sizes: self.sizes,
            causal: self.causal,
            scale: self.scale,
            q: self.q.matrix(head, memory),
            k: self.k.matrix(head, memory),
            v: self.v.matrix(head, memory),
            mask: self.mask.as_ref().map(|mask| mask.matrix(head, memory)),
        }
    }
}

/// Attention.
pub(super) struct Attention {
    x: Operands,
    out: ValueId,
}

impl Attention {
    pub fn new(op: &ops::Attention, x: &[View], out: ValueId) -> Attention {
        Attention { x: Operands::new(op, x), out }
    }

    fn pieces(&self) -> usize {
        self.x.sizes[0].div_ceil(QUERIES_PER_TASK)
    }
}

impl Kernel for Attention {
    fn tasks(&self) -> usize {
        self.x.heads * self.pieces()
    }

    fn cost(&self) -> usize {
        self.x.cost()
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let (head, piece) = (task / self.pieces(), task % self.pieces());
        let [l, _, _, f] = self.x.sizes;
        let first = piece * QUERIES_PER_TASK;
        let end = (first + QUERIES_PER_TASK).min(l);
        let out = memory.at::<f32>(self.out).wrapping_add((head * l + first) * f);
        let head = self.x.head(head, memory);
        with_strips(Head::scratch(self.x.sizes)[0] * size_of::<f32>(), |scratch| {
            let scratch = scratch.cast();
            with_simd(Forward { head, queries: [first, end], out, scratch });
        });
    }
}

struct Forward {
    head: Head,
    queries: [usize; 2],
    out: *mut f32,
    scratch: *mut f32,
}

impl WithSimd for Forward {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: the operands are values of the plan, the results are this task's, and there is scratch memory for them.
        unsafe { self.head.forward(simd, self.queries, self.out, self.scratch) };
    }
}

/// The gradients of attention with respect to queries, keys and values.
pub(super) struct AttentionGrad {
    x: Operands,
    dy: Operand,
    out: ValueId,
}

impl AttentionGrad {
    pub fn new(op: &ops::Attention, x: &[View], out: ValueId) -> AttentionGrad {
        let (dy, x) = x.split_last().expect("attention has operands");
        AttentionGrad { x: Operands::new(op, x), dy: Operand::new(dy), out }
    }
}

impl Kernel for AttentionGrad {
    fn tasks(&self) -> usize {
        self.x.heads
    }

    fn cost(&self) -> usize {
        self.x.cost() * 5 / 2
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let [l, s, e, f] = self.x.sizes;
        let out = memory.at::<f32>(self.out).wrapping_add(task * (l * e + s * (e + f)));
        let (head, dy) = (self.x.head(task, memory), self.dy.matrix(task, memory));
        with_strips(Head::scratch(self.x.sizes)[1] * size_of::<f32>(), |scratch| {
            with_simd(Backward { head, dy, out, scratch: scratch.cast() });
        });
    }
}

struct Backward {
    head: Head,
    dy: Matrix<f32>,
    out: *mut f32,
    scratch: *mut f32,
}

impl WithSimd for Backward {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: as for `Forward`.
        unsafe { self.head.backward(simd, self.dy, self.out, self.scratch) };
    }
}
