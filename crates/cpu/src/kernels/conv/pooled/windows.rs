//! Where the windows of winners lie in an image, and how many of their vectors are at hand at the same time.

use gradus_ir::ops::{ConvGeometry, ConvSize};

/// The most vectors that stay in registers, of a run and in all.
const ABREAST: usize = 4;
const REGISTERS: usize = 12;
/// The most runs of which vectors do.
const RUNS: usize = 7;
/// Where no window starts.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Windows over an image whose channels are innermost: `[row][column][channel]`, padded.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    channels: usize,
    /// Rows and columns, with the padding.
    pub plane: [usize; 2],
    /// Where each window starts, by its place in the output plane; then [`NOWHERE`].
    pub starts: Vec<u32>,
    /// Runs of neighbours at equal distances, in groups, and how long all of them are.
    groups: Vec<Group>,
    pub run: usize,
    /// For vectors of 4, 8 and 16 elements, where each tap of `[channel][row][column]` lies in a filter that is
    /// laid out in whole vectors.
    taps: [Vec<u32>; 3],
}

/// Runs at equal distances.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// Where the first starts, relative to the window.
    start: usize,
    count: usize,
    pitch: usize,
}

/// Vectors of a window that are in registers at the same time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    /// Where the first starts, relative to the window, and from one run to the next.
    pub start: usize,
    pub pitch: usize,
    /// Runs, and vectors of each.
    pub size: [usize; 2],
    /// The same in a filter that is laid out in whole vectors.
    pub filter: usize,
    pub filter_pitch: usize,
}

impl Windows {
    pub fn new(geometry: &ConvGeometry, size: &ConvSize) -> Windows {
        let ConvGeometry { stride, padding, dilation, groups } = *geometry;
        let channels = size.channels / groups;
        let [kh, kw] = size.kernel;
        let plane = [0, 1].map(|i| {
            let reach = size.output[i].saturating_sub(1) * stride[i];
            let reach = reach + (size.kernel[i] - 1) * dilation[i] + 1;
            reach.max(padding[i][0] + size.input[i])
        });
        let at = |row: usize, column: usize| (row * plane[1] + column) * channels;
        let [oh, ow] = size.output;
        let starts = (0..oh * ow).map(|q| at(q / ow * stride[0], q % ow * stride[1]) as u32);
        let starts = starts.chain([NOWHERE]);
        let group = |i, count, pitch| Group { start: at(i * dilation[0], 0), count, pitch };
        let (groups, run) = if dilation[1] == 1 {
            (vec![group(0, kh, at(dilation[0], 0))], kw * channels)
        } else {
            ((0..kh).map(|i| group(i, kw, at(0, dilation[1]))).collect(), channels)
        };
        let whole = dilation[1] == 1;
        let tap = |tap: usize, lanes: usize| {
            let (channel, i, j) = (tap / (kh * kw), tap / kw % kh, tap % kw);
            let (run_of, within) = if whole { (i, j * channels) } else { (i * kw + j, 0) };
            (run_of * run.next_multiple_of(lanes) + within + channel) as u32
        };
        let taps = [4, 8, 16].map(|l| (0..channels * kh * kw).map(|t| tap(t, l)).collect());
        Windows { channels, plane, starts: starts.collect(), groups, run, taps }
    }

    pub fn len(&self) -> usize {
        self.plane[0] * self.plane[1] * self.channels
    }

    /// How many runs a window has.
    pub fn runs(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// All vectors of a window, as many at a time as there are registers.
    pub fn parts(&self, lanes: usize) -> Vec<Part> {
        let vectors = self.run.div_ceil(lanes);
        let (abreast, filter_pitch) =
            (vectors.div_ceil(vectors.div_ceil(ABREAST)), vectors * lanes);
        let most = (REGISTERS / abreast).min(RUNS);
        let mut parts = Vec::new();
        let mut before = 0;
        for &Group { start, count, pitch } in &self.groups {
            let at_once = count.div_ceil(count.div_ceil(most));
            for run in (0..count).step_by(at_once) {
                for vector in (0..vectors).step_by(abreast) {
                    let column = vector * lanes;
                    parts.push(Part {
                        start: start + run * pitch + column,
                        pitch,
                        size: [at_once.min(count - run), abreast.min(vectors - vector)],
                        filter: (before + run) * filter_pitch + column,
                        filter_pitch,
                    });
                }
            }
            before += count;
        }
        parts
    }

    /// As the field of that name, for vectors of so many elements.
    pub fn taps(&self, lanes: usize) -> &[u32] {
        &self.taps[lanes.trailing_zeros() as usize - 2]
    }
}

/// The numbers below `n` such that those that follow each other lie apart, and none far from its place.
pub(super) fn scattered(n: usize) -> Vec<u32> {
    const BLOCK: usize = 64;
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let block = |start: usize| {
        let len = BLOCK.min(n - start);
        // Steps of the golden section never come close to where they have been.
        let step = (len * 382 / 1000..).find(|&step| gcd(step, len) == 1).unwrap_or(1);
        (0..len).map(move |i| (start + i * step % len) as u32)
    };
    (0..n).step_by(BLOCK).flat_map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_numbers_are_all_there_and_apart() {
        for n in [0, 1, 2, 25, 49, 64, 65, 196] {
            let order = scattered(n);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..n as u32), "{n}: {order:?}");
            let apart = |pair: &[u32]| pair[0].abs_diff(pair[1]) >= 8;
            assert!(n < 25 || order[..n.min(64)].windows(2).all(apart), "{n}: {order:?}");
        }
    }

    /// Every vector of a window is in one part.
    #[test]
    fn parts_cover_windows() {
        for (channels, kernel, dilation) in
            [(1, [7, 7], [1, 1]), (3, [5, 5], [1, 1]), (6, [5, 5], [2, 1]), (20, [3, 4], [1, 2])]
        {
            let geometry =
                ConvGeometry { stride: [1, 1], padding: [[0, 0]; 2], dilation, groups: 1 };
            let shape = |shape: [usize; 4]| gradus_ir::Shape::from(shape);
            let size = geometry
                .size(&shape([1, channels, 20, 20]), &shape([2, channels, kernel[0], kernel[1]]));
            let windows = Windows::new(&geometry, &size.unwrap());
            for lanes in [4, 8, 16] {
                let (mut filter, mut count) = (Vec::new(), 0);
                for part in windows.parts(lanes) {
                    let [runs, vectors] = part.size;
                    assert!(runs * vectors <= REGISTERS && vectors <= ABREAST && runs <= RUNS);
                    count += runs * vectors;
                    for r in 0..runs {
                        let at = part.filter + r * part.filter_pitch;
                        filter.extend((0..vectors).map(|v| at + v * lanes));
                    }
                }
                filter.sort_unstable();
                filter.dedup();
                let all = windows.runs() * windows.run.div_ceil(lanes);
                assert_eq!((filter.len(), count), (all, all));
                assert_eq!(filter.last(), Some(&((all - 1) * lanes)));
            }
        }
    }
}
