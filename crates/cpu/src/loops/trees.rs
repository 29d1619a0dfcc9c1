//! The formulas that optimizers consist of, each in one go: running averages, and the steps along them.
//!
//! A formula is written once, over an [`Algebra`]: of numbers, to compute it, and of [`Pattern`]s, to find it among
//! the instructions of a loop. What is the same for every element is a single number in it, so that nothing but the
//! elements themselves moves. Nothing is contracted: the bits are those of the ops, one after the other.

use std::cell::RefCell;

use gradus_ir::DType;
use gradus_ir::scalar::ScalarOp;

use super::program::{Instr, Reg};
use crate::tier::Vectorized;

/// What formulas are made of.
trait Algebra {
    type Term: Copy;
    fn op(&self, op: ScalarOp, a: Self::Term, b: Self::Term) -> Self::Term;

    fn add(&self, a: Self::Term, b: Self::Term) -> Self::Term {
        self.op(ScalarOp::Add, a, b)
    }
    fn sub(&self, a: Self::Term, b: Self::Term) -> Self::Term {
        self.op(ScalarOp::Sub, a, b)
    }
    fn mul(&self, a: Self::Term, b: Self::Term) -> Self::Term {
        self.op(ScalarOp::Mul, a, b)
    }
    fn div(&self, a: Self::Term, b: Self::Term) -> Self::Term {
        self.op(ScalarOp::Div, a, b)
    }
    fn sqrt(&self, a: Self::Term) -> Self::Term {
        self.op(ScalarOp::Sqrt, a, a)
    }
}

/// The most operands of a formula that differ from element to element, and that do not.
const OPERANDS: (usize, usize) = (3, 4);

macro_rules! trees {
    ($($(#[$doc:meta])* $name:ident = |$x:ident, [$($v:ident),*], [$($s:ident),*]| $formula:expr;)*) => {
        /// A formula.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Tree { $($(#[$doc])* $name,)* }

        impl Tree {
            /// The larger before their parts.
            const ALL: &[Tree] = &[$(Tree::$name),*];

            /// What an element costs, in bytes moved or their equivalents.
            pub fn cost(self) -> usize {
                match self {
                    Tree::Adam | Tree::AdamW => 12,
                    _ => 3,
                }
            }

            /// The formula, each op behind its operands.
            fn patterns(self) -> Vec<Pattern> {
                let patterns = Patterns::default();
                match self {
                    $(Tree::$name => {
                        let ($x, mut next) = (&patterns, 0..);
                        $(let $v = $x.push(Pattern::Element(next.next().unwrap_or(0)));)*
                        next = 0..;
                        $(let $s = $x.push(Pattern::Number(next.next().unwrap_or(0)));)*
                        $formula;
                    })*
                }
                patterns.0.into_inner()
            }
        }

        impl Vectorized for Planted<'_> {
            #[inline(always)]
            fn run(self) {
                match self.tree {
                    $(Tree::$name => {
                        let Planted { v, s, out, .. } = self;
                        let ([$($v,)* ..], [$($s,)* ..], $x) = (v, s, Numbers);
                        let n = out.len();
                        $(let $v = &$v[..n];)*
                        for i in 0..n {
                            $(let $v = $v[i];)*
                            out[i] = $formula;
                        }
                    })*
                }
            }
        }
    };
}
trees! {
    /// Adam's step with decoupled weight decay: `w·s₀ − (m / (√v·s₁ + s₂))·s₃`.
    AdamW = |x, [w, m, v], [s0, s1, s2, s3]| x.sub(
        x.mul(w, s0),
        x.mul(x.div(m, x.add(x.mul(x.sqrt(v), s1), s2)), s3),
    );
    /// Adam's step: `w − (m / (√v·s₀ + s₁))·s₂`.
    Adam = |x, [w, m, v], [s0, s1, s2]| x.sub(
        w,
        x.mul(x.div(m, x.add(x.mul(x.sqrt(v), s0), s1)), s2),
    );
    /// A running average of squares: `v·s₀ + (g·g)·s₁`.
    Squares = |x, [v, g], [s0, s1]| x.add(x.mul(v, s0), x.mul(x.mul(g, g), s1));
    /// A running average: `m·s₀ + g·s₁`.
    Average = |x, [m, g], [s0, s1]| x.add(x.mul(m, s0), x.mul(g, s1));
    /// Momentum, or weight decay: `m·s₀ + g`.
    Momentum = |x, [m, g], [s0]| x.add(x.mul(m, s0), g);
    /// A step downhill: `w − m·s₀`.
    Descent = |x, [w, m], [s0]| x.sub(w, x.mul(m, s0));
}

/// Computes.
struct Numbers;

impl Algebra for Numbers {
    type Term = f32;

    #[inline(always)]
    fn op(&self, op: ScalarOp, a: f32, b: f32) -> f32 {
        match op {
            ScalarOp::Add => a + b,
            ScalarOp::Sub => a - b,
            ScalarOp::Mul => a * b,
            ScalarOp::Div => a / b,
            _ => a.sqrt(),
        }
    }
}

/// Writes formulas down.
#[derive(Default)]
struct Patterns(RefCell<Vec<Pattern>>);

/// A part of a formula; operands are positions in the list.
#[derive(Clone, Copy)]
enum Pattern {
    /// An operand that differs from element to element.
    Element(usize),
    /// One that does not.
    Number(usize),
    Op(ScalarOp, usize, usize),
}

impl Patterns {
    fn push(&self, pattern: Pattern) -> usize {
        let mut patterns = self.0.borrow_mut();
        patterns.push(pattern);
        patterns.len() - 1
    }
}

impl Algebra for &Patterns {
    type Term = usize;

    fn op(&self, op: ScalarOp, a: usize, b: usize) -> usize {
        self.push(Pattern::Op(op, a, b))
    }
}

/// A formula at work on a strip.
pub(super) struct Planted<'a> {
    pub tree: Tree,
    /// As many as the formula has; the rest is not looked at.
    pub v: [&'a [f32]; OPERANDS.0],
    pub s: [f32; OPERANDS.1],
    pub out: &'a mut [f32],
}

/// The operands of a formula: as many as it has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Leaves {
    pub v: [Option<Reg>; OPERANDS.0],
    pub s: [Option<Reg>; OPERANDS.1],
}

/// What is known of the registers of a loop.
pub(super) trait Registers {
    /// Whether it is the same for every element.
    fn is_uniform(&self, register: Reg) -> bool;
    /// Whether it is needed for itself.
    fn stays(&self, register: Reg) -> bool;
}

/// Replaces the instructions that make up a formula by one.
pub(super) fn plant(
    instructions: Vec<(Reg, Instr)>,
    registers: &impl Registers,
) -> Vec<(Reg, Instr)> {
    let count = instructions.iter().map(|&(r, _)| r as usize + 1).max().unwrap_or(0);
    let (mut uses, mut made_by) = (vec![0; count], vec![None; count]);
    for (at, (register, instr)) in instructions.iter().enumerate() {
        instr.for_each_arg(|a| uses[a as usize] += 1);
        made_by[*register as usize] = Some(at);
    }
    let garden = Garden { registers, uses, made_by, instructions: &instructions };
    let mut planted: Vec<Option<Instr>> = instructions.iter().map(|_| None).collect();
    let mut gone = vec![false; instructions.len()];
    // From the last on, so that a formula is found before its parts.
    for at in (0..instructions.len()).rev() {
        let root = instructions[at].0;
        if gone[at] || registers.is_uniform(root) {
            continue;
        }
        let found = Tree::ALL.iter().find_map(|&tree| Some((tree, garden.find(tree, root)?)));
        if let Some((tree, (leaves, inner))) = found {
            inner.iter().for_each(|&at| gone[at] = true);
            planted[at] = Some(Instr::Tree { tree, leaves, out: root });
        }
    }
    let kept = instructions.into_iter().zip(planted).zip(gone).filter(|(_, gone)| !gone);
    kept.map(|(((register, old), new), _)| (register, new.unwrap_or(old))).collect()
}

/// A loop's instructions, by what they make.
struct Garden<'a, R> {
    registers: &'a R,
    uses: Vec<usize>,
    made_by: Vec<Option<usize>>,
    instructions: &'a [(Reg, Instr)],
}

impl<R: Registers> Garden<'_, R> {
    /// The operands of a formula whose result is `root`, and the instructions that it consists of besides the last.
    fn find(&self, tree: Tree, root: Reg) -> Option<(Leaves, Vec<usize>)> {
        let mut found = (Leaves::default(), Vec::new());
        let patterns = tree.patterns();
        self.matches(&patterns, patterns.len() - 1, root, &mut found).then_some(found)
    }

    /// Whether a register is what a part of a formula says.
    fn matches(
        &self,
        patterns: &[Pattern],
        part: usize,
        register: Reg,
        found: &mut (Leaves, Vec<usize>),
    ) -> bool {
        let leaf = |slot: &mut Option<Reg>| *slot.get_or_insert(register) == register;
        let is_root = part + 1 == patterns.len();
        match patterns[part] {
            Pattern::Element(i) => !self.registers.is_uniform(register) && leaf(&mut found.0.v[i]),
            Pattern::Number(i) => self.registers.is_uniform(register) && leaf(&mut found.0.s[i]),
            Pattern::Op(op, first, second) => {
                let Some(at) = self.made_by[register as usize] else { return false };
                let inner = is_root
                    || (self.uses[register as usize] == 1 && !self.registers.stays(register));
                let (made, a, b) = match self.instructions[at].1 {
                    Instr::Binary { op, dtype: DType::F32, a, b, .. } => (op, a, b),
                    Instr::Unary { op: ScalarOp::Sqrt, dtype: DType::F32, a, .. } => {
                        (ScalarOp::Sqrt, a, a)
                    }
                    _ => return false,
                };
                if !inner || made != op {
                    return false;
                }
                if !is_root {
                    found.1.push(at);
                }
                let before = found.clone();
                let both = |x, y, found: &mut _| {
                    self.matches(patterns, first, x, found)
                        && self.matches(patterns, second, y, found)
                };
                if both(a, b, found) {
                    return true;
                }
                *found = before;
                matches!(op, ScalarOp::Add | ScalarOp::Mul) && both(b, a, found)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Registers for Plain {
        /// The first ten registers are numbers.
        fn is_uniform(&self, register: Reg) -> bool {
            register < 10
        }
        fn stays(&self, register: Reg) -> bool {
            [30, 33, 39].contains(&register)
        }
    }

    fn binary(op: ScalarOp, a: Reg, b: Reg, out: Reg) -> (Reg, Instr) {
        (out, Instr::Binary { op, dtype: DType::F32, a, b, out })
    }

    /// Adam's update of `w` (20) with gradient 23 and averages 21 and 22.
    fn adam() -> Vec<(Reg, Instr)> {
        use ScalarOp::{Add, Div, Mul, Sub};
        vec![
            binary(Mul, 21, 0, 28),
            binary(Mul, 23, 1, 29),
            binary(Add, 28, 29, 30),
            binary(Mul, 23, 23, 31),
            binary(Mul, 31, 2, 32),
            binary(Mul, 22, 3, 27),
            binary(Add, 27, 32, 33),
            (34, Instr::Unary { op: ScalarOp::Sqrt, dtype: DType::F32, a: 33, out: 34 }),
            binary(Mul, 4, 34, 35),
            binary(Add, 35, 5, 36),
            binary(Div, 30, 36, 37),
            binary(Mul, 37, 6, 38),
            binary(Sub, 20, 38, 39),
        ]
    }

    fn trees(instructions: Vec<(Reg, Instr)>) -> Vec<Option<Tree>> {
        let tree = |(_, instr): &(Reg, Instr)| match instr {
            Instr::Tree { tree, .. } => Some(*tree),
            _ => None,
        };
        plant(instructions, &Plain).iter().map(tree).collect()
    }

    #[test]
    fn adam_is_three_formulas() {
        let found = trees(adam());
        assert_eq!(found, [Some(Tree::Average), Some(Tree::Squares), Some(Tree::Adam)]);
    }

    #[test]
    fn what_somebody_else_needs_is_computed_for_itself() {
        let mut update = adam();
        // The root of the squares is read twice: the step is no longer one formula.
        update.push(binary(ScalarOp::Add, 34, 34, 40));
        let found = trees(update);
        assert!(!found.contains(&Some(Tree::Adam)), "{found:?}");
        assert_eq!(found.iter().flatten().count(), 3, "{found:?}");
    }

    #[test]
    fn formulas_have_the_bits_of_their_ops() {
        let x: Vec<f32> = (0..300).map(|i| (i as f32 * 0.37).sin().abs() + 0.01).collect();
        let v = [&x[..90], &x[100..190], &x[200..290]];
        let s = [0.9f32, 0.35, 1e-3, 0.77];
        for &tree in Tree::ALL {
            let mut out = vec![0.0; 90];
            Planted { tree, v, s, out: &mut out }.run();
            for (i, &out) in out.iter().enumerate() {
                let [w, m, q] = v.map(|v| v[i]);
                let step = |a: f32, root: f32, b: f32, c: f32, d: f32| a - m / (root * b + c) * d;
                let expected = match tree {
                    Tree::AdamW => step(w * s[0], q.sqrt(), s[1], s[2], s[3]),
                    Tree::Adam => step(w, q.sqrt(), s[0], s[1], s[2]),
                    Tree::Squares => w * s[0] + m * m * s[1],
                    Tree::Average => w * s[0] + m * s[1],
                    Tree::Momentum => w * s[0] + m,
                    Tree::Descent => w - m * s[0],
                };
                assert_eq!(out.to_bits(), expected.to_bits(), "{tree:?}");
            }
        }
    }
}
