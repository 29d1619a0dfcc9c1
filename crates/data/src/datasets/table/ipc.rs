//! Arrow's own files: streams of messages, and the same in a file with a directory at its end, also
//! known as Feather.
//!
//! Every message is looked at before it is decoded: what it claims must be in the file, and what its
//! buffers unpack to is bounded.

use std::io::Read;
use std::path::Path;

use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::{MessageHeader, root_as_message};
use gradus_tensor::{Error, ErrorKind, Result};

use super::rows::{Place, Rows, most_unpacked};
use super::schema::schema;
use super::{TableOptions, arrow};

/// How a file with a directory begins; the stream follows after two bytes of padding.
pub(super) const MAGIC: &[u8] = b"ARROW1";
/// How a stream's messages begin.
pub(super) const CONTINUATION: &[u8] = &[0xff; 4];

/// Files above 8 GB are refused.
const LARGEST: u64 = 8 << 30;

pub(super) fn read(path: &Path, file: impl Read, options: &TableOptions) -> Result<Rows> {
    let name = path.display();
    let mut bytes = Vec::new();
    file.take(LARGEST)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::new(ErrorKind::Io, format!("{name}: {e}; check the disk")))?;
    let damaged = |offset: usize, why: String| {
        let message = format!(
            "{name}: cannot be read as an Arrow file from offset {offset} on ({why}); write it again"
        );
        Error::new(ErrorKind::Format, message)
    };
    let mut at = if bytes.starts_with(MAGIC) { MAGIC.len() + 2 } else { 0 };
    let buffer = Buffer::from_vec(bytes);
    let most = most_unpacked(buffer.len() as u64);
    let mut decoder = StreamDecoder::new();
    let mut reader: Option<(Rows, Vec<usize>)> = None;
    while let Some(length) = message(&buffer, at, most).map_err(|why| damaged(at, why))? {
        let mut bytes = buffer.slice_with_length(at, length);
        let failed = |e: arrow_schema::ArrowError| damaged(at, e.to_string());
        while !bytes.is_empty() {
            let batch = decoder.decode(&mut bytes).map_err(failed)?;
            if let (None, Some(fields)) = (&reader, decoder.schema()) {
                let columns = schema(&arrow::names(&fields), options);
                let columns = columns.map_err(|e| e.context(&name))?;
                arrow::check_types(&fields, &columns).map_err(|e| e.context(&name))?;
                let places = columns.iter().map(|column| column.at).collect();
                let rows = Rows::new(path, Place::Row, columns, options);
                reader = Some((rows.of_file(buffer.len() as u64), places));
            }
            if let (Some(batch), Some((rows, places))) = (batch, &mut reader) {
                let first = rows.len() as u64;
                arrow::push(rows, first, &batch.project(places).map_err(failed)?)?;
            }
        }
        at += length;
    }
    match reader {
        Some((rows, _)) => rows.finish(),
        None => Err(damaged(at, "there is no schema".to_owned())),
    }
}

/// The length of the message at an offset, with its body, which unpacks to so many bytes at most; none
/// at the mark of the stream's end.
fn message(bytes: &[u8], at: usize, most: u64) -> Result<Option<usize>, String> {
    let rest = &bytes[at.min(bytes.len())..];
    // Every writer in use marks the end, so that a stream without a mark has lost some of its rows.
    let truncated = || format!("truncated: it ends at offset {}, before its end", bytes.len());
    let head: [u8; 8] = rest.get(..8).and_then(|b| b.try_into().ok()).ok_or_else(truncated)?;
    if !head.starts_with(CONTINUATION) {
        return Err("no message begins there; files of Arrow before 0.15 are not read".to_owned());
    }
    let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if size == 0 {
        return Ok(None);
    }
    let rest = &rest[8..];
    let header = rest.get(..size).ok_or_else(truncated)?;
    let message = root_as_message(header).map_err(|e| format!("a message is damaged: {e}"))?;
    let body = usize::try_from(message.bodyLength()).map_err(|_| "a length below 0".to_owned())?;
    let body = rest[size..].get(..body).ok_or_else(truncated)?;
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => {
            message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data())
        }
        _ => None,
    };
    let mut unpacked = 0u64;
    if let Some(batch) = batch {
        for buffer in batch.buffers().into_iter().flatten() {
            let (start, length) =
                (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
            let inside = start
                .ok()
                .zip(length.ok())
                .and_then(|(start, length)| body.get(start..).and_then(|rest| rest.get(..length)));
            let content = inside.ok_or("a buffer of it lies outside of its message")?;
            // Of a compressed buffer the first eight bytes say how long it will be.
            if batch.compression().is_some()
                && let Some(claim) = content.get(..8).and_then(|b| b.try_into().ok())
            {
                unpacked = unpacked.saturating_add(i64::from_le_bytes(claim).max(0) as u64);
            }
        }
    }
    match unpacked > most {
        true => Err(format!("a message claims to unpack to {unpacked} bytes")),
        false => Ok(Some(8 + size + body.len())),
    }
}
