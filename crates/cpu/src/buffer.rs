//! Memory for tensors: aligned to cache lines, and recycled.
//!
//! Fresh memory is slow memory: the system hands it out page by page, zeroing each at its first touch, which
//! for the outputs of a training step takes as long as computing them. So a dropped [`Buffer`] goes to a
//! free list of the process, and the next one of its size takes it from there: in the steady state a step
//! neither calls the allocator nor faults.
//!
//! Invariant: all memory is initialised from the moment it is allocated (zeros from the system, stale values
//! afterwards), so that handing it out unwritten is safe, if useless.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytemuck::{Pod, Zeroable};

/// The alignment of every buffer and arena: a cache line, and the widest vector.
pub const ALIGN: usize = size_of::<Chunk>();

/// At most this many bytes of dropped buffers are kept for reuse. One more empties the list: sizes that
/// nobody asks for any more make room for those in use.
const KEEP: usize = 512 << 20;

/// The unit of allocation.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Chunk([u8; 64]);

// SAFETY: an array of bytes, for which zeros are a value.
unsafe impl Zeroable for Chunk {}
// SAFETY: an array of as many bytes as the alignment: no padding, and every bit pattern is a value.
unsafe impl Pod for Chunk {}

/// Bytes on 64-byte boundaries with one owner, recycled when dropped.
pub struct Buffer {
    /// Of a whole size class, so that it fits whoever asks next.
    chunks: Vec<Chunk>,
    len: usize,
}

impl Buffer {
    /// `len` bytes with arbitrary contents: what a kernel will overwrite.
    pub fn stale(len: usize) -> Buffer {
        let class = size_class(len.div_ceil(ALIGN));
        let reused = free_list().take(class);
        Buffer { chunks: reused.unwrap_or_else(|| bytemuck::zeroed_vec(class)), len }
    }

    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Buffer {
        let mut buffer = Buffer::stale(len);
        buffer.as_mut_slice::<u8>().fill(0);
        buffer
    }

    /// A copy of `data`.
    pub fn from_slice<T: Pod>(data: &[T]) -> Buffer {
        let mut buffer = Buffer::stale(size_of_val(data));
        buffer.as_mut_slice::<T>().copy_from_slice(data);
        buffer
    }

    /// The length in bytes, as asked for.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The contents as elements of `T`.
    ///
    /// # Panics
    /// If the length is no multiple of the size of `T`.
    pub fn as_slice<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&bytemuck::cast_slice::<Chunk, u8>(&self.chunks)[..self.len])
    }

    /// The contents as elements of `T`, to write.
    ///
    /// # Panics
    /// If the length is no multiple of the size of `T`.
    pub fn as_mut_slice<T: Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(
            &mut bytemuck::cast_slice_mut::<Chunk, u8>(&mut self.chunks)[..self.len],
        )
    }

    /// The first byte; valid for reads of `len` bytes while nobody writes.
    pub fn as_ptr(&self) -> *const u8 {
        self.chunks.as_ptr().cast()
    }

    /// The first byte; valid for reads and writes of `len` bytes while the buffer is borrowed.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.chunks.as_mut_ptr().cast()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        free_list().put(mem::take(&mut self.chunks));
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

/// Has the allocator give memory of `bytes` or more back to the system as soon as it is freed, in the whole
/// process: a decision of a program, at its beginning. Left to itself, glibc keeps up to 32 MB each, in which
/// something small soon stands in the way of the next large piece; tensors do not need that, as their memory is
/// recycled here. Other allocators are left as they are.
pub fn give_back_freed(bytes: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        const M_MMAP_THRESHOLD: c_int = -3;
        // SAFETY: glibc's own function, declared as in its `malloc.h`. It takes two numbers, sets a number that
        // `malloc` compares sizes with, and holds the allocator's lock meanwhile; any value is allowed.
        unsafe { mallopt(M_MMAP_THRESHOLD, c_int::try_from(bytes).unwrap_or(c_int::MAX)) };
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = bytes;
}

/// Scratch memory that grows to the largest plan and stays: the home of every intermediate value. Contents
/// do not survive a growth.
#[derive(Default)]
pub struct Arena {
    chunks: Vec<Chunk>,
}

impl Arena {
    /// An arena of no bytes.
    pub const fn new() -> Arena {
        Arena { chunks: Vec::new() }
    }

    /// Makes it at least `len` bytes long and returns its first byte, aligned to [`ALIGN`], and valid for
    /// reads and writes of `len` bytes until the next call.
    pub fn ensure(&mut self, len: usize) -> *mut u8 {
        let chunks = len.div_ceil(ALIGN);
        if chunks > self.chunks.len() {
            // Free the old one first: the peak is then the larger of the two, not the sum.
            self.chunks = Vec::new();
            self.chunks = bytemuck::zeroed_vec(chunks);
        }
        self.chunks.as_mut_ptr().cast()
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.chunks.len() * ALIGN
    }

    /// Whether it has never been asked for memory.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// `chunks` rounded up to a size with two bits after the leading one, so that buffers of nearly equal size
/// serve one another, and no more than a quarter is idle.
fn size_class(chunks: usize) -> usize {
    let step = 1 << chunks.checked_ilog2().unwrap_or(0).saturating_sub(2);
    chunks.next_multiple_of(step)
}

/// Dropped buffers by size class.
#[derive(Default)]
struct FreeList {
    classes: BTreeMap<usize, Vec<Vec<Chunk>>>,
    bytes: usize,
}

impl FreeList {
    const fn new() -> FreeList {
        FreeList { classes: BTreeMap::new(), bytes: 0 }
    }

    fn take(&mut self, class: usize) -> Option<Vec<Chunk>> {
        let chunks = self.classes.get_mut(&class)?.pop()?;
        self.bytes -= chunks.len() * ALIGN;
        Some(chunks)
    }

    fn put(&mut self, chunks: Vec<Chunk>) {
        let bytes = chunks.len() * ALIGN;
        if self.bytes + bytes > KEEP {
            *self = FreeList::new();
        }
        if bytes > 0 && bytes <= KEEP {
            self.bytes += bytes;
            self.classes.entry(chunks.len()).or_default().push(chunks);
        }
    }
}

/// The free list of the process; nothing panics while it is locked.
fn free_list() -> MutexGuard<'static, FreeList> {
    static FREE: Mutex<FreeList> = Mutex::new(FreeList::new());
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_sized() {
        for len in [0, 1, 4, 63, 64, 65, 1000, 4096, 100_000] {
            let mut buffer = Buffer::stale(len);
            assert_eq!(buffer.as_ptr().addr() % ALIGN, 0);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.is_empty(), len == 0);
            assert_eq!(buffer.as_slice::<u8>().len(), len);
            buffer.as_mut_slice::<u8>().fill(7);
            assert!(buffer.as_slice::<u8>().iter().all(|&b| b == 7));
        }
    }

    #[test]
    fn contents_survive_a_round_trip() {
        let buffer = Buffer::from_slice(&[1.5f32, -2.0, 3.25]);
        assert_eq!(buffer.as_slice::<f32>(), [1.5, -2.0, 3.25]);
        assert_eq!(buffer.len(), 12);
    }

    #[test]
    fn zeroed_clears_what_was_recycled() {
        // A size of its own, so that no other test takes the dropped memory in between.
        let len = 7777;
        Buffer::stale(len).as_mut_slice::<u8>().fill(0xff);
        assert!(Buffer::zeroed(len).as_slice::<u8>().iter().all(|&b| b == 0));
    }

    #[test]
    #[should_panic]
    fn a_length_that_is_no_multiple_is_refused() {
        let _ = Buffer::stale(6).as_slice::<f32>();
    }

    #[test]
    fn size_classes_waste_at_most_a_quarter() {
        for chunks in 0..5000 {
            let class = size_class(chunks);
            assert!(class >= chunks && class * 4 <= chunks * 5, "{chunks} → {class}");
            assert_eq!(size_class(class), class);
        }
    }

    #[test]
    fn the_free_list_recycles_within_its_bound() {
        let mut list = FreeList::new();
        let chunks = bytemuck::zeroed_vec::<Chunk>(8);
        let address = chunks.as_ptr();
        list.put(chunks);
        assert!(list.take(9).is_none());
        assert_eq!(list.take(8).map(|c| c.as_ptr()), Some(address));
        assert!(list.take(8).is_none());
        assert_eq!(list.bytes, 0);

        // Never touched, so these cost address space only.
        let third = KEEP / ALIGN / 3 + 1;
        for _ in 0..2 {
            list.put(bytemuck::zeroed_vec(third));
        }
        assert_eq!(list.bytes, 2 * third * ALIGN);
        list.put(bytemuck::zeroed_vec(third));
        assert_eq!(list.bytes, third * ALIGN, "the third did not make room");
        list.put(bytemuck::zeroed_vec(KEEP / ALIGN + 1));
        assert_eq!(list.bytes, 0, "a buffer above the bound was kept");
    }

    #[test]
    fn an_arena_grows_and_stays() {
        let mut arena = Arena::new();
        assert!(arena.is_empty());
        let first = arena.ensure(1000);
        assert_eq!(first.addr() % ALIGN, 0);
        assert_eq!(arena.len(), 1024);
        assert_eq!(arena.ensure(10), first);
        arena.ensure(5000);
        assert_eq!(arena.len(), 5056);
    }
}
