//! CSV files: a line of column names, then a line for each row.

use std::io::{self, Read};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use gradus_tensor::{Error, ErrorKind, Result};

use super::TableOptions;
use super::rows::{Cell, Place, Rows};
use super::schema::schema;

/// Reads a table that messages say is from `path`.
pub(super) fn read(path: &Path, file: impl Read, options: &TableOptions) -> Result<Rows> {
    let name = path.display();
    if !options.delimiter.is_ascii() {
        let message = format!(
            "{name}: delimiter is {:?}; give a single character of ASCII, such as ',' or ';'",
            options.delimiter
        );
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let delimiter = options.delimiter as u8;
    let mut reader = ReaderBuilder::new();
    let reader = reader.trim(Trim::All).delimiter(delimiter);
    let mut reader = reader.from_reader(Quotes { file, delimiter, at: At::Start });
    let broken = |e: csv::Error| {
        let remedy = match e.kind() {
            csv::ErrorKind::UnequalLengths { .. } => "; every row has as many cells",
            csv::ErrorKind::Utf8 { .. } => "; convert the file to UTF-8",
            _ => "",
        };
        Error::new(ErrorKind::Format, format!("{name}: {e}{remedy}"))
    };
    let header = reader.headers().map_err(broken)?.clone();
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    let columns = schema(&names, options).map_err(|e| {
        let e = e.context(&name);
        match &names[..] {
            // All in one: most likely they are divided by something else.
            [one] if one.contains([',', ';', '\t', '|']) => {
                Error::new(e.kind(), format!("{}; or set `delimiter`", e.message()))
            }
            _ => e,
        }
    })?;
    let mut rows = Rows::new(path, Place::Line, columns, options);
    let mut record = StringRecord::new();
    let mut last = 1;
    while reader.read_record(&mut record).map_err(broken)? {
        last = record.position().map_or(0, |position| position.line());
        rows.begin(last, 1)?;
        for column in 0..rows.width() {
            rows.push(column, Cell::Text(&record[rows.column_at(column)]))?;
        }
    }
    if reader.get_ref().at == At::Quoted {
        let message = format!(
            "{name}, line {last}: truncated, or a quote in it is never closed: all that follows would \
             be one cell; close it, or double a quote that belongs to a text"
        );
        return Err(Error::new(ErrorKind::Format, message));
    }
    rows.finish()
}

/// A file that goes by, and whether it ends within quotes: the parser takes that for the end of a cell.
struct Quotes<R> {
    file: R,
    delimiter: u8,
    at: At,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    /// Of a cell.
    Start,
    Plain,
    Quoted,
    /// After a quote within quotes: their end, or the first half of a double one.
    Quote,
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        for &byte in &buffer[..count] {
            self.at = match (self.at, byte) {
                (At::Start | At::Quote, b'"') => At::Quoted,
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) => At::Quoted,
                (_, b'\n' | b'\r') => At::Start,
                (_, byte) if byte == self.delimiter => At::Start,
                _ => At::Plain,
            };
        }
        Ok(count)
    }
}
