//! From the steps of a loop to a program.

use gradus_ir::DType;
use gradus_ir::scalar::{ScalarOp, Signature};
use gradus_ir::schedule::{self, Loop, Place, Plan, StepKind, ValueId};

use super::chain::chain;
use super::program::{Direct, Instr, Load, Logic, Program, Reg, Store};
use super::register::{Class, is_native};
use super::trees::{Registers, plant};
use crate::layout::Layout;

/// The fewest and the most elements that a strip may have; lengths are powers of 2.
const STRIP: (usize, usize) = (256, 1024);
/// What the slots of a program may take of the first-level cache.
const SLOTS: usize = 20 << 10;

/// Compiles a loop of a plan. Also gives the register of each reduction, in order.
pub(super) fn compile(l: &Loop, plan: &Plan) -> (Program, Vec<Reg>) {
    let facts = Facts::new(l);
    let mut compiler = Compiler { l, plan, facts, at: vec![None; l.steps.len()] };
    compiler.place_stores();
    let instructions: Vec<(Reg, Instr)> =
        (0..l.steps.len()).filter_map(|i| Some((i as Reg, compiler.instruction(i)?))).collect();
    let instructions = plant(instructions, &compiler);
    let instructions = chain(instructions, |register| compiler.stays(register));
    compiler.assemble(instructions)
}

/// What is known of each step.
struct Facts {
    /// The register that holds its result: an earlier step's, where a conversion changes nothing.
    register: Vec<Reg>,
    /// The class of that register.
    class: Vec<Class>,
    /// Whether it is the same for every element.
    uniform: Vec<bool>,
}

impl Facts {
    fn new(l: &Loop) -> Facts {
        let n = l.steps.len();
        let mut only_cast = vec![true; n];
        for step in l.steps.iter().filter(|s| s.kind != StepKind::Cast) {
            step.args.iter().for_each(|&a| only_cast[a as usize] = false);
        }
        l.stores.iter().for_each(|s| only_cast[s.register as usize] = false);
        l.reduces.iter().for_each(|r| only_cast[r.register as usize] = false);
        let mut facts = Facts { register: vec![], class: vec![], uniform: vec![] };
        for (i, step) in l.steps.iter().enumerate() {
            let mut class = Class::of(step.dtype);
            let mut register = i as Reg;
            let args_uniform = step.args.iter().all(|&a| facts.uniform[a as usize]);
            let uniform = match &step.kind {
                StepKind::Load(view) => {
                    // Bytes convert to anything at once; as i64 they would be eight times as large.
                    if step.dtype == DType::U8 && only_cast[i] {
                        class = Class::Byte;
                    }
                    Layout::new(&view.shape, &view.strides, 0).stride() == Some(0)
                }
                StepKind::Slot(_) | StepKind::Const(_) => true,
                StepKind::Index { .. } | StepKind::Random { .. } => false,
                StepKind::Op(_) => args_uniform,
                StepKind::Cast => {
                    let a = step.args[0] as usize;
                    if facts.class[a] == class && widens(l.steps[a].dtype, step.dtype) {
                        register = facts.register[a];
                    }
                    args_uniform
                }
            };
            facts.register.push(register);
            facts.class.push(class);
            facts.uniform.push(uniform);
        }
        facts
    }
}

/// Whether a conversion within a class changes no value.
fn widens(from: DType, to: DType) -> bool {
    use DType::*;
    from == to || matches!((from, to), (U8, I32 | I64) | (I32, I64) | (F16 | BF16, F32))
}

struct Compiler<'a> {
    l: &'a Loop,
    plan: &'a Plan,
    facts: Facts,
    /// The buffer that each register is a piece of.
    at: Vec<Option<ValueId>>,
}

impl Compiler<'_> {
    /// Lets registers be the memory they are stored to, where nothing speaks against it.
    fn place_stores(&mut self) {
        for store in &self.l.stores {
            let register = self.facts.register[store.register as usize] as usize;
            let direct = is_native(self.dtype(store.out))
                && self.at[register].is_none()
                && !self.facts.uniform[register]
                && !self.is_read(store.out);
            if direct {
                self.at[register] = Some(store.out);
            }
        }
    }

    fn dtype(&self, value: ValueId) -> DType {
        self.plan.values[value.index()].ty.dtype
    }

    /// Whether the loop reads what it overwrites with this value: then all loads come before the store.
    fn is_read(&self, value: ValueId) -> bool {
        let Place::Donated(input) = self.plan.values[value.index()].place else { return false };
        self.l.steps.iter().any(|step| match &step.kind {
            StepKind::Load(view) => {
                let place = self.plan.values[view.value.index()].place;
                place == Place::Input(input) || place == Place::Donated(input)
            }
            _ => false,
        })
    }

    /// The instruction that fills a step's register; none if that is an earlier step's.
    fn instruction(&self, i: usize) -> Option<Instr> {
        let step = &self.l.steps[i];
        let (out, dtype) = (i as Reg, step.dtype);
        if self.facts.register[i] != out {
            return None;
        }
        let arg = |k: usize| self.facts.register[step.args[k] as usize];
        let class = |k: usize| self.facts.class[step.args[k] as usize];
        Some(match &step.kind {
            StepKind::Load(view) => Instr::Load(Load {
                out,
                value: view.value,
                dtype,
                class: self.facts.class[i],
                layout: Layout::new(&view.shape, &view.strides, view.offset as isize),
                borrow: self.may_borrow(i),
            }),
            StepKind::Slot(slot) => Instr::Slot { out, dtype, slot: *slot },
            StepKind::Const(value) => Instr::Const { out, dtype, value: *value },
            StepKind::Index { offset, strides } => {
                Instr::Index { out, dtype, layout: Layout::new(&self.l.shape, strides, *offset) }
            }
            &StepKind::Random { distribution, seed, stream, first } => {
                Instr::Random { out, dtype, distribution, seed, stream, first }
            }
            StepKind::Cast => Instr::Cast { from: class(0), to: dtype, a: arg(0), out },
            &StepKind::Op(ScalarOp::Where) => {
                Instr::Select { class: class(1), c: arg(0), a: arg(1), b: arg(2), out }
            }
            &StepKind::Op(op) if class(0) == Class::Byte => {
                Instr::Logic { table: Logic::new(op), a: arg(0), b: arg(op.arity() - 1), out }
            }
            &StepKind::Op(op) if op.signature() == Signature::Compare => {
                Instr::Compare { op, class: class(0), a: arg(0), b: arg(1), out }
            }
            &StepKind::Op(op) if op.arity() == 1 => Instr::Unary { op, dtype, a: arg(0), out },
            &StepKind::Op(op) => Instr::Binary { op, dtype, a: arg(0), b: arg(1), out },
        })
    }

    /// Whether a load's register may be the memory that it loads from: the types must agree, the register must
    /// not be elsewhere already, and the memory not be overwritten with it.
    fn may_borrow(&self, i: usize) -> bool {
        let overwrites = |s: &schedule::Store| {
            self.facts.register[s.register as usize] as usize == i && self.is_read(s.out)
        };
        (is_native(self.l.steps[i].dtype) || self.facts.class[i] == Class::Byte)
            && self.at[i].is_none()
            && !self.facts.uniform[i]
            && !self.l.stores.iter().any(overwrites)
    }

    /// Which registers hold the same for every element and are read by formulas only: one element is enough.
    fn single(&self, instructions: &[(Reg, Instr)]) -> Vec<bool> {
        let mut single = self.facts.uniform.clone();
        for (_, instr) in instructions.iter().filter(|(_, i)| !matches!(i, Instr::Tree { .. })) {
            instr.for_each_arg(|a| single[a as usize] = false);
        }
        let kept = self.l.stores.iter().map(|s| s.register);
        for register in kept.chain(self.l.reduces.iter().map(|r| r.register)) {
            single[self.facts.register[register as usize] as usize] = false;
        }
        single
    }

    fn assemble(self, instructions: Vec<(Reg, Instr)>) -> (Program, Vec<Reg>) {
        let register = |r: u16| self.facts.register[r as usize];
        let reductions: Vec<Reg> = self.l.reduces.iter().map(|r| register(r.register)).collect();
        let mut stores = Vec::new();
        let mut direct = Vec::new();
        for store in &self.l.stores {
            let (from, dtype) = (register(store.register), self.dtype(store.out));
            if self.at[from as usize] == Some(store.out) {
                let size = dtype.size();
                direct.push(Direct { register: from, value: store.out, first: 0, size });
            } else {
                let class = self.facts.class[from as usize];
                stores.push(Store { register: from, value: store.out, dtype, class });
            }
        }
        let kept: Vec<Reg> =
            stores.iter().map(|s| s.register).chain(reductions.iter().copied()).collect();
        let single = self.single(&instructions);
        let (slots, width) = self.assign_slots(&instructions, &kept, &single);
        let mut strip = STRIP.1;
        while strip > STRIP.0 && width * strip > SLOTS {
            strip /= 2;
        }
        let cost = self.cost(&instructions);
        let row = rows(&instructions);
        let (mut prologue, mut body) = (Vec::new(), Vec::new());
        for (register, instr) in instructions {
            match instr {
                Instr::Load(load) if load.always_borrows() => {
                    let (value, size) = (load.value, load.dtype.size());
                    direct.push(Direct { register, value, first: load.layout.first(), size });
                }
                _ if self.facts.uniform[register as usize] => {
                    prologue.push((instr, single[register as usize]));
                }
                _ => body.push(instr),
            }
        }
        // Behind the strips, a cache line for each single element.
        let mut bytes = width * strip;
        let mut slots: Vec<Option<usize>> =
            slots.into_iter().map(|s| s.map(|s| s * strip)).collect();
        for (slot, _) in slots.iter_mut().zip(single).filter(|(_, single)| *single) {
            *slot = Some(bytes);
            bytes += 64;
        }
        let program = Program { prologue, body, direct, stores, slots, bytes, strip, cost, row };
        (program, reductions)
    }

    /// Where each register's slot starts, and where the last ends, in bytes per element of a strip.
    fn assign_slots(
        &self,
        instructions: &[(Reg, Instr)],
        kept: &[Reg],
        single: &[bool],
    ) -> (Vec<Option<usize>>, usize) {
        const FOREVER: usize = usize::MAX;
        let mut last_use = vec![0; self.l.steps.len()];
        for (time, (_, instr)) in instructions.iter().enumerate() {
            instr.for_each_arg(|a| last_use[a as usize] = time);
        }
        for (register, time) in last_use.iter_mut().enumerate() {
            if self.facts.uniform[register] || kept.contains(&(register as Reg)) {
                *time = FOREVER;
            }
        }
        let mut slots = vec![None; self.l.steps.len()];
        let mut width = 0;
        let mut free: Vec<(usize, usize)> = Vec::new();
        for (time, (register, instr)) in instructions.iter().enumerate() {
            let size = self.facts.class[*register as usize].size();
            let is_strip = !single[*register as usize];
            if is_strip && self.at[*register as usize].is_none() && instr.needs_slot() {
                // Filled once per task, so nothing may have used the slot before.
                let uniform = self.facts.uniform[*register as usize];
                let reused = free.iter().position(|&(s, _)| s == size && !uniform);
                slots[*register as usize] = Some(match reused {
                    Some(i) => free.swap_remove(i).1,
                    None => {
                        width += size;
                        width - size
                    }
                });
            }
            // After the result has its slot, so that it never is an operand's.
            instr.for_each_arg(|a| {
                let a = a as usize;
                if last_use[a] == time {
                    // Once, even if it is both operands.
                    last_use[a] = FOREVER;
                    free.extend(slots[a].map(|at| (self.facts.class[a].size(), at)));
                }
            });
        }
        (slots, width)
    }

    fn cost(&self, instructions: &[(Reg, Instr)]) -> usize {
        let stored: usize = self.l.stores.iter().map(|s| self.dtype(s.out).size()).sum();
        let varying = instructions.iter().filter(|(r, _)| !self.facts.uniform[*r as usize]);
        stored + varying.map(|(_, i)| i.cost()).sum::<usize>() + self.l.reduces.len()
    }
}

impl Registers for Compiler<'_> {
    fn is_uniform(&self, register: Reg) -> bool {
        self.facts.uniform[register as usize]
    }

    /// Whether a register is needed beside what it is an operand of, or is not filled for each strip.
    fn stays(&self, register: Reg) -> bool {
        let mut kept = self
            .l
            .stores
            .iter()
            .map(|s| s.register)
            .chain(self.l.reduces.iter().map(|r| r.register));
        self.facts.uniform[register as usize]
            || kept.any(|r| self.facts.register[r as usize] == register)
    }
}

/// The smallest row of all loads.
fn rows(instructions: &[(Reg, Instr)]) -> Option<usize> {
    let rows = instructions.iter().filter_map(|(_, instr)| match instr {
        Instr::Load(load) => load.layout.row(),
        _ => None,
    });
    rows.min()
}
