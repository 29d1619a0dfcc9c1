//! The IDX format of MNIST and its kin: a header (two zero bytes, a type code, the number of axes,
//! their sizes as big-endian u32) and the elements, row-major. The files come as they are or in
//! gzip; which, the first bytes tell, whatever the name says.
//!
//! Nothing is allocated on the header's word alone: what it promises must fit what the file can
//! hold, and reading stops one byte after it, however much a gzip stream would go on to produce.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use gradus_tensor::{Error, ErrorKind, Result};

/// The type code of unsigned bytes.
const UNSIGNED_BYTE: u8 = 0x08;
/// No deflate stream expands further: one bit in, at best, for a match of 258 bytes out, twice.
const GZIP_EXPANSION: u64 = 1032;
/// No dataset in this format is larger.
const LARGEST: u64 = 1 << 30;
/// What may be allocated before any of the content has been seen.
const FIRST_ALLOCATION: u64 = 64 << 20;

/// The content of a file: byte elements and the sizes of the axes.
#[derive(Debug)]
pub(crate) struct Idx {
    pub(crate) dims: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// Where element `index` of a file with `axes` axes lies in its content, for error messages.
pub(crate) fn offset(axes: usize, index: usize) -> usize {
    4 + 4 * axes + index
}

/// Reads a file whose axes must have the `expected` sizes; `None` stands for any size but 0.
pub(crate) fn read_file(path: &Path, expected: &[Option<usize>]) -> Result<Idx> {
    let name = path.display().to_string();
    let failed = |e: io::Error| Error::new(ErrorKind::Io, format!("{name}: {e}"));
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    read(&name, BufReader::with_capacity(1 << 16, file), size, expected)
}

/// Reads a `source` of `size` bytes that error messages call `name`.
pub(crate) fn read(
    name: &str,
    mut source: impl BufRead,
    size: u64,
    expected: &[Option<usize>],
) -> Result<Idx> {
    let start = source.fill_buf().map_err(|e| Error::new(ErrorKind::Io, format!("{name}: {e}")))?;
    if start.starts_with(&[0x1f, 0x8b]) {
        let room = size.saturating_mul(GZIP_EXPANSION);
        Reader { name, source: MultiGzDecoder::new(source), room, offset: 0 }.read(expected)
    } else {
        Reader { name, source, room: size, offset: 0 }.read(expected)
    }
}

struct Reader<'a, R> {
    name: &'a str,
    source: R,
    /// The most bytes of content that the file can hold.
    room: u64,
    offset: u64,
}

impl<R: Read> Reader<'_, R> {
    fn read(mut self, expected: &[Option<usize>]) -> Result<Idx> {
        let magic = self.word("the magic number")?;
        let [0, 0, code, axes] = magic else {
            let page = if magic[0] == b'<' { " (a web page saved in its place?)" } else { "" };
            return Err(self.bad(format!(
                "not an IDX file{page}: it starts with {magic:02x?} instead of two zero bytes; \
                 get it again"
            )));
        };
        if code != UNSIGNED_BYTE {
            return Err(self.bad(format!(
                "the type code at offset 2 is {code:#04x}; only unsigned bytes \
                 ({UNSIGNED_BYTE:#04x}) are read"
            )));
        }
        if usize::from(axes) != expected.len() {
            return Err(self.bad(format!(
                "{axes} axes at offset 3 instead of {}; are the image and label files exchanged?",
                expected.len()
            )));
        }
        let mut dims = Vec::with_capacity(expected.len());
        for (axis, &expected) in expected.iter().enumerate() {
            let at = self.offset;
            let size = u32::from_be_bytes(self.word("the size of an axis")?) as usize;
            if size == 0 || expected.is_some_and(|e| e != size) {
                let wanted = expected.map_or("at least 1".to_string(), |e| e.to_string());
                return Err(self.bad(format!(
                    "axis {axis} has size {size} (offset {at}) instead of {wanted}; is it another \
                     dataset's file?"
                )));
            }
            dims.push(size);
        }
        let bytes = self.elements(&dims)?;
        Ok(Idx { dims, bytes })
    }

    /// Four bytes of the header.
    fn word(&mut self, what: &str) -> Result<[u8; 4]> {
        let mut word = [0; 4];
        match self.source.read_exact(&mut word) {
            Ok(()) => {
                self.offset += 4;
                Ok(word)
            }
            Err(e) => Err(self.interrupted(e, what)),
        }
    }

    fn elements(&mut self, dims: &[usize]) -> Result<Vec<u8>> {
        let promised = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64));
        let Some(promised) = promised.filter(|&n| n <= LARGEST) else {
            return Err(self.bad(format!(
                "the header promises elements {dims:?}, more than the {LARGEST} bytes that are \
                 read; get it again"
            )));
        };
        let left = self.room.saturating_sub(self.offset);
        if promised > left {
            return Err(self.bad(format!(
                "truncated: the header promises {promised} bytes of elements {dims:?} from offset \
                 {}, but the file can hold no more than {left}; get it again",
                self.offset
            )));
        }
        let mut bytes = Vec::with_capacity(promised.min(FIRST_ALLOCATION) as usize);
        let outcome = self.source.by_ref().take(promised).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        let what = format!("{promised} bytes of elements {dims:?}");
        match outcome {
            Err(e) => return Err(self.interrupted(e, &what)),
            Ok(n) if (n as u64) < promised => {
                return Err(self.interrupted(io::ErrorKind::UnexpectedEof.into(), &what));
            }
            Ok(_) => {}
        }
        // At its end, a gzip stream verifies its checksum too.
        match self.source.read(&mut [0]) {
            Ok(0) => Ok(bytes),
            Ok(_) => Err(self.bad(format!(
                "there is more after the last of {what}, at offset {}; get it again",
                self.offset
            ))),
            Err(e) => Err(self.interrupted(e, "the end of the file")),
        }
    }

    /// Reading stopped, for the reason `error`, before the whole of `what` was read.
    fn interrupted(&self, error: io::Error, what: &str) -> Error {
        let offset = self.offset;
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.bad(format!(
                "truncated: it ends at or after offset {offset} within {what}; get it again"
            )),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => self.bad(format!(
                "the gzip stream is corrupt at or after offset {offset}, within {what} ({error}); \
                 get it again"
            )),
            _ => Error::new(
                ErrorKind::Io,
                format!("{}: cannot read on from offset {offset}: {error}", self.name),
            ),
        }
    }

    fn bad(&self, text: String) -> Error {
        Error::new(ErrorKind::Format, format!("{}: {text}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const EXPECTED: [Option<usize>; 3] = [None, Some(2), Some(2)];

    /// Three 2×2 images: 16 bytes of header, 12 of elements.
    fn valid() -> Vec<u8> {
        let mut file = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2];
        file.extend(1..=12);
        file
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn changed(at: usize, byte: u8) -> Vec<u8> {
        let mut file = valid();
        file[at] = byte;
        file
    }

    fn read_bytes(file: &[u8]) -> Result<Idx> {
        read("file", file, file.len() as u64, &EXPECTED)
    }

    #[test]
    fn plain_and_gzipped_files_read_alike() {
        let twice = [gzip(&valid()[..20]), gzip(&valid()[20..])].concat();
        for file in [valid(), gzip(&valid()), twice] {
            let idx = read_bytes(&file).unwrap();
            assert_eq!(idx.dims, [3, 2, 2]);
            assert_eq!(idx.bytes, (1..=12).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn bad_content_is_told_apart() {
        let cases: &[(Vec<u8>, &str)] = &[
            (vec![], "truncated: it ends at or after offset 0 within the magic number"),
            (
                valid()[..3].to_vec(),
                "truncated: it ends at or after offset 0 within the magic number",
            ),
            (
                valid()[..10].to_vec(),
                "truncated: it ends at or after offset 8 within the size of an axis",
            ),
            (b"<!DOCTYPE html>".to_vec(), "not an IDX file (a web page saved in its place?)"),
            (changed(0, 1), "not an IDX file: it starts with [01, 00, 08, 03]"),
            (changed(2, 0x0d), "the type code at offset 2 is 0x0d"),
            (changed(3, 1), "1 axes at offset 3 instead of 3"),
            (changed(7, 0), "axis 0 has size 0 (offset 4) instead of at least 1"),
            (changed(11, 28), "axis 1 has size 28 (offset 8) instead of 2"),
            ([valid(), vec![0]].concat(), "there is more after the last of 12 bytes"),
        ];
        for (content, message) in cases {
            for file in [content.clone(), gzip(content)] {
                let error = read_bytes(&file).unwrap_err().to_string();
                assert!(
                    error.starts_with("file: ") && error.contains(message),
                    "{error}\n{message}"
                );
            }
        }
    }

    #[test]
    fn truncation_names_the_offset() {
        let error = read_bytes(&valid()[..27]).unwrap_err().to_string();
        let wanted = "truncated: the header promises 12 bytes of elements [3, 2, 2] from offset \
                      16, but the file can hold no more than 11";
        assert!(error.contains(wanted), "{error}");
        let error = read_bytes(&gzip(&valid()[..27])).unwrap_err().to_string();
        assert!(
            error.contains("truncated: it ends at or after offset 27 within 12 bytes"),
            "{error}"
        );
    }

    /// Wherever a gzip stream breaks off, and whichever byte of it is changed, the content never
    /// passes unless it is intact.
    #[test]
    fn damaged_gzip_streams_are_noticed() {
        let file = gzip(&valid());
        for end in 0..file.len() {
            read_bytes(&file[..end]).unwrap_err();
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            if let Ok(idx) = read_bytes(&damaged) {
                assert_eq!(idx.bytes, (1..=12).collect::<Vec<u8>>(), "byte {at}");
            }
        }
        let mut checksum = file.clone();
        let crc = file.len() - 8;
        checksum[crc] ^= 1;
        let error = read_bytes(&checksum).unwrap_err().to_string();
        assert!(error.contains("the gzip stream is corrupt"), "{error}");
    }

    /// A source that fails the test if more is asked of it than the reader has any use for.
    struct Bounded<R>(R, usize);

    impl<R: Read> Read for Bounded<R> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.0.read(out)?;
            self.1 = self.1.checked_sub(n).expect("the reader reads on and on");
            Ok(n)
        }
    }

    #[test]
    fn claims_allocate_nothing_that_the_file_cannot_hold() {
        let header = |n: u32| {
            let mut file = valid();
            file[4..8].copy_from_slice(&n.to_be_bytes());
            file
        };
        for file in [header(u32::MAX), gzip(&header(u32::MAX))] {
            let error = read_bytes(&file).unwrap_err().to_string();
            assert!(
                error.contains("[4294967295, 2, 2], more than the 1073741824 bytes"),
                "{error}"
            );
        }
        for file in [header(1 << 20), gzip(&header(1 << 20))] {
            let error = read_bytes(&file).unwrap_err().to_string();
            assert!(error.contains("the file can hold no more than"), "{error}");
        }
        let all = [Some(usize::MAX >> 1); 0];
        assert!(read("file", &[0, 0, 8, 0, 7][..], 5, &all).is_ok(), "no axes: one element");
    }

    /// A bomb: a small honest header, then zeros without end.
    #[test]
    fn nothing_is_read_beyond_the_promised_content() {
        let endless = valid().into_iter().take(16).collect::<Vec<u8>>();
        let source = Bounded(endless.chain(io::repeat(0)), 16 + 12 + 64);
        let reader = BufReader::with_capacity(16, source);
        let error = read("file", reader, u64::MAX, &EXPECTED).unwrap_err().to_string();
        assert!(error.contains("there is more after the last of 12 bytes"), "{error}");
    }
}
