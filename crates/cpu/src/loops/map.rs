//! Loops without reductions: every element for itself.

use std::ops::Range;

use gradus_ir::Shape;
use gradus_ir::schedule::ValueId;

use super::program::Program;
use super::strip::{Frame, Given};
use crate::gemm::Piece;
use crate::kernels::{Kernel, Slice, TASK};
use crate::memory::{Memory, with_strips};

/// A loop without reductions.
pub(crate) struct Map {
    program: Program,
    numel: usize,
    /// The first axis of the space.
    batch: usize,
    /// Strips do not cross multiples of this.
    row: usize,
    /// The most elements of a strip.
    strip: usize,
    /// Elements per task: whole rows, or part of one.
    per_task: usize,
}

/// Rows shorter than this are not worth a strip each: what repeats from row to row is copied, which takes less time
/// than another round of instructions.
pub(super) const SHORT: usize = 512;

/// More tasks than any processor needs to be busy to the end.
const MANY: usize = 64;

impl Map {
    pub(super) fn new(shape: &Shape, program: Program) -> Map {
        let (numel, batch) = (shape.numel(), shape.first().copied().unwrap_or(1));
        let row = program.row.filter(|&row| row >= SHORT).unwrap_or(numel.max(1));
        // Pieces of equal length, so that no strip is left with a few elements.
        let pieces = row.div_ceil(program.strip);
        let strip = row.div_ceil(pieces).next_multiple_of(16).min(program.strip);
        // What is the same for all elements is computed once per task: fewer tasks, if there are many anyway.
        let task = (numel * program.cost / MANY).clamp(TASK, 4 * TASK);
        let wanted = (task / program.cost.max(1)).max(1);
        let per_task =
            if row <= wanted { wanted / row * row } else { wanted.next_multiple_of(strip) };
        Map { program, numel, batch, row, strip, per_task }
    }
}

impl Kernel for Map {
    fn tasks(&self) -> usize {
        self.numel.div_ceil(self.per_task)
    }

    fn cost(&self) -> usize {
        self.numel * self.program.cost
    }

    unsafe fn run(&self, task: usize, memory: &Memory<'_>) {
        let start = task * self.per_task;
        let end = (start + self.per_task).min(self.numel);
        // SAFETY: passed on to the caller.
        unsafe { self.run_elements(start..end, memory) };
    }

    unsafe fn run_slice(&self, slice: Slice, memory: &Memory<'_>) {
        // SAFETY: passed on to the caller.
        unsafe { self.run_elements(slice.planes(self.batch, self.numel), memory) };
    }
}

impl Map {
    /// Runs the loop as the tail of a product: on the elements of one piece of it.
    ///
    /// # Safety
    /// As for [`Kernel::run`]; the elements must be the caller's, and `product` the value that the piece is of.
    pub unsafe fn run_piece(&self, product: ValueId, piece: Piece, memory: &Memory<'_>) {
        let Piece { at, first, mut rows, mut cols, pitch } = piece;
        if cols == pitch {
            (rows, cols) = (1, rows * cols);
        }
        with_strips(Frame::bytes(&self.program), |scratch| {
            // SAFETY: `scratch` was made for this program, and the memory is that of its plan.
            let frame = unsafe { Frame::new(&self.program, memory, scratch, cols) };
            for row in 0..rows {
                let start = first + row * pitch;
                let from = Given { value: product, at, element: row * cols, number: start };
                // SAFETY: the elements are the caller's, and those of the product are given.
                unsafe { self.run_strips(&frame.with(from), start..start + cols) };
            }
        });
    }

    /// # Safety
    /// As for [`Kernel::run`]; the elements must be the caller's.
    unsafe fn run_elements(&self, elements: Range<usize>, memory: &Memory<'_>) {
        with_strips(Frame::bytes(&self.program), |scratch| {
            // SAFETY: `scratch` was made for this program, and the memory is that of its plan.
            let frame = unsafe { Frame::new(&self.program, memory, scratch, elements.len()) };
            // SAFETY: passed on to the caller.
            unsafe { self.run_strips(&frame, elements) };
        });
    }

    /// # Safety
    /// As for [`Frame::run`], for all these elements.
    unsafe fn run_strips(&self, frame: &Frame<'_>, elements: Range<usize>) {
        let Range { mut start, end } = elements;
        let mut left = self.row - start % self.row;
        while start < end {
            let len = self.strip.min(left).min(end - start);
            // SAFETY: the strip is inside the elements.
            unsafe { frame.run(start, len) };
            start += len;
            left -= len;
            if left == 0 {
                left = self.row;
            }
        }
    }
}
