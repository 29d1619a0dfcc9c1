//! Files in ZIP archives: those of NumPy, and that of EMNIST.
//!
//! Only the directory at the end and what is asked for are read; what they claim is compared with what
//! the archive can hold before memory is asked for. Nothing is unpacked, wherever names point.

use std::io::{Read, Seek, SeekFrom};

use flate2::read::DeflateDecoder;

/// No deflate stream expands further.
const EXPANSION: u64 = 1032;
/// No file is larger, in bytes.
const LARGEST: u64 = 1 << 32;

/// A file in an archive.
pub(crate) struct Entry {
    pub(crate) name: String,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    /// Of its local header.
    offset: u64,
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}
fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 4)?.try_into().ok().map(|word| u32::from_le_bytes(word).into())
}
fn longer(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// Some of the bytes; fewer where the archive ends.
fn part(archive: &mut (impl Read + Seek), at: u64, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = archive.seek(SeekFrom::Start(at));
    read.and_then(|_| archive.take(length).read_to_end(&mut bytes)).map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// What the directory at the end of an archive lists; `kind` is what messages call the archive.
pub(crate) fn entries(archive: &mut (impl Read + Seek), kind: &str) -> Result<Vec<Entry>, String> {
    let length = archive.seek(SeekFrom::End(0)).map_err(|e| e.to_string())?;
    // Its end is 22 bytes long, and a comment of up to 65,535 may follow.
    let last = length.checked_sub(22);
    let last = last.ok_or_else(|| format!("no {kind} file: it is too short for a ZIP archive"))?;
    let start = last.saturating_sub(65_535);
    let tail = part(archive, start, length - start)?;
    let end = (0..=tail.len().saturating_sub(22))
        .rev()
        .find(|&at| tail[at..].starts_with(b"PK\x05\x06"))
        .ok_or_else(|| {
            format!(
                "no {kind} file, or truncated: the directory of the ZIP archive is missing at its end"
            )
        })?;
    let damaged = || "the directory of the ZIP archive is damaged".to_owned();
    let place = long(&tail, end + 16).ok_or_else(damaged)?;
    let count = short(&tail, end + 10).ok_or_else(damaged)?;
    let until = start + end as u64;
    let directory = part(archive, place, until.checked_sub(place).ok_or_else(damaged)?)?;
    let (mut at, mut entries) = (0, Vec::new());
    for _ in 0..count {
        let head = directory.get(at..).filter(|head| head.starts_with(b"PK\x01\x02"));
        let head = head.ok_or_else(damaged)?;
        let field = |at| long(head, at).ok_or_else(damaged);
        let lengths = [28, 30, 32].map(|at| short(head, at).map(usize::from));
        let [Some(name), Some(extra), Some(comment)] = lengths else { return Err(damaged()) };
        let text = head.get(46..46 + name).and_then(|name| std::str::from_utf8(name).ok());
        let text = text.ok_or_else(damaged)?;
        let (mut size, mut packed, mut offset) = (field(24)?, field(20)?, field(42)?);
        // Sizes of 4 GB and more stand in an extra field of 64-bit numbers, those that do not fit.
        let extras = head.get(46 + name..46 + name + extra).ok_or_else(damaged)?;
        if extras.starts_with(&[1, 0]) {
            let mut next = 4;
            for number in [&mut size, &mut packed, &mut offset] {
                if *number == u64::from(u32::MAX) {
                    *number = longer(extras, next).ok_or_else(damaged)?;
                    next += 8;
                }
            }
        }
        let method = short(head, 10).ok_or_else(damaged)?;
        let crc = field(16)? as u32;
        entries.push(Entry { name: text.to_owned(), method, crc, packed, size, offset });
        at += 46 + name + extra + comment;
    }
    Ok(entries)
}

impl Entry {
    /// The content of the file, whose size and checksum are right.
    pub(crate) fn content(&self, archive: &mut (impl Read + Seek)) -> Result<Vec<u8>, String> {
        let damaged = || format!("its header at offset {} is damaged", self.offset);
        let head = part(archive, self.offset, 30)?;
        if !head.starts_with(b"PK\x03\x04") {
            return Err(damaged());
        }
        let name = short(&head, 26).ok_or_else(damaged)?;
        let extra = short(&head, 28).ok_or_else(damaged)?;
        let start = self.offset + 30 + u64::from(name) + u64::from(extra);
        let room = if self.method == 0 { 1 } else { EXPANSION };
        let length = archive.seek(SeekFrom::End(0)).map_err(|e| e.to_string())?;
        if start.checked_add(self.packed).is_none_or(|end| end > length) {
            return Err("truncated: the archive ends within it".to_owned());
        }
        if self.size > LARGEST.min(self.packed.saturating_mul(room)) {
            return Err(format!("it claims {} bytes, more than it can hold", self.size));
        }
        let packed = part(archive, start, self.packed)?;
        let content = match self.method {
            0 => packed,
            8 => {
                let mut content = Vec::new();
                let mut stream = DeflateDecoder::new(&packed[..]).take(self.size + 1);
                stream.read_to_end(&mut content).map_err(|e| format!("it is damaged ({e})"))?;
                content
            }
            other => return Err(format!("it is compressed by method {other}; 0 and 8 are read")),
        };
        let mut crc = flate2::Crc::new();
        crc.update(&content);
        if content.len() as u64 != self.size || crc.sum() != self.crc {
            return Err("it is damaged: size or checksum do not agree".to_owned());
        }
        Ok(content)
    }
}
