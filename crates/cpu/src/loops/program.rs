//! A loop's steps as instructions over strips.
//!
//! Registers are strips: a few hundred elements that stay in the first-level cache. Most live in slots of the
//! thread's scratch memory, shared by registers that are not alive at the same time. A contiguous load has no
//! slot, its register points at the elements where they are; nor has a register that is stored as it is: its
//! op writes to where it is to go. What is the same for every element is computed once per task.

use gradus_ir::ops::Distribution;
use gradus_ir::scalar::{ScalarOp, Signature};
use gradus_ir::schedule::ValueId;
use gradus_ir::{DType, Scalar};

use super::chain::{First, Second};
use super::register::Class;
use super::trees::{Leaves, Tree};
use crate::layout::Layout;

/// A register of a program.
pub(super) type Reg = u16;

/// What one strip runs.
pub(super) struct Program {
    /// Instructions whose results are the same for every element: run once per task. Of those that only formulas
    /// read, one element is enough.
    pub prologue: Vec<(Instr, bool)>,
    /// Instructions run for each strip.
    pub body: Vec<Instr>,
    /// Registers that are memory: contiguous operands, and results that are stored as they are.
    pub direct: Vec<Direct>,
    /// Registers written to memory when the strip is complete.
    pub stores: Vec<Store>,
    /// Where each register's slot lies in the thread's scratch memory, if it has one.
    pub slots: Vec<Option<usize>>,
    /// Bytes of all slots.
    pub bytes: usize,
    /// The most elements of a strip.
    pub strip: usize,
    /// What an element costs, in bytes moved and their equivalents in arithmetic.
    pub cost: usize,
    /// How many elements one stride walks, in every load: strips that end there move the least.
    pub row: Option<usize>,
}

/// One register, filled.
pub(super) enum Instr {
    /// From memory.
    Load(Load),
    /// With a scalar of the plan.
    Const { out: Reg, dtype: DType, value: Scalar },
    /// With a scalar of the run.
    Slot { out: Reg, dtype: DType, slot: u32 },
    /// With the positions of a layout.
    Index { out: Reg, dtype: DType, layout: Layout },
    /// With random numbers.
    Random {
        out: Reg,
        dtype: DType,
        distribution: Distribution,
        seed: u32,
        stream: u32,
        first: Option<u32>,
    },
    /// `op(a)`.
    Unary { op: ScalarOp, dtype: DType, a: Reg, out: Reg },
    /// `op(a, b)`.
    Binary { op: ScalarOp, dtype: DType, a: Reg, b: Reg, out: Reg },
    /// Two ops of arithmetic, the second with the first's result and `c`.
    Chain { first: First, second: Second, a: Reg, b: Reg, c: Reg, out: Reg },
    /// A formula of optimizers.
    Tree { tree: Tree, leaves: Leaves, out: Reg },
    /// `a op b`, as a byte.
    Compare { op: ScalarOp, class: Class, a: Reg, b: Reg, out: Reg },
    /// `c ? a : b`.
    Select { class: Class, c: Reg, a: Reg, b: Reg, out: Reg },
    /// A function of two bits; of one if `a` and `b` are the same.
    Logic { table: Logic, a: Reg, b: Reg, out: Reg },
    /// `a` as another dtype.
    Cast { from: Class, to: DType, a: Reg, out: Reg },
}

/// A load of a register.
pub(super) struct Load {
    pub out: Reg,
    pub value: ValueId,
    pub dtype: DType,
    pub class: Class,
    pub layout: Layout,
    /// Whether the register may be the memory itself where that is contiguous.
    pub borrow: bool,
}

/// A register that is a piece of a buffer: element `i` of the loop is element `first + i` of the buffer.
pub(super) struct Direct {
    pub register: Reg,
    pub value: ValueId,
    pub first: usize,
    /// Bytes per element.
    pub size: usize,
}

/// A register to be written to a buffer.
pub(super) struct Store {
    pub register: Reg,
    pub value: ValueId,
    pub dtype: DType,
    pub class: Class,
}

/// A function of two bits as `k ⊕ a·ka ⊕ b·kb ⊕ a·b·kab`, which vectors compute without a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Logic {
    pub k: u8,
    pub ka: u8,
    pub kb: u8,
    pub kab: u8,
}

impl Logic {
    /// The function that an op is on `bool`.
    pub fn new(op: ScalarOp) -> Logic {
        let f = |a, b| u8::from(op.eval_bool(&[a, b][..op.arity()]));
        let [f00, f10, f01, f11] = [f(false, false), f(true, false), f(false, true), f(true, true)];
        // A function of one bit depends on `a` alone: of `b`, which is `a` again, nothing may remain.
        Logic { k: f00, ka: f00 ^ f10, kb: f00 ^ f01, kab: f00 ^ f10 ^ f01 ^ f11 }
    }
}

impl Load {
    /// Whether the register is always the memory itself.
    pub fn always_borrows(&self) -> bool {
        self.borrow && self.layout.stride() == Some(1)
    }
}

impl Instr {
    /// Calls `f` with every operand.
    pub fn for_each_arg(&self, mut f: impl FnMut(Reg)) {
        match *self {
            Instr::Load(_)
            | Instr::Const { .. }
            | Instr::Slot { .. }
            | Instr::Index { .. }
            | Instr::Random { .. } => {}
            Instr::Unary { a, .. } | Instr::Cast { a, .. } => f(a),
            Instr::Binary { a, b, .. }
            | Instr::Compare { a, b, .. }
            | Instr::Logic { a, b, .. } => {
                [a, b].into_iter().for_each(f);
            }
            Instr::Tree { leaves, .. } => {
                leaves.v.into_iter().chain(leaves.s).flatten().for_each(f);
            }
            Instr::Select { c, a, b, .. } | Instr::Chain { a, b, c, .. } => {
                [c, a, b].into_iter().for_each(f)
            }
        }
    }

    /// Whether the register needs memory of its own: all but those that always borrow.
    pub fn needs_slot(&self) -> bool {
        !matches!(self, Instr::Load(load) if load.always_borrows())
    }

    /// In bytes moved, or their equivalent: arithmetic on an element takes about as long as moving a byte, a
    /// transcendental function as long as moving twenty.
    pub fn cost(&self) -> usize {
        match self {
            Instr::Tree { tree, .. } => tree.cost(),
            Instr::Load(load) => load.dtype.size() + usize::from(load.layout.stride() != Some(1)),
            Instr::Random { distribution: Distribution::Uniform, .. } => 16,
            Instr::Random { .. } => 200,
            Instr::Unary { op, dtype, .. } | Instr::Binary { op, dtype, .. } => {
                let float = op.signature() == Signature::Float;
                match (op, dtype) {
                    (ScalarOp::Div | ScalarOp::Sqrt, _) => 5,
                    (ScalarOp::ReluGrad, _) => 1,
                    (_, DType::F64) if float => 100,
                    _ if float => 20,
                    (_, DType::F16 | DType::BF16) => 6,
                    _ => 1,
                }
            }
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logic_is_what_the_table_says() {
        for &op in ScalarOp::ALL {
            if op.signature() == Signature::Float || op == ScalarOp::Where {
                continue;
            }
            let Logic { k, ka, kb, kab } = Logic::new(op);
            for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let b = if op.arity() == 1 { a } else { b };
                let y = k ^ (a & ka) ^ (b & kb) ^ (a & b & kab);
                let expected = op.eval_bool(&[a != 0, b != 0][..op.arity()]);
                assert_eq!(y, u8::from(expected), "{op:?} {a} {b}");
            }
        }
    }
}
