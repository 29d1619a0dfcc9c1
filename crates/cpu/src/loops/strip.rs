//! Runs a program's instructions on strips.
//!
//! Slices of registers are made for one instruction at a time. They never overlap: a result's slot differs from
//! its operands' slots (see [`program`](super::program)), and memory that a loop both reads and overwrites is
//! written only after the last instruction, from a slot.
//!
//! Dispatch is compiled once; what an instruction does ([`instr`](super::instr)) once per instruction tier.

use std::slice;

use gradus_ir::schedule::ValueId;
use gradus_ir::{DType, Scalar};

use super::chain::Chained;
use super::instr::{Binary, Cast, Compare, Count, Draw, Fetch, Keep, Logical, Select, Unary};
use super::program::{Instr, Load, Program, Reg, Store};
use super::register::{Class, Register, Stored, with_number, with_register, with_stored};
use super::trees::Planted;
use crate::memory::Memory;
use crate::tier::vectorize;

/// A program at work in one task.
pub(super) struct Frame<'a> {
    program: &'a Program,
    memory: &'a Memory<'a>,
    /// The slots, and after them where each register is.
    scratch: *mut u8,
    registers: *mut *mut u8,
    given: Option<Given>,
}

/// Where a value that has no memory is to be had for a while.
#[derive(Clone, Copy)]
pub(super) struct Given {
    pub value: ValueId,
    pub at: *mut u8,
    /// The element there, counted from `at`, that is element `number` of the value.
    pub element: usize,
    pub number: usize,
}

impl<'a> Frame<'a> {
    /// Bytes of scratch memory that a frame needs: its slots, and a pointer per register.
    pub fn bytes(program: &Program) -> usize {
        program.bytes + program.slots.len() * size_of::<*mut u8>()
    }

    /// A frame in `scratch`, with the registers filled that hold the same for all strips of at most `len`
    /// elements.
    ///
    /// # Safety
    /// `scratch` must be valid for [`Frame::bytes`] bytes and aligned to a cache line; `memory` must be that
    /// of the plan that the program was compiled for.
    pub unsafe fn new(
        program: &'a Program,
        memory: &'a Memory<'a>,
        scratch: *mut u8,
        len: usize,
    ) -> Frame<'a> {
        // SAFETY: slots are multiples of 256 elements, so that the pointers after them are aligned.
        let registers = unsafe { scratch.add(program.bytes).cast::<*mut u8>() };
        let frame = Frame { program, memory, scratch, registers, given: None };
        for (register, &slot) in program.slots.iter().enumerate() {
            // SAFETY: slots are inside `scratch`; registers without one are placed before they are used.
            unsafe { frame.place(register as Reg, scratch.add(slot.unwrap_or(0))) };
        }
        for (instr, one) in &program.prologue {
            let len = if *one { 1 } else { len.min(program.strip) };
            // SAFETY: passed on to the caller; results that do not depend on the element take any start.
            unsafe { frame.execute(instr, 0, len) };
        }
        frame
    }

    /// The same frame with a value given.
    pub fn with(&self, given: Given) -> Frame<'a> {
        Frame { given: Some(given), ..*self }
    }

    /// Where element 0 of a value is, or would be, if those that the strip needs are elsewhere.
    #[inline(always)]
    fn value(&self, value: ValueId, size: usize) -> *mut u8 {
        match self.given {
            Some(given) if given.value == value => {
                let back = given.element.wrapping_sub(given.number).wrapping_mul(size);
                given.at.wrapping_add(back)
            }
            _ => self.memory.at(value),
        }
    }

    /// Runs the program for the elements `start..start + len`.
    ///
    /// # Safety
    /// They must be inside the loop's space and no more than a strip, and no other thread may run them.
    pub unsafe fn run(&self, start: usize, len: usize) {
        for direct in &self.program.direct {
            let at = self.value(direct.value, direct.size);
            let at = at.wrapping_add((direct.first + start) * direct.size);
            // SAFETY: the register exists.
            unsafe { self.place(direct.register, at) };
        }
        for instr in &self.program.body {
            // SAFETY: passed on to the caller.
            unsafe { self.execute(instr, start, len) };
        }
        for store in &self.program.stores {
            // SAFETY: as above.
            unsafe { self.store(store, start, len) };
        }
    }

    /// The first `len` elements of a register.
    ///
    /// # Safety
    /// The register must have been filled with as many elements of this type, and not be written while the
    /// slice lives.
    #[inline(always)]
    pub unsafe fn get<T>(&self, register: Reg, len: usize) -> &[T] {
        // SAFETY: passed on to the caller.
        unsafe { slice::from_raw_parts(self.at(register).cast(), len) }
    }

    /// A register to be filled with `len` elements.
    ///
    /// # Safety
    /// The register must be of that type, have room for `len` elements and not be in use.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn out<T>(&self, register: Reg, len: usize) -> &mut [T] {
        // SAFETY: passed on to the caller.
        unsafe { slice::from_raw_parts_mut(self.at(register).cast(), len) }
    }

    #[inline(always)]
    fn at(&self, register: Reg) -> *mut u8 {
        debug_assert!((register as usize) < self.program.slots.len());
        // SAFETY: there is a pointer for each register.
        unsafe { *self.registers.add(register as usize) }
    }

    /// # Safety
    /// The register must exist.
    #[inline(always)]
    unsafe fn place(&self, register: Reg, at: *mut u8) {
        // SAFETY: passed on to the caller.
        unsafe { *self.registers.add(register as usize) = at };
    }

    /// # Safety
    /// As for [`Frame::run`].
    unsafe fn execute(&self, instr: &Instr, start: usize, len: usize) {
        // SAFETY: the program fills registers before it uses them, with elements of their class, and a
        // result never shares memory with an operand.
        unsafe {
            match *instr {
                Instr::Load(ref load) => {
                    with_stored!(load.dtype, load.class, S => self.load::<S>(load, start, len));
                }
                Instr::Const { out, dtype, value } => self.splat(out, dtype, value, len),
                Instr::Slot { out, dtype, slot } => {
                    self.splat(out, dtype, self.memory.slots[slot as usize], len);
                }
                Instr::Index { out, dtype, ref layout } => with_number!(Class::of(dtype), T => {
                    vectorize(Count { layout, dtype, start, out: self.out::<T>(out, len) });
                }),
                Instr::Random { out, dtype, distribution, seed, stream, first } => {
                    let slot = |i: u32| self.memory.slots[i as usize].to_i64() as u64;
                    let (seed, stream) = (slot(seed), slot(stream));
                    let start = start as u64 + first.map_or(0, slot);
                    if dtype == DType::F64 {
                        let out = self.out::<f64>(out, len);
                        vectorize(Draw { distribution, seed, stream, start, out });
                    } else {
                        let out = self.out::<f32>(out, len);
                        vectorize(Draw { distribution, seed, stream, start, out });
                    }
                }
                Instr::Unary { op, dtype, a, out } => with_number!(Class::of(dtype), T => {
                    let (a, out) = (self.get::<T>(a, len), self.out(out, len));
                    vectorize(Unary { op, dtype, a, out });
                }),
                Instr::Binary { op, dtype, a, b, out } => with_number!(Class::of(dtype), T => {
                    let (a, b) = (self.get::<T>(a, len), self.get(b, len));
                    vectorize(Binary { op, dtype, a, b, out: self.out(out, len) });
                }),
                Instr::Chain { first, second, a, b, c, out } => {
                    let (a, b, c) = (self.get(a, len), self.get(b, len), self.get(c, len));
                    vectorize(Chained { first, second, a, b, c, out: self.out(out, len) });
                }
                Instr::Tree { tree, leaves, out } => {
                    let v = leaves.v.map(|r| r.map_or(&[][..], |r| self.get(r, len)));
                    let s = leaves.s.map(|r| r.map_or(0.0, |r| self.get(r, 1)[0]));
                    vectorize(Planted { tree, v, s, out: self.out(out, len) });
                }
                Instr::Compare { op, class, a, b, out } => with_number!(class, T => {
                    let (a, b) = (self.get::<T>(a, len), self.get(b, len));
                    vectorize(Compare { op, a, b, out: self.out(out, len) });
                }),
                Instr::Select { class, c, a, b, out } => with_register!(class, T => {
                    let (c, a, b) = (self.get(c, len), self.get::<T>(a, len), self.get(b, len));
                    vectorize(Select { c, a, b, out: self.out(out, len) });
                }),
                Instr::Logic { table, a, b, out } => {
                    let (a, b) = (self.get(a, len), self.get(b, len));
                    vectorize(Logical { table, a, b, out: self.out(out, len) });
                }
                Instr::Cast { from, to, a, out } => with_register!(from, T => {
                    with_register!(Class::of(to), U => {
                        let (a, out) = (self.get::<T>(a, len), self.out::<U>(out, len));
                        vectorize(Cast { to, a, out });
                    })
                }),
            }
        }
    }

    /// # Safety
    /// As for [`Frame::run`]; `S` must be the load's type.
    unsafe fn load<S: Stored>(&self, load: &Load, start: usize, len: usize) {
        let from = self.value(load.value, size_of::<S::Raw>()).cast::<S::Raw>().cast_const();
        // SAFETY: the layout is that of a view inside the value. Where the register borrows, elements in
        // memory and in registers are of the same type.
        unsafe {
            if load.borrow {
                if let Some(at) = load.layout.contiguous(start, len) {
                    return self.place(load.out, from.wrapping_offset(at).cast_mut().cast());
                }
                // An earlier strip may have borrowed.
                let slot = self.program.slots[load.out as usize];
                self.place(load.out, self.scratch.add(slot.unwrap_or(0)));
            }
            let out = self.out(load.out, len);
            vectorize(Fetch::<S> { from, layout: &load.layout, start, out });
        }
    }

    /// # Safety
    /// `out` must be a register of that dtype.
    unsafe fn splat(&self, out: Reg, dtype: DType, value: Scalar, len: usize) {
        // SAFETY: passed on to the caller.
        with_register!(Class::of(dtype), T => unsafe {
            self.out::<T>(out, len).fill(T::from_scalar(value, dtype));
        });
    }

    /// Writes a register to its buffer.
    ///
    /// # Safety
    /// As for [`Frame::run`].
    unsafe fn store(&self, store: &Store, start: usize, len: usize) {
        // SAFETY: the buffer has the loop's shape and the register is filled. No slice of the buffer lives.
        with_stored!(store.dtype, store.class, S => unsafe {
            let out = self.memory.at::<<S as Stored>::Raw>(store.value).add(start);
            let out = slice::from_raw_parts_mut(out, len);
            vectorize(Keep::<S> { a: self.get(store.register, len), out });
        });
    }
}
