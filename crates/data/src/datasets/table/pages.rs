//! A Parquet file before it is unpacked.
//!
//! The library makes room for as much as the header of a page claims: up to 2 GB for its bytes, 16 GB
//! for the entries of a dictionary. So [`check`] looks at all headers first, and [`check_footer`] at
//! what describes the file. They are structs in [Thrift's protocol](super::thrift):
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.

use std::io::Read;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::ChunkReader;

use super::thrift::Shape::{Binary, Bool, Byte, Double, I16, I32, I64, List, Struct};
use super::thrift::{Compact, Fields, Shape};

/// Walks through what describes the file, at its end.
///
/// # Errors
/// If it is not what Parquet has there. What does not end as a Parquet file does, is left to the
/// library, which says so.
pub(super) fn check_footer<R: ChunkReader>(file: &R) -> Result<(), String> {
    let damaged = |why: &str| format!("what describes it, at its end, is damaged: {why}");
    let Some(tail) = file.len().checked_sub(8) else { return Ok(()) };
    let end = file.get_bytes(tail, 8).map_err(|e| damaged(&e.to_string()))?;
    let length = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    let Some(start) = tail.checked_sub(length) else { return Ok(()) };
    if length == 0 || &end[4..] != b"PAR1" {
        return Ok(());
    }
    let footer = file.get_bytes(start, length as usize).map_err(|e| damaged(&e.to_string()))?;
    Compact::new(&footer[..]).pass(FILE, &mut |_, _| ()).map_err(|e| damaged(&e.to_string()))
}

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
        let mut header = Compact::new(bytes);
        let (mut full, mut packed, mut entries, mut deltas) = (-1, -1, 0, false);
        let mut seen = |path: &[i16], number| match path {
            [2] => full = number,
            [3] => packed = number,
            // Of a page of data, and of data in version 2.
            [5, 2] | [8, 4] => deltas |= DELTAS_OF_TEXTS.contains(&number),
            // Of a dictionary.
            [7, 1] => entries = number,
            _ => {}
        };
        header.pass(PAGE, &mut seen).map_err(|e| damaged(&e.to_string()))?;
        let sizes = u64::try_from(full).ok().zip(u64::try_from(packed).ok());
        let (unpacks_to, packed) = sizes.ok_or_else(|| damaged("its header lacks its size"))?;
        if !(0..=full).contains(&entries) {
            return Err(damaged("its dictionary has more entries than bytes"));
        }
        if deltas {
            return Err(format!(
                "the page at offset {at} holds texts as differences, which are not read; write them \
                 plain or as a dictionary"
            ));
        }
        unpacked = unpacked.saturating_add(unpacks_to);
        at = at.saturating_add(header.read()).saturating_add(packed);
    }
    Ok(unpacked)
}

/// DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY. How much memory they take is known once it is taken.
const DELTAS_OF_TEXTS: [i64; 2] = [6, 7];

/// `FileMetaData`.
const FILE: Fields = &[
    (1, I32),
    (2, List(&Struct(COLUMN_TYPE))),
    (3, I64),
    (4, List(&Struct(ROW_GROUP))),
    (5, List(&Struct(KEY_VALUE))),
    (6, Binary),
    (7, List(&Struct(&[(1, NOTHING), (2, NOTHING), (3, NOTHING)]))),
    (8, Struct(&[])),
    (9, Binary),
];

/// `SchemaElement`.
const COLUMN_TYPE: Fields = &[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Binary),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, Struct(LOGICAL_TYPE)),
];

/// `LogicalType`, which has one of these.
const LOGICAL_TYPE: Fields = &[
    (1, NOTHING),
    (2, NOTHING),
    (3, NOTHING),
    (4, NOTHING),
    (5, Struct(&[(1, I32), (2, I32)])),
    (6, NOTHING),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte), (2, Bool)])),
    (11, NOTHING),
    (12, NOTHING),
    (13, NOTHING),
    (14, NOTHING),
    (15, NOTHING),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Binary)])),
    (18, Struct(&[(1, Binary), (2, I32)])),
    (19, NOTHING),
];

/// What stands for itself.
const NOTHING: Shape = Struct(&[]);

/// `TimeType` and `TimestampType`.
const TIME: Shape = Struct(&[(1, Bool), (2, Struct(&[(1, NOTHING), (2, NOTHING), (3, NOTHING)]))]);

/// `RowGroup`.
const ROW_GROUP: Fields = &[
    (1, List(&Struct(COLUMN_CHUNK))),
    (2, I64),
    (3, I64),
    (4, List(&Struct(&[(1, I32), (2, Bool), (3, Bool)]))),
    (5, I64),
    (6, I64),
    (7, I16),
];

/// `ColumnChunk`.
const COLUMN_CHUNK: Fields = &[
    (1, Binary),
    (2, I64),
    (3, Struct(COLUMN)),
    (4, I64),
    (5, I32),
    (6, I64),
    (7, I32),
    (8, Struct(&[])),
    (9, Binary),
];

/// `ColumnMetaData`.
const COLUMN: Fields = &[
    (1, I32),
    (2, List(&I32)),
    (3, List(&Binary)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, List(&Struct(KEY_VALUE))),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, Struct(STATISTICS)),
    (13, List(&Struct(&[(1, I32), (2, I32), (3, I32)]))),
    (14, I64),
    (15, I32),
    (16, Struct(&[(1, I64), (2, List(&I64)), (3, List(&I64))])),
    (17, Struct(&[(1, Struct(BOUNDING_BOX)), (2, List(&I32))])),
];

const KEY_VALUE: Fields = &[(1, Binary), (2, Binary)];

/// `Statistics`.
const STATISTICS: Fields = &[
    (1, Binary),
    (2, Binary),
    (3, I64),
    (4, I64),
    (5, Binary),
    (6, Binary),
    (7, Bool),
    (8, Bool),
    (9, I64),
];

const BOUNDING_BOX: Fields = &[
    (1, Double),
    (2, Double),
    (3, Double),
    (4, Double),
    (5, Double),
    (6, Double),
    (7, Double),
    (8, Double),
];

/// `PageHeader`, with those of data, of indices, of dictionaries, and of data in version 2.
const PAGE: Fields = &[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, I32),
    (5, Struct(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, Struct(STATISTICS))])),
    (6, Struct(&[])),
    (7, Struct(&[(1, I32), (2, I32), (3, Bool)])),
    (8, Struct(DATA_V2)),
];

/// `DataPageHeaderV2`.
const DATA_V2: Fields = &[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, I32),
    (5, I32),
    (6, I32),
    (7, Bool),
    (8, Struct(STATISTICS)),
];
