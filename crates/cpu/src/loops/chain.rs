//! Two additions, subtractions or multiplications of f32 in one go, so that what lies between them stays in a register
//! of the processor. Nothing is contracted: the bits are those of the two, one after the other.

use gradus_ir::DType;
use gradus_ir::scalar::ScalarOp;

use super::program::{Instr, Reg};
use crate::tier::Vectorized;

/// The first op of a chain.
#[derive(Clone, Copy)]
pub(super) enum First {
    /// a + b.
    Add,
    /// a − b.
    Sub,
    /// a · b.
    Mul,
}

/// What then happens to its result r.
#[derive(Clone, Copy)]
pub(super) enum Second {
    /// r + c.
    Add,
    /// r − c.
    Sub,
    /// c − r.
    From,
    /// r · c.
    Mul,
}

/// Makes chains of instructions whose only use is another's operand. `stays` says which registers are needed
/// for themselves, or are filled elsewhere.
pub(super) fn chain(
    instructions: Vec<(Reg, Instr)>,
    stays: impl Fn(Reg) -> bool,
) -> Vec<(Reg, Instr)> {
    let registers = instructions.iter().map(|&(r, _)| r as usize + 1).max().unwrap_or(0);
    let mut uses = vec![0; registers];
    for (_, instr) in &instructions {
        instr.for_each_arg(|a| uses[a as usize] += 1);
    }
    // Where each first op was put that may yet become part of a chain.
    let mut firsts: Vec<Option<usize>> = vec![None; registers];
    let mut out: Vec<Option<(Reg, Instr)>> = Vec::with_capacity(instructions.len());
    for (register, instr) in instructions {
        let Some((op, a, b)) = arithmetic(&instr) else {
            out.push(Some((register, instr)));
            continue;
        };
        let found = [(a, b, false), (b, a, true)].into_iter().find_map(|(r, c, swapped)| {
            let at = firsts[r as usize].filter(|_| uses[r as usize] == 1)?;
            Some((at, c, swapped))
        });
        let instr = match found {
            Some((at, c, swapped)) => {
                let before = out[at].take();
                let (first, a, b) = before
                    .and_then(|(_, instr)| arithmetic(&instr))
                    .unwrap_or_else(|| unreachable!("only arithmetic comes first"));
                let second = match (op, swapped) {
                    (First::Add, _) => Second::Add,
                    (First::Mul, _) => Second::Mul,
                    (First::Sub, false) => Second::Sub,
                    (First::Sub, true) => Second::From,
                };
                Instr::Chain { first, second, a, b, c, out: register }
            }
            None => {
                if !stays(register) {
                    firsts[register as usize] = Some(out.len());
                }
                instr
            }
        };
        out.push(Some((register, instr)));
    }
    out.into_iter().flatten().collect()
}

/// An instruction that can be part of a chain, with its operands.
fn arithmetic(instr: &Instr) -> Option<(First, Reg, Reg)> {
    match *instr {
        Instr::Binary { op, dtype: DType::F32, a, b, .. } => match op {
            ScalarOp::Add => Some((First::Add, a, b)),
            ScalarOp::Sub => Some((First::Sub, a, b)),
            ScalarOp::Mul => Some((First::Mul, a, b)),
            _ => None,
        },
        _ => None,
    }
}

/// A chain at work on a strip.
pub(super) struct Chained<'a> {
    pub first: First,
    pub second: Second,
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub c: &'a [f32],
    pub out: &'a mut [f32],
}

impl Vectorized for Chained<'_> {
    #[inline(always)]
    fn run(self) {
        match self.first {
            First::Add => self.then(|a, b| a + b),
            First::Sub => self.then(|a, b| a - b),
            First::Mul => self.then(|a, b| a * b),
        }
    }
}

impl Chained<'_> {
    #[inline(always)]
    fn then(self, first: impl Fn(f32, f32) -> f32) {
        match self.second {
            Second::Add => self.each(|a, b, c| first(a, b) + c),
            Second::Sub => self.each(|a, b, c| first(a, b) - c),
            Second::From => self.each(|a, b, c| c - first(a, b)),
            Second::Mul => self.each(|a, b, c| first(a, b) * c),
        }
    }

    #[inline(always)]
    fn each(self, f: impl Fn(f32, f32, f32) -> f32) {
        for (((out, &a), &b), &c) in self.out.iter_mut().zip(self.a).zip(self.b).zip(self.c) {
            *out = f(a, b, c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(op: ScalarOp, a: Reg, b: Reg, out: Reg) -> (Reg, Instr) {
        (out, Instr::Binary { op, dtype: DType::F32, a, b, out })
    }

    fn count(instructions: Vec<(Reg, Instr)>, stays: impl Fn(Reg) -> bool) -> [usize; 2] {
        let chained = chain(instructions, stays);
        let chains = chained.iter().filter(|(_, i)| matches!(i, Instr::Chain { .. })).count();
        [chained.len(), chains]
    }

    #[test]
    fn what_is_used_once_becomes_part_of_a_chain() {
        use ScalarOp::{Add, Div, Mul, Sub};
        let three = || vec![binary(Mul, 0, 1, 3), binary(Sub, 2, 3, 4), binary(Add, 4, 0, 5)];
        assert_eq!(count(three(), |_| false), [2, 1]);
        assert_eq!(count(three(), |r| r == 3), [2, 1]);
        assert_eq!(count(three(), |_| true), [3, 0]);
        assert_eq!(count(vec![binary(Mul, 0, 1, 3), binary(Add, 3, 3, 4)], |_| false), [2, 0]);
        assert_eq!(count(vec![binary(Div, 0, 1, 3), binary(Add, 3, 1, 4)], |_| false), [2, 0]);
        let shared = vec![binary(Mul, 0, 1, 3), binary(Add, 3, 1, 4), binary(Sub, 3, 4, 5)];
        assert_eq!(count(shared, |_| false), [2, 1]);
    }

    #[test]
    fn chains_have_the_bits_of_their_parts() {
        let x: Vec<f32> = (0..100).map(|i| (i as f32 * 0.37).sin()).collect();
        let (a, b, c) = (&x[..37], &x[30..67], &x[60..97]);
        let run = |first, second| {
            let mut out = vec![0.0; 37];
            Chained { first, second, a, b, c, out: &mut out }.run();
            out
        };
        for i in 0..37 {
            let (p, d) = (a[i] * b[i], a[i] - b[i]);
            assert_eq!(run(First::Mul, Second::Add)[i], p + c[i]);
            assert_eq!(run(First::Mul, Second::From)[i], c[i] - p);
            assert_eq!(run(First::Sub, Second::Mul)[i], d * c[i]);
            assert_eq!(run(First::Add, Second::Sub)[i], (a[i] + b[i]) - c[i]);
        }
    }
}
