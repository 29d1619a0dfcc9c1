//! The pages of a Parquet file before they are unpacked.
//!
//! The library makes room for as much as the header of a page claims: up to 2 GB for its bytes, 16 GB
//! for the entries of a dictionary. So [`check`] looks at all headers first. They are structs in
//! Thrift's compact protocol, of which a few numbers are wanted and the rest is passed over:
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>,
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

use std::io::{self, Read};

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::ChunkReader;

/// Looks at the pages of the columns that are used.
///
/// # Errors
/// If a count of rows is below 0, a page is not where it should be, columns overlap, pages unpack to
/// more than `most` bytes, or one is encoded in a way whose memory cannot be told.
pub(super) fn check<R: ChunkReader>(
    file: &R,
    metadata: &ParquetMetaData,
    used: impl Fn(usize) -> bool,
    most: u64,
) -> Result<(), String> {
    let schema = metadata.file_metadata().schema_descr();
    let (mut packed, mut unpacked) = (0u64, 0u64);
    for group in metadata.row_groups() {
        if group.num_rows() < 0 {
            return Err(format!("a group claims {} rows", group.num_rows()));
        }
        let chunks = group.columns().iter().enumerate();
        for (_, chunk) in chunks.filter(|(leaf, _)| used(schema.get_column_root_idx(*leaf))) {
            let name = chunk.column_path();
            // Otherwise a page could be claimed by any number of columns.
            packed = packed.saturating_add(chunk.compressed_size().max(0) as u64);
            if packed > file.len() {
                return Err(format!("column {name}: it overlaps with another one"));
            }
            let pages = pages(file, chunk).map_err(|why| format!("column {name}: {why}"))?;
            unpacked = unpacked.saturating_add(pages);
            if unpacked > most {
                return Err(format!("its pages claim to unpack to {unpacked} bytes or more"));
            }
        }
    }
    Ok(())
}

/// What the pages of a part of a column unpack to.
fn pages<R: ChunkReader>(file: &R, chunk: &ColumnChunkMetaData) -> Result<u64, String> {
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let place = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
    let inside = place.and_then(|(start, size)| Some((start, start.checked_add(size)?)));
    let (mut at, end) = inside
        .filter(|(_, end)| *end <= file.len())
        .ok_or_else(|| format!("it lies outside of the file, at offset {start}"))?;
    let mut unpacked = 0u64;
    while at < end {
        let damaged = |why: &str| format!("the page at offset {at} is damaged: {why}");
        let bytes = file.get_read(at).map_err(|e| damaged(&e.to_string()))?.take(end - at);
        let mut header = Header { bytes, read: 0 };
        let page = header.page().map_err(|e| damaged(&e.to_string()))?;
        let sizes = u64::try_from(page.unpacked).ok().zip(u64::try_from(page.packed).ok());
        let (full, packed) = sizes.ok_or_else(|| damaged("its header lacks its size"))?;
        if !(0..=page.unpacked).contains(&page.entries) {
            return Err(damaged("its dictionary has more entries than bytes"));
        }
        if DELTAS_OF_TEXTS.contains(&page.encoding) {
            return Err(format!(
                "the page at offset {at} holds texts as differences, which are not read; write them \
                 plain or as a dictionary"
            ));
        }
        unpacked = unpacked.saturating_add(full);
        at = at.saturating_add(header.read).saturating_add(packed);
    }
    Ok(unpacked)
}

/// Nothing in the header of a page is nested deeper.
const DEEPEST: usize = 8;

/// DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY. How much memory they take is known once it is taken.
const DELTAS_OF_TEXTS: [i64; 2] = [6, 7];

/// What is wanted of the header of a page.
struct Page {
    /// In bytes; -1 if the header has none.
    unpacked: i64,
    packed: i64,
    /// Of a dictionary.
    entries: i64,
    encoding: i64,
}

/// The header of a page while it is read.
struct Header<R> {
    bytes: R,
    /// How many.
    read: u64,
}

impl<R: Read> Header<R> {
    fn page(&mut self) -> io::Result<Page> {
        let mut page = Page { unpacked: -1, packed: -1, entries: 0, encoding: 0 };
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (2, 5) => page.unpacked = self.signed()?,
                (3, 5) => page.packed = self.signed()?,
                // Of a page of data, of a dictionary, and of data in version 2.
                (5, 12) => page.encoding = self.numbers()?[2],
                (7, 12) => page.entries = self.numbers()?[1],
                (8, 12) => page.encoding = self.numbers()?[4],
                (_, kind) => self.pass(kind, false, DEEPEST)?,
            }
        }
        Ok(page)
    }

    /// The numbers of a struct, in the places of their fields; 0 where there is none.
    fn numbers(&mut self) -> io::Result<[i64; 5]> {
        let (mut numbers, mut id) = ([0; 5], 0);
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (1..5, 5) => numbers[id as usize] = self.signed()?,
                (_, kind) => self.pass(kind, false, DEEPEST)?,
            }
        }
        Ok(numbers)
    }

    /// The type of the next field of a struct, whose number it makes `id`; none at the end.
    fn field(&mut self, id: &mut i64) -> io::Result<Option<u8>> {
        let head = self.byte()?;
        match (head >> 4, head & 15) {
            (_, 0) => return Ok(None),
            (0, _) => *id = self.signed()?,
            (distance, _) => *id = id.saturating_add(distance.into()),
        }
        Ok(Some(head & 15))
    }

    /// Passes over a value of a type. Booleans are in the type itself, but for those in lists.
    fn pass(&mut self, kind: u8, in_list: bool, depth: usize) -> io::Result<()> {
        let deeper =
            depth.checked_sub(1).ok_or_else(|| damaged("its header is nested too deep"))?;
        match kind {
            1 | 2 if !in_list => Ok(()),
            1..=3 => self.byte().map(drop),
            4..=6 => self.number().map(drop),
            7 => self.skip(8),
            8 => self.number().and_then(|length| self.skip(length)),
            9 | 10 => {
                let head = self.byte()?;
                let length = if head >> 4 == 15 { self.number()? } else { (head >> 4).into() };
                (0..length).try_for_each(|_| self.pass(head & 15, true, deeper))
            }
            12 => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.pass(kind, false, deeper)?;
                }
                Ok(())
            }
            _ => Err(damaged("its header is none")),
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.bytes.read_exact(&mut byte)?;
        self.read += 1;
        Ok(byte[0])
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.bytes).take(length), &mut io::sink())?;
        self.read += skipped;
        if skipped < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(damaged("a number in its header is too long"))
    }

    /// With the sign in the lowest bit.
    fn signed(&mut self) -> io::Result<i64> {
        self.number().map(|n| (n >> 1) as i64 ^ -((n & 1) as i64))
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
