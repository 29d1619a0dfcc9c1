//! What tells the samples of a dataset from those of another.

use md5::{Digest, Md5};

/// A hash of everything that the samples of a dataset depend on.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    hash: Md5,
}

impl Identity {
    /// Adds something that the samples depend on. Its bounds count: `"ab", "c"` is not `"a", "bc"`.
    pub fn add(&mut self, what: impl AsRef<[u8]>) {
        let bytes = what.as_ref();
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; 16] {
        self.hash.finalize().into()
    }
}
