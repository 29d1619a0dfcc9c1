//! An image's planes as direct kernels read them: padded, and for strides above one dealt out into phases.
//!
//! With the padding spelled out, an output's window is at fixed distances from one place, so that a convolution
//! is a sum of shifted planes: `y[q] = Σₖ wₖ · x[q + offset(k)]`, with `q = row · pitch + column`. No tap meets an
//! edge, and any kernel size, dilation and stride look alike. Where the stride is `s`, row `r` and column `c` of
//! the padded plane lie in phase `(r mod s, c mod s)`, a plane of its own, so that neighbours in the output are
//! neighbours in memory there too. Between the end of an output row and its pitch lie columns that are
//! computed and dropped.

/// How the planes of an image (of one group) are laid out.
#[derive(Clone, Debug)]
pub(in crate::kernels) struct Planes {
    pub channels: usize,
    /// The plane as it is given: rows, columns.
    pub plane: [usize; 2],
    /// Zeros before it.
    before: [usize; 2],
    stride: [usize; 2],
    /// Rows and columns of a phase. The columns are the pitch.
    pub phase: [usize; 2],
    /// What each phase takes from the plane.
    parts: Vec<Part>,
}

/// Rows and columns of a plane, a stride apart, and where they go.
#[derive(Clone, Debug)]
struct Part {
    from: usize,
    to: usize,
    rows: usize,
    columns: usize,
}

impl Planes {
    /// For the windows of `kernel` with their steps, of which there are `out` along each axis. Rows and columns that
    /// no window reaches are left out.
    pub fn new(
        channels: usize,
        plane: [usize; 2],
        before: [usize; 2],
        stride: [usize; 2],
        span: [usize; 2],
        out: [usize; 2],
    ) -> Planes {
        let phase = [0, 1].map(|i| ((out[i].max(1) - 1) * stride[i] + span[i]).div_ceil(stride[i]));
        let mut planes = Planes { channels, plane, before, stride, phase, parts: Vec::new() };
        let phases = (0..stride[0]).flat_map(|a| (0..stride[1]).map(move |b| [a, b]));
        planes.parts = phases.map(|phase| part(&planes, phase)).collect();
        planes
    }

    /// From one output row to the next.
    pub fn pitch(&self) -> usize {
        self.phase[1]
    }

    /// Elements of an image.
    pub fn len(&self) -> usize {
        self.channels * self.stride[0] * self.stride[1] * self.phase[0] * self.phase[1]
    }

    /// How far from a window's place its element `[row, column]` of a channel lies.
    pub fn offset(&self, channel: usize, [row, column]: [usize; 2]) -> usize {
        let ([sh, sw], [rows, columns]) = (self.stride, self.phase);
        let phase = (channel * sh + row % sh) * sw + column % sw;
        (phase * rows + row / sh) * columns + column / sw
    }

    /// Lays an image out over what is 0 everywhere, or over another image.
    ///
    /// # Safety
    /// `x` must be valid for the image's planes, and `to` for [`Planes::len`] elements.
    #[inline(always)]
    pub unsafe fn lay_out(&self, x: *const f32, to: *mut f32) {
        let [h, w] = self.plane;
        let channel = self.len() / self.channels.max(1);
        for c in 0..self.channels {
            for part in &self.parts {
                let from = x.wrapping_add(c * h * w + part.from);
                let to = to.wrapping_add(c * channel + part.to);
                for row in 0..part.rows {
                    let from = from.wrapping_add(row * self.stride[0] * w);
                    let to = to.wrapping_add(row * self.phase[1]);
                    // SAFETY: the part is inside the plane and inside the phase.
                    unsafe {
                        match self.stride[1] {
                            1 => copy_run(from, to, part.columns),
                            2 => deal::<2>(from, to, part.columns),
                            stride => {
                                (0..part.columns).for_each(|i| *to.add(i) = *from.add(i * stride));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The rows and columns of a phase that exist in the given plane.
fn part(planes: &Planes, phase: [usize; 2]) -> Part {
    let [ys, xs] = [0, 1].map(|axis| {
        let (stride, before) = (planes.stride[axis], planes.before[axis]);
        let first =
            |at: usize| at.saturating_sub(phase[axis]).div_ceil(stride).min(planes.phase[axis]);
        let start = first(before);
        start..first(before + planes.plane[axis]).max(start)
    });
    let given = |axis: usize, start: usize| {
        (start * planes.stride[axis] + phase[axis]).saturating_sub(planes.before[axis])
    };
    let to = planes.offset(0, phase) + ys.start * planes.phase[1] + xs.start;
    let (w, columns) = (planes.plane[1], xs.len());
    let from = given(0, ys.start) * w + given(1, xs.start);
    let part = Part { from, to, rows: ys.len(), columns };
    // Rows that follow each other on both sides are one.
    let one = columns == planes.phase[1] && columns * planes.stride[1] == planes.stride[0] * w;
    if one { Part { rows: 1, columns: part.rows * columns, ..part } } else { part }
}

/// Copies `n` elements that lie `STRIDE` apart, eight at a time, which the compiler turns into shuffles.
///
/// # Safety
/// `to` must be valid for `n` elements, and `from` for as many that far apart.
#[inline(always)]
unsafe fn deal<const STRIDE: usize>(from: *const f32, to: *mut f32, n: usize) {
    const CHUNK: usize = 8;
    let mut i = 0;
    // SAFETY: passed on to the caller; a chunk's last element is the last that is read.
    unsafe {
        while i + CHUNK < n {
            let chunk = from.add(i * STRIDE).cast::<[[f32; STRIDE]; CHUNK]>().read_unaligned();
            to.add(i).cast::<[f32; CHUNK]>().write_unaligned(chunk.map(|x| x[0]));
            i += CHUNK;
        }
        (i..n).for_each(|i| *to.add(i) = *from.add(i * STRIDE));
    }
}

/// Copies a run, which is short as a rule: a call of `memcpy` would cost more than the copy.
///
/// # Safety
/// `from` must be valid for `n` elements, and so must `to`, and they must not overlap.
#[inline(always)]
pub(super) unsafe fn copy_run<T: Copy>(from: *const T, to: *mut T, n: usize) {
    const CHUNK: usize = 8;
    const LONG: usize = 256;
    // SAFETY: passed on to the caller; chunks end at most with the run.
    unsafe {
        if n >= LONG {
            return to.copy_from_nonoverlapping(from, n);
        }
        if n < CHUNK {
            return (0..n).for_each(|i| *to.add(i) = *from.add(i));
        }
        // The last chunk ends with the run, and may overlap the one before.
        let mut i = 0;
        loop {
            let chunk = from.add(i).cast::<[T; CHUNK]>().read_unaligned();
            to.add(i).cast::<[T; CHUNK]>().write_unaligned(chunk);
            if i + CHUNK >= n {
                return;
            }
            i = (i + CHUNK).min(n - CHUNK);
        }
    }
}
