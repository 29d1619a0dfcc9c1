//! Loops with reductions.
//!
//! The [`Space`] is seen as `outer axes × near × run`. A *unit* combines, for some of the near elements, a block
//! of the outer reduced indices and a chunk of the run. Where several units contribute to a result they leave
//! partial results in scratch memory, and the last of them to finish combines those. [`fold`] documents the order.

use gradus_ir::DType;
use gradus_ir::ops::ReduceKind;
use gradus_ir::schedule::{Loop, Plan, ValueId};

use super::instr::each;
use super::map::SHORT;
use super::program::{Program, Reg};
use super::register::{Class, Stored, with_stored};
use super::space::Space;
use super::strip::Frame;
use crate::fold::{self, CHUNK, Join, LANES, Lanes};
use crate::kernels::{Kernel, TASK};
use crate::memory::{Memory, Scratch, with_strips};
use crate::tier::{Vectorized, vectorize};

/// A loop with reductions.
pub(super) struct Reduce {
    program: Program,
    space: Space,
    reductions: Vec<Reduction>,
    /// Near elements per unit, and how many units that makes.
    near: usize,
    nears: usize,
    /// Outer reduced indices per unit.
    block: usize,
    /// Blocks of those, and chunks of the run: how many units contribute to a result.
    blocks: usize,
    chunks: usize,
    /// How many runs a strip holds; 0 if a run takes several strips.
    runs: usize,
    units_per_task: usize,
    /// The first of the counters of units that are done, one for each group of results.
    counters: usize,
    /// Bytes of the thread's scratch memory.
    bytes: usize,
}

/// What is combined.
struct Reduction {
    register: Reg,
    kind: ReduceKind,
    class: Class,
    dtype: DType,
    out: ValueId,
    /// Partial results, in the scratch memory of the plan: one row of all results per contribution.
    partial: usize,
    /// A unit's results and the lanes of a run in progress, in the scratch memory of the thread.
    results: usize,
    lanes: usize,
}

/// The most results of a unit: they stay in the first-level cache.
const RESULTS: usize = 1024;

impl Reduce {
    pub fn new(
        l: &Loop,
        plan: &Plan,
        program: Program,
        registers: &[Reg],
        scratch: &mut Scratch,
    ) -> Reduce {
        let space = Space::new(l);
        let run = space.run.max(1);
        let mut runs = program.strip / run;
        if let Some(row) = program.row.filter(|&row| row >= SHORT && runs > 0) {
            runs = runs.min((row / run).max(1));
        }
        let block = fold::block(space.reduced);
        let deep = space.reduced.clamp(1, block) * space.run.clamp(1, CHUNK);
        let mut near = 1;
        if runs > 0 {
            // Columns are wide rather than deep: rows are read as they lie in memory.
            let least = if space.run == 1 { RESULTS } else { SHORT.div_ceil(run) };
            near = (TASK / program.cost / deep).max(least).min(RESULTS).min(space.near).max(1);
        }
        let nears = space.near.div_ceil(near);
        let (blocks, chunks) = (space.reduced.div_ceil(block), space.run.div_ceil(CHUNK));
        let shared = blocks * chunks > 1;
        let mut bytes = Frame::bytes(&program).next_multiple_of(64);
        let mut local = |size: usize| {
            bytes += size.next_multiple_of(64);
            bytes - size.next_multiple_of(64)
        };
        let reduction = |(r, &register): (&gradus_ir::schedule::ReduceStore, &Reg)| {
            let dtype = plan.values[r.out.index()].ty.dtype;
            let class = Class::of(dtype);
            let rows = if shared { blocks * chunks } else { 0 };
            Reduction {
                register,
                kind: r.kind,
                class,
                dtype,
                out: r.out,
                partial: scratch.reserve(rows * space.results() * class.size()),
                results: local(near * class.size()),
                lanes: local(LANES * class.size()),
            }
        };
        let reductions = l.reduces.iter().zip(registers).map(reduction).collect();
        let counters = scratch.counters(if shared { space.kept * nears } else { 0 });
        let units_per_task = (TASK / (deep * near * program.cost)).max(1);
        Reduce {
            program,
            space,
            reductions,
            near,
            nears,
            block,
            blocks,
            chunks,
            runs,
            units_per_task,
            counters,
            bytes,
        }
    }

    fn is_empty(&self) -> bool {
        self.space.reduced * self.space.run == 0
    }

    fn units(&self) -> usize {
        self.space.kept * self.nears * self.blocks * self.chunks
    }
}

impl Kernel for Reduce {
    fn tasks(&self) -> usize {
        match self.space.results() {
            0 => 0,
            _ if self.is_empty() => 1,
            _ => self.units().div_ceil(self.units_per_task),
        }
    }

    fn cost(&self) -> usize {
        self.space.results() * self.space.reduced * self.space.run * self.program.cost
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        with_strips(self.bytes, |scratch| {
            vectorize(Units { reduce: self, memory, scratch, task });
        });
    }
}

/// One task's share of the units.
struct Units<'a> {
    reduce: &'a Reduce,
    memory: &'a Memory<'a>,
    scratch: *mut u8,
    task: usize,
}

/// Runs an expression with `$T` standing for a class's type and `$J` for a way to combine it.
macro_rules! with_join {
    ($r:expr, $T:ident, $J:ident => $body:expr) => {
        match $r.class {
            Class::F32 => { type $T = f32; with_join!(@kind $r, $J => $body) }
            Class::F64 => { type $T = f64; with_join!(@kind $r, $J => $body) }
            Class::I64 => { type $T = i64; with_join!(@kind $r, $J => $body) }
            Class::Byte => { type $T = u8; with_join!(@kind $r, $J => $body) }
        }
    };
    (@kind $r:expr, $J:ident => $body:expr) => {
        match $r.kind {
            ReduceKind::Sum => { type $J = fold::Sum; $body }
            ReduceKind::Max => { type $J = fold::Max; $body }
            ReduceKind::Min => { type $J = fold::Min; $body }
        }
    };
}

impl Vectorized for Units<'_> {
    #[inline(always)]
    fn run(self) {
        let reduce = self.reduce;
        if reduce.is_empty() {
            let n = reduce.space.results();
            for r in &reduce.reductions {
                // SAFETY: the buffer holds the results.
                with_join!(r, T, J => unsafe { self.store::<T>(r, 0, &vec![<J as Join<T>>::IDENTITY; n]) });
            }
            return;
        }
        let strip = reduce.program.strip.min(reduce.near * reduce.space.run * reduce.block);
        // SAFETY: `scratch` was made for this program and its reductions, the memory is that of its plan.
        let frame = unsafe { Frame::new(&reduce.program, self.memory, self.scratch, strip) };
        let first = self.task * reduce.units_per_task;
        for unit in first..(first + reduce.units_per_task).min(reduce.units()) {
            // SAFETY: each unit belongs to one task.
            unsafe { self.unit(&frame, unit) };
        }
    }
}

impl Units<'_> {
    /// # Safety
    /// No other thread may run this unit.
    #[inline(always)]
    unsafe fn unit(&self, frame: &Frame<'_>, unit: usize) {
        let Reduce { ref space, near, nears, blocks, chunks, runs, .. } = *self.reduce;
        let (rest, part) = (unit / nears, unit % nears);
        let (kept, contribution) = (rest / (blocks * chunks), rest % (blocks * chunks));
        let (block, chunk) = (contribution / chunks, contribution % chunks);
        let first = part * near;
        let near = near.min(space.near - first);
        let mut outer = block * self.reduce.block;
        let end = (outer + self.reduce.block).min(space.reduced);
        for r in &self.reduce.reductions {
            // SAFETY: a unit has at most `near` results.
            with_join!(r, T, J => unsafe {
                self.local::<T>(r.results, near).fill(<J as Join<T>>::IDENTITY);
            });
        }
        // SAFETY: all elements are those of this unit, and strips are as long as the program allows.
        unsafe {
            if runs == 0 {
                let from = chunk * CHUNK;
                let len = CHUNK.min(space.run - from);
                while outer < end {
                    self.long_run(frame, space.start(kept, outer) + first * space.run + from, len);
                    outer += 1;
                }
            } else {
                let rows = if near == space.near { (runs / near).max(1) } else { 1 };
                while outer < end {
                    let adjacent = space.adjacent();
                    let rows = rows.min(end - outer).min(adjacent - outer % adjacent);
                    let start = space.start(kept, outer) + first * space.run;
                    if rows * near <= runs {
                        self.short_runs(frame, start, rows, 0, near);
                    } else {
                        for at in (0..near).step_by(runs) {
                            let n = runs.min(near - at);
                            self.short_runs(frame, start + at * space.run, 1, at, n);
                        }
                    }
                    outer += rows;
                }
            }
            self.finish(kept, part, first, near, contribution);
        }
    }

    /// Combines one run, or a chunk of it, strip by strip.
    ///
    /// # Safety
    /// As for [`Frame::run`].
    #[inline(always)]
    unsafe fn long_run(&self, frame: &Frame<'_>, start: usize, len: usize) {
        for r in &self.reduce.reductions {
            // SAFETY: there is room for lanes.
            with_join!(r, T, J => unsafe {
                *self.lanes::<T>(r) = [<J as Join<T>>::IDENTITY; LANES];
            });
        }
        let strip = self.reduce.program.strip;
        for at in (0..len).step_by(strip) {
            let n = strip.min(len - at);
            // SAFETY: passed on to the caller.
            unsafe { frame.run(start + at, n) };
            for r in &self.reduce.reductions {
                // SAFETY: the register has just been filled.
                with_join!(r, T, J => unsafe {
                    fold::extend::<T, J>(self.lanes(r), frame.get(r.register, n));
                });
            }
        }
        for r in &self.reduce.reductions {
            // SAFETY: the unit has one result.
            with_join!(r, T, J => unsafe {
                let result = &mut self.local::<T>(r.results, 1)[0];
                *result = J::join(*result, fold::across::<T, J>(*self.lanes(r)));
            });
        }
    }

    /// Combines `rows` times `n` runs into the unit's results from `at` on, in one strip.
    ///
    /// # Safety
    /// As for [`Frame::run`].
    #[inline(always)]
    unsafe fn short_runs(&self, frame: &Frame<'_>, start: usize, rows: usize, at: usize, n: usize) {
        let run = self.reduce.space.run;
        let len = rows * n * run;
        // SAFETY: passed on to the caller.
        unsafe { frame.run(start, len) };
        for r in &self.reduce.reductions {
            // SAFETY: the register has just been filled, and the unit has `at + n` results.
            with_join!(r, T, J => unsafe {
                let results = &mut self.local::<T>(r.results, at + n)[at..];
                accumulate::<T, J>(frame.get(r.register, len), results, run);
            });
        }
    }

    /// Hands over a unit's results; the last of those that contribute to them combines all contributions.
    ///
    /// # Safety
    /// As for [`Units::unit`].
    #[inline(always)]
    unsafe fn finish(
        &self,
        kept: usize,
        part: usize,
        first: usize,
        near: usize,
        contribution: usize,
    ) {
        let Reduce { ref space, nears, blocks, chunks, counters, .. } = *self.reduce;
        let (contributions, all) = (blocks * chunks, space.results());
        let at = kept * space.near + first;
        for r in &self.reduce.reductions {
            // SAFETY: the unit has `near` results, which are its own in the output and in its row of
            // contributions.
            with_join!(r, T, _J => unsafe {
                let results = self.local::<T>(r.results, near);
                if contributions == 1 {
                    self.store::<T>(r, at, results);
                } else {
                    let row = self.memory.scratch::<T>(r.partial).add(contribution * all + at);
                    row.copy_from_nonoverlapping(results.as_ptr(), near);
                }
            });
        }
        if contributions > 1 && self.memory.is_last(counters + kept * nears + part, contributions) {
            for r in &self.reduce.reductions {
                // SAFETY: all contributions are there, and nobody else touches them any more.
                with_join!(r, T, J => unsafe {
                    let rows = self.memory.scratch::<T>(r.partial).add(at);
                    fold::pairwise::<T, J>(rows, contributions, all, near);
                    self.store::<T>(r, at, std::slice::from_raw_parts(rows, near));
                });
            }
        }
    }

    /// Writes results to a reduction's buffer.
    ///
    /// # Safety
    /// They must belong to this task, and `T` be the reduction's type.
    #[inline(always)]
    unsafe fn store<T: Copy>(&self, r: &Reduction, at: usize, results: &[T]) {
        // SAFETY: passed on to the caller; a dtype's registers are of its class's type.
        unsafe {
            with_stored!(r.dtype, r.class, S => {
                let out = self.memory.at::<<S as Stored>::Raw>(r.out).add(at);
                let results = std::slice::from_raw_parts(results.as_ptr().cast(), results.len());
                each(results, std::slice::from_raw_parts_mut(out, results.len()), S::store);
            });
        }
    }

    /// `n` elements of the thread's scratch memory.
    ///
    /// # Safety
    /// They must have been reserved for this type, and not be in use.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn local<T>(&self, at: usize, n: usize) -> &mut [T] {
        // SAFETY: passed on to the caller.
        unsafe { std::slice::from_raw_parts_mut(self.scratch.add(at).cast(), n) }
    }

    /// The lanes of a reduction.
    ///
    /// # Safety
    /// `T` must be its type, and the lanes not be in use.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn lanes<T>(&self, r: &Reduction) -> &mut Lanes<T> {
        // SAFETY: passed on to the caller.
        unsafe { &mut *self.scratch.add(r.lanes).cast() }
    }
}

/// Combines runs of `run` elements, as many rows of them as there are, into one result per column.
#[inline(always)]
fn accumulate<T: Copy, J: Join<T>>(x: &[T], results: &mut [T], run: usize) {
    for row in x.chunks_exact(results.len() * run) {
        if run == 1 {
            for (a, &x) in results.iter_mut().zip(row) {
                *a = J::join(*a, x);
            }
        } else {
            fold::fold_runs::<T, J>(row, results, run);
        }
    }
}
