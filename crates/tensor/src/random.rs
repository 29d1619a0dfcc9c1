//! The random numbers of tensors: a seed and a count of draws for each thread.
//!
//! Every random op takes the next stream of its thread's generator, and element `i` of the result is a function
//! of (seed, stream, i) alone. So equal seeds give equal bits, whatever the number of threads of the pool.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use gradus_ir::{DType, Scalar};
use smallvec::smallvec;

use crate::node::Operands;
use crate::record::slot;

/// The state of a thread's generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RngState {
    /// The seed.
    pub seed: u64,
    /// The number of the next stream.
    pub stream: u64,
}

/// The seed given last by any thread, for threads that were not given one.
static SEED: AtomicU64 = AtomicU64::new(0);
/// How many threads have drawn without a seed of their own: each gets streams apart from the others'.
static UNSEEDED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static STATE: Cell<Option<RngState>> = const { Cell::new(None) };
    static SAMPLES: Cell<Option<Samples>> = const { Cell::new(None) };
}

/// Seeds the calling thread's generator and starts its streams anew. The same seed gives the same bits.
///
/// A thread that is never seeded uses the seed that any thread set last (0 at the start), on streams of its own.
///
/// ```
/// use gradus_tensor::{DType, Tensor, manual_seed};
/// manual_seed(7);
/// let a = Tensor::randn([3], DType::F32).to_vec::<f32>()?;
/// manual_seed(7);
/// assert_eq!(a, Tensor::randn([3], DType::F32).to_vec::<f32>()?);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub fn manual_seed(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
    set_rng_state(RngState { seed, stream: 0 });
}

/// The state of the calling thread's generator, to be saved with a run.
pub fn rng_state() -> RngState {
    STATE.get().unwrap_or_else(|| {
        let stream = UNSEEDED.fetch_add(1, Ordering::Relaxed) << 40;
        let state = RngState { seed: SEED.load(Ordering::Relaxed), stream };
        STATE.set(Some(state));
        state
    })
}

/// Restores a state.
pub fn set_rng_state(state: RngState) {
    STATE.set(Some(state));
}

/// Which samples of a larger batch the calling thread works on, and how many.
#[derive(Clone, Copy)]
struct Samples {
    first: usize,
    count: usize,
}

/// Runs `f` on a part of a batch: the `count` samples from number `first` on. Draws that are
/// [keyed by sample](crate::Tensor::rand_by_sample), such as masks of dropout, are those that the same samples get
/// when the whole batch is computed at once, if the generator is in the same state.
///
/// Axis 0 of what is drawn belongs to the samples: `[count, …]`, or `[count · n, …]` where each sample has `n` rows.
///
/// ```
/// use gradus_tensor::{DType, Tensor, manual_seed, with_samples};
/// let rows = |n| Tensor::zeros([n, 3], DType::F32);
/// manual_seed(0);
/// let whole = rows(4).rand_by_sample([4, 3]).to_vec::<f32>()?;
/// manual_seed(0);
/// let part = with_samples(1, 2, || rows(2).rand_by_sample([2, 3])).to_vec::<f32>()?;
/// assert_eq!(part, whole[3..9]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub fn with_samples<R>(first: usize, count: usize, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Samples>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SAMPLES.set(self.0);
        }
    }
    let _restore = Restore(SAMPLES.replace(Some(Samples { first, count })));
    f()
}

/// The key of the next random op, as operands, where what is drawn has so many elements, an equal number for each
/// sample.
pub(crate) fn next_key_by_sample(numel: usize) -> Operands {
    let mut key = next_key();
    if let Some(Samples { first, count }) = SAMPLES.get()
        && count > 0
        && numel.is_multiple_of(count)
    {
        key.push(slot(Scalar::I64((numel / count * first) as i64), DType::I64));
    }
    key
}

/// The key of the next random op, as operands.
pub(crate) fn next_key() -> Operands {
    let RngState { seed, stream } = rng_state();
    set_rng_state(RngState { seed, stream: stream + 1 });
    let number = |x: u64| slot(Scalar::I64(x as i64), DType::I64);
    smallvec![number(seed), number(stream)]
}
