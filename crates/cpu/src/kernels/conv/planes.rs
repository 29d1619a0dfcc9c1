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
pub(super) struct Planes {
    pub channels: usize,
    /// The plane as it is given: rows, columns.
    pub plane: [usize; 2],
    /// Zeros before it.
    before: [usize; 2],
    stride: [usize; 2],
    /// Rows and columns of a phase. The columns are the pitch.
    pub phase: [usize; 2],
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
        Planes { channels, plane, before, stride, phase }
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
    pub unsafe fn lay_out(&self, x: *const f32, to: *mut f32) {
        let ([h, w], [rows, columns]) = (self.plane, self.phase);
        for channel in 0..self.channels {
            for a in 0..self.stride[0] {
                for b in 0..self.stride[1] {
                    let (ys, xs) = (self.given(0, a), self.given(1, b));
                    let to = to.wrapping_add(self.offset(channel, [a, b]));
                    debug_assert!(ys.end <= rows && xs.end <= columns);
                    for row in ys {
                        let y = row * self.stride[0] + a - self.before[0];
                        let from = x.wrapping_add((channel * h + y) * w);
                        let first = xs.start * self.stride[1] + b - self.before[1];
                        let from = from.wrapping_add(first);
                        let to = to.wrapping_add(row * columns + xs.start);
                        // SAFETY: row and columns are those of the phase that exist in the plane.
                        unsafe {
                            if self.stride[1] == 1 {
                                to.copy_from_nonoverlapping(from, xs.len());
                            } else {
                                for i in 0..xs.len() {
                                    *to.add(i) = *from.add(i * self.stride[1]);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The rows (axis 0) or columns (axis 1) of a phase that exist in the given plane.
    fn given(&self, axis: usize, phase: usize) -> std::ops::Range<usize> {
        let (stride, before) = (self.stride[axis], self.before[axis]);
        let first = |at: usize| at.saturating_sub(phase).div_ceil(stride).min(self.phase[axis]);
        let start = first(before);
        start..first(before + self.plane[axis]).max(start)
    }
}
