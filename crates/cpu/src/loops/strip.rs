//! Runs a program's instructions on strips.
//!
//! Everything here is inlined into one caller per instruction tier. Slices of registers are made for one
//! instruction at a time. They never overlap: a result's slot differs from its operands' slots (see
//! `Program`), and memory that a loop both reads and overwrites is written only after the last instruction,
//! from a slot.

use std::slice;

use gradus_ir::ops::Distribution;
use gradus_ir::scalar::strip;
use gradus_ir::{DType, philox};

use super::program::{Instr, Load, Logic, Program, Reg, Store};
use super::register::{Class, Register, Stored, round_f32, with_stored, wrap_i64};
use crate::layout::{Layout, Run};
use crate::memory::Memory;

/// A program at work in one task.
pub(super) struct Frame<'a> {
    program: &'a Program,
    memory: &'a Memory<'a>,
    /// Where each register is.
    registers: *mut *mut u8,
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
    #[inline(always)]
    pub unsafe fn new(
        program: &'a Program,
        memory: &'a Memory<'a>,
        scratch: *mut u8,
        len: usize,
    ) -> Frame<'a> {
        // SAFETY: both parts are inside `scratch`; slots are multiples of 256 elements, so that the pointers
        // after them are aligned.
        let frame = unsafe {
            let registers = scratch.add(program.bytes).cast::<*mut u8>();
            for (i, slot) in program.slots.iter().enumerate() {
                let at = slot.map_or(std::ptr::null_mut(), |at| scratch.add(at));
                registers.add(i).write(at);
            }
            Frame { program, memory, registers }
        };
        for instr in &program.prologue {
            // SAFETY: passed on to the caller; results that do not depend on the element take any start.
            unsafe { frame.execute(instr, 0, len.min(program.strip)) };
        }
        frame
    }

    /// Runs the program for the elements `start..start + len`.
    ///
    /// # Safety
    /// They must be inside the loop's space and no more than a strip, and no other thread may run them.
    #[inline(always)]
    pub unsafe fn run(&self, start: usize, len: usize) {
        for direct in &self.program.direct {
            let at = self.memory.at::<u8>(direct.value);
            // SAFETY: the buffer has the loop's shape, so element `start` is inside it.
            unsafe { self.place(direct.register, at.add(start * direct.size)) };
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
    unsafe fn fill<T>(&self, register: Reg, len: usize) -> &mut [T] {
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
    #[inline(always)]
    unsafe fn execute(&self, instr: &Instr, start: usize, len: usize) {
        // SAFETY: the program fills registers before it uses them, with elements of their class, and a
        // result never shares memory with an operand.
        unsafe {
            match *instr {
                Instr::Load(ref load) => self.load(load, start, len),
                Instr::Const { out, dtype, value } => self.splat(out, dtype, value, len),
                Instr::Slot { out, dtype, slot } => {
                    self.splat(out, dtype, self.memory.slots[slot as usize], len);
                }
                Instr::Index { out, dtype, ref layout } => {
                    self.index(out, dtype, layout, start, len);
                }
                Instr::Random { out, dtype, distribution, seed, stream } => {
                    let slot = |i: u32| self.memory.slots[i as usize].to_i64() as u64;
                    let (seed, stream, start) = (slot(seed), slot(stream), start as u64);
                    use Distribution::{Normal, Uniform};
                    match (distribution, dtype) {
                        (Uniform, DType::F64) => {
                            philox::fill_uniform_f64(seed, stream, start, self.fill(out, len));
                        }
                        (Uniform, _) => {
                            philox::fill_uniform_f32(seed, stream, start, self.fill(out, len));
                        }
                        (Normal, DType::F64) => {
                            philox::fill_normal_f64(seed, stream, start, self.fill(out, len));
                        }
                        (Normal, _) => {
                            philox::fill_normal_f32(seed, stream, start, self.fill(out, len));
                        }
                    }
                }
                Instr::Unary { op, dtype, a, out } => match Class::of(dtype) {
                    Class::F32 => {
                        let out = self.fill(out, len);
                        strip::unary_f32(op, self.get(a, len), out);
                        round_f32(dtype, out);
                    }
                    Class::F64 => strip::unary_f64(op, self.get(a, len), self.fill(out, len)),
                    Class::I64 => {
                        let out = self.fill(out, len);
                        strip::unary_i64(op, self.get(a, len), out);
                        wrap_i64(dtype, out);
                    }
                    Class::Byte => unreachable!("bools are logic"),
                },
                Instr::Binary { op, dtype, a, b, out } => match Class::of(dtype) {
                    Class::F32 => {
                        let out = self.fill(out, len);
                        strip::binary_f32(op, self.get(a, len), self.get(b, len), out);
                        round_f32(dtype, out);
                    }
                    Class::F64 => {
                        let out = self.fill(out, len);
                        strip::binary_f64(op, self.get(a, len), self.get(b, len), out);
                    }
                    Class::I64 => {
                        let out = self.fill(out, len);
                        strip::binary_i64(op, self.get(a, len), self.get(b, len), out);
                        wrap_i64(dtype, out);
                    }
                    Class::Byte => unreachable!("bools are logic"),
                },
                Instr::Compare { op, class, a, b, out } => {
                    let out = self.fill(out, len);
                    match class {
                        Class::F32 => {
                            strip::compare::<f32>(op, self.get(a, len), self.get(b, len), out);
                        }
                        Class::F64 => {
                            strip::compare::<f64>(op, self.get(a, len), self.get(b, len), out);
                        }
                        Class::I64 => {
                            strip::compare::<i64>(op, self.get(a, len), self.get(b, len), out);
                        }
                        Class::Byte => unreachable!("bools are logic"),
                    }
                }
                Instr::Select { class, c, a, b, out } => match class {
                    Class::F32 => self.select::<f32>(c, a, b, out, len),
                    Class::F64 => self.select::<f64>(c, a, b, out, len),
                    Class::I64 => self.select::<i64>(c, a, b, out, len),
                    Class::Byte => self.select::<u8>(c, a, b, out, len),
                },
                Instr::Logic { table, a, b, out } => {
                    let Logic { k, ka, kb, kab } = table;
                    let (a, b) = (self.get::<u8>(a, len), self.get::<u8>(b, len));
                    for ((o, &a), &b) in self.fill::<u8>(out, len).iter_mut().zip(a).zip(b) {
                        *o = k ^ (a & ka) ^ (b & kb) ^ (a & b & kab);
                    }
                }
                Instr::Cast { from, to, a, out } => match from {
                    Class::F32 => self.cast::<f32>(to, self.get(a, len), out),
                    Class::F64 => self.cast::<f64>(to, self.get(a, len), out),
                    Class::I64 => self.cast::<i64>(to, self.get(a, len), out),
                    Class::Byte => self.cast::<u8>(to, self.get(a, len), out),
                },
            }
        }
    }

    /// # Safety
    /// As for [`Frame::run`].
    #[inline(always)]
    unsafe fn load(&self, load: &Load, start: usize, len: usize) {
        // SAFETY: the layout is that of a view inside the value.
        unsafe {
            with_stored!(load.dtype, load.class, S => self.load_as::<S>(load, start, len));
        }
    }

    /// # Safety
    /// As for [`Frame::load`]; `S` must be the load's type.
    #[inline(always)]
    unsafe fn load_as<S: Stored>(&self, load: &Load, start: usize, len: usize) {
        let from = self.memory.at::<S::Raw>(load.value);
        load.layout.runs(start, len, |run| {
            // SAFETY: the run lies inside the value. Where the register borrows, elements in memory and in
            // registers are of the same type.
            unsafe {
                let from = from.offset(run.at);
                if run.len == len && run.stride == 1 && load.borrow {
                    self.place(load.out, from.cast());
                    return;
                }
                if run.done == 0 && load.borrow {
                    self.return_to_slot(load.out);
                }
                let out = self.at(load.out).cast::<S::Register>().add(run.done);
                convert::<S>(from, run, slice::from_raw_parts_mut(out, run.len));
            }
        });
    }

    /// Undoes the borrowing of an earlier strip.
    ///
    /// # Safety
    /// The register must have a slot: all but those that always borrow do.
    #[inline(always)]
    unsafe fn return_to_slot(&self, register: Reg) {
        let Some(slot) = self.program.slots[register as usize] else { return };
        // SAFETY: slots come before the pointers in scratch memory, at their beginning.
        unsafe {
            let scratch = self.registers.cast::<u8>().sub(self.program.bytes);
            self.place(register, scratch.add(slot));
        }
    }

    /// # Safety
    /// `out` must be a register of that dtype.
    #[inline(always)]
    unsafe fn splat(&self, out: Reg, dtype: DType, value: gradus_ir::Scalar, len: usize) {
        // SAFETY: passed on to the caller.
        unsafe {
            match Class::of(dtype) {
                Class::F32 => self.fill(out, len).fill(f32::from_scalar(value, dtype)),
                Class::F64 => self.fill(out, len).fill(f64::from_scalar(value, dtype)),
                Class::I64 => self.fill(out, len).fill(i64::from_scalar(value, dtype)),
                Class::Byte => self.fill(out, len).fill(u8::from_scalar(value, dtype)),
            }
        }
    }

    /// # Safety
    /// `out` must be a register of that dtype.
    #[inline(always)]
    unsafe fn index(&self, out: Reg, dtype: DType, layout: &Layout, start: usize, len: usize) {
        // SAFETY: passed on to the caller; the runs lie inside the strip.
        unsafe {
            match Class::of(dtype) {
                Class::F32 => {
                    let out = self.fill::<f32>(out, len);
                    layout.runs(start, len, |run| count(run, out, |i| i as f32));
                    round_f32(dtype, out);
                }
                Class::F64 => {
                    let out = self.fill::<f64>(out, len);
                    layout.runs(start, len, |run| count(run, out, |i| i as f64));
                }
                Class::I64 => {
                    let out = self.fill::<i64>(out, len);
                    layout.runs(start, len, |run| count(run, out, |i| i));
                    wrap_i64(dtype, out);
                }
                Class::Byte => unreachable!("bool cannot count"),
            }
        }
    }

    /// # Safety
    /// As for [`Frame::execute`], all but `c` being of type `T`.
    #[inline(always)]
    unsafe fn select<T: Copy>(&self, c: Reg, a: Reg, b: Reg, out: Reg, len: usize) {
        // SAFETY: passed on to the caller.
        unsafe {
            let (c, a, b) = (self.get(c, len), self.get::<T>(a, len), self.get(b, len));
            strip::select(c, a, b, self.fill(out, len));
        }
    }

    /// # Safety
    /// As for [`Frame::execute`], `out` being of dtype `to`.
    #[inline(always)]
    unsafe fn cast<T: Register>(&self, to: DType, a: &[T], out: Reg) {
        // SAFETY: passed on to the caller.
        unsafe {
            match to {
                DType::Bool => each(a, self.fill(out, a.len()), |x| x.to_bool()),
                DType::U8 => each(a, self.fill(out, a.len()), |x| x.to_int(DType::U8)),
                DType::I32 => each(a, self.fill(out, a.len()), |x| x.to_int(DType::I32)),
                DType::I64 => each(a, self.fill(out, a.len()), |x| x.to_int(DType::I64)),
                DType::F16 => each(a, self.fill(out, a.len()), |x| x.to_f32(DType::F16)),
                DType::BF16 => each(a, self.fill(out, a.len()), |x| x.to_f32(DType::BF16)),
                DType::F32 => each(a, self.fill(out, a.len()), |x| x.to_f32(DType::F32)),
                DType::F64 => each(a, self.fill(out, a.len()), |x| x.to_f64()),
            }
        }
    }

    /// Writes a register to its buffer.
    ///
    /// # Safety
    /// As for [`Frame::run`].
    #[inline(always)]
    unsafe fn store(&self, store: &Store, start: usize, len: usize) {
        // SAFETY: the buffer has the loop's shape and the register is filled. No slice of the buffer lives.
        unsafe {
            with_stored!(store.dtype, store.class, S => {
                let out = self.memory.at::<<S as Stored>::Raw>(store.value).add(start);
                let out = slice::from_raw_parts_mut(out, len);
                each(self.get(store.register, len), out, |x| S::store(x));
            });
        }
    }
}

#[inline(always)]
pub(super) fn each<A: Copy, B>(a: &[A], out: &mut [B], f: impl Fn(A) -> B) {
    for (o, &a) in out.iter_mut().zip(a) {
        *o = f(a);
    }
}

#[inline(always)]
fn count<T>(run: Run, out: &mut [T], f: impl Fn(i64) -> T) {
    for (i, o) in out[run.done..][..run.len].iter_mut().enumerate() {
        *o = f((run.at + i as isize * run.stride) as i64);
    }
}

/// Brings a run of elements into a register.
///
/// # Safety
/// The run must be valid for reads from its first element `from`.
#[inline(always)]
unsafe fn convert<S: Stored>(from: *const S::Raw, run: Run, out: &mut [S::Register]) {
    // SAFETY: passed on to the caller.
    unsafe {
        match run.stride {
            0 => out.fill(S::load(*from)),
            1 => each(slice::from_raw_parts(from, run.len), out, |x| S::load(x)),
            stride => {
                for (i, o) in out.iter_mut().enumerate() {
                    *o = S::load(*from.offset(i as isize * stride));
                }
            }
        }
    }
}
